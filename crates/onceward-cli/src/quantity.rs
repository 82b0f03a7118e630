//! Lengths of time and sizes as people write them.

use std::time::Duration;

use bytesize::ByteSize;

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

#[cfg(test)]
mod tests {
    use super::*;

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
