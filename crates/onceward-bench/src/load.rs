//! The load harness: one generator for every target, and what it found as one [`record`]
//! with its [`report`].
//!
//! ```text
//! run ── phases: setup, warm-up, measured, verify
//!  └── driver ── a readiness loop on each thread
//!        ├── desk ── script (which job), pace (when), values, tally
//!        └── connection ── socket, slots, and the target's dialect
//! ```
//! A target is a [`Dialect`]: bytes of requests and the meaning of replies, without I/O. What the
//! generator does besides is the same for all of them.

mod connection;
mod crowd;
mod desk;
mod dialect;
mod distribution;
mod driver;
mod embedded;
mod find_max;
mod machine;
mod onceward;
mod pace;
pub mod record;
pub mod report;
mod run;
mod script;
mod server_process;
mod socket;
mod tally;

pub use dialect::{
    Answer, Ask, Decoded, Dialect, FINGERPRINT_BYTES, Grant, KEY_BYTES, Known, Terms,
};
pub use distribution::Distribution;
pub use embedded::run_embedded;
pub use find_max::{Goal, Search};
pub use onceward::OncewardDialect;
pub use pace::{Arrivals, Bound, Pace};
pub use run::{LAG_P99_MAX, Plan, SENT_MIN, run};
pub use script::{Mix, Setup};
pub use server_process::{ServerProcess, Usage};
pub use socket::{Address, Socket};
