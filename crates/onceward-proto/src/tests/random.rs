//! Bytes at random: nothing panics, and what is accepted is what was sent.

use alloc::vec;
use alloc::vec::Vec;

use onceward_core::ScopedKey;
use proptest::prelude::*;

use super::hostile::{GOOD, open, stranger};
use super::samples::requests;
use super::{Message, extended};
use crate::frame::{HEADER_SIZE, Header};
use crate::{ClientConfig, ClientConn, Greeting, Incoming, Opcode, Reply, Request, ServerConn};

/// Reads everything a peer sent, as a server does, and gives how many frames were found.
fn drain(server: &mut ServerConn, mut input: &[u8]) -> usize {
    let (mut frames, mut out) = (0, Vec::new());
    while let Ok(Some((incoming, size))) = server.next(input) {
        assert!(size > HEADER_SIZE && size <= input.len(), "a frame lies within the input");
        input = &input[size..];
        frames += 1;
        match incoming {
            Incoming::Hello { negotiated, .. } => {
                server.accept(negotiated, &Greeting::default(), &mut out);
            }
            Incoming::Rejected(rejection) => rejection.encode(&mut out),
            Incoming::Request { .. } | Incoming::Cancel { .. } => {}
        }
    }
    frames
}

/// Sound headers before random bodies, so that the bodies are read at all.
fn framed() -> impl Strategy<Value = Vec<u8>> {
    let opcodes = prop_oneof![
        proptest::sample::select(&Opcode::ALL[..]).prop_map(Opcode::as_u8),
        any::<u8>()
    ];
    let body = proptest::collection::vec(any::<u8>(), 1..200);
    (opcodes, body)
        .prop_map(|(opcode, body)| extended(&Header { opcode, length: 0, ..GOOD }.encode(), &body))
}

/// A sample with one byte changed: mostly sound, and so read the deepest.
fn nearly_sound() -> impl Strategy<Value = Vec<u8>> {
    let samples: Vec<_> = requests().into_iter().map(|(_, message)| message.encode(7)).collect();
    (proptest::sample::select(samples), any::<proptest::sample::Index>(), any::<u8>()).prop_map(
        |(mut bytes, at, byte)| {
            let at = at.index(bytes.len().min(500));
            bytes[at] = byte;
            bytes
        },
    )
}

/// The key of a request that servers answer in batches.
const fn batched_key<'a>(request: &Request<'a>) -> Option<ScopedKey<'a>> {
    match request {
        Request::Begin { key, .. }
        | Request::Complete { key, .. }
        | Request::Abandon { key, .. }
        | Request::Renew { key, .. }
        | Request::Get { key, .. } => Some(*key),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for mut server in [stranger(), open()] {
            prop_assert!(drain(&mut server, &bytes) <= bytes.len() / (HEADER_SIZE + 1));
        }
        let mut client = ClientConn::new(&ClientConfig::default());
        let _ = client.next(&bytes);
    }

    #[test]
    fn random_bodies_never_panic(frames in proptest::collection::vec(framed(), 1..5)) {
        drain(&mut open(), &frames.concat());
    }

    #[test]
    fn a_byte_changed_never_panics(frames in proptest::collection::vec(nearly_sound(), 1..5)) {
        for mut server in [stranger(), open()] {
            drain(&mut server, &frames.concat());
        }
    }

    /// What is decoded was sent: a request that is accepted encodes to the bytes it came from,
    /// but for optional fields that are not known.
    #[test]
    fn what_is_accepted_is_what_was_sent(bytes in nearly_sound()) {
        if let Ok(Some((Incoming::Request { request, correlation }, size))) = open().next(&bytes) {
            let again = Message::Operation(request).encode(correlation);
            prop_assert!(again.len() <= size);
            if again.len() == size {
                prop_assert_eq!(&again, &bytes[..size]);
            }
        }
    }

    /// A look at the key alone sees what decoding the whole sees, and passes over no request that is
    /// answered in batches; what is wrong with the rest is left to be found.
    #[test]
    fn a_look_ahead_is_what_is_read_then(bytes in nearly_sound()) {
        let mut server = open();
        let peeked = server.peek(&bytes).map(|(unread, key, size)| {
            (unread.correlation(), unread.opcode(), key, size, unread.decode())
        });
        match server.next(&bytes) {
            Ok(Some((Incoming::Request { request, correlation }, size))) => {
                let opcode = request.opcode();
                let want = batched_key(&request).map(|key| (correlation, opcode, key, size, Ok(request)));
                prop_assert_eq!(peeked, want);
            }
            Ok(Some((Incoming::Rejected(_), _))) | Err(_) => {
                prop_assert!(peeked.is_none_or(|(.., decoded)| decoded.is_err()));
            }
            Ok(Some((Incoming::Hello { .. } | Incoming::Cancel { .. }, _)) | None) => {
                prop_assert_eq!(peeked, None);
            }
        }
        prop_assert!(stranger().peek(&bytes).is_none());
    }

    #[test]
    fn random_replies_never_panic(
        opcode in proptest::sample::select(&Opcode::ALL[..]),
        code in proptest::sample::select(vec![0x01_u8, 0x10, 0x11, 0x12, 0x15, 0x16, 0x20, 0x29, 0x80, 0x84, 0xff]),
        mut body in proptest::collection::vec(any::<u8>(), 1..400),
    ) {
        body[0] = code;
        let _ = Reply::decode(opcode, &body);
    }
}
