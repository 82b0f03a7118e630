//! Drives the daemon's binary through crashes and faults under load, and judges its answers with
//! an oracle that knows nothing but them.
//!
//! The binary `onceward-rig` does named runs; `docs/testing.md` says which promise each one tests.
#![forbid(unsafe_code)]

pub mod call;
pub mod daemon;
pub mod image;
pub mod injection;
pub mod interrupt;
pub mod lane;
pub mod load;
pub mod moment;
pub mod oracle;
mod outcomes;
pub mod planted;
pub mod run;
pub mod simulation;
