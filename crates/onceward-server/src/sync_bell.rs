//! How connections that hold replies learn that the journal has synced.
//!
//! ```text
//!   the log's hook ──▶ one bell per thread ──▶ a task there ──▶ its connections that hold replies
//!                      crosses threads          calls within the thread
//! ```
//! So a sync costs each thread one call from outside, however many connections it has, and none if
//! no connection there holds anything.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use onceward::FactLog;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

/// The bells of all threads, and the tasks that they call. Dropped with the server.
pub(crate) struct Bells {
    bells: Arc<[Arc<SyncBell>]>,
    log: Arc<dyn FactLog>,
    _calling: Vec<AbortOnDropHandle<()>>,
}

impl Bells {
    /// One bell for each of the threads, rung by the log.
    pub(crate) fn hang(log: &Arc<dyn FactLog>, threads: &[Handle]) -> Self {
        let bells: Arc<[_]> =
            threads.iter().map(|_| Arc::new(SyncBell::new(Arc::clone(log)))).collect();
        let ringing = Arc::clone(&bells);
        let asked = Arc::clone(log);
        let hook = Arc::new(move || {
            let halted = asked.halted().is_some();
            ringing.iter().for_each(|bell| bell.ring(halted));
        });
        log.on_synced(hook.clone());
        hook(); // It may have halted before.
        let calling = std::iter::zip(bells.iter(), threads).map(|(bell, thread)| {
            let bell = Arc::clone(bell);
            AbortOnDropHandle::new(thread.spawn(async move { bell.call_all().await }))
        });
        Self { _calling: calling.collect(), log: Arc::clone(log), bells }
    }

    /// The bell of one thread.
    pub(crate) fn of(&self, thread: usize) -> Arc<SyncBell> {
        Arc::clone(&self.bells[thread])
    }
}

impl Drop for Bells {
    /// The log holds its hook, which holds the log.
    fn drop(&mut self) {
        self.log.on_synced(Arc::new(|| ()));
    }
}

/// One thread's bell.
pub(crate) struct SyncBell {
    pub(crate) log: Arc<dyn FactLog>,
    /// Whether facts are not kept, as far as the log has said.
    halted: AtomicBool,
    /// Connections that hold replies and sleep; one that has ended meanwhile stays until the next
    /// turn.
    listening: Mutex<Vec<Waker>>,
    /// How often they have been called: who listened in an earlier turn must listen again.
    turn: AtomicU64,
    rung: Notify,
}

impl SyncBell {
    fn new(log: Arc<dyn FactLog>) -> Self {
        Self {
            log,
            halted: AtomicBool::new(false),
            listening: Mutex::default(),
            turn: AtomicU64::new(1),
            rung: Notify::new(),
        }
    }

    fn listening(&self) -> MutexGuard<'_, Vec<Waker>> {
        // Nothing under the lock can leave it half done.
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Said by the log, after what it says can be read there. Whoever is not in the list yet reads
    /// it after it has entered: the lock comes between.
    fn ring(&self, halted: bool) {
        self.halted.store(halted, Ordering::Release);
        if !self.listening().is_empty() {
            self.rung.notify_one();
        }
    }

    /// Calls whoever listens, each time it is rung. Never ends.
    async fn call_all(&self) {
        loop {
            self.rung.notified().await;
            let called = {
                let mut listening = self.listening();
                self.turn.fetch_add(1, Ordering::Release);
                std::mem::take(&mut *listening)
            };
            called.into_iter().for_each(Waker::wake);
        }
    }

    /// Has `task` called when the bell is rung next, unless it listens since `turn`. Gives the turn.
    pub(crate) fn listen(&self, task: &Waker, turn: u64) -> u64 {
        if self.turn.load(Ordering::Acquire) == turn {
            return turn;
        }
        let mut listening = self.listening();
        listening.push(task.clone());
        self.turn.load(Ordering::Acquire)
    }

    /// Whether facts are not kept, as far as the log has said.
    pub(crate) fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Acquire)
    }
}
