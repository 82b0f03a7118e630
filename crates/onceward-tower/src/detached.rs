//! Tasks that go on without a caller, counted, so that a process can end after them.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(crate) struct Detached {
    running: AtomicUsize,
    none: Notify,
}

/// One task; it counts until this is dropped, also where its runtime drops it.
pub(crate) struct Running(Arc<Detached>);

impl Detached {
    pub(crate) fn enter(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::SeqCst);
        Running(Arc::clone(self))
    }

    pub(crate) async fn ended(&self) {
        loop {
            let mut none = pin!(self.none.notified());
            none.as_mut().enable(); // Before the look, so that no end falls between.
            if self.running.load(Ordering::SeqCst) == 0 {
                return;
            }
            none.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.none.notify_waiters();
        }
    }
}
