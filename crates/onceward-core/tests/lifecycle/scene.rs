//! What lies in the store, and how the rules see it at the instants that matter.

use onceward_core::lifecycle::{Entered, State, View};
use onceward_core::{AttemptId, Digest, Fence, Fingerprint, Millis, NotKept, Policy, Timestamp};

/// The attempt that owns the acquisition, the one before it, and one that never owned any.
pub(crate) const OWN: AttemptId = AttemptId::from_bytes([1; 16]);
pub(crate) const OLD: AttemptId = AttemptId::from_bytes([2; 16]);
pub(crate) const OTHER: AttemptId = AttemptId::from_bytes([3; 16]);

/// The acquisition's fence. Its predecessor had 39.
pub(crate) const FENCE: u64 = 40;
pub(crate) const ATTEMPT_NUMBER: u32 = 3;
/// Doubts so far, when the entry was written.
pub(crate) const DOUBTS: u32 = 2;
pub(crate) const ORDINAL: u32 = 5;
pub(crate) const VERSION: u64 = 17;
/// Between the leases that are asked for.
pub(crate) const LONGEST_LEASE: Millis = ms(400);

pub(crate) const ACQUIRED_AT: u64 = 1_000;
/// When the owner completed or abandoned, or an earlier lease ended, in scenes where it did.
pub(crate) const ENDED_AT: u64 = 1_500;
pub(crate) const LEASE_END: u64 = 2_000;
pub(crate) const RETENTION_END: u64 = 10_000;

/// Before, at and after each deadline.
pub(crate) const INSTANTS: [u64; 6] = [1_999, 2_000, 2_001, 9_999, 10_000, 10_001];

/// What lies in the store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Written {
    Nothing,
    /// Reserved until [`LEASE_END`], policy takeover.
    ReservedTakeover,
    /// Reserved until [`LEASE_END`], policy in-doubt.
    ReservedInDoubt,
    /// In doubt since [`ENDED_AT`], for the lease ended then.
    InDoubtByLapse,
    /// In doubt since [`ENDED_AT`], for the owner abandoned then.
    InDoubtByAbandonment,
    /// Completed at [`ENDED_AT`], the body kept.
    Kept,
    /// Completed at [`ENDED_AT`], the body too large.
    NotKept,
}

impl Written {
    pub(crate) const ALL: [Self; 7] = [
        Self::Nothing,
        Self::ReservedTakeover,
        Self::ReservedInDoubt,
        Self::InDoubtByLapse,
        Self::InDoubtByAbandonment,
        Self::Kept,
        Self::NotKept,
    ];
}

/// How the rules see it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    Absent,
    /// The lease runs.
    Leased(Policy),
    /// The lease has ended under policy takeover.
    Lapsed,
    InDoubt {
        since: u64,
        entered: Entered,
        /// The number a resolver names.
        number: u32,
    },
    Done(Option<NotKept>),
}

/// What it is bound to, or what is asked: A is what the owner was asked first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Print {
    A,
    B,
    None,
    Later,
}

impl Print {
    /// What an entry can be bound to; B is for those who ask something else.
    pub(crate) const BOUND: [Self; 3] = [Self::A, Self::None, Self::Later];
    pub(crate) const ASKED: [Self; 4] = [Self::A, Self::B, Self::None, Self::Later];
    /// What complete, renew and resolve may name; `None` here is to name nothing.
    pub(crate) const NAMED: [Self; 3] = [Self::A, Self::B, Self::None];

    pub(crate) fn fingerprint(self) -> Fingerprint {
        match (self.named(), self) {
            (Some(digest), _) => Fingerprint::Digest(digest),
            (None, Self::Later) => Fingerprint::Later,
            (None, Self::A | Self::B | Self::None) => Fingerprint::None,
        }
    }

    pub(crate) fn named(self) -> Option<Digest> {
        let byte = match self {
            Self::A => 0xaa,
            Self::B => 0xbb,
            Self::None | Self::Later => return None,
        };
        Some(Digest::new(&[byte; 32]).expect("32 bytes"))
    }
}

/// One state at one instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    pub(crate) written: Written,
    pub(crate) bound: Print,
    pub(crate) now_ms: u64,
}

/// Every state × bound fingerprint × instant.
pub(crate) fn scenes() -> impl Iterator<Item = Scene> {
    Written::ALL.into_iter().flat_map(|written| {
        Print::BOUND.into_iter().flat_map(move |bound| {
            INSTANTS.into_iter().map(move |now_ms| Scene { written, bound, now_ms })
        })
    })
}

/// How many [`scenes`] there are.
pub(crate) const SCENES: usize = 7 * 3 * 6;

impl Scene {
    pub(crate) fn now(&self) -> Timestamp {
        at(self.now_ms)
    }

