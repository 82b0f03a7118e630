//! How stored keys are chosen.

use std::convert::Infallible;

use rand::TryRng;
use rand_distr::{Distribution as _, Zipf};

use crate::engine::Fault;
use crate::workload::{Workload, mix};

/// Which of the stored keys a step asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// Each once before any comes again, in an order that looks random.
    Permuted,
    /// Each as likely as any other, at every step.
    Random,
    /// Some far more often than others, as Zipf has it: the key of rank `n` in proportion to
    /// `n` to the power of minus theta. Ranks are spread over the keys.
    Zipf {
        /// How uneven: 0 is even, 0.99 is what YCSB takes for a web service.
        theta: f64,
    },
}

impl Distribution {
    /// [`Distribution::Zipf`].
    ///
    /// # Errors
    /// `theta` is below 0, or no number.
    pub fn zipf(theta: f64) -> Result<Self, Fault> {
        if theta.is_finite() && theta >= 0.0 {
            Ok(Self::Zipf { theta })
        } else {
            Err(format!("zipf:{theta}: theta must be a number of at least 0").into())
        }
    }

    /// The number of a key below `workload.entries`.
    #[must_use]
    pub fn pick(&self, workload: &Workload, step: u64) -> u64 {
        match self {
            Self::Permuted => workload.shuffled(step % workload.entries),
            Self::Random => scale(Drawn::of(workload, step).next_word(), workload.entries),
            Self::Zipf { theta } => {
                let Ok(ranks) = Zipf::new(workload.entries as f64, *theta) else { return 0 };
                let rank = ranks.sample(&mut Drawn::of(workload, step)) as u64;
                workload.shuffled(rank.saturating_sub(1).min(workload.entries - 1))
            }
        }
    }

    /// Its word, as the command line has it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Permuted => "permuted".to_owned(),
            Self::Random => "random".to_owned(),
            Self::Zipf { theta } => format!("zipf:{theta}"),
        }
    }
}

/// A number below `entries`, from 64 random bits.
fn scale(drawn: u64, entries: u64) -> u64 {
    ((u128::from(drawn) * u128::from(entries)) >> 64) as u64
}

/// Random words that only depend on seed and step, so that a step is the same for every target.
struct Drawn(u64);

impl Drawn {
    fn of(workload: &Workload, step: u64) -> Self {
        Self(mix(step.wrapping_mul(GOLDEN).wrapping_add(workload.seed)))
    }

    fn next_word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }
}

/// Odd, and far from any pattern.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl TryRng for Drawn {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.next_word() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next_word())
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), Infallible> {
        for part in into.chunks_mut(8) {
            part.copy_from_slice(&self.next_word().to_le_bytes()[..part.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: u64 = 1_000;
    const STEPS: u64 = 200_000;

    fn counted(distribution: Distribution) -> Vec<u64> {
        let workload = Workload { entries: KEYS, value_bytes: 0, distance: 0, seed: 7 };
        let mut counts = vec![0; KEYS as usize];
        for step in 0..STEPS {
            counts[distribution.pick(&workload, step) as usize] += 1;
        }
        counts.sort_unstable_by(|one, other| other.cmp(one));
        counts
    }

    #[test]
    fn each_distribution_is_what_its_name_says() {
        let each = STEPS / KEYS;
        assert!(counted(Distribution::Permuted).iter().all(|count| *count == each));
        // 200 each; the standard deviation is 14.
        let random = counted(Distribution::Random);
        assert!(random[0] < each + 80 && random[999] > each - 80, "{} {}", random[0], random[999]);
        assert!(random[0] > each + 14, "no permutation: {}", random[0]);
        // With theta 1, rank n is asked for in 1/n of the cases of rank 1, which has 13.4 % of all.
        let zipf = counted(Distribution::zipf(1.0).unwrap());
        let share = zipf[0] as f64 / STEPS as f64;
        assert!((0.12..0.15).contains(&share), "{share}");
        let ratio = zipf[0] as f64 / zipf[9] as f64;
        assert!((9.0..11.0).contains(&ratio), "{ratio}");
        for theta in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(Distribution::zipf(theta).is_err());
        }
    }
}
