//! What a connection's lock guards.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use onceward_core::{Body, Complete, NotKept, Resolve, Verdict};
use onceward_proto::{ClientConn, Received, Request, SendError};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::calls::{CallId, Calls};
use crate::error::ClientError;
use crate::output::Output;
use crate::reply::{Reply, error_of};

use super::terms::Due;

/// Bytes waiting to be written from which on callers wait before they add to them.
pub(super) const QUEUED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A buffer grown beyond this is given back once it is empty.
pub(crate) const BUFFER_BYTES_KEPT: usize = 256 * 1024;

pub(super) struct State {
    pub(super) conn: ClientConn,
    /// Whole frames, but for what the socket has already taken of the first.
    pub(super) out: Vec<u8>,
    pub(super) writer: Writer,
    /// When the request was sent for which the writer was told last, until one that it is to write
    /// is given up.
    told_at: Option<Instant>,
    /// `None` once the connection has ended.
    pub(super) output: Option<Arc<Output>>,
    /// By slot of the request, see [`ClientConn::slot`]; what is answered is left as it was.
    pub(super) pending: Vec<Pending>,
    pub(super) calls: Calls,
    pub(super) last_received: Instant,
    /// When the sweeper looks next.
    pub(super) sweep_at: Option<Instant>,
    /// Why the connection takes no more requests.
    pub(super) ended: Option<ClientError>,
    pub(super) tasks: Vec<AbortHandle>,
}

/// What the writer is at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Writer {
    /// It waits to be told.
    Idle,
    Told,
    /// It has bytes in hand, which come before those queued.
    Writing,
}

/// A request without its reply. Stays also when its caller has gone, for the server still counts
/// it among those in flight.
#[derive(Clone, Copy)]
pub(super) struct Pending {
    pub(super) caller: Option<CallId>,
    pub(super) waits: bool,
}

/// A request on its way.
pub(super) struct Posting<'p> {
    pub(super) request: &'p Request<'p>,
    pub(super) waits: bool,
    /// `None` where nobody has looked at the clock: then it counts from when it is sent.
    pub(super) due: Option<Due>,
    pub(super) request_timeout: Duration,
    pub(super) in_batch: bool,
}

/// What became of a request that was sent.
pub(super) struct Sent {
    pub(super) id: CallId,
    pub(super) correlation: u64,
    pub(super) due: Due,
    /// The sweeper has to look sooner than it would.
    pub(super) sooner: bool,
    pub(super) tells_writer: bool,
    /// The caller itself has written.
    pub(super) written: bool,
}

impl State {
    pub(super) fn new(conn: ClientConn, output: Arc<Output>) -> Self {
        Self {
            conn,
            out: Vec::new(),
            writer: Writer::Idle,
            told_at: None,
            output: Some(output),
            pending: Vec::new(),
            calls: Calls::default(),
            last_received: Instant::now(),
            sweep_at: None,
            ended: None,
            tasks: Vec::new(),
        }
    }

    pub(super) fn send(
        &mut self,
        posting: &Posting<'_>,
        waker: Waker,
    ) -> Result<Option<Sent>, ClientError> {
        if let Some(why) = &self.ended {
            return Err(why.clone());
        }
        if self.out.len() >= QUEUED_BYTES_MAX {
            return Ok(None);
        }
        let is_alone = !posting.in_batch && self.is_quiet();
        let correlation = self.encode(posting.request)?;
        let due = posting.due.unwrap_or_else(|| self.due(posting.request_timeout));
        let id = self.calls.enter(waker, due.answer_by);
        let pending = Pending { caller: Some(id), waits: posting.waits };
        let slot = ClientConn::slot(correlation);
        match self.pending.get_mut(slot) {
            Some(at) => *at = pending,
            None => {
                debug_assert_eq!(slot, self.pending.len(), "slots are taken in order");
                self.pending.push(pending);
            }
        }
        let sooner = self.sweep_at.is_none_or(|at| due.answer_by < at);
        if sooner {
            self.sweep_at = Some(due.answer_by);
        }
        let written = is_alone && self.write_at_once();
        let tells_writer = self.tell_writer();
        if tells_writer {
            self.told_at = Some(due.asked);
        }
        Ok(Some(Sent { id, correlation, due, sooner, tells_writer, written }))
    }

