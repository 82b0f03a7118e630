//! UUID and ULID text as 16 bytes, given back byte for byte.
//!
//! Only a text that its 16 bytes spell again is compacted: `compact` proves that by writing the
//! text anew and comparing, so two keys are the same bytes exactly if they compact alike.

/// How a key is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum KeyForm {
    /// As it came.
    Raw = 0,
    /// 16 bytes of a hyphenated UUID with lower-case digits.
    UuidLower = 1,
    /// The same with upper-case digits.
    UuidUpper = 2,
    /// 16 bytes of an upper-case ULID.
    Ulid = 3,
}

impl KeyForm {
    pub(crate) const fn from_bits(bits: u64) -> Self {
        match bits & 3 {
            1 => Self::UuidLower,
            2 => Self::UuidUpper,
            3 => Self::Ulid,
            _ => Self::Raw,
        }
    }
}

const UUID_TEXT: usize = 36;
const ULID_TEXT: usize = 26;
/// Crockford's alphabet as ULID writes it.
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// The value of each byte in that alphabet; 255 where there is none.
const CROCKFORD_VALUES: [u8; 256] = {
    let mut values = [255; 256];
    let mut value = 0;
    while value < CROCKFORD.len() {
        values[CROCKFORD[value] as usize] = value as u8;
        value += 1;
    }
    values
};
/// A one in each byte.
const ONES: u64 = 0x0101_0101_0101_0101;
/// From a digit above nine to its letter, beyond `'0'`.
const LOWER_GAP: u8 = 39;
const UPPER_GAP: u8 = 7;

/// The 16 bytes that stand for `key`, or `None` if it is to be kept as it is.
pub(crate) fn compact(key: &[u8]) -> Option<(KeyForm, [u8; 16])> {
    match key.len() {
        UUID_TEXT => {
            let key: &[u8; UUID_TEXT] = key.try_into().ok()?;
            let lower = uuid(key, LOWER_GAP).map(|bytes| (KeyForm::UuidLower, bytes));
            lower.or_else(|| uuid(key, UPPER_GAP).map(|bytes| (KeyForm::UuidUpper, bytes)))
        }
        ULID_TEXT => ulid(key).map(|bytes| (KeyForm::Ulid, bytes)),
        _ => None,
    }
}

/// Writes the text that `bytes` stand for.
pub(crate) fn expand(form: KeyForm, bytes: &[u8], text: &mut Vec<u8>) {
    let gap = match form {
        KeyForm::Raw => return text.extend_from_slice(bytes),
        KeyForm::UuidLower => LOWER_GAP,
        KeyForm::UuidUpper => UPPER_GAP,
        KeyForm::Ulid => return expand_ulid(bytes, text),
    };
    for (index, four) in bytes.chunks_exact(4).enumerate() {
        let digits = u32::from_be_bytes([four[0], four[1], four[2], four[3]]);
        let spelt = spell(unpack(digits), gap).to_be_bytes();
        match index {
            0 => text.extend_from_slice(&spelt),
            3 => text.extend_from_slice(&spelt),
            _ => {
                text.push(b'-');
                text.extend_from_slice(&spelt[..4]);
                text.push(b'-');
                text.extend_from_slice(&spelt[4..]);
            }
        }
    }
}

/// Loops over bytes without an exit, which the compiler turns into a few wide instructions.
#[inline]
fn uuid(text: &[u8; UUID_TEXT], gap: u8) -> Option<[u8; 16]> {
    let hyphens = [text[8], text[13], text[18], text[23]] == *b"----";
    let mut digits = [0_u8; 32];
    digits[..8].copy_from_slice(&text[..8]);
    digits[8..12].copy_from_slice(&text[9..13]);
    digits[12..16].copy_from_slice(&text[14..18]);
    digits[16..20].copy_from_slice(&text[19..23]);
    digits[20..].copy_from_slice(&text[24..]);
    let (mut nibbles, mut differing) = ([0_u8; 32], 0);
    for (nibble, &digit) in nibbles.iter_mut().zip(&digits) {
        // Of a digit or a letter; of anything else some nibble, which the spelling then betrays.
        let letter = if digit & 0x40 != 0 { 9 } else { 0 };
        *nibble = ((digit & 0x0f) + letter) & 0x0f;
        let spelt = *nibble + b'0' + if *nibble > 9 { gap } else { 0 };
        differing |= spelt ^ digit;
    }
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(nibbles.as_chunks::<2>().0) {
        let pair = u16::from_le_bytes(*pair);
        *byte = (pair << 4 | pair >> 8) as u8;
    }
    (hyphens && differing == 0).then_some(bytes)
}

