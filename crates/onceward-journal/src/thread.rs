//! A thread that runs a journal.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use onceward::{Clock, FactLog as _};

use crate::error::JournalError;
use crate::gather::Gather;
use crate::journal::Journal;
use crate::system_clock::monotonic_micros;

/// How often it looks who is back while it gathers.
const LOOK_AFTER: Duration = Duration::from_micros(40);
/// Longest sleep: the machine may have slept.
const SLEEP_MAX: Duration = Duration::from_millis(500);

/// Runs a journal on a thread of its own. When dropped, or stopped, it syncs a last time.
pub struct JournalThread {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), JournalError>>>,
}

impl JournalThread {
    /// Starts the thread. `clock` is the store's.
    ///
    /// # Errors
    /// [`JournalError::Thread`] if the operating system gives no thread.
    pub fn start(journal: &Arc<Journal>, clock: Arc<dyn Clock>) -> Result<Self, JournalError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, run_by_it) = (Arc::clone(&stop), Arc::clone(journal));
        let thread = thread::Builder::new()
            .name("onceward-journal".into())
            .spawn(move || run(&run_by_it, &*clock, &stopped))
            .map_err(|why| JournalError::Thread { why })?;
        let sleeper = thread.thread().clone();
        journal.on_wake(Arc::new(move || sleeper.unpark()));
        // What was recorded before the hook was there woke nobody.
        thread.thread().unpark();
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Takes no facts any more, syncs a last time and ends the thread.
    ///
    /// # Errors
    /// [`JournalError::Halted`] if the last sync did not come about.
    pub fn stop(mut self) -> Result<(), JournalError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), JournalError> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        self.stop.store(true, Ordering::Release);
        thread.thread().unpark();
        thread
            .join()
            .unwrap_or_else(|_| Err(JournalError::Halted { why: "its thread panicked".to_owned() }))
    }
}

fn run(journal: &Journal, clock: &dyn Clock, stop: &AtomicBool) -> Result<(), JournalError> {
    let mut gather = Gather::default();
    while !stop.load(Ordering::Acquire) {
        if journal.is_wanted() {
            let from = monotonic_micros();
            while gather.is_worth_it(journal.buffered(), monotonic_micros().saturating_sub(from)) {
                thread::park_timeout(LOOK_AFTER);
            }
        }
        let (from, synced) = (monotonic_micros(), journal.synced());
        let next = journal.run(clock.now());
        if journal.synced() != synced {
            gather.expected = journal.expected();
            gather.sync_micros = monotonic_micros().saturating_sub(from);
        }
        let left = next.map_or(SLEEP_MAX, |next| clock.now().until(next).as_duration());
        if !left.is_zero() {
            // A wake-up since the journal looked is kept, so none is slept through.
            thread::park_timeout(left.min(SLEEP_MAX));
        }
    }
    journal.stop(clock.now())
}

impl Drop for JournalThread {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!("{error}");
        }
    }
}

impl fmt::Debug for JournalThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalThread").finish_non_exhaustive()
    }
}
