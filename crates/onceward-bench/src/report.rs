//! What was measured, for people and for programs.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One value of one run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Measurement {
    /// What was measured.
    pub name: String,
    /// Its unit.
    pub unit: Cow<'static, str>,
    /// How much.
    pub value: f64,
}

impl Measurement {
    /// A value with its name and unit.
    #[must_use]
    pub fn new(name: impl Into<String>, unit: impl Into<Cow<'static, str>>, value: f64) -> Self {
        Self { name: name.into(), unit: unit.into(), value }
    }
}

/// One measured quantity over several runs.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// Its unit.
    pub unit: Cow<'static, str>,
    /// One value per run, in order.
    pub runs: Vec<f64>,
}

impl Figure {
    /// A figure without runs yet.
    #[must_use]
    pub fn new(name: impl Into<String>, unit: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), unit: unit.into(), runs: Vec::new() }
    }

    /// The middle run; of an even number the lower of the two. `None` without runs.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.runs.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len().checked_sub(1)? / 2).copied()
    }

    /// The least and the greatest run.
    #[must_use]
    pub fn spread(&self) -> (f64, f64) {
        let low = self.runs.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.runs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (low, high)
    }
}

/// All figures of a benchmark, with what one must know to repeat it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Report {
    /// Sizes and settings, name and value.
    pub settings: Vec<(String, String)>,
    /// What was measured.
    pub figures: Vec<Figure>,
}

impl Report {
    /// Notes a setting.
    pub fn setting(&mut self, name: &str, value: impl fmt::Display) {
        self.settings.push((name.into(), value.to_string()));
    }

    /// The figure of this name.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }

    /// Adds the values of one run, matched to the figures by name.
    pub fn add_run(&mut self, values: Vec<Measurement>) {
        for Measurement { name, unit, value } in values {
            match self.figures.iter_mut().find(|figure| figure.name == name) {
                Some(figure) => figure.runs.push(value),
                None => self.figures.push(Figure { name, unit, runs: vec![value] }),
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.settings {
            writeln!(f, "{name}: {value}")?;
        }
        writeln!(f, "{:<60} {:>12} {:>12} {:>12}  unit", "figure", "median", "min", "max")?;
        for figure in &self.figures {
            let (low, high) = figure.spread();
            let median = figure.median().unwrap_or(f64::NAN);
            // A ratio needs its hundredths, a count of bytes does not.
            let decimals = if high < 10.0 { 3 } else { 1 };
            let (name, unit) = (&figure.name, &figure.unit);
            write!(f, "{name:<60} {median:>12.decimals$} ")?;
            writeln!(f, "{low:>12.decimals$} {high:>12.decimals$}  {unit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_a_run_that_happened() {
        let figure = |runs: &[f64]| Figure { runs: runs.to_vec(), ..Figure::new("f", "ns") };
        assert_eq!(figure(&[]).median(), None);
        assert_eq!(figure(&[3.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(figure(&[4.0, 1.0]).median(), Some(1.0));
    }
}
