//! Keys and fingerprints: bounds, what counts and what does not, and a second implementation.

use std::collections::HashSet;

use onceward_client::{
    BadInput, Body, Client, ClientError, DeriveError, ExecuteError, Executed, FieldsError,
    Fingerprint, Get, GetOutcome, JsonFingerprintError, Key, PayloadFingerprint as _,
};
use onceward_testkit::SplitMix64;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

/// The layout of `docs/keys.md`, as plainly as it can be written.
fn naive(parts: &[&[u8]]) -> String {
    let mut all = Vec::new();
    for part in parts {
        all.extend((part.len() as u32).to_le_bytes());
        all.extend(*part);
    }
    Sha256::digest(&all).iter().map(|byte| format!("{byte:02x}")).collect()
}

type Field<'a> = (&'a str, &'a [u8]);

fn derive<'a>(
    label: &str,
    fields: impl IntoIterator<Item = Field<'a>>,
) -> Result<Key, DeriveError> {
    let start = Key::derive(label);
    fields.into_iter().fold(start, |key, (name, value)| key.field(name, value)).finish()
}

fn of_fields<'a>(fields: impl IntoIterator<Item = Field<'a>>) -> Result<Fingerprint, FieldsError> {
    let start = Fingerprint::of_fields();
    fields.into_iter().fold(start, |print, (name, value)| print.field(name, value)).finish()
}

#[test]
fn a_key_has_1_to_255_bytes_s20() {
    for got in [0, 256, 100_000] {
        let bytes = vec![b'k'; got];
        let want = BadInput::KeyLength { got };
        assert_eq!(Key::new(&bytes), Err(want));
        assert_eq!(Key::try_from(&bytes[..]), Err(want));
        assert_eq!(Key::try_from(bytes.clone()), Err(want));
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.parse::<Key>(), Err(want));
        assert_eq!(Key::try_from(&*text), Err(want));
        assert_eq!(Key::try_from(text), Err(want));
    }
    for bytes in [&b"k"[..], &[0xff; 255]] {
        assert_eq!(Key::new(bytes).unwrap().as_bytes(), bytes);
    }
    assert_eq!(Key::new(b"\xff").unwrap().as_str(), None);
    assert_eq!("order-1".parse::<Key>().unwrap().as_str(), Some("order-1"));
}

#[test]
fn generated_keys_differ_and_are_text_for_http() {
    for (generate, size, separators) in
        [(Key::generate as fn() -> Key, 36, 4), (Key::ulid as fn() -> Key, 26, 0)]
    {
        let keys: Vec<Key> = (0..1_000).map(|_| generate()).collect();
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
        for key in &keys {
            let text = key.as_str().expect("text");
            assert_eq!(text.len(), size);
            assert_eq!(text.matches('-').count(), separators);
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
        }
    }
    let uuids: Vec<Key> = (0..1_000).map(|_| Key::generate()).collect();
    assert!(uuids.is_sorted(), "by the time of making");
    assert!(uuids.iter().all(|key| key.as_bytes()[14] == b'7'), "the UUID's version");
}

#[test]
fn a_scope_is_always_stated() {
    let key = Key::new("order-1").unwrap();
    let scoped = key.in_scope("tenant-7").unwrap();
    assert_eq!(scoped.as_ref().scope(), b"tenant-7");
    assert_eq!(scoped.as_ref().key(), b"order-1");
    assert_eq!(key.in_scope("").unwrap().as_ref().scope(), b"");
    assert_ne!(key.in_scope("").unwrap(), scoped);
    assert_eq!(key.in_scope([0; 256]), Err(BadInput::ScopeLength { got: 256 }));
}

/// A handler makes its keys with `?`, and goes on using what it has executed.
#[tokio::test]
async fn a_bad_key_is_an_execution_that_did_not_run() {
    async fn handle(client: &Client, key: &str) -> Result<Executed, ExecuteError<&'static str>> {
        let key = Key::new(key)?.in_scope("tenant-7")?;
        let executed = client.execute(&key, Fingerprint::None, |_| async { Ok("done") }).await?;
        let GetOutcome::Completed(there) = client.get(&key, &Get::default()).await.unwrap() else {
            panic!("it is executed")
        };
        assert_eq!(there.result.body, Body::Kept(b"done"[..].into()));
        Ok(executed)
    }
    let client = Client::open("mem://orders").unwrap();
    assert_eq!(handle(&client, "order-1").await.unwrap().name(), "ran");
    let refused = ClientError::from(BadInput::KeyLength { got: 0 });
    assert_eq!(handle(&client, "").await, Err(ExecuteError::NotRun(refused)));
}

