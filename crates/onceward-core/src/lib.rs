//! The words of Onceward and the life of one identity, as pure functions.
//!
//! Everything else in the workspace is built on this crate: the store applies its decisions, the
//! protocol carries its words, the client and the command line speak them. It has no clock, no
//! I/O, no lock, no dependency and no `unsafe`; the rules it implements are S1–S12, S19, S20 and
//! S23 of `docs/semantics.md`.
//!
//! ```
//! use onceward_core::{lifecycle, AttemptId, Begin, Fence, Fingerprint, Timestamp};
//!
//! let request = Begin::new(Fingerprint::None, AttemptId::from_bytes([7; 16]));
//! let decision = lifecycle::begin(None, &request, false, Timestamp::from_millis(0));
//! let lifecycle::BeginDecision::Acquire(grant) = decision else { panic!("absent: acquired") };
//! let (view, outcome) = grant.with_fence(Fence::new(1).unwrap());
//! assert_eq!(outcome.name(), "acquired");
//! assert_eq!(view.attempt_number, 1);
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod backend;
mod error;
mod fingerprint;
mod hex;
mod identity;
pub mod lifecycle;
pub mod limits;
mod metadata;
mod operator;
mod outcome;
mod request;
mod result;
mod time;
mod token;

pub use backend::Backend;
pub use error::{BackendError, BadInput};
pub use fingerprint::{Digest, Fingerprint};
pub use identity::{Identity, IdentityBuf, Namespace, NamespaceBuf, ScopedKey, ScopedKeyBuf};
pub use limits::Limits;
pub use metadata::{Metadata, MetadataBuf, MetadataPairs};
pub use operator::{ListEntry, ListPage, ListQuery, PageCursor, Stats, StatsRow};
pub use outcome::{
    AbandonOutcome, Acquired, BeginOutcome, CheckpointOutcome, CompleteOutcome, Completed,
    ForgetOutcome, GetOutcome, Refusal, RenewOutcome, Replay, ResolveOutcome, StateName,
};
pub use request::{
    Abandon, Begin, Certainty, Checkpointed, Complete, Forget, Get, Policy, Renew, Resolve,
    SaveCheckpoint, Verdict,
};
pub use result::{Body, NotKept, ResultRef, StoredResult};
pub use time::{Clock, Millis, Position, Timestamp};
pub use token::{AttemptId, Fence, Token, TokenParseError};
