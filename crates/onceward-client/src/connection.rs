//! One connection, shared by all callers: requests go out in the order asked, replies come back
//! in any order and find their callers by slot.
//!
//! **Writing.** A caller encodes its frame into the shared buffer. If it is alone, it writes at
//! once; otherwise the writer task takes all that has gathered when its turn comes, after the
//! tasks that were ready before it, so that their calls share one system call. Alone means: no
//! request has its reply outstanding, nobody has yet to take a reply (who does may well ask again),
//! nothing is queued, and no batch is being put together.
//!
//! **Reading.** Each read hands out all its whole frames under one lock, and wakes their callers
//! after it. **Deadlines** have one timer for all calls, see [`Connection::sweep`].
//!
//! No lock is held across an await, and no waker is called under one.

mod state;
mod terms;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{self, Poll, Waker};

use onceward_core::Millis;
use onceward_proto::{ClientConn, Request};
use tokio::runtime::{self, Handle};
use tokio::sync::{Notify, Semaphore, TryAcquireError};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use crate::calls::{Answer, CallId, Left};
use crate::error::ClientError;
use crate::figures::{Figure, Figures};
use crate::output::Output;
use crate::reply::Reply;

pub(crate) use state::BUFFER_BYTES_KEPT;
use state::{Posting, Sent, State, Writer};
use terms::Due;
pub(crate) use terms::Terms;

/// The state shared by callers, reader, writer and sweeper.
pub(crate) struct Connection {
    state: Mutex<State>,
    /// Set once, with `State::ended`.
    is_over: AtomicBool,
    /// Wakes the writer: there are bytes to write, or the connection has ended.
    work: Notify,
    /// Wakes callers that found too many bytes queued.
    drained: Notify,
    /// Wakes a writer that is in the middle of a write: the connection has ended.
    over: Notify,
    /// Wakes the sweeper: somebody's time ends before it would look.
    sooner: Notify,
    /// A permit is forgotten when a request is sent and added when it is answered.
    in_flight: Semaphore,
    /// A part of `in_flight` only, lest those who wait for an owner keep it from completing.
    waiting: Semaphore,
    in_flight_max: usize,
    boot_epoch: u64,
    /// Whose tasks serve it.
    home: runtime::Id,
    figures: Arc<Figures>,
}

impl Connection {
    /// `conn` has been welcomed; the tasks that serve it are to run on the current runtime.
    pub(crate) fn new(
        conn: ClientConn,
        output: Arc<Output>,
        in_flight_max: usize,
        figures: Arc<Figures>,
    ) -> Self {
        let welcome = conn.welcome().copied();
        let allowed = welcome.map_or(2, |welcome| welcome.limits.in_flight_max as usize);
        let in_flight_max = in_flight_max.min(allowed).max(2);
        let waiting_max = in_flight_max - (in_flight_max / 8).max(1);
        Self {
            state: Mutex::new(State::new(conn, output)),
            is_over: AtomicBool::new(false),
            work: Notify::new(),
            drained: Notify::new(),
            over: Notify::new(),
            sooner: Notify::new(),
            in_flight: Semaphore::new(in_flight_max),
            waiting: Semaphore::new(waiting_max),
            in_flight_max,
            boot_epoch: welcome.map_or(0, |welcome| welcome.boot_epoch),
            home: Handle::current().id(),
            figures,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each critical section leaves the state whole wherever it could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.is_over.load(Ordering::Acquire)
    }

    pub(crate) const fn in_flight_max(&self) -> usize {
        self.in_flight_max
    }

    /// Tasks to end with the connection; the writer comes last.
    pub(crate) fn owns(&self, tasks: Vec<AbortHandle>) {
        let mut state = self.state();
        if state.ended.is_some() {
            tasks.iter().for_each(AbortHandle::abort);
        }
        state.tasks = tasks;
    }

    /// Sends one request and waits for its reply; `now`, where that has been looked up.
    ///
    /// `request` is given what is left of the wait. Dropping the future ends a wait at the server.
    pub(crate) async fn ask<'r>(
        &self,
        mut now: Option<Instant>,
        terms: &mut Terms,
        request: &impl Fn(Millis) -> Request<'r>,
    ) -> Result<Reply, ClientError> {
        let at_home = Handle::try_current().is_ok_and(|handle| handle.id() == self.home);
        if now.is_none() && (terms.wait > Millis::ZERO || !at_home) {
            now = Some(terms.started());
        }
        // Whatever is rare is boxed, so that the future of the usual case stays small.
        let waiting = if now.is_none_or(|now| terms.wait_until() <= now) {
            None
        } else if let Ok(turn) = self.waiting.try_acquire() {
            Some(turn)
        } else {
            // If the wait ends in line, the request asks how things stand, without waiting.
            let turn = Box::pin(timeout_at(terms.wait_until(), self.waiting.acquire())).await;
            now = Some(Instant::now());
            turn.ok().and_then(Result::ok)
        };
        let waits = waiting.is_some();
        let wait: Millis = match now {
            Some(now) if waits => terms.wait_until().saturating_duration_since(now).into(),
            _ => Millis::ZERO,
        };
        let mut due = now.map(|now| terms.due(now, wait));
        let in_flight = match self.in_flight.try_acquire() {
            Ok(turn) => turn,
            Err(TryAcquireError::Closed) => return Err(self.why_ended()),
            Err(TryAcquireError::NoPermits) => {
                let due = *due.get_or_insert_with(|| terms.due_from_start());
                match Box::pin(timeout_at(due.answer_by, self.in_flight.acquire())).await {
                    Ok(Ok(turn)) => turn,
                    Ok(Err(_)) => return Err(self.why_ended()),
                    Err(_) => return Err(self.overdue(&due)),
                }
            }
        };
        let request = request(wait);
        let Terms { request_timeout, in_batch, .. } = *terms;
        let mut posting = Posting { request: &request, waits, due, request_timeout, in_batch };
        let sent = poll_fn(|context| Poll::Ready(self.send(&posting, context.waker()))).await?;
        let mut call = match sent {
            Some(call) => call,
            None => {
                let due = *posting.due.get_or_insert_with(|| terms.due_from_start());
                match Box::pin(timeout_at(due.answer_by, self.send_later(&posting))).await {
                    Ok(sent) => sent?,
                    Err(_) => return Err(self.overdue(&due)),
                }
            }
        };
        let due = call.due;
        terms.started.get_or_insert(due.asked);
        // From here on they are the request's, and given back with its reply.
        in_flight.forget();
        if let Some(waiting) = waiting {
            waiting.forget();
        }
        let answer = if at_home {
            (&mut call).await
        } else {
            // The runtime that sweeps may stand still.
            let answer = Box::pin(timeout_at(due.answer_by, &mut call)).await;
            answer.unwrap_or(Answer::Overdue)
        };
        match answer {
            Answer::Reply(Reply::Error(error)) => Err(error),
            Answer::Reply(reply) => Ok(reply),
            Answer::Ended => Err(self.why_ended()),
            Answer::Overdue => Err(self.overdue(&due)),
        }
    }