#[test]
fn debug_shows_a_hash_and_no_value_s16() {
    let (one, other) = (Key::new("secret-key").unwrap(), Key::new("secret-kez").unwrap());
    let shown = format!("{one:?}");
    assert_ne!(shown, format!("{other:?}"));
    let digits = shown.strip_prefix("Key(").and_then(|rest| rest.strip_suffix(')')).unwrap();
    assert!(digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{shown}");

    let derivation = Key::derive("label").field("card", "secret-value");
    let fingerprint = Fingerprint::of_fields().field("card", "secret-value");
    for shown in [format!("{derivation:?}"), format!("{fingerprint:?}")] {
        assert!(shown.contains("card") && !shown.contains("secret"), "{shown}");
    }
}

#[test]
fn faults_of_fields_name_field_and_bound_s20() {
    let long = "n".repeat(256);
    let names: Vec<String> = (0..65).map(|number| number.to_string()).collect();
    let mebibytes = vec![0; 16 << 20];
    #[rustfmt::skip]
    let cases: [(&str, Vec<Field<'_>>, Option<FieldsError>, &str); 8] = [
        ("none", vec![], Some(FieldsError::None), "no field"),
        ("64", names[..64].iter().map(|name| (&**name, &b""[..])).collect(), None, ""),
        ("65", names.iter().map(|name| (&**name, &b""[..])).collect(), Some(FieldsError::Count { got: 65 }), "at most 64"),
        ("no name", vec![("a", b"1"), ("", b"2")], Some(FieldsError::NameLength { at: 2, got: 0 }), "field 2 has 0 bytes"),
        ("long name", vec![(&long, b"")], Some(FieldsError::NameLength { at: 1, got: 256 }), "1 to 255"),
        ("twice", vec![("a", b"1"), ("b", b"2"), ("a", b"1"), ("", b"")], Some(FieldsError::Twice { name: "a".into() }), "`a`"),
        ("all there is", vec![("a", &mebibytes), ("b", b"")], None, ""),
        ("a byte more", vec![("a", &mebibytes), ("b", b"x")], Some(FieldsError::ValueBytes { name: "b".into(), got: (16 << 20) + 1 }), "`b`"),
    ];
    for (why, fields, want, told) in cases {
        let fingerprint = of_fields(fields.iter().copied());
        let key = derive("label", fields);
        match want {
            None => assert!(fingerprint.is_ok() && key.is_ok(), "{why}"),
            Some(want) => {
                assert!(want.to_string().contains(told), "{why}: {want}");
                assert_eq!(fingerprint, Err(want.clone()), "{why}");
                assert_eq!(key, Err(DeriveError::Fields(want)), "{why}");
            }
        }
    }
    for (size, good) in [(0, false), (1, true), (255, true), (256, false)] {
        let key = derive(&"l".repeat(size), [("a", &b"1"[..])]);
        let want = if good { Ok(()) } else { Err(DeriveError::LabelLength { got: size }) };
        assert_eq!(key.map(drop), want, "a label of {size} bytes");
    }
}

#[test]
fn an_absent_field_is_no_empty_one() {
    let base = || Fingerprint::of_fields().field("path", "/orders");
    let unnamed = base().finish();
    assert_eq!(base().optional("note", None::<&str>).finish(), unnamed);
    assert_ne!(base().optional("note", Some("")).finish(), unnamed);
    assert_eq!(base().optional("note", Some("x")).finish(), base().field("note", "x").finish());
    let all_absent = Fingerprint::of_fields().optional("note", None::<&str>).finish();
    assert_eq!(all_absent, Err(FieldsError::None));
}

#[test]
fn no_two_ways_give_one_key_or_fingerprint() {
    let parent = derive("a", [("b", &b"c"[..])]).unwrap();
    let keys = [
        parent.clone(),
        parent.child("a"),
        parent.child("a").child("a"),
        parent.child("aa"),
        parent.child(""),
        Key::new(parent.child("a").as_str().unwrap()).unwrap().child("b"),
        derive("a", [("a", parent.as_bytes())]).unwrap(),
        derive(parent.as_str().unwrap(), [("a", &b""[..])]).unwrap(),
        derive("a", [("b", &b""[..])]).unwrap(),
        derive("a", [("c", &b"b"[..])]).unwrap(),
    ];
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());

    let payload = r#"{"a":"b"}"#;
    let fingerprints = [
        Fingerprint::of(payload),
        Fingerprint::of_json_canonical(payload).unwrap(),
        Fingerprint::of_fields().field("a", "b").finish().unwrap(),
        Fingerprint::of_fields().field("json", payload).finish().unwrap(),
    ];
    assert_eq!(fingerprints.iter().collect::<HashSet<_>>().len(), fingerprints.len());
}

#[test]
fn json_has_its_bounds_and_faults_say_where_s16_s20() {
    let full = format!("\"{}\"", "x".repeat((1 << 20) - 2));
    assert!(Fingerprint::of_json_canonical(&full).is_ok());
    let deep = |depth: usize| format!("{}7{}", "[".repeat(depth), "]".repeat(depth));
    assert!(Fingerprint::of_json_canonical(deep(64)).is_ok());
    let brackets = format!("[\"{}\\\"{}\"]", "[".repeat(100), "{".repeat(100));
    assert!(Fingerprint::of_json_canonical(brackets).is_ok(), "a string is not deep");
    let wide = format!("[{}{{}}]", "[[],{}],".repeat(100));
    assert!(Fingerprint::of_json_canonical(wide).is_ok(), "siblings are not deep");

    let (over, deeper, abyss) = (full + " ", deep(65), "{\"a\":".repeat(100_000));
    let secret = "{\n \"secret\": 1,\n \"secret\": 2\n}";
    #[rustfmt::skip]
    let cases: [(&str, JsonFingerprintError); 9] = [
        (&over, JsonFingerprintError::Size { got: (1 << 20) + 1 }),
        (&deeper, JsonFingerprintError::Depth { at: 64 }),
        (&abyss, JsonFingerprintError::Depth { at: 320 }),
        ("[1, 9007199254740993]", JsonFingerprintError::Number { at: 4 }),
        ("{\"secret\": secret}", JsonFingerprintError::Syntax { line: 1, column: 12 }),
        ("[1.5.2]", JsonFingerprintError::Syntax { line: 1, column: 5 }),
        ("\"secret", JsonFingerprintError::Syntax { line: 1, column: 7 }),
        (secret, JsonFingerprintError::NameTwice { line: 4, column: 1 }),
        ("[-9007199254740993]", JsonFingerprintError::Number { at: 1 }),
    ];
    for (document, want) in cases {
        assert!(!want.to_string().contains("secret"), "{want}");
        assert_eq!(Fingerprint::of_json_canonical(document), Err(want));
    }
    assert!(Fingerprint::of_json_canonical(b"\"\xff\"").is_err(), "not UTF-8");
}

/// Few names and short values, so that splits and repeats of the same bytes are met.
/// Numbers next to a double, and one digit longer than it: another value is another fingerprint, or
/// none.
#[test]
fn numbers_that_differ_in_their_last_digit_never_share_a_fingerprint() {
    let mut dice = SplitMix64::new(7);
    let (mut differ, mut refused, mut ties) = (0, 0, 0);
    for _ in 0..20_000 {
        let double = f64::from_bits(dice.next_u64());
        if !double.is_finite() {
            continue;
        }
        // Shortest, as `1.2345e-300`; then its neighbours by a digit in the last place, and behind.
        let text = format!("{double:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap();
        let point = if mantissa.contains('.') { "" } else { "." };
        let digit = dice.within(1..10);
        let longer = format!("{mantissa}{point}{digit}e{exponent}");
        let (front, last) = mantissa.split_at(mantissa.len() - 1);
        let changed = (last.parse::<u64>().unwrap() + digit) % 10;
        let other = format!("{front}{changed}e{exponent}");
        let print = |text: &str| Fingerprint::of_json_canonical(format!("[{text}]"));
        let Ok(own) = print(&text) else {
            ties += 1; // Half-way between two texts of equal length: the canonical one is the other.
            continue;
        };
        assert_eq!(print(&format!("{double}")), Ok(own), "{text} without an exponent");
        for neighbour in [longer, other] {
            match print(&neighbour) {
                Ok(another) => {
                    assert_ne!(another, own, "{text} and {neighbour}");
                    differ += 1;
                }
                Err(JsonFingerprintError::Number { .. }) => refused += 1,
                Err(error) => panic!("{neighbour}: {error}"),
            }
        }
    }
    assert!(differ > 1_000 && refused > 1_000, "{differ} differ, {refused} are refused");
    assert!(ties < 20, "{ties} doubles have no text");
}

fn some_fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    btree_map("[ab]{1,3}", vec(prop_oneof![Just(b'a'), Just(b'b'), any::<u8>()], 0..4), 1..5)
        .prop_map(|fields| fields.into_iter().collect())
}

fn borrowed(fields: &[(String, Vec<u8>)]) -> impl Iterator<Item = Field<'_>> {
    fields.iter().map(|(name, value)| (&**name, &**value))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_does_not_count_and_a_second_implementation_agrees(
        sorted in some_fields(),
        shuffled in some_fields().prop_shuffle(),
        label in "[a-z/é]{1,9}",
    ) {
        let mut again = shuffled.clone();
        again.sort();
        let key = derive(&label, borrowed(&shuffled)).unwrap();
        prop_assert_eq!(&key, &derive(&label, borrowed(&again)).unwrap());
        prop_assert_eq!(of_fields(borrowed(&shuffled)), of_fields(borrowed(&again)));

        let mut parts = vec![&b"onceward key v1"[..], label.as_bytes()];
        parts.extend(sorted.iter().flat_map(|(name, value)| [name.as_bytes(), value]));
        let key = derive(&label, borrowed(&sorted)).unwrap();
        prop_assert_eq!(key.as_str().unwrap(), naive(&parts));
        let child = key.child(&sorted[0].1);
        let parts = [b"onceward child key v1", key.as_bytes(), &sorted[0].1];
        prop_assert_eq!(child.as_str().unwrap(), naive(&parts));
    }

    #[test]
    fn only_equal_fields_give_equal_keys(one in some_fields(), other in some_fields()) {
        let equal = one == other;
        prop_assert_eq!(derive("l", borrowed(&one)) == derive("l", borrowed(&other)), equal);
        prop_assert_eq!(of_fields(borrowed(&one)) == of_fields(borrowed(&other)), equal);
    }

    /// Where a name, a value or the label ends counts, though the bytes in a row are the same.
    #[test]
    fn a_moved_boundary_gives_another_key(text in "[a-c]{4,12}", cuts in vec(1_usize..4, 4)) {
        let cut = |sizes: [usize; 3]| {
            let (label, rest) = text.split_at(sizes[0]);
            let (name, rest) = rest.split_at(sizes[1].min(rest.len()));
            let (value, rest) = rest.split_at(sizes[2].min(rest.len()));
            ((label, name, value, rest), derive(label, [(name, value.as_bytes()), ("z", rest.as_bytes())]))
        };
        let (one, other) = (cut([1, cuts[0], cuts[1]]), cut([1, cuts[2], cuts[3]]));
        prop_assert_eq!(one.1.unwrap() == other.1.unwrap(), one.0 == other.0);
    }

    /// Two numbers of another value never get one fingerprint: they differ, or one is refused.
    #[test]
    fn numbers_do_not_collapse(start in any::<u64>(), near in 0_u64..9, digits in 1_usize..4, e in -30_i32..30) {
        let (one, other) = (start.saturating_sub(near), start);
        let (one_text, other_text) = (format!("{one}e{e}"), format!("{other}.{}e{e}", "0".repeat(digits)));
        let (a, b) = (Fingerprint::of_json_canonical(&one_text), Fingerprint::of_json_canonical(&other_text));
        match (a, b) {
            (Ok(a), Ok(b)) => prop_assert_eq!(a == b, one == other),
            (Err(_), Err(_)) => {}
            _ => prop_assert!(one != other),
        }
        // All that a double keeps passes, however it is written.
        let small = start >> 11;
        let plain = Fingerprint::of_json_canonical(small.to_string()).unwrap();
        let spelt = format!(" {}{}.0E+{} ", "", small, 0);
        prop_assert_eq!(plain, Fingerprint::of_json_canonical(spelt).unwrap());
    }
}
