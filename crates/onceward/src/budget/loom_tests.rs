//! Every interleaving, within a bound of preemptions, of charges against one limit.

use loom::sync::Arc;
use loom::thread;

use super::*;
use crate::segments::atomic::model;
use crate::segments::mutant::fails_for;

const LIMIT: u64 = 100;
const NEVER_ABOVE: &str = "what is held is never above the limit";

struct Bench {
    budget: Budget,
    /// What threads have been granted and not given back, counted by themselves.
    held: loom::sync::atomic::AtomicU64,
}

impl Bench {
    fn hold(&self, bytes: u64, take: impl FnOnce(&Budget) -> bool) {
        if take(&self.budget) {
            let held = self.held.fetch_add(bytes, Relaxed) + bytes;
            assert!(held <= LIMIT, "{NEVER_ABOVE}");
            self.held.fetch_sub(bytes, Relaxed);
            self.budget.release(bytes);
        }
    }
}

fn charges() {
    model(3, || {
        let (budget, held) = (Budget::new(LIMIT, 0), loom::sync::atomic::AtomicU64::new(0));
        let bench = Arc::new(Bench { budget, held });
        let others = [1, 2].map(|_| {
            let bench = Arc::clone(&bench);
            thread::spawn(move || bench.hold(60, |budget| budget.draw(60)))
        });
        bench.hold(50, |budget| budget.reserve(50));
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(bench.budget.used(), 0, "all comes back");
        assert!(bench.budget.reserve(98) && bench.budget.draw(2), "all comes back");
    });
}

#[test]
fn what_is_held_is_never_above_the_limit_and_all_comes_back_s11() {
    charges();
    fails_for(Mutant::BudgetChecksFirst, NEVER_ABOVE, charges);
}
