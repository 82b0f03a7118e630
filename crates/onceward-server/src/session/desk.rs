//! Requests that have arrived together: their identities are hashed once, their cache misses
//! overlap, the clock is read once for all, and each is answered by itself, in order.

use arrayvec::ArrayVec;
use onceward::{Answer, Batch, Prepared, Store, StoreError, Waitable};
use onceward_core::{Begin, BeginOutcome, Get, GetOutcome, Millis, Namespace, Position, ScopedKey};
use onceward_proto::{Incoming, Rejection, ReplyEncoder, Request, Rights, ServerConn};

use super::{denied, encoded, error_reply, rights_for};
use crate::outbox::Outbox;
use crate::report::Tally;
use crate::waits::{Ticket, Wait, Waits};

/// Most requests of one batch: enough to overlap their misses.
const BATCH_MAX: usize = 16;
/// A replay's body of at least so many bytes is written from where it lies; a smaller one costs
/// less to copy than another part of a write.
const APART_BYTES_MIN: usize = 16 * 1024;

/// Whole frames at the front of the input whose operations are on one identity each.
pub(super) struct Gathered<'a> {
    queue: ArrayVec<Queued<'a>, BATCH_MAX>,
}

/// One request, decoded.
struct Queued<'a> {
    correlation: u64,
    request: Request<'a>,
    identity: Prepared<'a>,
    /// Where its frame ends in the input.
    end: usize,
}

/// Why gathering stopped.
pub(super) enum Next<'a> {
    /// The batch is full: there may be more.
    More,
    /// What is left is part of a frame, or nothing.
    Nothing,
    /// Something that is acted on by itself, and where its frame ends.
    Alone(Incoming<'a>, usize),
    /// A frame that ends the connection.
    Fatal(Rejection),
}

impl<'a> Gathered<'a> {
    pub(super) const fn new() -> Self {
        Self { queue: ArrayVec::new_const() }
    }

    /// Decodes from the front of `input` on. What is to be acted on alone, or ends the connection,
    /// is only given when nothing is gathered before it: it is found again once that is answered.
    ///
    /// Filled in place, for it is too large to be handed around.
    pub(super) fn fill<'i: 'a>(
        &mut self,
        conn: &mut ServerConn,
        store: &Store,
        namespace: Namespace<'a>,
        input: &'i [u8],
    ) -> Next<'i> {
        let mut end = 0;
        while !self.queue.is_full() {
            let (incoming, size) = if self.queue.is_empty() {
                match conn.next(input) {
                    Ok(Some(read)) => read,
                    Ok(None) => return Next::Nothing,
                    Err(rejection) => return Next::Fatal(rejection),
                }
            } else {
                let before = conn.clone();
                match conn.next(&input[end..]) {
                    Ok(Some(read)) => read,
                    Ok(None) => return Next::Nothing,
                    Err(_) => {
                        *conn = before;
                        return Next::More;
                    }
                }
            };
            match incoming {
                Incoming::Request { correlation, request } if let Some(key) = key_of(&request) => {
                    end += size;
                    let identity = store.prepare(key.within(namespace));
                    self.queue.push(Queued { correlation, request, identity, end });
                }
                _ if !self.queue.is_empty() => return Next::More,
                alone => return Next::Alone(alone, size),
            }
        }
        Next::More
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// The key of a request that is answered in a batch.
const fn key_of<'a>(request: &Request<'a>) -> Option<ScopedKey<'a>> {
    match request {
        Request::Begin { key, .. }
        | Request::Complete { key, .. }
        | Request::Get { key, .. }
        | Request::Renew { key, .. }
        | Request::Abandon { key, .. } => Some(*key),
        _ => None,
    }
}

/// Where requests of a batch are answered.
pub(super) struct Desk<'s> {
    pub(super) replies: ReplyEncoder,
    pub(super) rights: Rights,
    pub(super) in_flight_max: usize,
    pub(super) unsent_bytes_max: usize,
    pub(super) out: &'s mut Outbox,
    pub(super) waits: &'s mut Waits,
    pub(super) tally: &'s mut Tally,
}

