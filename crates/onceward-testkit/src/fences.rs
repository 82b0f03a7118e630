//! Comparison of two stores that draw different fences.

use core::fmt;
use std::collections::BTreeMap;

use onceward_core::{BeginOutcome, Fence};

use crate::operation::{Operation, Outcome};

/// Which fence of the store under test stands for which fence of the model, per identity.
///
/// Learns a pair from each acquisition and holds both sides to it from then on: the same
/// acquisition keeps its fence, and a new one has a larger fence than any before it (S4).
#[derive(Clone, Debug, Default)]
pub struct FenceMap {
    /// By identity and fence of the model; grows in both, which [`FenceMap::compare`] checks.
    pairs: BTreeMap<(u32, Fence), Fence>,
}

impl FenceMap {
    /// Nothing learnt yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { pairs: BTreeMap::new() }
    }

    /// What to ask the store where the model is asked `operation`. A fence that nobody was
    /// granted stays as it is: forged there, forged here.
    #[must_use]
    pub fn translate(&self, identity: u32, operation: &Operation) -> Operation {
        operation
            .clone()
            .map_fence(|fence| self.pairs.get(&(identity, fence)).copied().unwrap_or(fence))
    }

    /// Whether `actual`, of the store, says what `expected`, of the model, says. Fences must
    /// correspond. When room is due (the `retry_after` of Refused) is each store's own guess and
    /// is not compared.
    ///
    /// # Errors
    /// The [`Difference`].
    pub fn compare(
        &mut self,
        identity: u32,
        expected: &Outcome,
        actual: &Outcome,
    ) -> Result<(), Difference> {
        let mut comparable = actual.clone();
        if let (Some(model), Some(store)) = (expected.fence(), actual.fence()) {
            self.correspond(identity, model, store)?;
            comparable = comparable.with_fence(model);
        }
        if let (
            Outcome::Begin(BeginOutcome::Refused { retry_after: expected, .. }),
            Outcome::Begin(BeginOutcome::Refused { retry_after, .. }),
        ) = (expected, &mut comparable)
        {
            *retry_after = *expected;
        }
        if *expected == comparable {
            return Ok(());
        }
        Err(Difference::Outcome {
            expected: Box::new(expected.clone()),
            actual: Box::new(actual.clone()),
        })
    }

    fn correspond(&mut self, identity: u32, model: Fence, store: Fence) -> Result<(), Difference> {
        if let Some(&known) = self.pairs.get(&(identity, model)) {
            if known != store {
                return Err(Difference::FenceChanged { was: known, is: store });
            }
            return Ok(());
        }
        let before = self.pairs.range(..(identity, model)).next_back();
        if let Some((&(of, _), &largest)) = before
            && of == identity
            && store <= largest
        {
            return Err(Difference::FenceNotLarger { largest, got: store });
        }
        self.pairs.insert((identity, model), store);
        Ok(())
    }
}

/// How a store departs from the model.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Difference {
    /// It answered something else.
    Outcome {
        /// What the model answered.
        expected: Box<Outcome>,
        /// What the store answered.
        actual: Box<Outcome>,
    },
    /// One acquisition was shown with two fences.
    FenceChanged {
        /// Shown at the acquisition.
        was: Fence,
        /// Shown now.
        is: Fence,
    },
    /// A new acquisition got no larger fence than an earlier one of the same identity (S4).
    FenceNotLarger {
        /// The largest before it.
        largest: Fence,
        /// Its own.
        got: Fence,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outcome { expected, actual } => {
                let (want, got) = (expected.to_string(), actual.to_string());
                write!(f, "the rules say: {want}; got: {got}")?;
                if want == got {
                    f.write_str(" (with other bytes)")?; // Text shows their start only.
                }
                Ok(())
            }
            Self::FenceChanged { was, is } => {
                write!(f, "an acquisition had fence {was} and now has {is}")
            }
            Self::FenceNotLarger { largest, got } => {
                write!(f, "a new acquisition has fence {got}, not larger than {largest}")
            }
        }
    }
}

impl core::error::Error for Difference {}

#[cfg(test)]
mod tests {
    use super::*;
    use onceward_core::{ForgetOutcome, GetOutcome, Millis, Refusal};

    fn seen(fence: u64) -> Outcome {
        Outcome::Get(GetOutcome::InDoubt {
            since: Millis::ZERO,
            attempt_number: 1,
            fence: Fence::new(fence),
            doubt_number: 1,
        })
    }

    #[test]
    fn fences_correspond_per_identity_and_grow_s4() {
        let mut fences = FenceMap::new();
        assert_eq!(fences.compare(0, &seen(5), &seen(70)), Ok(()), "learnt");
        assert_eq!(fences.compare(0, &seen(5), &seen(70)), Ok(()), "as learnt");
        assert!(matches!(
            fences.compare(0, &seen(5), &seen(71)),
            Err(Difference::FenceChanged { .. })
        ));
        assert!(matches!(
            fences.compare(0, &seen(6), &seen(70)),
            Err(Difference::FenceNotLarger { .. })
        ));
        assert_eq!(fences.compare(1, &seen(6), &seen(9)), Ok(()), "another identity");
        assert_eq!(fences.compare(0, &seen(8), &seen(80)), Ok(()));
        let asked = Operation::Forget(onceward_core::Forget { fence: Fence::new(8).unwrap() });
        let forged = Operation::Forget(onceward_core::Forget { fence: Fence::new(7).unwrap() });
        let put = Operation::Forget(onceward_core::Forget { fence: Fence::new(80).unwrap() });
        assert_eq!(fences.translate(0, &asked), put);
        assert_eq!(fences.translate(0, &forged), forged, "nobody's fence stays nobody's");
    }

    #[test]
    fn only_what_a_store_may_choose_is_left_out_of_the_comparison() {
        let mut fences = FenceMap::new();
        let refused = |retry_after| {
            Outcome::Begin(BeginOutcome::Refused { reason: Refusal::Capacity, retry_after })
        };
        assert_eq!(fences.compare(0, &refused(None), &refused(Some(Millis::new(3)))), Ok(()));
        let gone = Outcome::Forget(ForgetOutcome::Gone);
        let fenced = Outcome::Forget(ForgetOutcome::Fenced);
        let difference = fences.compare(0, &gone, &fenced).unwrap_err();
        assert_eq!(difference.to_string(), "the rules say: Gone; got: Fenced");
        assert!(fences.compare(0, &seen(1), &gone).is_err());
        assert!(fences.compare(0, &gone, &seen(1)).is_err());
    }
}
