//! One figure over several runs.

use std::fmt;

use super::number::number;

/// The median of several runs between the least and the greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle run; of an even number the lower of the two, so that it is one that happened.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
    /// How many there were.
    pub runs: usize,
}

impl Spread {
    /// Of these values; `None` without any. What is not finite is no value.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        Some(Self {
            median: *values.get(values.len().checked_sub(1)? / 2)?,
            least: *values.first()?,
            greatest: *values.last()?,
            runs: values.len(),
        })
    }

    /// Whether both could be the same figure: their runs lie among each other.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.least <= other.greatest && other.least <= self.greatest
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, greatest) = (number(self.least), number(self.greatest));
        f.write_str(&number(self.median))?;
        if self.runs > 1 { write!(f, " [{least}–{greatest}]") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_a_run_that_happened() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([f64::NAN]), None);
        let spread = |values: &[f64]| Spread::of(values.to_vec()).expect("values").to_string();
        assert_eq!(spread(&[3.0, 1.0, 2.0]), "2.00 [1.00–3.00]");
        assert_eq!(spread(&[4.0, 1.0]), "1.00 [1.00–4.00]");
        assert_eq!(spread(&[4.0]), "4.00");
    }

    #[test]
    fn spreads_overlap_from_their_ends_on() {
        let spread = |least, greatest| Spread::of([least, greatest]).expect("values");
        for (a, b, want) in [
            (spread(1.0, 2.0), spread(2.0, 3.0), true),
            (spread(1.0, 4.0), spread(2.0, 3.0), true),
            (spread(1.0, 2.0), spread(2.1, 3.0), false),
        ] {
            assert_eq!((a.overlaps(&b), b.overlaps(&a)), (want, want), "{a} {b}");
        }
    }
}
