//! Epochs: when something that was unlinked may be reused.
//!
//! A thread is pinned while it looks at shared blocks. What is unlinked gets a stamp, the epoch at
//! that time, and may be reused when the epoch is two further on: by then everybody who was pinned
//! when it could still be found has unpinned.
//!
//! Invariants:
//! 1. The epoch goes from `e` to `e + 1` only if every pin that the advance sees is at `e`.
//! 2. A slot is one pin's from its claim to its release. It holds 0, or the epoch that its owner
//!    had read before, shifted, and a one.
//! 3. No slot at or above `used` has been pinned.
//!
//! Why a stamp two epochs old is past. Let a thread with pin P have found a block that was
//! unlinked with stamp `s` and let P still last. There are three fences: that of the pin, after
//! its slot was set; that of the stamp, between the unlinking and the load of the epoch; and that
//! of an advance, between the load of the epoch and the scan of the slots.
//!
//! - The pin's fence precedes the stamp's, or P's looks would have missed the block. So the epoch
//!   P had read is at most `s`, for the stamp's load came later than P's.
//! - An advance whose fence precedes the pin's may miss P; it had loaded the epoch before, so it
//!   advances from `s` at most.
//! - Every other advance sees P's slot. P's epoch is at most `s`, so it does not advance from
//!   `s + 1`.
//!
//! So `s + 2` is not reached while P lasts. Once it is reached, P's release of its slot, the scan
//! that acquired it, the exchange of the epoch and the load in [`Epochs::is_past`] order P's last
//! look before the reuse.

use std::marker::PhantomData;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use onceward_core::{Millis, Timestamp};

use super::atomic::{AtomicU64, fence, fence_after_exchange};
use super::mutant::{Mutant, mutated};

/// Pins at a time; beyond them a pin waits for another's end.
pub(crate) const SLOTS_DEFAULT: usize = 512;

/// A slot that nobody holds.
const FREE: u64 = 0;

/// How many epochs' instants are remembered. A pin lags one epoch behind, or more if its thread
/// stopped before it had set its slot.
const INSTANTS: usize = 8;

/// Two lines, for the neighbour is fetched along with the one asked for.
#[repr(align(128))]
struct Slot(AtomicU64);

#[repr(align(128))]
struct Shared {
    epoch: AtomicU64,
    /// Slots from here on have never been pinned, so that a scan is as long as threads are many.
    used: AtomicU64,
    /// When each of the last epochs began, in ms of store time.
    began: [AtomicU64; INSTANTS],
}

pub(crate) struct Epochs {
    shared: Shared,
    /// Invariant: length a power of two.
    slots: Box<[Slot]>,
}

/// Keeps what its thread sees from being reused while it lasts. Short; not to be held across a
/// wait, and so not to be sent to another thread.
pub(crate) struct Pin<'a> {
    slot: &'a AtomicU64,
    not_sent: PhantomData<*const ()>,
}

impl Epochs {
    /// At least `slots` pins at a time.
    pub(crate) fn new(slots: usize, now: Timestamp) -> Self {
        let shared = Shared {
            epoch: AtomicU64::new(0),
            used: AtomicU64::new(0),
            began: std::array::from_fn(|_| AtomicU64::new(now.as_millis())),
        };
        let slots = slots.max(1).next_power_of_two();
        Self { shared, slots: (0..slots).map(|_| Slot(AtomicU64::new(FREE))).collect() }
    }

