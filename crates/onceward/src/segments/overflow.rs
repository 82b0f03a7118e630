//! The pool of further buckets, for chains whose first bucket is full.
//!
//! A bucket that has been linked stays in its chain: chains do not shrink, and no look meets a
//! bucket that changes chains.

use std::io;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::atomic::AtomicU32;
use super::bucket::{Bucket, Buckets};

pub(crate) struct Overflow {
    buckets: Buckets,
    /// How many have been handed out.
    used: AtomicU32,
    /// One that was handed out and not linked, because another came first; 0 if there is none.
    /// When two come back at a time one of them is lost, which costs 64 bytes and nothing else.
    spare: AtomicU32,
}

impl Overflow {
    /// `count` is capped at what a header can number.
    ///
    /// # Errors
    /// The operating system gives no addresses.
    pub(crate) fn try_new(count: usize) -> io::Result<Self> {
        let count = count.min(u32::MAX as usize);
        let buckets = Buckets::try_new(count)?;
        Ok(Self { buckets, used: AtomicU32::new(0), spare: AtomicU32::new(0) })
    }

    /// Of the bucket with this number, from 1 on.
    #[inline]
    pub(crate) fn get(&self, number: u32) -> &Bucket {
        self.buckets.get(number as usize - 1)
    }

    /// The number of an empty bucket that is in no chain; `None` if there is none left.
    pub(crate) fn take(&self) -> Option<u32> {
        if self.spare.load(Relaxed) != 0 {
            let spare = self.spare.swap(0, AcqRel);
            if spare != 0 {
                return Some(spare);
            }
        }
        let mut used = self.used.load(Relaxed);
        while (used as usize) < self.buckets.len() {
            match self.used.compare_exchange(used, used + 1, Relaxed, Relaxed) {
                Ok(_) => return Some(used + 1),
                Err(now) => used = now,
            }
        }
        None
    }

    /// Takes back a bucket that was not linked.
    pub(crate) fn give_back(&self, number: u32) {
        // Lost if there is a spare already.
        let _ = self.spare.compare_exchange(0, number, AcqRel, Acquire);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.buckets.len()
    }

    /// How many have been handed out: linked, spare or lost.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Relaxed) as usize
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_is_handed_out_once_and_again_if_given_back() {
        let pool = Overflow::try_new(2).unwrap();
        assert_eq!((pool.take(), pool.take(), pool.take()), (Some(1), Some(2), None));
        pool.give_back(2);
        assert_eq!((pool.take(), pool.take()), (Some(2), None));
        assert_eq!((pool.used(), pool.len()), (2, 2));
        assert_eq!(Overflow::try_new(0).unwrap().take(), None);
    }
}
