//! Lengths of time and sizes as people write them, and as they are told to people: in the same form.

use std::time::Duration;

use bytesize::ByteSize;
use onceward_client::{Fence, Millis};

/// `30s`, `1h 30m`, `250ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let form = "write a number and a unit, such as 500ms, 30s, 15m or 24h";
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("it is empty: {form}"));
    }
    if text.starts_with('-') {
        return Err(format!("it is negative: {form}"));
    }
    humantime::parse_duration(text).map_err(|error| format!("{error}: {form}"))
}

/// `512MiB`, `1GiB`, `1000000`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let form = "write a number of bytes or a unit with it, such as 64KiB, 512MiB or 1GiB";
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("it is empty: {form}"));
    }
    if text.starts_with('-') {
        return Err(format!("it is negative: {form}"));
    }
    let size = text.parse::<ByteSize>().map_err(|_| format!("it is no size: {form}"))?;
    // The parser stops at the largest number instead of saying that there is more.
    if size.as_u64() == u64::MAX {
        return Err(format!("it is larger than any memory: {form}"));
    }
    Ok(size.as_u64())
}

const MS_PER_DAY: u128 = 24 * 3_600_000;

/// `31d`, `1h 30m`, `250ms`: what [`duration`] reads. Nothing longer than a day has a fixed length,
/// so days are the largest unit. Less than a millisecond is told in `us` or `ns`.
pub(crate) fn spelt(length: Duration) -> String {
    let below = [("us", length.as_nanos() / 1_000 % 1_000), ("ns", length.as_nanos() % 1_000)];
    let ms = length.as_millis();
    let units = [
        ("d", ms / MS_PER_DAY),
        ("h", ms / 3_600_000 % 24),
        ("m", ms / 60_000 % 60),
        ("s", ms / 1_000 % 60),
        ("ms", ms % 1_000),
    ];
    let told = units.iter().chain(&below).filter(|(_, count)| *count > 0);
    let told: Vec<_> = told.map(|(unit, count)| format!("{count}{unit}")).collect();
    if told.is_empty() { "0s".to_owned() } else { told.join(" ") }
}

/// `512MiB`, `1536KiB`, `1000`: the largest unit that tells it without a fraction.
pub(crate) fn spelt_size(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let exact = units.iter().find(|(_, shift)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    match exact {
        Some((unit, shift)) => format!("{}{unit}", bytes >> shift),
        None => bytes.to_string(),
    }
}

/// A fence, as get and list show it.
pub(crate) fn fence(text: &str) -> Result<Fence, String> {
    let number = text.trim().parse().ok().and_then(Fence::new);
    number.ok_or_else(|| "write the number that get or list shows as the fence".to_owned())
}

/// A length of time in a cell: its two largest units or so, and no blanks.
pub(crate) fn short(length: Millis) -> String {
    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let millis = length.get();
    let unit = match millis {
        0..1_000 => 1,
        1_000..HOUR => 1_000,
        HOUR..DAY => MINUTE,
        DAY.. => HOUR,
    };
    let told = Duration::from_millis(millis - millis % unit);
    spelt(told).replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_can_be_written() {
        let cases = [
            (Duration::ZERO, "0s"),
            (Duration::from_millis(1_500), "1s 500ms"),
            (Duration::from_secs(5_400), "1h 30m"),
            (Duration::from_secs(31 * 86_400), "31d"),
            (Duration::from_secs(400 * 86_400 + 1), "400d 1s"),
            (Duration::from_micros(1_002), "1ms 2us"),
            (Duration::from_nanos(3), "3ns"),
        ];
        for (length, want) in cases {
            assert_eq!(spelt(length), want);
            assert_eq!(duration(want), Ok(length), "{want}");
        }
        let cases =
            [(0, "0"), (1_000, "1000"), (3 << 19, "1536KiB"), (1 << 30, "1GiB"), (5 << 40, "5TiB")];
        for (bytes, want) in cases {
            assert_eq!(spelt_size(bytes), want);
            assert_eq!(size(want), Ok(bytes), "{want}");
        }
    }

    #[test]
    fn lengths_of_time() {
        let cases = [
            ("30s", Some(30_000)),
            (" 24h ", Some(86_400_000)),
            ("1h 30m", Some(5_400_000)),
            ("250ms", Some(250)),
            ("0s", Some(0)),
            ("", None),
            (" ", None),
            ("-5s", None),
            ("30", None),
            ("soon", None),
            ("s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
        ];
        for (text, want) in cases {
            let got = duration(text).map(|length| length.as_millis());
            assert_eq!(got.clone().ok(), want, "{text:?}: {got:?}");
        }
    }

    #[test]
    fn cells_hold_the_largest_units() {
        let cases = [
            (0, "0s"),
            (999, "999ms"),
            (1_999, "1s"),
            (312_345, "5m12s"),
            (3_600_000 + 61_000, "1h1m"),
            (86_400_000, "1d"),
            (86_400_000 - 1, "23h59m"),
            (3 * 86_400_000 + 4 * 3_600_000 + 59_000, "3d4h"),
        ];
        for (millis, want) in cases {
            assert_eq!(short(Millis::new(millis)), want);
        }
    }

    #[test]
    fn fences() {
        let largest = (1_u64 << 63) - 1;
        assert_eq!(fence(&largest.to_string()).map(Fence::get), Ok(largest));
        for wrong in ["", "0", "-1", "7-00", "9223372036854775808", "f"] {
            assert!(fence(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        let cases = [
            ("1GiB", Some(1 << 30)),
            ("1.5 MiB", Some(3 << 19)),
            ("1000", Some(1_000)),
            ("1KB", Some(1_000)),
            ("0", Some(0)),
            ("", None),
            ("-1", None),
            ("GiB", None),
            ("1XB", None),
            ("1.2.3KiB", None),
            ("99999999999GiB", None),
            ("99999999999999999999", None),
            ("nan", None),
        ];
        for (text, want) in cases {
            let got = size(text);
            assert_eq!(got.clone().ok(), want, "{text:?}: {got:?}");
        }
    }
}
