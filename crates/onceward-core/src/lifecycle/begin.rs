//! begin: may the caller run the work?

use super::{Decision, State, Transition, View};
use crate::fingerprint::Fingerprint;
use crate::outcome::{Acquired, BeginOutcome, Refusal, Replay};
use crate::request::{Begin, Checkpointed};
use crate::result::{Body, NotKept, StoredResult};
use crate::time::{Millis, Timestamp};
use crate::token::{AttemptId, Fence};

/// What begin comes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum BeginDecision {
    /// Apply and tell.
    Decided(Decision<BeginOutcome<()>>),
    /// The caller may own the identity, if the store has what it takes.
    Acquire(Grant),
}

/// Ownership that only lacks a fence, and room if the identity was absent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct Grant {
    /// Of the entry that was looked at, even of one whose retention has ended; 0 if there was none.
    version: u64,
    predecessor: Option<View>,
    request: Begin,
    now: Timestamp,
}

impl Grant {
    /// Whether it supersedes an owner. A takeover is never refused: it inherits the retention and
    /// what was set aside (S8).
    #[must_use]
    #[inline]
    pub const fn is_takeover(&self) -> bool {
        self.predecessor.is_some()
    }

    /// The entry to write, over the version that was looked at (0: over none), and the answer once
    /// it is written. Draw `fence` after looking at the entry, and anew for each try: it must be larger
    /// than any that the identity ever had.
    #[inline(always)]
    pub fn with_fence(self, fence: Fence) -> (View, BeginOutcome<()>) {
        let Self { version, predecessor, request, now } = self;
        debug_assert!(predecessor.is_none_or(|view| view.fence < fence), "invariant 3");
        let expires_at = match predecessor {
            Some(view) => view.expires_at,
            None => now.after(request.retention),
        };
        let lease_until = now.after(request.lease).min(expires_at);
        let state = State::Reserved { lease_until, policy: request.policy };
        let view = match predecessor {
            None => View {
                version,
                state,
                fence,
                attempt_id: request.attempt_id,
                attempt_number: 1,
                doubt_number: 0,
                fingerprint: request.fingerprint,
                acquired_at: now,
                expires_at,
                checkpoint_ordinal: 0,
                longest_lease: request.lease,
            },
            Some(view) => View {
                state,
                fence,
                attempt_id: request.attempt_id,
                attempt_number: view.attempt_number.saturating_add(1),
                doubt_number: 0,
                fingerprint: match view.fingerprint {
                    Fingerprint::Later => request.fingerprint,
                    bound @ (Fingerprint::None | Fingerprint::Digest(_)) => bound,
                },
                acquired_at: now,
                longest_lease: request.lease,
                ..view
            },
        };
        (view, acquired(&view, now))
    }

    /// The answer when the store has no room or the namespace no quota.
    pub const fn refuse(self, reason: Refusal, retry_after: Option<Millis>) -> BeginOutcome<()> {
        BeginOutcome::Refused { reason, retry_after }
    }
}

/// Decides whether the caller may run the work, and how the entry changes (S1).
///
/// `view` is what the store holds for the identity, `attempt_ended` whether it remembers the
/// request's attempt id as ended (S3). The request's limits and rights are checked already.
/// Replay and Acquired come without bytes; the store fills them in from the same version.
#[inline(always)]
pub fn begin(
    view: Option<&View>,
    request: &Begin,
    attempt_ended: bool,
    now: Timestamp,
) -> BeginDecision {
    let answer = |outcome| BeginDecision::Decided(Decision::keep(outcome));
    if attempt_ended {
        return answer(BeginOutcome::Gone);
    }
    let version = view.map_or(0, |view| view.version);
    let Some(view) = view.and_then(|view| view.at(now)) else {
        return BeginDecision::Acquire(Grant {
            version,
            predecessor: None,
            request: *request,
            now,
        });
    };
    let own = view.attempt_id == request.attempt_id;
    if let Some(outcome) = refused_by(view.fingerprint, request.fingerprint, own) {
        return answer(outcome);
    }
    match view.state {
        State::Completed { completed_at, not_kept } => {
            answer(replay(&CompletedView::of(&view, completed_at, not_kept), now))
        }
        State::Reserved { .. } | State::InDoubt { .. } if own => {
            let view = view.extended(request.lease, now);
            BeginDecision::Decided(Decision {
                transition: Transition::Put(view),
                outcome: acquired(&view, now),
            })
        }
        State::Reserved { lease_until, .. } if now < lease_until => {
            answer(BeginOutcome::InProgress {
                retry_after: now.until(lease_until),
                age: view.age(now),
                attempt_number: view.attempt_number,
            })
        }
        State::Reserved { .. } => {
            let predecessor = Some(view);
            BeginDecision::Acquire(Grant { version, predecessor, request: *request, now })
        }
        State::InDoubt { since, .. } => answer(BeginOutcome::InDoubt { since: now.since(since) }),
    }
}

/// The part of a completed entry's [`View`] that a begin is judged by: a store that can read it by
/// itself need not put the rest together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CompletedView {
    /// Of the acquisition that completed.
    pub attempt_id: AttemptId,
    /// Likewise.
    pub attempt_number: u32,
    /// What the identity is bound to.
    pub fingerprint: Fingerprint,
    /// When.
    pub completed_at: Timestamp,
    /// Why the body is not kept; `None` if it is (S12).
    pub not_kept: Option<NotKept>,
    /// End of retention: absent from here on (S7).
    pub expires_at: Timestamp,
}

impl CompletedView {
    #[inline(always)]
    const fn of(view: &View, completed_at: Timestamp, not_kept: Option<NotKept>) -> Self {
        Self {
            attempt_id: view.attempt_id,
            attempt_number: view.attempt_number,
            fingerprint: view.fingerprint,
            completed_at,
            not_kept,
            expires_at: view.expires_at,
        }
    }
}

