//! One connection, shared by all callers: requests go out in the order asked, replies come back
//! in any order and find their callers by correlation.
//!
//! A caller encodes its frame into the shared buffer and wakes the writer, which takes all that
//! has gathered in one write. No lock is held across an await.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use onceward_core::{Body, Complete, Millis, NotKept, Resolve, Verdict};
use onceward_proto::{ClientConn, Received, Request, SendError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use crate::error::ClientError;
use crate::figures::{Figure, Figures, Held};
use crate::reply::{Reply, error_of};
use crate::span::after;

/// Bytes waiting to be written from which on callers wait before they add to them.
const QUEUED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The state shared by callers, reader and writer.
pub(crate) struct Connection {
    state: Mutex<State>,
    /// Wakes the writer: there are bytes to write, or the connection has ended.
    work: Notify,
    /// Wakes callers that found too many bytes queued.
    drained: Notify,
    /// Wakes a writer that is in the middle of a write: the connection has ended.
    over: Notify,
    in_flight: Arc<Semaphore>,
    /// A part of `in_flight` only, lest those who wait for an owner keep it from completing.
    waiting: Arc<Semaphore>,
    in_flight_max: usize,
    boot_epoch: u64,
    figures: Arc<Figures>,
}

struct State {
    conn: ClientConn,
    /// Whole frames.
    out: Vec<u8>,
    pending: HashMap<u64, Pending>,
    last_received: Instant,
    /// Why the connection takes no more requests.
    ended: Option<ClientError>,
    tasks: Vec<AbortHandle>,
}

/// A request without its reply. Stays also when its caller has gone, for the server still counts
/// it among those in flight.
struct Pending {
    caller: oneshot::Sender<Reply>,
    _permits: Permits,
    _counted: Held,
}

struct Permits {
    _in_flight: OwnedSemaphorePermit,
    _waiting: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// `conn` has been welcomed.
    pub(crate) fn new(conn: ClientConn, in_flight_max: usize, figures: Arc<Figures>) -> Self {
        let welcome = conn.welcome().copied();
        let allowed = welcome.map_or(2, |welcome| welcome.limits.in_flight_max as usize);
        let in_flight_max = in_flight_max.min(allowed).max(2);
        let waiting_max = in_flight_max - (in_flight_max / 8).max(1);
        Self {
            state: Mutex::new(State {
                conn,
                out: Vec::new(),
                pending: HashMap::new(),
                last_received: Instant::now(),
                ended: None,
                tasks: Vec::new(),
            }),
            work: Notify::new(),
            drained: Notify::new(),
            over: Notify::new(),
            in_flight: Arc::new(Semaphore::new(in_flight_max)),
            waiting: Arc::new(Semaphore::new(waiting_max)),
            in_flight_max,
            boot_epoch: welcome.map_or(0, |welcome| welcome.boot_epoch),
            figures,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each critical section leaves the state whole wherever it could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state().ended.is_none()
    }

    pub(crate) const fn in_flight_max(&self) -> usize {
        self.in_flight_max
    }

    /// Tasks to end with the connection.
    pub(crate) fn owns(&self, tasks: Vec<AbortHandle>) {
        let mut state = self.state();
        if state.ended.is_some() {
            tasks.iter().for_each(AbortHandle::abort);
        }
        state.tasks = tasks;
    }

    /// Sends one request and waits for its reply, `request_timeout` beyond the wait at most.
    ///
    /// `request` is given what is left of the wait. Dropping the future ends a wait at the server.
    pub(crate) async fn ask<'r>(
        self: &Arc<Self>,
        wait_until: Instant,
        request_timeout: Duration,
        request: &impl Fn(Millis) -> Request<'r>,
    ) -> Result<Reply, ClientError> {
        let left = |until: Instant| until.saturating_duration_since(Instant::now());
        let waiting = if left(wait_until).is_zero() {
            None
        } else {
            // If the wait ends in line, the request asks how things stand, without waiting.
            let turn = Arc::clone(&self.waiting).acquire_owned();
            timeout_at(wait_until, turn).await.ok().and_then(Result::ok)
        };
        let waits = waiting.is_some();
        let wait: Millis = if waits { left(wait_until).into() } else { Millis::ZERO };
        let answer_by = after(Instant::now() + request_timeout, wait);
        let asking = async {
            let turn = Arc::clone(&self.in_flight).acquire_owned();
            let Ok(in_flight) = turn.await else {
                return Err(self.why_ended());
            };
            let permits = Permits { _in_flight: in_flight, _waiting: waiting };
            let mut call = self.send(request(wait), waits, permits).await?;
            let reply = (&mut call.reply).await;
            call.answered = true;
            reply.map_err(|_| self.why_ended())
        };
        let sent = Instant::now();
        match timeout_at(answer_by, asking).await {
            Ok(Ok(Reply::Error(error))) => Err(error),
            Ok(reply) => reply,
            Err(_) => {
                self.figures.add(Figure::Timeouts);
                let silent = self.state().last_received <= sent;
                let message = format!("no answer within {} ms", (answer_by - sent).as_millis());
                let error = ClientError::Unavailable { message };
                if silent {
                    // Not a byte since the request: the peer is gone, whatever TCP believes.
                    self.end(error.clone());
                }
                Err(error)
            }
        }
    }

    async fn send(
        self: &Arc<Self>,
        request: Request<'_>,
        waits: bool,
        permits: Permits,
    ) -> Result<Call, ClientError> {
        // Counted outside the lock: a recorder is not ours.
        let counted = self.figures.hold(Figure::RequestsInFlight);
        loop {
            let drained = self.drained.notified();
            {
                let mut state = self.state();
                if let Some(why) = &state.ended {
                    return Err(why.clone());
                }
                if state.out.len() < QUEUED_BYTES_MAX {
                    let (caller, reply) = oneshot::channel();
                    let correlation = state.encode(&request)?;
                    let pending = Pending { caller, _permits: permits, _counted: counted };
                    state.pending.insert(correlation, pending);
                    drop(state);
                    self.work.notify_one();
                    self.figures.add(Figure::Requests);
                    let connection = waits.then(|| Arc::clone(self));
                    return Ok(Call { connection, correlation, reply, answered: false });
                }
            }
            drained.await;
        }
    }

    fn why_ended(&self) -> ClientError {
        let ended = self.state().ended.clone();
        ended.unwrap_or_else(|| ClientError::unavailable("the connection ended"))
    }

    /// Ends a wait whose caller has gone.
    fn cancel(&self, correlation: u64) {
        let mut state = self.state();
        let State { conn, out, .. } = &mut *state;
        conn.cancel(correlation, out);
        drop(state);
        self.work.notify_one();
    }

    /// Hands out the replies at the front of `input`; gives the bytes consumed and the size of the
    /// next frame as far as it is known.
    pub(crate) fn receive(&self, input: &[u8]) -> Result<(usize, usize), ClientError> {
        let mut consumed = 0;
        loop {
            let rest = &input[consumed..];
            let mut state = self.state();
            state.last_received = Instant::now();
            let received = state
                .conn
                .next(rest)
                .map_err(|error| ClientError::Protocol { message: error.to_string() })?;
            let Some((received, size)) = received else {
                return Ok((consumed, state.conn.frame_size(rest)));
            };
            consumed += size;
            match received {
                Received::Reply { correlation, reply } => {
                    let pending = state.pending.remove(&correlation);
                    drop(state);
                    if let Some(pending) = pending {
                        // A caller that has gone wants no reply.
                        let _ = pending.caller.send(Reply::of(reply, self.boot_epoch));
                    }
                }
                // Another connection may do: the server closed this one, for its own reasons.
                Received::Closing(error) => {
                    return Err(match error_of(&error) {
                        error @ ClientError::Protocol { .. } => error,
                        other => ClientError::unavailable(other.to_string()),
                    });
                }
            }
        }
    }

    /// Waits for bytes to write and takes them, leaving `spare` to gather the next. `None` once
    /// the connection has ended and its last bytes are taken.
    pub(crate) async fn take_output(&self, mut spare: Vec<u8>) -> Option<Vec<u8>> {
        loop {
            {
                let mut state = self.state();
                if !state.out.is_empty() {
                    spare.clear();
                    std::mem::swap(&mut state.out, &mut spare);
                    drop(state);
                    self.drained.notify_waiters();
                    return Some(spare);
                }
                if state.ended.is_some() {
                    return None;
                }
            }
            self.work.notified().await;
        }
    }

    pub(crate) async fn until_ended(&self) {
        let over = self.over.notified();
        if self.is_open() {
            over.await;
        }
    }

    /// Ends the connection at once: every pending request fails with `why`.
    pub(crate) fn end(&self, why: ClientError) {
        if let Some(tasks) = self.stop(why) {
            self.figures.add(Figure::ConnectionsLost);
            tasks.iter().for_each(AbortHandle::abort);
        }
    }

    /// Ends the connection once what is queued is written: nobody is left to ask.
    pub(crate) fn end_after_output(&self) {
        // The writer ends by itself; the reader, listed first, does not.
        let tasks = self.stop(ClientError::unavailable("the client is gone")).unwrap_or_default();
        if let Some(reader) = tasks.first() {
            reader.abort();
        }
    }

    /// The tasks that are left to end; `None` if it has ended before.
    fn stop(&self, why: ClientError) -> Option<Vec<AbortHandle>> {
        let mut state = self.state();
        if state.ended.is_some() {
            return None;
        }
        tracing::debug!(%why, "connection ended");
        state.ended = Some(why);
        let pending = std::mem::take(&mut state.pending);
        let tasks = std::mem::take(&mut state.tasks);
        drop(state);
        drop(pending); // Their callers read `ended`.
        self.in_flight.close();
        self.waiting.close();
        self.drained.notify_waiters();
        self.over.notify_waiters();
        self.work.notify_one();
        Some(tasks)
    }
}

impl State {
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

/// A request sent, whose caller waits.
struct Call {
    /// Where to cancel, for a request that waits at the server.
    connection: Option<Arc<Connection>>,
    correlation: u64,
    reply: oneshot::Receiver<Reply>,
    answered: bool,
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection
            && !self.answered
        {
            connection.cancel(self.correlation);
        }
    }
}
