//! One acquisition while its work runs, for whoever runs work over a
//! [`Backend`](onceward_core::Backend): the client's executions and the tower layer alike.
//!
//! ```text
//!   Claim ── what this process knows of its own ownership, and the token's operations
//!     │ kept by                      │ ended by
//!   Keeper ── renews the lease       store ── completes until there is an answer
//! ```
//! Nothing here begins, runs work, or decides what its end means: that is the caller's.
//!
//! Tasks and timers are tokio's; there is no I/O here.

mod backoff;
mod claim;
mod keeper;
mod ownership;
mod span;
mod storing;

pub use backoff::Backoff;
pub use claim::{Claim, LateDigest, Watch, surely_not_done};
pub use keeper::Keeper;
pub use ownership::{Lost, Ownership};
pub use span::after;
pub use storing::{NotStored, store};
