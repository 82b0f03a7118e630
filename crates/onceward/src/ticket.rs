//! A place in line, and the answer that is pushed to it (S10).

use std::fmt;
use std::sync::Arc;
use std::task::{Poll, Waker};

use onceward_core::{BeginOutcome, GetOutcome};

use crate::answer::{Answer, StoreError, get_with_bytes, with_bytes};
use crate::store::Store;
use crate::waits::{Reply, Slot, Told, WaiterName};

/// What both kinds of ticket share: leaving the line when dropped unanswered.
struct Place {
    store: Store,
    name: WaiterName,
    slot: Arc<Slot>,
    answered: bool,
}

impl Place {
    fn poll(&mut self, waker: &Waker) -> Poll<Result<Told, StoreError>> {
        let polled = self.slot.poll(waker);
        self.answered |= polled.is_ready();
        polled
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.answered {
            self.store.inner.leave(&self.name);
        }
    }
}

macro_rules! ticket {
    ($(#[doc = $doc:literal])+ $ticket:ident, $outcome:ident, $fill:ident, $reply:pat => $judged:expr) => {
        $(#[doc = $doc])+
        ///
        /// Dropping it leaves the line; what was acquired in its name meanwhile stays acquired
        /// until its lease ends, since a repeat of the same begin may still come for it (S3).
        #[must_use = "dropping a ticket leaves the line"]
        pub struct $ticket(Place);

        impl $ticket {
            pub(crate) fn new(store: &Store, name: WaiterName, slot: Arc<Slot>) -> Self {
                Self(Place { store: store.clone(), name, slot, answered: false })
            }

            /// The answer, given to `sink`, or a note to call `waker` for it. The answer is given
            /// once: afterwards there is only [`StoreError::Unavailable`].
            pub fn poll<T>(
                &mut self,
                waker: &Waker,
                sink: impl FnOnce($outcome<&[u8]>) -> T,
            ) -> Poll<Result<Answer<T>, StoreError>> {
                let (reply, position) = match self.0.poll(waker) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(told)) => told,
                };
                // A ticket's slot is answered by its own kind only.
                let $reply = reply else {
                    return Poll::Ready(Err(StoreError::Unavailable));
                };
                let outcome = $fill($judged.outcome, &$judged.held);
                Poll::Ready(Ok(Answer { value: sink(outcome), position }))
            }

            /// Ends the wait: the next poll answers, as of now unless an answer came before.
            pub fn end_wait(&mut self) {
                self.0.store.inner.end_wait(&self.0.name);
            }
        }

        impl fmt::Debug for $ticket {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($ticket)).finish_non_exhaustive()
            }
        }
    };
}

ticket!(
    /// A begin that waits out InProgress.
    BeginTicket, BeginOutcome, with_bytes,
    Reply::Begin(judged) => judged
);
ticket!(
    /// A get that waits out Reserved.
    GetTicket, GetOutcome, get_with_bytes,
    Reply::Get(judged) => judged
);
