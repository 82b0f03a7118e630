//! A number as people read it.

/// Three digits that count, thousands apart; a dash for what is no number.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        "–".to_owned()
    } else if size == 0.0 {
        "0".to_owned()
    } else if size < 0.9995 {
        format!("{value:.3}")
    } else if size < 9.995 {
        format!("{value:.2}")
    } else if size < 99.95 {
        format!("{value:.1}")
    } else {
        grouped(value)
    }
}

/// A whole number with thousands apart.
pub(super) fn count(value: u64) -> String {
    group(&value.to_string())
}

fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let sign = if value < 0.0 { "−" } else { "" };
    format!("{sign}{}", group(&digits))
}

fn group(digits: &str) -> String {
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How many times as large, to the hundredth.
pub(super) fn ratio(value: f64) -> String {
    if value.is_finite() { format!("{value:.2}") } else { "–".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_count() {
        let cases = [
            (0.0, "0"),
            (0.0444, "0.044"),
            (0.9996, "1.00"),
            (1.845, "1.84"),
            (9.996, "10.0"),
            (99.96, "100"),
            (999.6, "1,000"),
            (542_123.4, "542,123"),
            (-1234.0, "−1,234"),
            (f64::NAN, "–"),
        ];
        for (value, want) in cases {
            assert_eq!(number(value), want);
        }
        assert_eq!(count(5_000_000), "5,000,000");
    }
}
