//! A waker that counts, and that a thread may wait for.

use std::sync::{Arc, Condvar, Mutex};
use std::task::{Poll, Wake};
use std::time::Duration;

use onceward::{BeginTicket, GetOutcome, GetTicket, StoreError};

use crate::scene::Begun;

/// How long a thread waits before it calls a missing wake-up a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<usize>,
    changed: Condvar,
}

impl Bell {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn rung(&self) -> usize {
        *self.rung.lock().unwrap()
    }

    /// Waits until it has rung `times` in all.
    pub(crate) fn await_rings(&self, times: usize) {
        let rung = self.rung.lock().unwrap();
        let (rung, _) =
            self.changed.wait_timeout_while(rung, PATIENCE, |rung| *rung < times).unwrap();
        assert!(*rung >= times, "rung {rung} times of {times} within {PATIENCE:?}");
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock().unwrap() += 1;
        self.changed.notify_all();
    }
}

/// What a ticket has been told by now.
pub(crate) fn told(
    ticket: &mut BeginTicket,
    bell: &Arc<Bell>,
) -> Option<Result<Begun, StoreError>> {
    let waker = Arc::clone(bell).into();
    match ticket.poll(&waker, |outcome| outcome.map(<[u8]>::to_vec)) {
        Poll::Ready(told) => Some(told.map(|answer| answer.value)),
        Poll::Pending => None,
    }
}

/// What a get's ticket has been told by now.
pub(crate) fn shown(
    ticket: &mut GetTicket,
    bell: &Arc<Bell>,
) -> Option<Result<GetOutcome<Vec<u8>>, StoreError>> {
    let waker = Arc::clone(bell).into();
    match ticket.poll(&waker, |outcome| outcome.map(<[u8]>::to_vec)) {
        Poll::Ready(told) => Some(told.map(|answer| answer.value)),
        Poll::Pending => None,
    }
}
