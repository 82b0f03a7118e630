//! What a measure found: figures, and what was wrong.

use serde::{Deserialize, Serialize};

use crate::report::{Measurement, Report};

/// Figures of one run, and every count, byte or bound that was wrong. Timings are never wrong.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Findings {
    /// Settings and figures.
    pub report: Report,
    /// What must not be: one sentence each.
    pub faults: Vec<String>,
}

impl Findings {
    /// Notes a figure.
    pub fn note(&mut self, name: impl Into<String>, unit: &'static str, value: f64) {
        self.report.add_run(vec![Measurement::new(name, unit, value)]);
    }

    /// Takes another run's figures and faults in; settings are those of the first.
    pub fn take(&mut self, other: Self) {
        if self.report.settings.is_empty() {
            self.report.settings = other.report.settings;
        }
        for figure in other.report.figures {
            for value in figure.runs {
                let (name, unit) = (figure.name.clone(), figure.unit.clone());
                self.report.add_run(vec![Measurement { name, unit, value }]);
            }
        }
        self.faults.extend(other.faults);
    }

    /// Notes a fault unless `holds`.
    pub fn expect(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(fault());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_does_not_hold_is_a_fault() {
        let mut findings = Findings::default();
        findings.expect(true, || unreachable!("it holds"));
        findings.expect(false, || "2 is not 1".to_owned());
        assert_eq!(findings.faults, ["2 is not 1"]);
        findings.note("a", "ns", 1.0);
        findings.note("a", "ns", 2.0);
        assert_eq!(findings.report.figures[0].runs, [1.0, 2.0], "runs of one figure");
        findings.take(findings.clone());
        assert_eq!(findings.report.figures[0].runs, [1.0, 2.0, 1.0, 2.0]);
        assert_eq!(findings.faults.len(), 2);
    }
}
