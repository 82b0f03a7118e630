//! The runtime behind a blocking client: one thread that renews leases and moves bytes.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::runtime::{Builder, Handle};

pub(super) struct Runtime {
    /// `None` only while it is dropped.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Runtime {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("onceward-client")
            .enable_all()
            .build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Drives `future` on this thread.
    #[track_caller]
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        let runtime = self.runtime.as_ref().expect("there until it is dropped");
        assert!(
            may_block(runtime.handle()),
            "a blocking client was called from asynchronous code, whose thread must not block: \
             use onceward_client::Client there, or call this one in tokio::task::spawn_blocking"
        );
        runtime.block_on(future)
    }
}

/// Whether this thread may block. One that belongs to a runtime may be free to all the same, as
/// those of `spawn_blocking` are. Tokio tells only by a panic, whose text then precedes ours.
fn may_block(handle: &Handle) -> bool {
    Handle::try_current().is_err()
        || catch_unwind(AssertUnwindSafe(|| handle.block_on(async {}))).is_ok()
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waits for nothing, so that it may be dropped in asynchronous code too.
            runtime.shutdown_background();
        }
    }
}
