//! How the rest of the process reaches a connection's task.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Where a connection is told which of its waits have ended, and that the server drains.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
    /// Whether `inner.ended` has any, so that a connection need not lock to learn that it has none.
    has_ended: AtomicBool,
    /// Whether `inner.task` is there: whatever comes next calls it.
    listening: AtomicBool,
    draining: AtomicBool,
}

#[derive(Debug, Default)]
struct Inner {
    /// Numbers of waits that may have an answer. May name one twice, or one that is gone.
    ended: VecDeque<u32>,
    /// The task, while it sleeps.
    task: Option<Waker>,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing under the lock can leave it half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A waker that names wait `number`. One per place, used again by whoever waits there next.
    pub(crate) fn waker(self: &Arc<Self>, number: u32) -> Waker {
        Waker::from(Arc::new(WaitWaker { mailbox: Arc::clone(self), number }))
    }

    /// Asks the connection to answer what it has and to close (S17).
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        let task = self.take_task(&mut self.lock());
        if let Some(task) = task {
            task.wake();
        }
    }

    fn take_task(&self, inner: &mut Inner) -> Option<Waker> {
        self.listening.store(false, Ordering::Relaxed);
        inner.task.take()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Takes everything that came, into the empty `ended`.
    pub(crate) fn take(&self, ended: &mut VecDeque<u32>) {
        debug_assert!(ended.is_empty());
        let mut inner = self.lock();
        self.has_ended.store(false, Ordering::Relaxed);
        std::mem::swap(&mut inner.ended, ended);
    }

    /// Whether [`Mailbox::take`] would find any.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// Ready when a wait has ended or the server drains. Called by one task; while
    /// that is to be called already, no lock is taken.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_ended() || self.is_draining() {
            return Poll::Ready(());
        }
        if self.listening.load(Ordering::Acquire) {
            return Poll::Pending; // What has come since calls the task.
        }
        let mut inner = self.lock();
        if !inner.ended.is_empty() || self.is_draining() {
            return Poll::Ready(());
        }
        match &mut inner.task {
            Some(task) => task.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        self.listening.store(true, Ordering::Release);
        Poll::Pending
    }
}

struct WaitWaker {
    mailbox: Arc<Mailbox>,
    number: u32,
}

impl Wake for WaitWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    /// Constant cost, however many waits the connection has.
    fn wake_by_ref(self: &Arc<Self>) {
        let task = {
            let mut inner = self.mailbox.lock();
            inner.ended.push_back(self.number);
            self.mailbox.has_ended.store(true, Ordering::Release);
            self.mailbox.take_task(&mut inner)
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}