    /// None came in time.
    #[cold]
    fn overdue(&self, due: &Due) -> ClientError {
        let Due { asked, answer_by, at_deadline } = *due;
        self.figures.add(Figure::Timeouts);
        if at_deadline {
            return ClientError::unavailable("no answer before the deadline");
        }
        let silent = self.state().last_received <= asked;
        let limit = (answer_by - asked).as_millis();
        let error = ClientError::unavailable(format!("no answer within {limit} ms"));
        if silent {
            // Not a byte since the request: the peer is gone, whatever TCP believes.
            self.end(error.clone());
        }
        error
    }

    /// `None` while too many bytes are queued.
    fn send(&self, posting: &Posting<'_>, waker: &Waker) -> Result<Option<Call<'_>>, ClientError> {
        // Counted outside the lock: a recorder is not ours. And before the reply can count it out.
        self.figures.add(Figure::RequestsInFlight);
        let waker = waker.clone();
        let sent = self.state().send(posting, waker);
        if !matches!(sent, Ok(Some(_))) {
            self.figures.take(Figure::RequestsInFlight, 1);
        }
        let Some(Sent { id, correlation, due, sooner, tells_writer, written }) = sent? else {
            return Ok(None);
        };
        if tells_writer {
            self.work.notify_one();
        }
        if sooner {
            self.sooner.notify_one();
        }
        if written {
            self.figures.add(Figure::Writes);
        }
        self.figures.add(Figure::Requests);
        Ok(Some(Call { connection: self, id, correlation, due, is_fresh: true, is_over: false }))
    }

    async fn send_later(&self, posting: &Posting<'_>) -> Result<Call<'_>, ClientError> {
        loop {
            let drained = self.drained.notified();
            let sent = poll_fn(|context| Poll::Ready(self.send(posting, context.waker()))).await?;
            if let Some(mut call) = sent {
                // It is polled under another waker next.
                call.is_fresh = false;
                return Ok(call);
            }
            drained.await;
        }
    }

    fn why_ended(&self) -> ClientError {
        let ended = self.state().ended.clone();
        ended.unwrap_or_else(|| ClientError::unavailable("the connection ended"))
    }

    /// A caller has gone: its wait at the server ends.
    fn give_up(&self, id: CallId, correlation: u64) {
        let mut state = self.state();
        let left = state.calls.leave(id);
        let answered = matches!(left, Left::Answered(Answer::Reply(_) | Answer::Ended));
        let tells_writer = !answered && state.cancel(correlation);
        drop(state);
        drop(left);
        if tells_writer {
            self.work.notify_one();
        }
    }

    /// Hands out the replies at the front of `input`, with `woken` to gather their callers in;
    /// gives the bytes consumed and the size of the next frame as far as it is known.
    pub(crate) fn receive(
        &self,
        input: &[u8],
        woken: &mut Vec<Waker>,
    ) -> Result<(usize, usize), ClientError> {
        let (mut answered, mut waits) = (0, 0);
        let mut state = self.state();
        if !input.is_empty() {
            state.last_received = Instant::now();
        }
        let mut consumed = 0;
        let received = loop {
            match state.receive(&input[consumed..], self.boot_epoch, woken) {
                Ok(Some((pending, size))) => {
                    consumed += size;
                    answered += 1;
                    waits += usize::from(pending.waits);
                }
                Ok(None) => break Ok((consumed, state.conn.frame_size(&input[consumed..]))),
                Err(error) => break Err(error),
            }
        };
        drop(state);
        if waits > 0 {
            self.waiting.add_permits(waits);
        }
        if answered > 0 {
            self.in_flight.add_permits(answered);
            self.figures.take(Figure::RequestsInFlight, answered);
        }
        woken.drain(..).for_each(Waker::wake);
        received
    }

    /// Waits for bytes to write and takes them, leaving `spare` to gather the next. `None` once
    /// the connection has ended and its last bytes are taken.
    pub(crate) async fn take_output(&self, mut spare: Vec<u8>) -> Option<Vec<u8>> {
        loop {
            {
                let mut state = self.state();
                if !state.out.is_empty() {
                    state.writer = Writer::Writing;
                    spare.clear();
                    std::mem::swap(&mut state.out, &mut spare);
                    drop(state);
                    self.drained.notify_waiters();
                    return Some(spare);
                }
                state.writer = Writer::Idle;
                if state.ended.is_some() {
                    return None;
                }
            }
            self.work.notified().await;
        }
    }

    /// Wakes the callers whose time is over; gives when to look again, if anybody waits. That is
    /// the earliest end of those who wait now: who comes later has a later one, unless its wait is
    /// shorter, and then it says so. So a busy connection is looked over once in a request timeout.
    pub(crate) fn sweep(&self) -> Option<Instant> {
        let mut woken = Vec::new();
        let mut state = self.state();
        let next = state.calls.sweep(Instant::now(), &mut woken);
        state.sweep_at = next;
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        next
    }

    /// Until [`Self::sweep`] has to look sooner than it said.
    pub(crate) async fn until_sooner(&self) {
        self.sooner.notified().await;
    }

    pub(crate) async fn until_ended(&self) {
        let over = self.over.notified();
        if self.is_open() {
            over.await;
        }
    }

    pub(crate) fn wrote(&self) {
        self.figures.add(Figure::Writes);
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
        let tasks = self.stop(ClientError::unavailable("the client is gone")).unwrap_or_default();
        // The writer ends by itself; the others do not.
        if let Some((_writer, others)) = tasks.split_last() {
            others.iter().for_each(AbortHandle::abort);
        }
    }

    /// The tasks that are left to end; `None` if it has ended before.
    fn stop(&self, why: ClientError) -> Option<Vec<AbortHandle>> {
        let mut woken = Vec::new();
        let mut state = self.state();
        if state.ended.is_some() {
            return None;
        }
        tracing::debug!(%why, "connection ended");
        state.ended = Some(why);
        self.is_over.store(true, Ordering::Release);
        state.calls.end(&mut woken);
        let unanswered = state.conn.outstanding();
        let output = state.output.take();
        let tasks = std::mem::take(&mut state.tasks);
        drop(state);
        drop(output); // Closes the socket, unless the writer has bytes for it.
        self.figures.take(Figure::RequestsInFlight, unanswered);
        woken.into_iter().for_each(Waker::wake);
        self.in_flight.close();
        self.waiting.close();
        self.drained.notify_waiters();
        self.over.notify_waiters();
        self.work.notify_one();
        Some(tasks)
    }
}

/// A request sent, whose caller waits.
struct Call<'c> {
    connection: &'c Connection,
    id: CallId,
    correlation: u64,
    due: Due,
    /// Just sent with the waker that polls it: no need to look.
    is_fresh: bool,
    /// The slot is no longer its own.
    is_over: bool,
}

impl Future for Call<'_> {
    type Output = Answer;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Answer> {
        if std::mem::take(&mut self.is_fresh) {
            return Poll::Pending;
        }
        let mut stale = None;
        let answer = self.connection.state().calls.take(self.id, context.waker(), &mut stale);
        // Who gets no reply in time keeps its slot until it has given the request up.
        self.is_over = matches!(answer, Poll::Ready(Answer::Reply(_) | Answer::Ended));
        answer
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.connection.give_up(self.id, self.correlation);
        }
    }
}

#[cfg(all(test, unix))]
mod tests;
