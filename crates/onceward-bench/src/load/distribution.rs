//! How stored keys are chosen.

use crate::workload::{Workload, mix};

/// Which of the stored keys a step asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// Each once before any comes again, in an order that looks random.
    Permuted,
    /// Each as likely as any other, at every step.
    Random,
}

impl Distribution {
    /// The number of a key below `workload.entries`.
    #[must_use]
    pub fn pick(&self, workload: &Workload, step: u64) -> u64 {
        match self {
            Self::Permuted => workload.shuffled(step % workload.entries),
            Self::Random => {
                let drawn =
                    mix(step.wrapping_add(workload.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                scale(drawn, workload.entries)
            }
        }
    }

    /// Its word, as the command line has it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Permuted => "permuted".to_owned(),
            Self::Random => "random".to_owned(),
        }
    }
}

/// A number below `entries`, from 64 random bits.
fn scale(drawn: u64, entries: u64) -> u64 {
    ((u128::from(drawn) * u128::from(entries)) >> 64) as u64
}
