//! When a connection must end for what has not come.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::ServerConfig;
use crate::session::Stop;

/// An idle connection gives its buffers back after this long.
const BUFFERS_KEPT: Duration = Duration::from_secs(1);
/// Longest that a timer with nothing to wait for sleeps.
const FAR: Duration = Duration::from_secs(24 * 3_600);

/// The instants that time-outs count from.
#[derive(Debug)]
pub(crate) struct Clocks {
    opened: Instant,
    /// Bytes came, or a reply left.
    pub(crate) active: Instant,
    /// Unsent bytes lie since then, or since the last byte left.
    pub(crate) unsent: Instant,
    /// Part of a frame is there since then, and the rest is being read for.
    half_frame: Option<Instant>,
}

/// What is due next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Due {
    Hello,
    Frame,
    Write,
    Idle,
    Buffers,
    Nothing,
}

/// What of a connection decides which time-outs count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holdings {
    /// HELLO has been accepted.
    pub(crate) is_open: bool,
    /// Replies that the peer has not taken.
    pub(crate) unsent: bool,
    /// Replies that wait for the journal, for as long as that takes.
    pub(crate) held: bool,
    /// Bytes that have come and were not acted on.
    pub(crate) input: bool,
    /// Requests that wait.
    pub(crate) waits: bool,
    /// Buffers that it can do without.
    pub(crate) memory: bool,
}

impl Clocks {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { opened: now, active: now, unsent: now, half_frame: None }
    }

    /// Notes that `done` bytes of whole frames were acted on, and `left` bytes are held.
    pub(crate) fn acted(&mut self, now: Instant, done: usize, left: usize, stop: Stop) {
        match stop {
            Stop::NeedMore if left == 0 => self.half_frame = None,
            Stop::NeedMore if done > 0 => self.half_frame = Some(now),
            Stop::NeedMore => {
                self.half_frame.get_or_insert(now);
            }
            // While nothing is read the rest of a frame cannot come.
            Stop::NoRoom | Stop::Fatal => self.half_frame = None,
        }
    }

    /// The next time-out, and what it means.
    pub(crate) fn next_due(
        &self,
        config: &ServerConfig,
        holds: Holdings,
        now: Instant,
    ) -> (Instant, Due) {
        let idle = !holds.unsent && !holds.held && !holds.input;
        let hello = (!holds.is_open).then(|| (self.opened + config.hello_timeout, Due::Hello));
        let frame = self.half_frame.map(|since| (since + config.frame_timeout, Due::Frame));
        let write = holds.unsent.then(|| (self.unsent + config.write_timeout, Due::Write));
        let silent = (idle && !holds.waits && !config.idle_timeout.is_zero())
            .then(|| (self.active + config.idle_timeout, Due::Idle));
        let buffers = (idle && holds.memory).then(|| (self.active + BUFFERS_KEPT, Due::Buffers));
        [hello, frame, write, silent, buffers]
            .into_iter()
            .flatten()
            .min_by_key(|&(at, _)| at)
            .unwrap_or((now + FAR, Due::Nothing))
    }
}

impl Holdings {
    /// How far off every time-out is at least, if the connection was active just now and nothing
    /// of it is incomplete. That is how a busy connection goes to sleep; finding this costs little.
    pub(crate) fn calm_for(&self, config: &ServerConfig) -> Option<Duration> {
        if !self.is_open || self.unsent || self.input {
            return None;
        }
        let silent = if config.idle_timeout.is_zero() { FAR } else { config.idle_timeout };
        Some(if self.memory { silent.min(BUFFERS_KEPT) } else { silent })
    }
}

/// A timer that is moved only when it would fire too late; when it fires too early it is armed
/// again. A busy connection so touches the runtime's timers once in a time-out, not once a request.
#[derive(Debug)]
pub(crate) struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// The task is called when it fires.
    armed: bool,
}

impl Timer {
    pub(crate) fn new(at: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(at)), armed: false }
    }

    /// Whether the task is called before `within` from `now` on, and not now.
    pub(crate) fn fires_within(&self, now: Instant, within: Duration) -> bool {
        let at = self.sleep.deadline();
        self.armed && now < at && at <= now + within
    }

    /// Ready when `due` has come. Called by one task.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        due: (Instant, Due),
        now: Instant,
    ) -> Poll<Due> {
        if due.0 < self.sleep.deadline() {
            self.move_to(due.0);
        }
        loop {
            if self.armed && now < self.sleep.deadline() {
                return Poll::Pending;
            }
            self.armed = true;
            ready!(self.sleep.as_mut().poll(cx));
            if due.0 <= now || due.0 <= Instant::now() {
                self.move_to(now + FAR);
                return Poll::Ready(due.1);
            }
            self.move_to(due.0);
        }
    }

    fn move_to(&mut self, at: Instant) {
        self.sleep.as_mut().reset(at);
        self.armed = false;
    }
}
