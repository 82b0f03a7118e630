//! Which cores server and generator have.

use onceward_bench::engine::{Fault, cores};
use serde::{Deserialize, Serialize};

/// Who runs where. On a machine whose cores move against each other, only what happens on one core
/// can be compared at any time; two cores have to be near first.
#[derive(
    Clone,
    Copy,
    Debug,
    Deserialize,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Server and generator take turns on one core: the server's processor time is the figure.
    Same,
    /// One core each: latency and throughput are figures, too.
    Two,
    /// The server has two cores, and so has the generator, the same ones.
    Both,
}

/// Cores of one run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cores {
    /// The server's.
    pub server: Vec<usize>,
    /// The generator's, a thread for each.
    pub generator: Vec<usize>,
}

impl Mode {
    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Two => "two",
            Self::Both => "both",
        }
    }

    /// Cores on this machine. The first core often has the devices to serve, so the server gets the
    /// last.
    ///
    /// # Errors
    /// There are too few.
    pub fn cores(self) -> Result<Cores, Fault> {
        self.among(&cores::available()?)
    }

    fn among(self, available: &[usize]) -> Result<Cores, Fault> {
        let (Some(&first), Some(&last)) = (available.first(), available.last()) else {
            return Err("the kernel names no core".into());
        };
        if self == Self::Same {
            return Ok(Cores { server: vec![last], generator: vec![last] });
        }
        if first == last {
            return Err(format!("mode `{}` needs two cores: choose `same`", self.name()).into());
        }
        Ok(match self {
            Self::Two => Cores { server: vec![last], generator: vec![first] },
            _ => Cores { server: vec![first, last], generator: vec![first, last] },
        })
    }
}

impl Cores {
    /// The two cores that must be near each other, if there are two.
    #[must_use]
    pub fn pair(&self) -> Option<(usize, usize)> {
        let one = *self.generator.first()?;
        let other = *self.server.last()?;
        (one != other).then_some((one, other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_has_its_cores_or_says_that_it_needs_more() {
        for (mode, available, want) in [
            (Mode::Same, &[0, 1][..], Some((vec![1], vec![1], None))),
            (Mode::Same, &[3], Some((vec![3], vec![3], None))),
            (Mode::Two, &[0, 1, 2], Some((vec![2], vec![0], Some((0, 2))))),
            (Mode::Two, &[0], None),
            (Mode::Both, &[4, 5], Some((vec![4, 5], vec![4, 5], Some((4, 5))))),
            (Mode::Both, &[4], None),
            (Mode::Same, &[], None),
        ] {
            let got = mode.among(available).ok();
            let got =
                got.map(|cores| (cores.server.clone(), cores.generator.clone(), cores.pair()));
            assert_eq!(got, want, "{mode:?} of {available:?}");
        }
    }
}