    /// Of a request sent now without a wait. Those that the writer takes together count from the
    /// first of them: it was told then and comes after the tasks that were ready, so they ask in
    /// the same turn. Were the writer kept from its turn, the first would be overdue as they are.
    #[inline]
    fn due(&self, request_timeout: Duration) -> Due {
        let told_at = self.told_at.filter(|_| self.writer == Writer::Told);
        let asked = told_at.unwrap_or_else(Instant::now);
        Due { asked, answer_by: asked + request_timeout, at_deadline: false }
    }

    fn is_quiet(&self) -> bool {
        self.conn.outstanding() == 0
            && self.calls.untaken() == 0
            && self.out.is_empty()
            && self.writer == Writer::Idle
    }

    /// What the socket does not take is left to the writer.
    fn write_at_once(&mut self) -> bool {
        let Some(output) = &self.output else { return false };
        // On an error the writer meets the same, and ends the connection.
        let Ok(size) = output.try_write(&self.out) else { return false };
        self.out.drain(..size);
        if self.out.is_empty() && self.out.capacity() > BUFFER_BYTES_KEPT {
            self.out = Vec::new();
        }
        true
    }

    /// Whether the writer is to be woken.
    fn tell_writer(&mut self) -> bool {
        let tells = self.writer == Writer::Idle && !self.out.is_empty();
        if tells {
            self.writer = Writer::Told;
        }
        tells
    }

    /// Whether the writer is to be woken.
    pub(super) fn cancel(&mut self, correlation: u64) -> bool {
        if self.ended.is_some() {
            return false;
        }
        self.told_at = None;
        let pending = &mut self.pending[ClientConn::slot(correlation)];
        pending.caller = None;
        if pending.waits {
            self.conn.cancel(correlation, &mut self.out);
        }
        self.tell_writer()
    }

    /// Hands out one reply.
    pub(super) fn receive(
        &mut self,
        input: &[u8],
        boot_epoch: u64,
        woken: &mut Vec<Waker>,
    ) -> Result<Option<(Pending, usize)>, ClientError> {
        if let Some(why) = &self.ended {
            return Err(why.clone());
        }
        let received = self.conn.next(input);
        let received =
            received.map_err(|error| ClientError::Protocol { message: error.to_string() })?;
        match received {
            None => Ok(None),
            Some((Received::Reply { correlation, reply }, size)) => {
                let pending = self.pending[ClientConn::slot(correlation)];
                // A caller that has gone wants no reply.
                if let Some(id) = pending.caller {
                    woken.extend(self.calls.answer(id, Reply::of(reply, boot_epoch)));
                }
                Ok(Some((pending, size)))
            }
            // Another connection may do: the server closed this one, for its own reasons.
            Some((Received::Closing(error), _)) => Err(match error_of(&error) {
                error @ ClientError::Protocol { .. } => error,
                other => ClientError::unavailable(other.to_string()),
            }),
        }
    }

    /// Appends the request's frame; a result too large for a frame goes without its body (S20).
    fn encode(&mut self, request: &Request<'_>) -> Result<u64, ClientError> {
        let encoded = match self.conn.request(request, &mut self.out) {
            Err(SendError::TooLarge { .. }) => {
                self.conn.request(&without_body(request), &mut self.out)
            }
            encoded => encoded,
        };
        encoded.map_err(|error| match error {
            SendError::TooLarge { size, max } => ClientError::BadInput {
                field: "frame".to_owned(),
                message: format!("the request takes {size} bytes, the connection carries {max}"),
            },
            other => ClientError::Protocol { message: other.to_string() },
        })
    }
}

/// The same request with the body of its result, if it has one, declined.
fn without_body<'r>(request: &Request<'r>) -> Request<'r> {
    let declined = Body::NotKept(NotKept::Declined);
    match *request {
        Request::Complete { key, mut complete } => {
            complete.result.body = declined;
            Request::Complete { key, complete: Complete { ..complete } }
        }
        Request::Resolve {
            key,
            resolve:
                Resolve { fence, doubt_number, verdict: Verdict::Completed { mut result, fingerprint } },
        } => {
            result.body = declined;
            let verdict = Verdict::Completed { result, fingerprint };
            Request::Resolve { key, resolve: Resolve { fence, doubt_number, verdict } }
        }
        other => other,
    }
}