/// Eight nibbles, one per byte, as hexadecimal digits.
const fn spell(nibbles: u64, gap: u8) -> u64 {
    let above_nine = ((nibbles + 6 * ONES) >> 4) & ONES;
    nibbles + 0x30 * ONES + above_nine * gap as u64
}

/// Four bytes as eight nibbles in eight bytes.
const fn unpack(bytes: u32) -> u64 {
    let fours = (bytes as u64 | (bytes as u64) << 16) & 0x0000_ffff_0000_ffff;
    let pairs = (fours | fours << 8) & 0x00ff_00ff_00ff_00ff;
    (pairs | pairs << 4) & 0x0f0f_0f0f_0f0f_0f0f
}

fn ulid(text: &[u8]) -> Option<[u8; 16]> {
    // 26 digits hold 130 bits: beyond 7 the first one would overflow.
    let mut number = 0_u128;
    if text[0] > b'7' {
        return None;
    }
    for &byte in text {
        let value = CROCKFORD_VALUES[usize::from(byte)];
        if value == 255 {
            return None;
        }
        number = number << 5 | u128::from(value);
    }
    Some(number.to_be_bytes())
}

fn expand_ulid(bytes: &[u8], text: &mut Vec<u8>) {
    let mut number = [0; 16];
    number.copy_from_slice(&bytes[..16]);
    let number = u128::from_be_bytes(number);
    let digit = |place: usize| CROCKFORD[(number >> (5 * (ULID_TEXT - 1 - place))) as usize & 31];
    text.extend((0..ULID_TEXT).map(digit));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round(key: &[u8]) -> Option<KeyForm> {
        let (form, bytes) = compact(key)?;
        let mut text = Vec::new();
        expand(form, &bytes, &mut text);
        assert_eq!(text, key, "given back byte for byte");
        Some(form)
    }

    #[test]
    fn only_what_is_spelt_again_is_compacted() {
        use KeyForm::{Ulid, UuidLower, UuidUpper};
        #[rustfmt::skip]
        let rows: [(&str, Option<KeyForm>); 16] = [
            ("8f14e45f-ceea-467f-a0e6-b2fd3b9c1a07", Some(UuidLower)),
            ("8F14E45F-CEEA-467F-A0E6-B2FD3B9C1A07", Some(UuidUpper)),
            ("12345678-1234-1234-1234-123456789012", Some(UuidLower)),
            ("8f14e45f-ceea-467f-a0e6-b2fd3b9c1A07", None),
            ("8f14e45f-ceea-467f-a0e6-b2fd3b9c1a0g", None),
            ("8f14e45f-ceea-467f-a0e6-b2fd3b9c1a0:", None),
            ("8f14e45f-ceea-467f-a0e6-b2fd3b9c1a0@", None),
            ("8f14e45f+ceea-467f-a0e6-b2fd3b9c1a07", None),
            ("8f14e45fceea467fa0e6b2fd3b9c1a07", None),
            ("{8f14e45f-ceea-467f-a0e6-b2fd3b9c1a}", None),
            ("01ARZ3NDEKTSV4RRFFQ69G5FAV", Some(Ulid)),
            ("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", Some(Ulid)),
            ("8ZZZZZZZZZZZZZZZZZZZZZZZZZ", None),
            ("01arz3ndektsv4rrffq69g5fav", None),
            ("01ARZ3NDEKTSV4RRFFQ69G5FAI", None),
            ("order-7", None),
        ];
        for (key, want) in rows {
            assert_eq!(round(key.as_bytes()), want, "{key}");
        }
    }

    proptest! {
        #[test]
        fn keys_come_back_and_stay_apart(bytes: [u8; 16], flip in 0_usize..36, to: u8) {
            let mut text = Vec::new();
            for form in [KeyForm::UuidLower, KeyForm::UuidUpper, KeyForm::Ulid] {
                text.clear();
                expand(form, &bytes, &mut text);
                let compacted = compact(&text).expect("spelt by us");
                prop_assert_eq!(compacted.1, bytes);
                let mut other = text.clone();
                let at = flip % other.len();
                other[at] = to;
                if let Some(found) = compact(&other) {
                    prop_assert_eq!(found == compacted, other == text, "two keys, one form");
                    round(&other);
                }
            }
        }
    }
}