impl Desk<'_> {
    /// Answers what was gathered, in order, while there is room for replies. Gives the bytes of
    /// input that are done with, and whether that is all.
    pub(super) fn answer_all(&mut self, store: &Store, gathered: &Gathered<'_>) -> (usize, bool) {
        if gathered.queue.len() > 1 {
            store.prefetch(gathered.queue.iter().map(|queued| &queued.identity));
        }
        // After all of them have arrived (S15).
        let batch = store.batch();
        let mut done = 0;
        for queued in &gathered.queue {
            if self.out.unsent() >= self.unsent_bytes_max {
                return (done, false);
            }
            self.tally.request();
            self.answer(&batch, queued);
            done = queued.end;
        }
        (done, true)
    }

    fn answer(&mut self, batch: &Batch<'_>, queued: &Queued<'_>) {
        let Queued { correlation, request, identity, .. } = queued;
        let (correlation, opcode) = (*correlation, request.opcode());
        let replies = self.replies;
        if !self.rights.contains(rights_for(opcode)) {
            replies.error(opcode.as_u8(), correlation, &denied(), self.out.encode_into());
            return self.out.encoded(Position(0));
        }
        let answered = match request {
            Request::Begin { begin, .. } => self.begin(batch, correlation, identity, begin),
            Request::Get { get, .. } => self.get(batch, correlation, identity, get),
            Request::Complete { complete, .. } => {
                let out = self.out.encode_into();
                encoded(batch.complete(identity, complete), |it| {
                    replies.complete(correlation, it, out);
                })
            }
            Request::Abandon { abandon, .. } => {
                let out = self.out.encode_into();
                encoded(batch.abandon(identity, abandon), |it| {
                    replies.abandon(correlation, it, out);
                })
            }
            Request::Renew { renew, .. } => {
                let out = self.out.encode_into();
                encoded(batch.renew(identity, renew), |it| replies.renew(correlation, it, out))
            }
            _ => unreachable!("only what `key_of` names is gathered"),
        };
        match answered {
            Ok(Some(position)) => self.out.encoded(position),
            Ok(None) => {} // It waits.
            Err(error) => {
                let error = error_reply(error);
                replies.error(opcode.as_u8(), correlation, &error, self.out.encode_into());
                self.out.encoded(Position(0));
            }
        }
    }

    /// `None` if the request waits now.
    fn begin(
        &mut self,
        batch: &Batch<'_>,
        correlation: u64,
        identity: &Prepared<'_>,
        begin: &Begin,
    ) -> Result<Option<Position>, StoreError> {
        let (replies, may_wait) = (self.replies, self.may_wait(begin.wait));
        let Self { out, waits, .. } = self;
        let to = out.encode_into();
        let sink = |outcome: BeginOutcome<&[u8]>| {
            let body = match &outcome {
                BeginOutcome::Replay(replay) => replay.result.body.kept(),
                _ => None,
            };
            if body.is_some_and(|body| body.len() >= APART_BYTES_MIN) {
                return replies.begin_apart(correlation, &outcome, to);
            }
            replies.begin(correlation, &outcome, to);
            None
        };
        let answer = if may_wait {
            let waker = waits.next_waker();
            match batch.begin_or_wait_apart(identity, begin, waker, APART_BYTES_MIN, sink)? {
                Waitable::Answered(answer) => answer,
                Waitable::Waiting(ticket) => {
                    waits.enter(Wait { correlation, ticket: Ticket::Begin(ticket) });
                    return Ok(None);
                }
            }
        } else {
            batch.begin_apart(identity, begin, APART_BYTES_MIN, sink)?
        };
        if let (Some(at), Some(body)) = answer.value {
            out.insert(at, body);
        }
        Ok(Some(answer.position))
    }

    /// `None` if the request waits now.
    fn get(
        &mut self,
        batch: &Batch<'_>,
        correlation: u64,
        identity: &Prepared<'_>,
        get: &Get,
    ) -> Result<Option<Position>, StoreError> {
        let (replies, may_wait) = (self.replies, self.may_wait(get.wait));
        // Others' fences are shown to holders of the operate right alone.
        let sees_fences = self.rights.contains(Rights::OPERATE);
        let Self { out, waits, .. } = self;
        let sink = |outcome: GetOutcome<&[u8]>| {
            let outcome = if sees_fences { outcome } else { outcome.without_fence() };
            replies.get(correlation, &outcome, out.encode_into());
        };
        if !may_wait {
            return batch.get(identity, sink).map(position);
        }
        match batch.get_or_wait(identity, get, waits.next_waker(), sink)? {
            Waitable::Answered(answer) => Ok(position(answer)),
            Waitable::Waiting(ticket) => {
                waits.enter(Wait { correlation, ticket: Ticket::Get(ticket) });
                Ok(None)
            }
        }
    }

    /// Over the connection's limit a request is answered at once, as over the store's (S10).
    fn may_wait(&self, wait: Millis) -> bool {
        wait.get() > 0 && self.waits.len() < self.in_flight_max
    }
}

fn position(answer: Answer<()>) -> Option<Position> {
    Some(answer.position)
}
