//! Concurrent calls of one identity through one client, and its clones, share one flight: one of
//! them, the leader, asks the store and runs the work, the others follow and send nothing.
//!
//! ```text
//!              enter                 acquired               the answer is known
//!   (no flight) ──▶ ASKING ─────────────▶ RUNNING ─────────────▶ ENDED: all followers answered
//!                    │ ▲ └──── another answer ─────────────────▶
//!                    ▼ │ the next follower leads     │
//!                   VACANT ◀─────────────────────────┘ the leader left nothing to share
//! ```
//!
//! # Why a shared answer is right
//! - A follower's payload is the leader's: fingerprints are equal, and neither is `later`, which
//!   says nothing of the payload and never shares a flight (S9). Keys are compared in full; a table
//!   belongs to one store and one namespace.
//! - A flight that has ended is out of the table before its answer is known to anybody, so whoever
//!   comes after an answer asks anew. The store may have decided the answer up to one reply's
//!   journey before the follower came; of what can follow a decision, only an operator's `resolve`
//!   or `forget` within that journey makes a difference.
//! - Ages, and what is left of retention, go on from the instant of the leader's answer. A result
//!   whose retention has ended since is not shared (S7); nor is one of which the store keeps less
//!   than the leader has (S12): the next to lead gets what the store replays, and shares that.
//! - What rests on a caller's own settings, which clones of an execution may change, is shared among
//!   equal settings only: Refused and bad input.
//! - Another payload is a Mismatch by S1 in every state, so it may be answered here once, and as
//!   long as, the identity is known to be bound: while the leader's lease runs by its own count,
//!   which ends no later than the store's (S6), as a live lease shuts out abandon by others,
//!   resolve and forget, and until the leader itself gives the identity back; and out of a result
//!   that the leader just got. Else the caller asks the store itself.
//!
//! # Why nobody hangs, and no herd forms
//! - The right to lead is one permit. A leader that ends with nothing to share, is dropped, panics
//!   or loses ownership gives it back, and exactly one follower, first come first, gets it. What
//!   the leader still owes the store (see `unfinished.rs`) is done before.
//! - Waiting for an owner elsewhere is bounded by each call's own `wait`: whoever would wait for
//!   less time than the leader is going to leaves in time and asks the store itself.
//! - Within running work no call follows, or two pieces of work that call each other's keys would
//!   wait for each other for ever. What hides from that, in a task of its own, waits for as long as
//!   the work does, and says so in the log.
//! - Flights are as many as keys being called, and counted in and out under their shard's lock, so
//!   the table is empty when nobody calls. No lock is held across an await.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use onceward_claim::{Claim, Ownership, Watch, after};
use onceward_core::{Backend, Fingerprint, Millis, Policy, ScopedKeyBuf};
use onceward_keys::ShortHash;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::error::ClientError;
use crate::outcome::{Done, Executed};

/// By how much a leader's wait may end after a follower's own: calls with equal settings, made at
/// the same time, are in one flight whichever came first.
const WAIT_SLACK: Duration = Duration::from_millis(10);

/// A follower that has waited so long says so in the log, once: it may be one whose leader waits
/// for it, and neither would ever end.
const LONG_FOLLOWING: Duration = Duration::from_secs(60);

tokio::task_local! {
    /// Set while the work of some execution is polled.
    pub(crate) static WITHIN_WORK: ();
}

/// The flights of one store and namespace.
#[derive(Default)]
pub(crate) struct Flights {
    /// Counts in `Flight::members` change under the lock of the shard only.
    table: DashMap<ScopedKeyBuf, Arc<Flight>>,
}

struct Flight {
    key: ScopedKeyBuf,
    /// Never `Later`.
    fingerprint: Fingerprint,
    stage: watch::Sender<Stage>,
    /// At most one permit: the right to lead while the flight is vacant.
    turns: Semaphore,
    /// Leader and followers.
    members: AtomicUsize,
}

enum Stage {
    Asking {
        wait_until: Instant,
    },
    Running(watch::Receiver<Ownership>),
    /// The leader is giving the identity back: bound or absent, until the store's answer is here.
    GivingBack,
    Vacant,
    Ended(Answer),
}