/// [`begin`] of what is completed: the same answer, of which none changes anything. `None` from the
/// end of the retention on, when there is nothing to be told of this entry.
#[must_use]
#[inline(always)]
pub fn begin_completed(
    view: &CompletedView,
    request: &Begin,
    attempt_ended: bool,
    now: Timestamp,
) -> Option<BeginOutcome<()>> {
    if attempt_ended {
        return Some(BeginOutcome::Gone);
    }
    if now >= view.expires_at {
        return None; // Invariant 1.
    }
    let own = view.attempt_id == request.attempt_id;
    let refused = refused_by(view.fingerprint, request.fingerprint, own);
    Some(refused.unwrap_or_else(|| replay(view, now)))
}

/// Compares what is bound with what is asked, by the owner's own attempt or another's (S1, S9).
/// `None` if they match.
#[inline(always)]
fn refused_by(bound: Fingerprint, asked: Fingerprint, own: bool) -> Option<BeginOutcome<()>> {
    match (bound, asked) {
        (_, Fingerprint::Later) if own => None,
        (Fingerprint::Later, _) | (Fingerprint::None, Fingerprint::None) => None,
        (Fingerprint::Digest(bound), Fingerprint::Digest(asked)) if bound == asked => None,
        (Fingerprint::Digest(_), Fingerprint::Later) => Some(BeginOutcome::NeedFingerprint),
        (Fingerprint::Digest(_), Fingerprint::Digest(_) | Fingerprint::None)
        | (Fingerprint::None, Fingerprint::Digest(_) | Fingerprint::Later) => {
            Some(BeginOutcome::Mismatch)
        }
    }
}

#[inline(always)]
fn acquired(view: &View, now: Timestamp) -> BeginOutcome<()> {
    BeginOutcome::Acquired(Acquired {
        token: view.token(),
        attempt_number: view.attempt_number,
        checkpoint: (view.checkpoint_ordinal > 0)
            .then_some(Checkpointed { ordinal: view.checkpoint_ordinal, bytes: () }),
        lease_left: view.lease_left(now),
        retention_left: now.until(view.expires_at),
    })
}

#[inline(always)]
fn replay(view: &CompletedView, now: Timestamp) -> BeginOutcome<()> {
    BeginOutcome::Replay(Replay {
        result: stored(view.not_kept),
        age: now.since(view.completed_at),
        attempt_number: view.attempt_number,
        retention_left: now.until(view.expires_at),
    })
}

/// A stand-in for the stored result: its status and bytes are the store's to fill in.
#[inline(always)]
pub(super) const fn stored(not_kept: Option<NotKept>) -> StoredResult<()> {
    let body = match not_kept {
        Some(why) => Body::NotKept(why),
        None => Body::Kept(()),
    };
    StoredResult { status: 0, metadata: (), body }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::Digest;

    fn acquire(view: Option<&View>, attempt: u8, now: u64) -> View {
        let request = Begin {
            lease: Millis::new(100),
            retention: Millis::new(1_000),
            ..Begin::new(Fingerprint::None, AttemptId::from_bytes([attempt; 16]))
        };
        let decision = begin(view, &request, false, Timestamp::from_millis(now));
        let BeginDecision::Acquire(grant) = decision else { panic!("{decision:?} at {now}") };
        grant.with_fence(Fence::new(now + 1).unwrap()).0
    }

    #[test]
    fn an_acquisition_names_the_version_that_it_replaces() {
        let first = acquire(None, 1, 0);
        assert_eq!(first.version, 0, "there was no entry");
        let written = View { version: 7, ..first };
        assert_eq!(acquire(Some(&written), 2, 100).version, 7, "a takeover replaces its entry");
        let anew = acquire(Some(&written), 2, 1_000);
        assert_eq!(anew.version, 7, "so does a first acquisition after the retention (S7)");
        assert_eq!(anew.attempt_number, 1);
    }

    #[test]
    fn what_is_completed_is_judged_alike_by_a_part_of_its_view() {
        let digest = |byte| Fingerprint::Digest(Digest::new(&[byte; 16]).unwrap());
        let prints = [Fingerprint::None, Fingerprint::Later, digest(1), digest(2)];
        let completed_at = Timestamp::from_millis(40);
        for (bound, asked) in prints.iter().flat_map(|it| prints.map(|asked| (*it, asked))) {
            for (not_kept, attempt, ended, now) in [None, Some(NotKept::TooLarge)]
                .into_iter()
                .flat_map(|it| [1, 2].map(|attempt| (it, attempt)))
                .flat_map(|(it, attempt)| [false, true].map(|ended| (it, attempt, ended)))
                .flat_map(|(it, attempt, ended)| {
                    [40, 999, 1_000].map(|now| (it, attempt, ended, now))
                })
            {
                let state = State::Completed { completed_at, not_kept };
                let view = View { state, fingerprint: bound, ..acquire(None, 1, 0) };
                let part = CompletedView::of(&view, completed_at, not_kept);
                let attempt_id = AttemptId::from_bytes([attempt; 16]);
                let (request, now) = (Begin::new(asked, attempt_id), Timestamp::from_millis(now));
                let whole = begin(Some(&view), &request, ended, now);
                let same = match (whole, begin_completed(&part, &request, ended, now)) {
                    (BeginDecision::Decided(whole), Some(outcome)) => {
                        whole == Decision::keep(outcome)
                    }
                    (BeginDecision::Acquire(grant), None) => !grant.is_takeover(),
                    _ => false,
                };
                assert!(same, "{bound:?} {request:?} ended {ended} at {now:?}: {whole:?}");
            }
        }
    }
}
