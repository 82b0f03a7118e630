//! Every interleaving, within a bound of preemptions, of what falls due with a tick.

use loom::thread;

use super::*;
use crate::segments::atomic::model;
use crate::segments::mutant::fails_for;

const DUE_MS: u64 = 50;
const SLEPT_THROUGH: &str = "nothing due is slept through";

/// Something falls due and is announced while a tick runs that follows one which promised
/// `before_ms`.
fn announce_beside_tick(before_ms: Option<u64>, by_exchange: bool) {
    model(3, move || {
        let deadline = Arc::new(EarlierDeadline::new());
        let told = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let visible = loom::sync::Arc::new(AtomicU64::new(0));
        let tells = Arc::clone(&told);
        deadline.set_hook(Arc::new(move || tells.store(true, Relaxed)));
        deadline.gather();
        deadline.promise(before_ms.map(Timestamp::from_millis));

        let (announces, shows) = (Arc::clone(&deadline), loom::sync::Arc::clone(&visible));
        let announcer = thread::spawn(move || {
            let at = Timestamp::from_millis(DUE_MS);
            if by_exchange {
                shows.swap(1, AcqRel);
                announces.announce_exchanged(at);
            } else {
                shows.store(1, Relaxed);
                announces.announce(at);
            }
        });
        deadline.gather();
        let found = (visible.load(Relaxed) == 1).then_some(Timestamp::from_millis(DUE_MS));
        let promised = deadline.promise(found);
        announcer.join().unwrap();
        let in_time = promised.is_some_and(|at| at.as_millis() <= DUE_MS);
        assert!(in_time || told.load(Relaxed), "{SLEPT_THROUGH}");
    });
}

#[test]
fn nothing_due_is_slept_through_s21() {
    for by_exchange in [false, true] {
        for before_ms in [None, Some(40), Some(DUE_MS), Some(60)] {
            announce_beside_tick(before_ms, by_exchange);
        }
        for mutant in [Mutant::AnnounceUnfenced, Mutant::GatherUnfenced] {
            fails_for(mutant, SLEPT_THROUGH, || announce_beside_tick(Some(40), by_exchange));
        }
    }
}