/// What a caller asks of the store besides key and fingerprint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Terms {
    pub(crate) lease: Millis,
    pub(crate) retention: Millis,
    pub(crate) policy: Policy,
    pub(crate) result_hint: Option<usize>,
    pub(crate) checkpoint_hint: usize,
}

/// Where a call stands.
pub(crate) enum Place {
    /// It asks the store, waiting until then, and others may follow.
    Lead(Arc<Lead>, Instant),
    /// It asks the store, waiting until then, for itself alone.
    Alone(Instant),
    /// Another call's answer is its own.
    Answered(Result<Executed, ClientError>),
}

/// What a leader got, for others.
struct Answer {
    got: Result<Executed, ClientError>,
    at: Instant,
    /// When the result is forgotten, if it is one.
    expires_at: Instant,
    terms: Terms,
}

impl Flights {
    /// Leads, follows to the end, or stands alone.
    pub(crate) async fn place(
        self: &Arc<Self>,
        key: &ScopedKeyBuf,
        fingerprint: Fingerprint,
        terms: Terms,
        wait: Millis,
    ) -> Place {
        // Counted from the first entry on, whatever becomes of it.
        let mut wait_until = None;
        loop {
            let entered = self.enter(key, fingerprint, terms, || {
                *wait_until.get_or_insert_with(|| after(Instant::now(), wait))
            });
            let until = wait_until.unwrap_or_else(|| after(Instant::now(), wait));
            let followed = match entered {
                Entered::Leads(turn) => return Place::Lead(Lead::new(turn), until),
                // A permit to lead may never come while the work that waits for it holds another.
                _ if WITHIN_WORK.try_with(|()| ()).is_ok() => return Place::Alone(until),
                Entered::Follows(member) => follow(member, terms, until).await,
                Entered::Differs(flight) => differ(&flight, until).await,
            };
            match followed {
                Followed::Leads(turn) => return Place::Lead(Lead::new(turn), until),
                Followed::Answered(answer) => return Place::Answered(answer),
                Followed::Aside => return Place::Alone(until),
                Followed::Again => {}
            }
        }
    }

    /// The order of entries is the order of `wait_until`, which is called under the lock.
    fn enter(
        self: &Arc<Self>,
        key: &ScopedKeyBuf,
        fingerprint: Fingerprint,
        terms: Terms,
        wait_until: impl FnOnce() -> Instant,
    ) -> Entered {
        match self.table.entry(key.clone()) {
            Entry::Vacant(vacant) => {
                let flight = Arc::new(Flight {
                    key: key.clone(),
                    fingerprint,
                    stage: watch::Sender::new(Stage::Asking { wait_until: wait_until() }),
                    turns: Semaphore::new(0),
                    members: AtomicUsize::new(1),
                });
                vacant.insert(Arc::clone(&flight));
                Entered::Leads(Turn::first(Member { flights: Arc::clone(self), flight }, terms))
            }
            Entry::Occupied(occupied) => {
                wait_until();
                let flight = Arc::clone(occupied.get());
                if flight.fingerprint != fingerprint {
                    return Entered::Differs(flight);
                }
                flight.members.fetch_add(1, Ordering::Relaxed);
                drop(occupied);
                Entered::Follows(Member { flights: Arc::clone(self), flight })
            }
        }
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

enum Entered {
    Leads(Turn),
    Follows(Member),
    /// Another payload.
    Differs(Arc<Flight>),
}

enum Followed {
    Leads(Turn),
    Answered(Result<Executed, ClientError>),
    /// Ask the store alone.
    Aside,
    /// The flight has ended without an answer for this caller.
    Again,
}

/// One caller's place in a flight.
struct Member {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.flights.table.remove_if(&self.flight.key, |_, flight| {
            Arc::ptr_eq(flight, &self.flight) && flight.members.fetch_sub(1, Ordering::Relaxed) == 1
        });
    }
}

/// The right to lead a flight, one at a time. Dropping it hands it on.
struct Turn {
    member: Member,
    terms: Terms,
    ended: bool,
}

impl Turn {
    const fn first(member: Member, terms: Terms) -> Self {
        Self { member, terms, ended: false }
    }