    /// Pins; `hint` names the slot to try first. Pins may be nested.
    #[inline]
    pub(crate) fn pin(&self, hint: usize) -> Pin<'_> {
        let mask = self.slots.len() - 1;
        let mut at = hint & mask;
        loop {
            // Read anew for each try: an old epoch would hold back all others.
            let pinned = pinned_at(self.shared.epoch.load(Relaxed));
            let slot = &self.slots[at].0;
            if !mutated(Mutant::UsedRaisedLate) {
                self.raise_used(at);
            }
            if slot.compare_exchange(FREE, pinned, PIN_ORDER, Relaxed).is_ok() {
                if !mutated(Mutant::PinUnfenced) {
                    fence_after_exchange();
                }
                self.raise_used(at);
                return Pin { slot, not_sent: PhantomData };
            }
            at = (at + 1) & mask;
            if at == hint & mask {
                wait_for_a_slot();
            }
        }
    }

    /// Invariant 3: before the fence of the pin, so that an advance which must see the slot scans
    /// so far.
    #[inline]
    fn raise_used(&self, at: usize) {
        let count = at as u64 + 1;
        if self.shared.used.load(Relaxed) < count {
            self.shared.used.fetch_max(count, Relaxed);
        }
    }

    /// The stamp of what has just been unlinked. The unlinking must be a read-modify-write
    /// (see [`fence_after_exchange`]) and come before this call.
    #[inline]
    pub(crate) fn stamp(&self) -> u64 {
        if !mutated(Mutant::StampUnfenced) {
            fence_after_exchange();
        }
        self.shared.epoch.load(Relaxed)
    }

    /// Whether what has this stamp may be reused.
    #[inline]
    pub(crate) fn is_past(&self, stamp: u64) -> bool {
        let grace = if mutated(Mutant::GraceOfOne) { 1 } else { 2 };
        self.shared.epoch.load(Acquire) >= stamp + grace
    }

    /// Begins the next epoch, and says which, unless somebody is pinned in an earlier one.
    pub(crate) fn try_advance(&self, now: Timestamp) -> Option<u64> {
        let epoch = self.shared.epoch.load(Acquire);
        if !mutated(Mutant::AdvanceUnfenced) {
            fence(SeqCst);
        }
        let behind = |slot: &Slot| {
            let pinned = slot.0.load(Acquire);
            pinned != FREE && pinned != pinned_at(epoch)
        };
        if self.used_slots().iter().any(behind) && !mutated(Mutant::AdvancePastPins) {
            return None;
        }
        let next = epoch + 1;
        // Before the epoch, so that whoever sees that finds its instant. The larger one stays if
        // a thread that has slept since writes over a later epoch's.
        self.began(next).fetch_max(now.as_millis(), Relaxed);
        self.shared.epoch.compare_exchange(epoch, next, AcqRel, Relaxed).ok().map(|_| next)
    }

    /// How long ago the oldest epoch began that somebody is pinned in; `None` if nobody is.
    ///
    /// As fine as [`Epochs::try_advance`] is called often. At least eight epochs' length if it is
    /// older than those remembered.
    pub(crate) fn oldest_pin_age(&self, now: Timestamp) -> Option<Millis> {
        let pinned = self.used_slots().iter().map(|slot| slot.0.load(Relaxed));
        let oldest = pinned.filter(|&pinned| pinned != FREE).min()? >> 1;
        let remembered = self.shared.epoch.load(Acquire).saturating_sub(INSTANTS as u64 - 1);
        let began = self.began(oldest.max(remembered)).load(Relaxed);
        Some(now.since(Timestamp::from_millis(began)))
    }

    fn began(&self, epoch: u64) -> &AtomicU64 {
        &self.shared.began[epoch as usize % INSTANTS]
    }

    fn used_slots(&self) -> &[Slot] {
        &self.slots[..self.shared.used.load(Relaxed) as usize]
    }
}

impl Drop for Pin<'_> {
    #[inline]
    fn drop(&mut self) {
        self.slot.store(FREE, Release);
    }
}

const fn pinned_at(epoch: u64) -> u64 {
    epoch << 1 | 1
}

/// Of the exchange that sets a pin's slot: it acquires the former pin's release for the scan that
/// meets this pin instead.
const PIN_ORDER: std::sync::atomic::Ordering = AcqRel;

#[cold]
fn wait_for_a_slot() {
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(not(loom))]
    std::thread::yield_now();
}

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
