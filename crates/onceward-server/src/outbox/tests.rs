use super::*;

const ASKED: Asked = Asked { correlation: 7, opcode: Opcode::Begin };

fn asked(correlation: u64) -> Asked {
    Asked { correlation, ..ASKED }
}

fn reply(outbox: &mut Outbox<Vec<u8>>, byte: u8, position: u64) {
    outbox.encode_into().extend_from_slice(&[byte; 3]);
    outbox.encoded_on(Position(position), asked(byte.into()));
}

/// A reply with its body between two of its bytes.
fn reply_apart(outbox: &mut Outbox<Vec<u8>>, byte: u8, position: u64) {
    let bytes = outbox.encode_into();
    bytes.push(byte);
    let at = bytes.len();
    bytes.push(byte);
    outbox.insert(at, vec![byte + 100; 2]);
    outbox.encoded_on(Position(position), asked(byte.into()));
}

/// A reply that ends with its body.
fn reply_before(outbox: &mut Outbox<Vec<u8>>, byte: u8, position: u64) {
    let bytes = outbox.encode_into();
    bytes.push(byte);
    let at = bytes.len();
    outbox.insert(at, vec![byte + 100; 2]);
    outbox.encoded_on(Position(position), asked(byte.into()));
}

/// Takes all that may leave, in steps of `step` bytes.
fn send(outbox: &mut Outbox<Vec<u8>>, step: usize) -> Vec<u8> {
    let mut sent = Vec::new();
    while outbox.has_sendable() {
        let part = match outbox.sendable() {
            Some(part) => part.to_vec(),
            None => outbox.flat(),
        };
        let part = &part[..step.min(part.len())];
        assert!(!part.is_empty(), "it said that something may leave");
        sent.extend_from_slice(part);
        outbox.left(part.len());
    }
    assert!(outbox.flat().is_empty());
    sent
}

#[test]
fn what_has_left_is_not_kept() {
    let mut outbox = Outbox::<Vec<u8>>::default();
    outbox.encode_into().extend_from_slice(&[1; 100 * 1024]);
    outbox.encoded();
    assert_eq!(outbox.left(70 * 1024), 0, "the reply has not left whole");
    assert_eq!(outbox.sendable().map(<[u8]>::len), Some(30 * 1024));
    assert_eq!(outbox.bytes.len(), 30 * 1024, "the front is dropped: more than half is sent");
    outbox.encode_into().push(2);
    outbox.encoded();
    assert_eq!(outbox.left(30 * 1024 + 1), 2);
    assert!(outbox.is_empty() && outbox.holds_memory());
    outbox.release_memory();
    assert!(!outbox.holds_memory());
}

#[test]
fn replies_leave_in_order_once_what_they_rest_on_is_synced_s14() {
    for step in [1, 2, 100] {
        let mut outbox = Outbox::<Vec<u8>>::default();
        reply(&mut outbox, 1, 0);
        reply_apart(&mut outbox, 2, 5);
        reply(&mut outbox, 3, 0);
        reply(&mut outbox, 4, 4);
        reply_apart(&mut outbox, 5, 9);
        assert_eq!(send(&mut outbox, step), [1, 1, 1]);
        assert_eq!(outbox.release(Position(4)), Some(Position(9)));
        assert_eq!(send(&mut outbox, step), [], "one behind waits with the first");
        assert_eq!(outbox.release(Position(5)), Some(Position(9)));
        assert_eq!(send(&mut outbox, step), [2, 102, 102, 2, 3, 3, 3, 4, 4, 4]);
        assert!(!outbox.is_empty() && outbox.holds());
        assert_eq!(outbox.release(Position(10)), None);
        assert_eq!(send(&mut outbox, step), [5, 105, 105, 5]);
        assert!(outbox.is_empty() && !outbox.holds());
    }
}

#[test]
fn of_held_replies_those_on_what_is_not_synced_are_replaced_s14() {
    for step in [1, 3, 100] {
        let mut outbox = Outbox::<Vec<u8>>::default();
        reply(&mut outbox, 1, 0);
        reply_apart(&mut outbox, 2, 0);
        outbox.left(step.min(5)); // Even while a body has left in part.
        reply_apart(&mut outbox, 3, 5);
        reply_apart(&mut outbox, 4, 0);
        reply_apart(&mut outbox, 5, 3);
        reply(&mut outbox, 6, 6);
        reply_apart(&mut outbox, 7, 7);
        reply_apart(&mut outbox, 8, 0);
        let mut replaced = Vec::new();
        outbox.replace_held(Position(3), |asked, out| {
            replaced.push(asked.correlation);
            out.push(0);
        });
        assert_eq!(replaced, [3, 6, 7]);
        assert!(!outbox.holds());
        let whole =
            [1, 1, 1, 2, 102, 102, 2, 0, 4, 104, 104, 4, 5, 105, 105, 5, 0, 0, 8, 108, 108, 8];
        assert_eq!(outbox.unsent(), whole.len() - step.min(5));
        assert_eq!(send(&mut outbox, step), whole[step.min(5)..]);
        assert_eq!(outbox.unsent(), 0);
    }
}

#[test]
fn a_body_goes_with_its_reply_s16() {
    for step in [1, 3, 100] {
        let mut outbox = Outbox::<Vec<u8>>::default();
        reply_before(&mut outbox, 1, 0);
        reply_before(&mut outbox, 2, 5);
        reply_before(&mut outbox, 3, 5);
        reply_before(&mut outbox, 4, 0);
        reply_before(&mut outbox, 5, 5);
        assert_eq!(send(&mut outbox, step), [1, 101, 101]);
        outbox.replace_held(Position(0), |_, out| out.push(0));
        assert_eq!(outbox.unsent(), 6);
        assert_eq!(send(&mut outbox, step), [0, 0, 4, 104, 104, 0]);
    }
}

#[test]
fn a_held_reply_is_found_again_after_what_was_before_it_is_dropped() {
    let mut outbox = Outbox::<Vec<u8>>::default();
    outbox.encode_into().extend_from_slice(&[1; 100 * 1024]);
    outbox.encoded();
    reply(&mut outbox, 2, 5);
    reply(&mut outbox, 3, 0);
    assert_eq!(send(&mut outbox, 70 * 1024).len(), 100 * 1024);
    assert!(outbox.bytes.len() < 64 * 1024, "what has left is dropped");
    outbox.replace_held(Position(0), |asked, out| {
        assert_eq!(asked, self::asked(2));
        out.push(9);
    });
    assert_eq!(send(&mut outbox, 100), [9, 3, 3, 3]);
}

#[test]
fn what_is_held_counts_as_unsent_s20() {
    let mut outbox = Outbox::<Vec<u8>>::default();
    reply_apart(&mut outbox, 2, 5);
    assert_eq!((outbox.unsent(), outbox.has_sendable()), (4, false));
    outbox.release_memory();
    assert!(outbox.holds_memory(), "what is held is not given up");
}
