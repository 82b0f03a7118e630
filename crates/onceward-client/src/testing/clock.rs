//! The store's time in a test: by hand, or along with a runtime whose clock is paused.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use onceward::Store;
use onceward_core::{Clock, Millis, Timestamp};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{Instant, sleep, sleep_until};

/// Entries and waiters that one tick handles before it is called again.
const TICK_BUDGET: usize = 4_096;

/// How often [`ManualClock::advance`] lets other tasks run before it returns. An operation takes a
/// few polls from the timer that woke it to its caller.
const YIELDS: usize = 64;

/// Longest advance: sums of it with instants never overflow.
const ADVANCE_MAX: Duration = Duration::from_secs(400 * 24 * 3_600);

/// The time of a [`TestStore`](super::TestStore): leases, retentions and the store's waits go by
/// it. Clones are the same clock.
///
/// Where the runtime's clock is paused, the store's follows it: whatever moves the one, be it
/// [`ManualClock::advance`], a `sleep` or tokio's auto-advance, moves the other. Elsewhere it moves
/// only by hand, while the runtime, and with it the task that renews a lease, goes on in real time.
#[derive(Clone)]
pub struct ManualClock {
    shared: Arc<Shared>,
}

struct Shared {
    time: Arc<Time>,
    store: Store,
    ticker: OnceLock<EndsTask>,
}

/// What the store reads.
#[derive(Default)]
pub(crate) struct Time {
    by_hand_ms: AtomicU64,
    /// How far the runtime's clock has moved since it is followed.
    followed_ms: AtomicU64,
    /// Where the runtime's paused clock stood when it was first followed.
    origin: OnceLock<Instant>,
}

impl Clock for Time {
    fn now(&self) -> Timestamp {
        // Outside a runtime `Instant::now` is the machine's clock, which says nothing here.
        if let Some(origin) = self.origin.get()
            && Handle::try_current().is_ok()
        {
            let moved = u64::try_from(origin.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.followed_ms.fetch_max(moved, Ordering::SeqCst);
        }
        let followed = Millis::new(self.followed_ms.load(Ordering::SeqCst));
        Timestamp::from_millis(self.by_hand_ms.load(Ordering::SeqCst)).after(followed)
    }
}

impl ManualClock {
    pub(crate) fn new(time: Arc<Time>, store: Store) -> Self {
        let shared = Shared { time, store, ticker: OnceLock::new() };
        let clock = Self { shared: Arc::new(shared) };
        if is_paused() {
            clock.follow();
        }
        clock
    }

    /// How much time has passed at the store.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.shared.time.now().since(Timestamp::ZERO).as_duration()
    }

    /// Lets `length` pass, at most 400 days. Fractions of a millisecond round up.
    ///
    /// Where the runtime's clock is paused, its time passes too, timer by timer: leases are
    /// renewed on the way, by owners that live. Elsewhere the store's time jumps, as if the owners'
    /// processes had been suspended for so long, and what is due then is done before this returns.
    /// Either way other tasks get to run before it returns, in a runtime of one thread.
    ///
    /// # Panics
    /// If `length` is more than 400 days.
    pub async fn advance(&self, length: Duration) {
        if is_paused() {
            check(length);
            self.follow();
            sleep(length).await;
            self.tick();
        } else {
            self.blocking_advance(length);
        }
        for _ in 0..YIELDS {
            yield_now().await;
        }
    }

    /// Moves the store's time alone, at once, whatever the runtime's clock does: for code without a
    /// runtime, or to let the two differ.
    ///
    /// # Panics
    /// If `length` is more than 400 days.
    pub fn blocking_advance(&self, length: Duration) {
        check(length);
        let length = Millis::covering(length).get();
        self.shared.time.by_hand_ms.fetch_add(length, Ordering::SeqCst);
        self.tick();
    }

    fn tick(&self) {
        tick(&self.shared.store);
    }

    /// From now on the store's time moves with this runtime's.
    fn follow(&self) {
        let Shared { time, store, ticker } = &*self.shared;
        time.origin.get_or_init(Instant::now);
        ticker.get_or_init(|| {
            let earlier = Arc::new(Notify::new());
            let hook = Arc::clone(&earlier);
            store.on_earlier_deadline(Arc::new(move || hook.notify_one()));
            let ticking = tick_when_due(store.clone(), earlier);
            EndsTask(tokio::spawn(ticking).abort_handle())
        });
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock").field("elapsed", &self.elapsed()).finish_non_exhaustive()
    }
}

struct EndsTask(AbortHandle);

impl Drop for EndsTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[track_caller]
fn check(length: Duration) {
    assert!(length <= ADVANCE_MAX, "the clock advances by at most 400 days at once");
}

/// Does what is due; says how long it is to the next.
fn tick(store: &Store) -> Option<Duration> {
    loop {
        let now = store.now();
        match store.tick(now, TICK_BUDGET) {
            Some(next) if next <= now => {}
            next => return next.map(|next| now.until(next).as_duration()),
        }
    }
}

async fn tick_when_due(store: Store, earlier: Arc<Notify>) {
    loop {
        let next = tick(&store).unwrap_or(ADVANCE_MAX);
        tokio::select! {
            () = sleep_until(Instant::now() + next.min(ADVANCE_MAX)) => {}
            () = earlier.notified() => {}
        }
    }
}

/// Whether the current runtime's clock stands still between timers. Tokio does not say; but a
/// clock that runs has moved once the machine's has.
fn is_paused() -> bool {
    if Handle::try_current().is_err() {
        return false;
    }
    let before = Instant::now();
    let start = std::time::Instant::now();
    while std::time::Instant::now() <= start {
        std::hint::spin_loop();
    }
    Instant::now() == before
}
