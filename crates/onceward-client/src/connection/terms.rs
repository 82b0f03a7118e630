//! When an operation has to be answered.

use std::time::Duration;

use onceward_core::Millis;
use tokio::time::Instant;

use onceward_claim::after;

/// What holds for an operation, its repeats included.
///
/// Reading the clock is a twentieth of what a call costs, so nobody reads it before somebody has to
/// know: requests that go out with the same write share one look, see [`super::state::State::send`].
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// How long it may wait for another's end.
    pub(crate) wait: Millis,
    /// Added to the deadline.
    pub(crate) connect_timeout: Duration,
    /// Of each request, beyond its wait.
    pub(crate) request_timeout: Duration,
    /// Whether others are about to ask: then it is never alone.
    pub(crate) in_batch: bool,
    /// When it began, once somebody has looked.
    pub(crate) started: Option<Instant>,
}

/// When a request was sent, and until when it has to be answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) asked: Instant,
    pub(super) answer_by: Instant,
    /// That is the whole operation's deadline.
    pub(super) at_deadline: bool,
}

impl Terms {
    pub(crate) fn started(&mut self) -> Instant {
        *self.started.get_or_insert_with(Instant::now)
    }

    /// Until when it may wait for another's end.
    pub(crate) fn wait_until(&mut self) -> Instant {
        after(self.started(), self.wait)
    }

    /// Of the whole operation, repeats included.
    pub(crate) fn deadline(&mut self) -> Instant {
        self.wait_until() + self.connect_timeout + self.request_timeout
    }

    /// Of a request sent at `asked` that waits so long.
    pub(super) fn due(&mut self, asked: Instant, wait: Millis) -> Due {
        let (timeout, deadline) = (after(asked + self.request_timeout, wait), self.deadline());
        Due { asked, answer_by: timeout.min(deadline), at_deadline: deadline < timeout }
    }

    /// Of a first request without a wait.
    pub(super) fn due_from_start(&mut self) -> Due {
        let started = self.started();
        self.due(started, Millis::ZERO)
    }
}
