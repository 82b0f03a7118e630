//! The engine in this process: what one operation costs, on Onceward and on other systems.
//!
//! A [`System`] is measured by [`phases::measure`]; [`OwnStore`] is ours, other systems live in
//! the crate of rivals, so that their dependencies end there. What only a store of our kind has
//! to show is measured by [`storm`], [`collide`], [`churn`], [`full`] and [`waiters`].

pub mod churn;
pub mod collide;
pub mod cores;
pub mod figures;
mod findings;
pub mod full;
mod own;
pub mod phases;
pub mod process;
mod steered;
pub mod storm;
mod system;
mod values;
pub mod waiters;

pub use findings::Findings;
pub use own::{OwnSettings, OwnStore, with_max_entries};
pub use steered::SteeredClock;
pub use system::{BATCH, Expiry, Fault, Request, System};
pub use values::Values;
