//! Drives the store's background work on the runtime (S21).

use std::sync::Arc;
use std::time::Duration;

use onceward::Store;
use tokio::sync::Notify;
use tokio::time::timeout;

/// Entries and waiters that one tick handles before it lets others in.
const TICK_BUDGET: usize = 512;
/// Longest sleep: the machine may have slept, or a test moved the clock.
const SLEEP_MAX: Duration = Duration::from_millis(500);

/// Ticks whenever something is due. Never ends.
pub(crate) async fn tick(store: Store) {
    let earlier = Arc::new(Notify::new());
    let hook = Arc::clone(&earlier);
    store.on_earlier_deadline(Arc::new(move || hook.notify_one()));
    // Whether the store's clock stood still while a whole sleep passed: then somebody moves it by
    // hand, and ticks; to sleep for what is left on it would be to spin.
    let mut stands = false;
    loop {
        let now = store.now();
        let next = store.tick(now, TICK_BUDGET);
        if next.is_some_and(|next| next <= now) {
            tokio::task::yield_now().await;
            continue;
        }
        let before = store.now();
        let left = match next {
            Some(next) if !stands => before.until(next).as_duration().min(SLEEP_MAX),
            // Also with nothing armed: another driver's hook may have come first.
            Some(_) | None => SLEEP_MAX,
        };
        let called = timeout(left, earlier.notified()).await.is_ok();
        stands = !called && !left.is_zero() && store.now() == before;
    }
}
