//! What Onceward's own tests share: a clock that moves by hand, the rules as a naive model,
//! random operations by several callers, and ways to hold a store to the model.
//!
//! Depends on `onceward-core` only, so that every other crate may use it in its own tests.
#![forbid(unsafe_code)]

mod clock;
mod fences;
mod model;
mod operation;

pub use clock::{ClockWouldGoBack, ManualClock};
pub use fences::{Difference, FenceMap};
pub use model::{Glimpse, Model};
pub use operation::{Finding, Operation, Outcome, Request, Step};
