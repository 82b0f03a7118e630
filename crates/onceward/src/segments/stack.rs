//! A lock-free stack of things that have a number and a link: free blocks, free segments, the
//! segments of an expiry slot.
//!
//! Invariants:
//! 1. A number is on at most one stack at a time: who pushes it owns it, who pops it owns it then.
//! 2. The head carries a tag that changes with every push and pop, so that a head seen before
//!    others came and went is not mistaken for the present one.
//!
//! Ordering: a push releases what was written to the node, a pop acquires it. The link of a node
//! that another pops meanwhile may be read; the head has changed then, and the read is discarded.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::atomic::AtomicU64;
use super::mutant::{Mutant, mutated};

/// Numbers are nonzero and below 2^38; 0 ends a stack.
const NUMBER_BITS: u32 = 38;
const NUMBER: u64 = (1 << NUMBER_BITS) - 1;
const TAG_ONE: u64 = 1 << NUMBER_BITS;

/// Where the link of each node is.
pub(crate) trait Links {
    fn link(&self, number: u64) -> &AtomicU64;
}

#[derive(Debug)]
pub(crate) struct Stack {
    /// Tag 26 | number 38.
    head: AtomicU64,
}

impl Stack {
    pub(crate) fn new() -> Self {
        Self { head: AtomicU64::new(0) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Relaxed) & NUMBER == 0
    }

    #[inline]
    pub(crate) fn push(&self, links: &impl Links, number: u64) {
        self.push_chain(links, number, number);
    }

    /// Pushes nodes that are linked from `first` to `last` already.
    #[inline]
    pub(crate) fn push_chain(&self, links: &impl Links, first: u64, last: u64) {
        debug_assert!(first != 0 && first <= NUMBER && last != 0);
        let mut head = self.head.load(Relaxed);
        loop {
            links.link(last).store(head & NUMBER, Relaxed);
            let next = next_tag(head) | first;
            let order = if mutated(Mutant::PushRelaxed) { Relaxed } else { AcqRel };
            match self.head.compare_exchange_weak(head, next, order, Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    #[inline]
    pub(crate) fn pop(&self, links: &impl Links) -> Option<u64> {
        let mut head = self.head.load(Acquire);
        loop {
            let first = head & NUMBER;
            if first == 0 {
                return None;
            }
            let second = links.link(first).load(Relaxed) & NUMBER;
            let next = next_tag(head) | second;
            match self.head.compare_exchange_weak(head, next, AcqRel, Acquire) {
                Ok(_) => return Some(first),
                Err(now) => head = now,
            }
        }
    }

    /// Takes everything: the first node, from which links lead to the rest. 0 if there is none.
    pub(crate) fn take(&self) -> u64 {
        let mut head = self.head.load(Acquire);
        loop {
            if head & NUMBER == 0 {
                return 0;
            }
            let next = next_tag(head);
            if mutated(Mutant::TakeStores) {
                self.head.store(next, Release);
                return head & NUMBER;
            }
            match self.head.compare_exchange_weak(head, next, AcqRel, Acquire) {
                Ok(_) => return head & NUMBER,
                Err(now) => head = now,
            }
        }
    }
}

/// The tag after that of `head`, and no number.
#[inline]
fn next_tag(head: u64) -> u64 {
    let step = if mutated(Mutant::TagStands) { 0 } else { TAG_ONE };
    (head & !NUMBER).wrapping_add(step)
}

#[cfg(all(test, loom))]
mod loom_tests;
