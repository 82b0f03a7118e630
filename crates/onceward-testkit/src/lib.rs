//! What Onceward's own tests share: a clock that moves by hand.
//!
//! Depends on `onceward-core` only, so that every other crate may use it in its own tests.
#![forbid(unsafe_code)]

mod clock;

pub use clock::{ClockWouldGoBack, ManualClock};