    /// For the holder of the permit.
    fn next(member: Member, terms: Terms, wait_until: Instant) -> Self {
        member.flight.stage.send_replace(Stage::Asking { wait_until });
        Self::first(member, terms)
    }

    fn end(mut self, answer: Answer) {
        let Member { flights, flight } = &self.member;
        flights.table.remove_if(&flight.key, |_, current| Arc::ptr_eq(current, flight));
        flight.stage.send_replace(Stage::Ended(answer));
        self.ended = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.ended {
            let flight = &self.member.flight;
            flight.stage.send_replace(Stage::Vacant);
            flight.turns.add_permits(1);
        }
    }
}

/// A turn while its execution lasts, background work that it owes included. Shared with the claim,
/// which hands the turn on as soon as ownership is lost.
pub(crate) struct Lead(Mutex<Option<Turn>>);

/// Hears what becomes of the claim that a lead is for.
struct WatchedLead(Weak<Lead>);

impl Watch for WatchedLead {
    fn lost(&self) {
        if let Some(lead) = self.0.upgrade() {
            lead.hand_over();
        }
    }

    fn gives_back(&self) {
        if let Some(lead) = self.0.upgrade() {
            lead.gives_back();
        }
    }
}

impl Lead {
    fn new(turn: Turn) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(turn))))
    }

    fn take(&self) -> Option<Turn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The work of `claim` is about to run, and this has followers. Before that a lost claim hands
    /// nothing on: its leader begins anew.
    pub(crate) fn watches<B: Backend<Bytes = Bytes>>(self: &Arc<Self>, claim: &Claim<B>) {
        claim.watch(Box::new(WatchedLead(Arc::downgrade(self))));
    }

    /// The work runs: the identity is bound to this flight's fingerprint while that lasts.
    pub(crate) fn runs(&self, ownership: watch::Receiver<Ownership>) {
        let turn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = &*turn {
            turn.member.flight.stage.send_replace(Stage::Running(ownership));
        }
    }

    /// The owner is about to abandon as not done: from then on nothing is proved of the identity.
    pub(crate) fn gives_back(&self) {
        let turn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = &*turn {
            turn.member.flight.stage.send_replace(Stage::GivingBack);
        }
    }

    /// Another may lead.
    pub(crate) fn hand_over(&self) {
        drop(self.take());
    }

    /// The store gave an answer that is no acquisition, or none.
    pub(crate) fn answered(&self, got: Result<&Executed, &ClientError>) {
        let at = Instant::now();
        let left = got.ok().and_then(Executed::done).map(|done| done.retention_left);
        let expires_at = left.map_or(at, |left| after(at, left));
        self.end(got.cloned().map_err(Clone::clone), at, expires_at);
    }

    /// The work ran, and its result is stored. `expires_at` is when the store forgets it.
    pub(crate) fn ran(&self, done: &Done, expires_at: Instant) {
        if done.not_kept.is_some() {
            self.hand_over();
        } else {
            let done = Done { replayed: true, ..done.clone() };
            self.end(Ok(Executed::Replayed(done)), Instant::now(), expires_at);
        }
    }

    fn end(&self, got: Result<Executed, ClientError>, at: Instant, expires_at: Instant) {
        if let Some(turn) = self.take() {
            let terms = turn.terms;
            turn.end(Answer { got, at, expires_at, terms });
        }
    }
}

