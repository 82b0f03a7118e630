//! Workloads, driver and report for measuring Onceward.
//!
//! A benchmark here keeps to four rules: keys are many and new, in an order that no cache can
//! guess; a key's begin and its complete lie far apart; every answer is checked, so that a broken
//! store cannot be a fast one; and each figure is the median of several runs with its spread.
//!
//! Three paths are measured: the store in this process ([`in_process`]), executions over it
//! ([`executions`]), and a daemon over the wire ([`over_the_wire`]). Mains in `benches/` only choose sizes.
#![forbid(unsafe_code)]

pub mod engine;
pub mod executions;
pub mod in_process;
pub mod load;
pub mod over_the_wire;
mod report;
mod workload;

pub use report::{Figure, Measurement, Report};
pub use workload::Workload;
