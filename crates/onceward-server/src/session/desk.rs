//! Requests that have arrived together: their identities are hashed once, their cache misses
//! overlap, the clock is read once for all, and each is answered by itself, in order.

use arrayvec::ArrayVec;
use onceward::{Answer, Batch, Prepared, Store, StoreError, Waitable};
use onceward_core::{Begin, BeginOutcome, Get, GetOutcome, Millis, Namespace, Position};
use onceward_proto::{DecodeError, ReplyEncoder, Request, Rights, ServerConn, Unread};

use super::{denied, encoded, error_reply, rights_for};
use crate::outbox::{Asked, Outbox};
use crate::report::Tally;
use crate::sync_watch::SyncWatch;
use crate::waits::{Ticket, Wait, Waits};

/// Most requests of one batch: enough to overlap their misses.
const BATCH_MAX: usize = 16;
/// An entry is fetched once so many requests have been decoded after its own: by then the bucket
/// that names it has come.
const PREFETCH_BEHIND: usize = 4;
/// A replay's body of at least so many bytes is written from where it lies; a smaller one costs
/// less to copy than another part of a write.
const APART_BYTES_MIN: usize = 16 * 1024;

/// Whole frames at the front of the input whose operations are on one identity each.
pub(super) struct Gathered<'a> {
    /// Each with where its frame ends in the input.
    requests: ArrayVec<(Unread<'a>, usize), BATCH_MAX>,
    /// Theirs, in the same order.
    identities: ArrayVec<Prepared<'a>, BATCH_MAX>,
}

/// What follows what was gathered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum After {
    /// Nothing.
    Nothing,
    /// Another request, something to be acted on by itself, or part of a frame.
    More,
}

/// How far a batch was answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Answered {
    /// To its end.
    All,
    /// Until replies must leave first.
    WhileRoom,
    /// Until a request that cannot be decoded.
    UntilFault,
}

impl<'a> Gathered<'a> {
    pub(super) const fn new() -> Self {
        Self { requests: ArrayVec::new_const(), identities: ArrayVec::new_const() }
    }

    /// Finds requests from the front of `input` on, up to whatever is to be acted on by itself.
    ///
    /// Filled in place, for it is too large to be handed around. Nothing of a request but its key
    /// is read yet, and its entry is fetched meanwhile: first the bucket that names it, and the
    /// entry once that has come.
    #[inline]
    pub(super) fn fill(
        &mut self,
        conn: &ServerConn,
        store: &Store,
        namespace: Namespace<'a>,
        input: &'a [u8],
    ) -> After {
        let mut end = 0;
        while !self.requests.is_full() && end < input.len() {
            let Some((request, key, size)) = conn.peek(&input[end..]) else { return After::More };
            end += size;
            self.requests.push((request, end));
            self.identities.push(store.prepare(key.within(namespace)));
            if let Some(behind) = self.identities.len().checked_sub(PREFETCH_BEHIND + 1) {
                store.prefetch(self.identities.get(behind));
            }
        }
        if self.identities.len() > 1 {
            let behind = self.identities.len().saturating_sub(PREFETCH_BEHIND);
            store.prefetch(&self.identities[behind..]);
        }
        if end < input.len() { After::More } else { After::Nothing }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.requests.is_empty()
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
    pub(super) watch: Option<&'s SyncWatch>,
}

impl Desk<'_> {
    /// Answers what was gathered, in order, while there is room for replies. Gives the bytes of
    /// input that are done with.
    pub(super) fn answer_all(
        &mut self,
        store: &Store,
        gathered: &Gathered<'_>,
    ) -> (usize, Answered) {
        // After all of them have arrived (S15).
        let batch = store.batch();
        let mut done = 0;
        for ((request, end), identity) in gathered.requests.iter().zip(&gathered.identities) {
            if self.out.unsent() >= self.unsent_bytes_max {
                return (done, Answered::WhileRoom);
            }
            if self.answer(&batch, request, identity).is_err() {
                return (done, Answered::UntilFault);
            }
            done = *end;
        }
        (done, Answered::All)
    }

    /// # Errors
    /// The request cannot be decoded, and was not answered.
    #[inline]
    fn answer(
        &mut self,
        batch: &Batch<'_>,
        request: &Unread<'_>,
        identity: &Prepared<'_>,
    ) -> Result<(), DecodeError> {
        let (correlation, opcode) = (request.correlation(), request.opcode());
        let replies = self.replies;
        let request = request.decode()?;
        self.tally.request();
        if !self.rights.contains(rights_for(opcode)) {
            replies.error(opcode.as_u8(), correlation, &denied(), self.out.encode_into());
            self.out.encoded();
            return Ok(());
        }
        let answered = match &request {
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
            _ => unreachable!("only requests on one identity are gathered"),
        };
        match answered {
            Ok(Some(position)) => self.out.encoded_on(position, Asked { correlation, opcode }),
            Ok(None) => {} // It waits.
            Err(error) => {
                let error = error_reply(error, self.watch);
                replies.error(opcode.as_u8(), correlation, &error, self.out.encode_into());
                self.out.encoded();
            }
        }
        Ok(())
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