/// Follows a flight of the same payload.
async fn follow(member: Member, terms: Terms, wait_until: Instant) -> Followed {
    let flight = Arc::clone(&member.flight);
    let mut stage = flight.stage.subscribe();
    let mut turn = pin!(flight.turns.acquire());
    let mut long = pin!(sleep(LONG_FOLLOWING));
    loop {
        let leaves = match &*stage.borrow_and_update() {
            Stage::Asking { wait_until: leaders } => *leaders > wait_until + WAIT_SLACK,
            Stage::Running(_) | Stage::GivingBack | Stage::Vacant => false,
            Stage::Ended(answer) => {
                let shared = answer.shared(terms, wait_until, Instant::now());
                return shared.map_or(Followed::Again, Followed::Answered);
            }
        };
        tokio::select! {
            biased;
            permit = &mut turn => {
                permit.expect("nobody closes it").forget();
                return Followed::Leads(Turn::next(member, terms, wait_until));
            }
            changed = stage.changed() => changed.expect("the flight holds the sender"),
            () = async { sleep_until(wait_until).await }, if leaves => return Followed::Aside,
            () = &mut long, if !long.is_elapsed() => tracing::warn!(
                key = %ShortHash(flight.key.as_ref()),
                waited_s = LONG_FOLLOWING.as_secs(),
                "still following a call of the same key in this process: if its work waits for \
                 this call, or its future is not polled, neither ends"
            ),
        }
    }
}

/// Looks at a flight of another payload until it proves what the identity is bound to, or cannot.
async fn differ(flight: &Flight, wait_until: Instant) -> Followed {
    let mut stage = flight.stage.subscribe();
    loop {
        let bound = match &*stage.borrow_and_update() {
            Stage::Asking { wait_until: leaders } if *leaders <= wait_until + WAIT_SLACK => None,
            Stage::Asking { .. } | Stage::Vacant => Some(false),
            Stage::GivingBack => None,
            Stage::Running(ownership) => Some(ownership.borrow().holds(Instant::now())),
            Stage::Ended(Answer { got: Ok(Executed::Replayed(_)), expires_at, .. }) => {
                Some(Instant::now() < *expires_at)
            }
            Stage::Ended(_) => Some(false),
        };
        match bound {
            Some(true) => return Followed::Answered(Ok(Executed::Mismatch)),
            Some(false) => return Followed::Aside,
            None => stage.changed().await.expect("the flight holds the sender"),
        }
    }
}

impl Answer {
    /// The answer as it is true of a follower at `now`; `None` if it has to ask for its own.
    fn shared(
        &self,
        terms: Terms,
        wait_until: Instant,
        now: Instant,
    ) -> Option<Result<Executed, ClientError>> {
        let since = whole_ms(now.saturating_duration_since(self.at));
        let aged = |length: Millis| Millis::new(length.get().saturating_add(since.get()));
        let left = |length: Millis| Millis::new(length.get().saturating_sub(since.get()));
        let same_terms = terms == self.terms;
        let executed = match &self.got {
            Err(ClientError::BadInput { .. }) if !same_terms => return None,
            Err(error) => return Some(Err(error.clone())),
            Ok(executed) => executed,
        };
        Some(Ok(match executed {
            Executed::Ran(_) => return None, // Is offered as replayed.
            Executed::Replayed(done) => {
                let retention_left = whole_ms(self.expires_at.saturating_duration_since(now));
                if retention_left == Millis::ZERO {
                    return None;
                }
                Executed::Replayed(Done { age: aged(done.age), retention_left, ..done.clone() })
            }
            Executed::InProgress { .. } if wait_until > now + WAIT_SLACK => return None,
            Executed::InProgress { retry_after, age, attempt_number } => Executed::InProgress {
                retry_after: left(*retry_after),
                age: aged(*age),
                attempt_number: *attempt_number,
            },
            Executed::Refused { .. } if !same_terms => return None,
            Executed::Refused { reason, retry_after } => {
                Executed::Refused { reason: *reason, retry_after: retry_after.map(left) }
            }
            Executed::InDoubt { since } => Executed::InDoubt { since: aged(*since) },
            Executed::Expired { since } => Executed::Expired { since: aged(*since) },
            Executed::Mismatch => Executed::Mismatch,
            Executed::NeedFingerprint => Executed::NeedFingerprint,
        }))
    }
}

/// Rounded down: an age, and what is left, are never said to be longer than they are.
fn whole_ms(length: Duration) -> Millis {
    Millis::new(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))
}
#[cfg(test)]
mod tests;
