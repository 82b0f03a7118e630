//! The atomics of the lock-free parts, and the lock of an answer: those that the build uses, or
//! loom's, which explore the interleavings of a model.

#[cfg(not(loom))]
pub(crate) use parking_lot::Mutex;
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
    explored::{AtomicU64, Mutex},
    loom::{
        hint::spin_loop,
        sync::atomic::{AtomicBool, AtomicU32, fence},
    },
};

/// On x86 every atomic read-modify-write is a full barrier, and the compiler moves no later load
/// before an acquiring one, so a second barrier would order nothing. Under loom the model decides.
#[cfg(all(any(target_arch = "x86", target_arch = "x86_64"), not(any(loom, miri))))]
#[inline]
pub(crate) fn fence_after_exchange() {
    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
}

#[cfg(not(all(any(target_arch = "x86", target_arch = "x86_64"), not(any(loom, miri)))))]
#[inline]
pub(crate) fn fence_after_exchange() {
    fence(std::sync::atomic::Ordering::SeqCst);
}

#[cfg(loom)]
mod explored {
    use std::cell::Cell;
    use std::ops::Deref;
    use std::sync::atomic::Ordering;

    thread_local! {
        static EXCHANGES: Cell<bool> = const { Cell::new(false) };
    }

    /// Loom's, whose loads can be made exchanges of the value for itself, and its stores exchanges too.
    ///
    /// Loom 0.7 remembers one last access of each atomic. If one thread loads it, and another
    /// loads it and then changes it, the change is compared with that other thread's own load
    /// only, and an order in which it comes before the first thread's load is never tried. Each
    /// exchange is compared with the one before it, whoever made it. It does not order a store after
    /// such an exchange, so all are made exchanges, or none.
    #[derive(Debug)]
    pub(crate) struct AtomicU64(loom::sync::atomic::AtomicU64);

    impl AtomicU64 {
        pub(crate) fn new(value: u64) -> Self {
            Self(loom::sync::atomic::AtomicU64::new(value))
        }

        pub(crate) fn load(&self, order: Ordering) -> u64 {
            if EXCHANGES.get() { self.0.fetch_or(0, order) } else { self.0.load(order) }
        }

        pub(crate) fn store(&self, value: u64, order: Ordering) {
            if EXCHANGES.get() {
                self.0.swap(value, order);
            } else {
                self.0.store(value, order);
            }
        }
    }

    impl Deref for AtomicU64 {
        type Target = loom::sync::atomic::AtomicU64;

        fn deref(&self) -> &Self::Target {
            &self.0
        }
    }

    /// Loom's, locked as the one of the build is. A model that panics under it has failed.
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
        }
    }

    /// Checks a model within a bound of preemptions, twice: with loads that may see what is old,
    /// and with exchanges alone, for the orders that loom passes over otherwise.
    #[cfg(test)]
    pub(crate) fn model(preemptions: usize, run: impl Fn() + Copy + Send + Sync + 'static) {
        for exchange in [false, true] {
            EXCHANGES.set(exchange);
            let mut builder = loom::model::Builder::new();
            builder.preemption_bound = Some(preemptions);
            builder.max_branches = 100_000;
            builder.check(run);
        }
    }
}
