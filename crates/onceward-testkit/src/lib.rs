//! What Onceward's own tests share: a clock that moves by hand, the rules as a naive model,
//! random operations by several callers, and [`run`], which holds a store to the model.
//!
//! Depends on `onceward-core` only, so that every other crate may use it in its own tests.
#![forbid(unsafe_code)]

mod clock;
mod fences;
mod generator;
mod history;
mod model;
mod operation;
mod random;
mod run;
mod trace;
mod watch;

pub use clock::{ClockWouldGoBack, ManualClock};
pub use fences::{Difference, FenceMap};
pub use generator::Generator;
pub use history::{Checker, Event, Happened, Impossible};
pub use model::{Glimpse, Model};
pub use operation::{Finding, Operation, Outcome, Request, Step};
pub use random::{SplitMix64, seeds};
pub use run::{Coverage, Failure, Plan, Subject, Why, run};
pub use watch::{BrokenPromise, Watch};
