//! Keys in the spellings of UUIDs and ULIDs: whatever form they are stored in, the bytes that come
//! back are those that were sent, and two spellings are two keys.

use std::collections::BTreeSet;

use onceward::{Identity, ListQuery, Namespace, PageCursor};
use proptest::prelude::*;

use crate::scene::{Scene, ask, begin};

/// Sixteen bytes as a hyphenated UUID in lower case, and as a ULID in upper case.
fn texts(bytes: [u8; 16]) -> [String; 2] {
    const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let number = u128::from_be_bytes(bytes);
    let hex = format!("{number:032x}");
    let uuid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    let ulid = (0..26).rev().map(|at| {
        let digit = (number >> (5 * at)) as usize & 31;
        char::from(CROCKFORD[digit])
    });
    [uuid, ulid.collect()]
}

/// All that somebody may write for the same 16 bytes, and what is nearly that.
fn spellings(bytes: [u8; 16]) -> Vec<Vec<u8>> {
    let [uuid, ulid] = texts(bytes);
    let mixed = |text: &str| -> String {
        let flip = |(at, c): (usize, char)| {
            if at % 2 == 0 { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() }
        };
        text.chars().enumerate().map(flip).collect()
    };
    let put = |text: &str, at: usize, c: char| -> String {
        text.chars().enumerate().map(|(place, was)| if place == at { c } else { was }).collect()
    };
    let mut spellings = vec![
        uuid.clone(),
        uuid.to_uppercase(),
        mixed(&uuid),
        format!("{{{uuid}}}"),
        format!("urn:uuid:{uuid}"),
        uuid.replace('-', ""),
        uuid.replace('-', "").to_uppercase(),
        put(&uuid, 8, '_'),
        put(&uuid, 35, 'g'),
        uuid[..35].to_owned(),
        format!("{uuid}0"),
        ulid.clone(),
        ulid.to_lowercase(),
        mixed(&ulid),
        put(&ulid, 0, '7'),
        put(&ulid, 0, '8'), // Beyond 128 bits.
        put(&ulid, 0, 'Z'),
        put(&ulid, 25, 'I'),
        put(&ulid, 25, 'L'),
        put(&ulid, 25, 'O'),
        put(&ulid, 25, 'U'),
        put(&ulid, 25, '0'),
        put(&ulid, 25, '1'),
        ulid[..25].to_owned(),
        format!("{ulid}0"),
    ];
    spellings.sort();
    spellings.dedup(); // Where it has no letters, cases are one text.
    let mut spellings: Vec<_> = spellings.into_iter().map(String::into_bytes).collect();
    spellings.push(bytes.to_vec()); // The bytes themselves are one more key.
    spellings.push([&uuid.as_bytes()[..35], &[0xff]].concat());
    spellings
}

fn check(bytes: [u8; 16]) -> Result<(), TestCaseError> {
    let spellings = spellings(bytes);
    let scene = Scene::new();
    for (number, key) in (1..).zip(&spellings) {
        let identity = Identity::new("orders", b"tenant", key).expect("valid");
        let outcome = begin(&scene.store, identity, &ask(number));
        prop_assert_eq!(outcome.name(), "acquired", "{:?} is a key of its own", key);
    }
    let mut listed = BTreeSet::new();
    let mut query = ListQuery { entries_max: 7, ..ListQuery::default() };
    loop {
        let page = scene.store.list(Namespace::new("orders").unwrap(), &query).unwrap();
        listed.extend(page.entries.iter().map(|e| e.scoped_key.as_ref().key().to_vec()));
        match page.next {
            Some(PageCursor(next)) => query.cursor = PageCursor(next),
            None => break,
        }
    }
    prop_assert_eq!(listed, spellings.into_iter().collect::<BTreeSet<_>>());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_spelling_is_a_key_of_its_own_and_comes_back_as_it_was(bytes: [u8; 16]) {
        check(bytes)?;
    }
}

#[test]
fn the_ends_of_the_range_are_spelt_out_too() {
    for bytes in [[0; 16], [0xff; 16], [0x0a; 16], [0xa0; 16], [0x99; 16]] {
        check(bytes).unwrap();
    }
    assert_eq!(texts([0xff; 16])[1], "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    assert_eq!(texts([0; 16])[0], "00000000-0000-0000-0000-000000000000");
}
