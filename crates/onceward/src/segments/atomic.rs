//! The atomics of the lock-free parts: the standard ones, or loom's, which explore the
//! interleavings of a model.

#[cfg(not(loom))]
#[expect(unused_imports, reason = "flags and spinning come with what is built on the index")]
pub(crate) use std::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, fence},
};

#[cfg(all(test, loom))]
pub(crate) use explored::model;
#[cfg(loom)]
#[expect(unused_imports, reason = "flags and spinning come with what is built on the index")]
pub(crate) use {
    explored::AtomicU64,
    loom::{
        hint::spin_loop,
        sync::atomic::{AtomicBool, AtomicU32, fence},
    },
};

#[cfg(loom)]
mod explored {
    use std::cell::Cell;
    use std::ops::Deref;
    use std::sync::atomic::Ordering;

    thread_local! {
        static LOADS_EXCHANGE: Cell<bool> = const { Cell::new(false) };
    }

    /// Loom's, whose loads can be made exchanges of the value for itself.
    ///
    /// Loom 0.7 remembers one last access of each atomic. If one thread loads it, and another
    /// loads it and then changes it, the change is compared with that other thread's own load
    /// only, and an order in which it comes before the first thread's load is never tried. Each
    /// exchange is compared with the one before it, whoever made it.
    #[derive(Debug)]
    pub(crate) struct AtomicU64(loom::sync::atomic::AtomicU64);

    impl AtomicU64 {
        pub(crate) fn new(value: u64) -> Self {
            Self(loom::sync::atomic::AtomicU64::new(value))
        }

        pub(crate) fn load(&self, order: Ordering) -> u64 {
            if LOADS_EXCHANGE.get() { self.0.fetch_or(0, order) } else { self.0.load(order) }
        }
    }

    impl Deref for AtomicU64 {
        type Target = loom::sync::atomic::AtomicU64;

        fn deref(&self) -> &Self::Target {
            &self.0
        }
    }

    /// Checks a model within a bound of preemptions, twice: with loads that may see what is old,
    /// and with loads that are exchanges, for the orders that loom passes over otherwise.
    #[cfg(test)]
    pub(crate) fn model(preemptions: usize, run: impl Fn() + Copy + Send + Sync + 'static) {
        for exchange in [false, true] {
            LOADS_EXCHANGE.set(exchange);
            let mut builder = loom::model::Builder::new();
            builder.preemption_bound = Some(preemptions);
            builder.max_branches = 100_000;
            builder.check(run);
        }
    }
}