    /// The entry as it lies in the store.
    pub(crate) fn view(&self) -> Option<View> {
        let reserved = |policy| State::Reserved { lease_until: at(LEASE_END), policy };
        let in_doubt = |entered| State::InDoubt { since: at(ENDED_AT), entered };
        let completed = |not_kept| State::Completed { completed_at: at(ENDED_AT), not_kept };
        let state = match self.written {
            Written::Nothing => return None,
            Written::ReservedTakeover => reserved(Policy::Takeover),
            Written::ReservedInDoubt => reserved(Policy::InDoubt),
            Written::InDoubtByLapse => in_doubt(Entered::ByLapse),
            Written::InDoubtByAbandonment => in_doubt(Entered::ByAbandonment),
            Written::Kept => completed(None),
            Written::NotKept => completed(Some(NotKept::TooLarge)),
        };
        Some(View {
            version: VERSION,
            state,
            fence: fence(FENCE),
            attempt_id: OWN,
            attempt_number: ATTEMPT_NUMBER,
            doubt_number: DOUBTS,
            fingerprint: self.bound.fingerprint(),
            acquired_at: at(ACQUIRED_AT),
            expires_at: at(RETENTION_END),
            checkpoint_ordinal: match self.written {
                Written::Kept | Written::NotKept => 0, // S19: it ends with complete.
                _ => ORDINAL,
            },
            longest_lease: LONGEST_LEASE,
        })
    }

    /// The table of S6, S7 and S8, written out.
    pub(crate) fn standing(&self) -> Standing {
        let lapsed_again =
            Standing::InDoubt { since: 2_000, entered: Entered::ByLapse, number: DOUBTS + 1 };
        let doubted = |entered| Standing::InDoubt { since: 1_500, entered, number: DOUBTS };
        #[rustfmt::skip]
        let standing = match (self.written, self.now_ms) {
            (Written::Nothing, _) => Standing::Absent,
            (_, 10_000 | 10_001) => Standing::Absent, // S7: from its end on.
            (Written::ReservedTakeover, 1_999) => Standing::Leased(Policy::Takeover),
            (Written::ReservedTakeover, _) => Standing::Lapsed, // S6: at its own instant.
            (Written::ReservedInDoubt, 1_999) => Standing::Leased(Policy::InDoubt),
            (Written::ReservedInDoubt, _) => lapsed_again, // S8
            (Written::InDoubtByLapse, _) => doubted(Entered::ByLapse),
            (Written::InDoubtByAbandonment, _) => doubted(Entered::ByAbandonment),
            (Written::Kept, _) => Standing::Done(None),
            (Written::NotKept, _) => Standing::Done(Some(NotKept::TooLarge)),
        };
        standing
    }

    /// The entry as it stands: what is due is done.
    pub(crate) fn as_it_stands(&self) -> View {
        let view = self.view().expect("not absent");
        match self.standing() {
            Standing::InDoubt { since, entered, number } => View {
                state: State::InDoubt { since: at(since), entered },
                doubt_number: number,
                ..view
            },
            Standing::Absent | Standing::Leased(_) | Standing::Lapsed | Standing::Done(_) => view,
        }
    }

    /// The entry owned again until `until_ms`: after a renew or the owner's repeated begin.
    pub(crate) fn owned_until(&self, until_ms: u64, lease: Millis) -> View {
        let (policy, doubt_number) = match self.standing() {
            Standing::Leased(policy) => (policy, DOUBTS),
            Standing::Lapsed => (Policy::Takeover, DOUBTS + 1), // The lapse was a doubt.
            Standing::InDoubt { number, .. } => (Policy::InDoubt, number),
            Standing::Absent | Standing::Done(_) => panic!("{self:?} cannot be owned again"),
        };
        let state = State::Reserved { lease_until: at(until_ms), policy };
        let view = self.view().expect("not absent");
        View { state, doubt_number, longest_lease: LONGEST_LEASE.max(lease), ..view }
    }

    /// The entry completed now, with `named` bound if nothing was.
    pub(crate) fn completed(&self, named: Print, not_kept: Option<NotKept>) -> View {
        let bound = if self.bound == Print::Later { named } else { self.bound };
        View {
            state: State::Completed { completed_at: self.now(), not_kept },
            fingerprint: bound.fingerprint(),
            checkpoint_ordinal: 0,
            longest_lease: Millis::ZERO,
            ..self.view().expect("not absent")
        }
    }
}

/// Nobody asks a completed identity for its doubt number, so any will do.
pub(crate) fn doubts_aside(view: View) -> View {
    View { doubt_number: 0, ..view }
}

/// What S9 says of a fingerprint named with a token or a verdict.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Naming {
    Fits,
    /// Another fingerprint is bound.
    Mismatch,
    /// `later`, still unbound.
    Unbound,
}

/// bound × named, written out.
pub(crate) fn naming(bound: Print, named: Print) -> Naming {
    match (bound, named) {
        (Print::A, Print::A | Print::None) => Naming::Fits,
        (Print::A, _) => Naming::Mismatch,
        (Print::None, Print::None) => Naming::Fits,
        (Print::None, _) => Naming::Mismatch, // `none` is bound as well.
        (Print::Later, Print::A | Print::B) => Naming::Fits, // Bound by this.
        (Print::Later, _) => Naming::Unbound,
        (Print::B, _) => panic!("no scene is bound to B"),
    }
}

pub(crate) const fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) const fn ms(millis: u64) -> Millis {
    Millis::new(millis)
}

pub(crate) fn fence(number: u64) -> Fence {
    Fence::new(number).expect("not 0 and below 2^63")
}
