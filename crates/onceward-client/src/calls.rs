//! Calls that wait on a connection: who is to be woken, until when, and the answer once it is there.
//!
//! A slab instead of a channel and a timer for each call: slots are used again, and one look over
//! all of them now and then finds those whose time is over.

use std::task::{Poll, Waker};

use tokio::time::Instant;

use crate::reply::Reply;

/// What a caller is woken for.
pub(crate) enum Answer {
    Reply(Reply),
    /// None came in time.
    Overdue,
    /// The connection has ended.
    Ended,
}

/// A caller's slot, its own until it has taken its answer or gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct CallId(u32);

/// What a call left behind.
pub(crate) enum Left {
    Answered(Answer),
    Waiting { _waker: Waker },
}

/// Parts instead of variants: an answer is large, and is written once and read once.
#[derive(Default)]
struct Slot {
    /// While its call waits.
    waiting: Option<Waiting>,
    /// Once it does not, until it is taken.
    answer: Option<Answer>,
}

struct Waiting {
    waker: Waker,
    answer_by: Instant,
}

#[derive(Default)]
pub(crate) struct Calls {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Replies that their callers have not taken yet.
    untaken: usize,
}

impl Calls {
    #[inline]
    pub(crate) fn enter(&mut self, waker: Waker, answer_by: Instant) -> CallId {
        let waiting = Some(Waiting { waker, answer_by });
        match self.free.pop() {
            Some(free) => {
                self.slots[free as usize].waiting = waiting;
                CallId(free)
            }
            None => {
                self.slots.push(Slot { waiting, answer: None });
                // 2^32 calls at once are out of reach.
                CallId(self.slots.len() as u32 - 1)
            }
        }
    }

    /// Whom to wake for the reply; nobody, if its caller has been woken for another reason.
    #[inline]
    pub(crate) fn answer(&mut self, id: CallId, reply: Reply) -> Option<Waker> {
        self.untaken += 1;
        let slot = &mut self.slots[id.0 as usize];
        slot.answer = Some(Answer::Reply(reply));
        slot.waiting.take().map(|waiting| waiting.waker)
    }

    /// The answer, or else the caller is woken once it is there; a waker that this takes the place
    /// of is put into `stale`, to be dropped outside the lock. The slot is free again, unless the
    /// caller is overdue: then it has to leave, for the reply may still come.
    #[inline]
    pub(crate) fn take(
        &mut self,
        id: CallId,
        waker: &Waker,
        stale: &mut Option<Waker>,
    ) -> Poll<Answer> {
        let slot = &mut self.slots[id.0 as usize];
        if let Some(Waiting { waker: last, .. }) = &mut slot.waiting {
            if !last.will_wake(waker) {
                *stale = Some(std::mem::replace(last, waker.clone()));
            }
            return Poll::Pending;
        }
        if let Some(Answer::Overdue) = slot.answer {
            return Poll::Ready(Answer::Overdue);
        }
        match self.leave(id) {
            Left::Answered(answer) => Poll::Ready(answer),
            Left::Waiting { .. } => Poll::Pending,
        }
    }

    /// Frees the slot; drop what was in it outside the lock.
    #[inline]
    pub(crate) fn leave(&mut self, id: CallId) -> Left {
        self.free.push(id.0);
        let slot = &mut self.slots[id.0 as usize];
        if let Some(Waiting { waker, .. }) = slot.waiting.take() {
            return Left::Waiting { _waker: waker };
        }
        let answer = slot.answer.take().expect("a call leaves once");
        self.untaken -= usize::from(matches!(answer, Answer::Reply(_)));
        Left::Answered(answer)
    }

    /// Those whose time is over by `now` are to be woken; gives when the next one's is.
    pub(crate) fn sweep(&mut self, now: Instant, woken: &mut Vec<Waker>) -> Option<Instant> {
        let mut next = None;
        for slot in &mut self.slots {
            let Some(Waiting { answer_by, .. }) = slot.waiting else { continue };
            if now < answer_by {
                next = Some(next.map_or(answer_by, |next: Instant| next.min(answer_by)));
            } else {
                woken.extend(slot.ends_with(Answer::Overdue));
            }
        }
        next
    }

    /// No more replies come: all who wait are to be woken.
    pub(crate) fn end(&mut self, woken: &mut Vec<Waker>) {
        for slot in &mut self.slots {
            woken.extend(slot.ends_with(Answer::Ended));
        }
    }

    pub(crate) const fn untaken(&self) -> usize {
        self.untaken
    }

    /// Slots that are somebody's.
    #[cfg(all(test, unix))]
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

impl Slot {
    /// Whoever waits there, to be woken for `answer`.
    fn ends_with(&mut self, answer: Answer) -> Option<Waker> {
        let Waiting { waker, .. } = self.waiting.take()?;
        self.answer = Some(answer);
        Some(waker)
    }
}
