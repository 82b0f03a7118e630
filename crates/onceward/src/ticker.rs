//! A thread that calls `tick`, for programs that have no loop of their own.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::config::StartError;
use crate::store::Store;

/// Entries and waiters that one tick handles before it lets others in: some 100 µs of work.
const TICK_BUDGET: usize = 512;
/// Pause between ticks while more is due. Where all cores are busy the ticker so takes short turns
/// from those who work, instead of a long one; a million entries still go within a second or two.
const BREATH: Duration = Duration::from_micros(200);
/// Longest sleep: a clock may be moved by a test, or the machine may have slept.
const SLEEP_MAX: Duration = Duration::from_millis(500);

/// Calls [`Store::tick`] whenever something is due, on a thread of its own. Stops when dropped.
pub struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts the thread. One ticker per store: a second one only wastes its sleep.
    ///
    /// # Errors
    /// [`StartError::Thread`] if the operating system gives no thread.
    pub fn start(store: &Store) -> Result<Self, StartError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, ticked) = (Arc::clone(&stop), store.clone());
        let thread = thread::Builder::new()
            .name("onceward-ticker".into())
            .spawn(move || run(&ticked, &stopped))
            .map_err(|why| StartError::Thread { why: why.to_string() })?;
        let sleeper = thread.thread().clone();
        store.on_earlier_deadline(Arc::new(move || sleeper.unpark()));
        Ok(Self { stop, thread: Some(thread) })
    }
}

fn run(store: &Store, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        let next = store.tick(store.now(), TICK_BUDGET);
        let left = next.map_or(SLEEP_MAX, |next| store.now().until(next).as_duration());
        // An unpark between tick and park is kept, so no earlier deadline is slept through.
        thread::park_timeout(left.clamp(BREATH, SLEEP_MAX));
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A ticker that panicked has nothing left to stop.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Ticker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticker").finish_non_exhaustive()
    }
}
