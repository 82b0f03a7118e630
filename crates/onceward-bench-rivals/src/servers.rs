//! Servers beside each other: each found, started on loopback with stated settings, asked the same
//! questions by one generator, and stopped.
//!
//! ```text
//! command ── rounds ── for each load, for each run, for each target in turn:
//!   process (program, settings, launch) ── a fresh server on its cores
//!   target (dialects) ── onceward_bench::load::run ── a Run
//! ```

pub mod bars;
mod command;
pub mod dialects;
pub mod durability;
mod durable_bars;
pub mod echo;
pub mod figures;
pub mod gate;
pub mod launch;
pub mod mode;
pub mod output;
pub mod process;
pub mod program;
pub mod recovery;
pub mod rounds;
pub mod settings;
pub mod target;
pub mod verdict;

pub use command::main;
