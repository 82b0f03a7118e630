//! Faults that can be planted in a model, to see it fail.
//!
//! A model that holds for the right code proves little unless it fails for the wrong one. Outside
//! loom tests [`mutated`] is `false` at compile time, and the wrong code is not there.

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mutant {
    /// An insert publishes its word without the commit in the header.
    InsertWithoutCommit,
    /// A slot is claimed by look and store.
    ClaimStores,
    /// An insert that fails keeps its claim.
    ClaimStays,
    /// The commit leaves the version as it is.
    VersionStands,
    /// A helper clears BUSY without looking at the header again.
    HelpWithoutRecheck,
    /// A slot is emptied while the header may still name it.
    RemoveUnsettled,
    /// A look takes claims for entries.
    FindCountsClaims,
    /// A replacing word is published without release.
    PublishRelaxed,
    /// A bucket is appended by look and store.
    AppendStores,
    /// A word is replaced by look and store.
    ReplaceStores,
    /// A word is replaced whether or not it has come to be watched.
    ReplaceIgnoresWatched,
    /// A pin is not ordered before the looks that follow.
    PinUnfenced,
    /// An advance is not ordered after the pins before it.
    AdvanceUnfenced,
    /// A stamp is not ordered after the unlinking.
    StampUnfenced,
    /// Epochs advance past pins.
    AdvancePastPins,
    /// One epoch of grace instead of two.
    GraceOfOne,
    /// The mark of used slots is raised after the pin.
    UsedRaisedLate,
    /// The tag of a stack's head stays as it is.
    TagStands,
    /// A node is pushed without release.
    PushRelaxed,
    /// A stack is taken by look and store.
    TakeStores,
    /// A cursor is moved by look and store.
    CursorStores,
    /// The budget is asked, and charged later.
    BudgetChecksFirst,
    /// A waiter is woken before its answer is there.
    WakeBeforeAnswer,
    /// An announcement is not ordered after what it announces.
    AnnounceUnfenced,
    /// A tick's look is not ordered after the promise that it takes back.
    GatherUnfenced,
    /// A waiter stands in line without a mark on the word: planted in the model.
    #[cfg(all(test, loom))]
    ParkUnmarked,
    /// The end of a reservation is noted by look and store.
    DueLoweredByLook,
    /// Segments are taken off their list once no cursor is open on those that were there before.
    SealedBeforeTaken,
    /// What was unlinked two epochs ago is on the list of what is unlinked now.
    LimboOfTwo,
    /// The lists of epochs before the first are those of epochs after it.
    LimboOfThree,
    /// A sealed segment is walked at once: planted in the model.
    #[cfg(all(test, loom))]
    WalkedAtOnce,
    /// What was unlinked is reused at once: planted in the model.
    #[cfg(all(test, loom))]
    ReusedAtOnce,
    /// A sweep scans before it takes the due end back: planted in the model.
    #[cfg(all(test, loom))]
    SweptBeforeSwap,
}

#[cfg(not(all(test, loom)))]
#[inline(always)]
pub(crate) const fn mutated(_: Mutant) -> bool {
    false
}

#[cfg(all(test, loom))]
pub(crate) use planted::{fails_for, mutated};

#[cfg(all(test, loom))]
mod planted {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::Mutant;

    thread_local! {
        /// A model runs all its threads on the thread of its test, so tests do not disturb
        /// each other.
        static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    pub(crate) fn mutated(mutant: Mutant) -> bool {
        PLANTED.get() == Some(mutant)
    }

    /// Runs `model` with a fault planted, and demands that it fails by saying `complaint`.
    pub(crate) fn fails_for(mutant: Mutant, complaint: &str, model: impl FnOnce()) {
        PLANTED.set(Some(mutant));
        let ended = catch_unwind(AssertUnwindSafe(model));
        PLANTED.set(None);
        let Err(payload) = ended else { panic!("{mutant:?}: no interleaving showed the fault") };
        let said = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("something that is no text");
        assert!(said.contains(complaint), "{mutant:?}: failed otherwise than by design: {said}");
    }
}
