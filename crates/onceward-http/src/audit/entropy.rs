//! How random a key looks. An estimate: it tells `order-17` from a UUID, and no more.

/// Bits of randomness a key has at most, by the look of it: the smaller of what its alphabet
/// allows and what the frequencies of its bytes allow (Shannon).
///
/// A digit counts log2(10), a digit of hexadecimal 4, a letter of a longer alphabet log2(62), and
/// punctuation nothing. A word is taken for random letters, so this errs towards calling a key good.
#[must_use]
pub fn entropy_bits(key: &[u8]) -> u32 {
    let mut counts = [0_u32; 256];
    let (mut digits, mut hex, mut letters) = (0_u32, 0_u32, 0_u32);
    for &byte in key {
        counts[usize::from(byte)] += 1;
        match byte {
            b'0'..=b'9' => digits += 1,
            b'a'..=b'f' | b'A'..=b'F' => hex += 1,
            b'g'..=b'z' | b'G'..=b'Z' => letters += 1,
            _ => {}
        }
    }
    let symbols = digits + hex + letters;
    let bits_each = match (hex, letters) {
        (0, 0) => 10_f64.log2(),
        (_, 0) => 4.0,
        _ => 62_f64.log2(),
    };
    let by_alphabet = f64::from(symbols) * bits_each;
    // Over the bytes of all kinds; a key is at most 255 bytes, so the sum is exact enough.
    let size = key.len() as f64;
    let by_frequency: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) * (size / f64::from(*count)).log2())
        .sum();
    by_alphabet.min(by_frequency) as u32
}
