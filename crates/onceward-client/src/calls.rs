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

enum Slot {
    Free,
    Waiting { waker: Waker, answer_by: Instant },
    Answered(Answer),
}

#[derive(Default)]
pub(crate) struct Calls {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Replies that their callers have not taken yet.
    untaken: usize,
}

impl Calls {
    pub(crate) fn enter(&mut self, waker: Waker, answer_by: Instant) -> CallId {
        let slot = Slot::Waiting { waker, answer_by };
        match self.free.pop() {
            Some(free) => {
                self.slots[free as usize] = slot;
                CallId(free)
            }
            None => {
                self.slots.push(slot);
                // 2^32 calls at once are out of reach.
                CallId(self.slots.len() as u32 - 1)
            }
        }
    }

    /// Whom to wake for the reply; nobody, if its caller has been woken for another reason.
    pub(crate) fn answer(&mut self, id: CallId, reply: Reply) -> Option<Waker> {
        self.untaken += 1;
        let slot = &mut self.slots[id.0 as usize];
        match std::mem::replace(slot, Slot::Answered(Answer::Reply(reply))) {
            Slot::Waiting { waker, .. } => Some(waker),
            Slot::Free | Slot::Answered(_) => None,
        }
    }

    /// The answer, or else the caller is woken once it is there; a waker that this takes the place
    /// of is put into `stale`, to be dropped outside the lock. The slot is free again, unless the
    /// caller is overdue: then it has to leave, for the reply may still come.
    pub(crate) fn take(
        &mut self,
        id: CallId,
        waker: &Waker,
        stale: &mut Option<Waker>,
    ) -> Poll<Answer> {
        match &mut self.slots[id.0 as usize] {
            Slot::Waiting { waker: last, .. } => {
                if !last.will_wake(waker) {
                    *stale = Some(std::mem::replace(last, waker.clone()));
                }
                Poll::Pending
            }
            Slot::Answered(Answer::Overdue) => Poll::Ready(Answer::Overdue),
            Slot::Answered(_) | Slot::Free => match self.leave(id) {
                Left::Answered(answer) => Poll::Ready(answer),
                Left::Waiting { .. } => Poll::Pending,
            },
        }
    }

    /// Frees the slot; drop what was in it outside the lock.
    pub(crate) fn leave(&mut self, id: CallId) -> Left {
        self.free.push(id.0);
        match std::mem::replace(&mut self.slots[id.0 as usize], Slot::Free) {
            Slot::Answered(answer) => {
                self.untaken -= usize::from(matches!(answer, Answer::Reply(_)));
                Left::Answered(answer)
            }
            Slot::Waiting { waker, .. } => Left::Waiting { _waker: waker },
            Slot::Free => unreachable!("a call leaves once"),
        }
    }

    /// Those whose time is over by `now` are to be woken; gives when the next one's is.
    pub(crate) fn sweep(&mut self, now: Instant, woken: &mut Vec<Waker>) -> Option<Instant> {
        let mut next = None;
        for slot in &mut self.slots {
            let Slot::Waiting { answer_by, .. } = slot else { continue };
            if now < *answer_by {
                next = Some(next.map_or(*answer_by, |next: Instant| next.min(*answer_by)));
            } else if let Slot::Waiting { waker, .. } =
                std::mem::replace(slot, Slot::Answered(Answer::Overdue))
            {
                woken.push(waker);
            }
        }
        next
    }

    /// No more replies come: all who wait are to be woken.
    pub(crate) fn end(&mut self, woken: &mut Vec<Waker>) {
        for slot in &mut self.slots {
            if let Slot::Waiting { .. } = slot
                && let Slot::Waiting { waker, .. } =
                    std::mem::replace(slot, Slot::Answered(Answer::Ended))
            {
                woken.push(waker);
            }
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
