//! How the rest of the process reaches a connection's task.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Where a connection is told which of its waits have ended, and that the server drains.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
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
        let task = self.lock().task.take();
        if let Some(task) = task {
            task.wake();
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Takes everything that came, into the empty `ended`.
    pub(crate) fn take(&self, ended: &mut VecDeque<u32>) {
        debug_assert!(ended.is_empty());
        std::mem::swap(&mut self.lock().ended, ended);
    }

    /// Ready when a wait has ended or the server drains.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if !inner.ended.is_empty() || self.is_draining() {
            return Poll::Ready(());
        }
        match &mut inner.task {
            Some(task) => task.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
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
            inner.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}
