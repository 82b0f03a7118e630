//! Onceward beside other systems that do the nearest thing: the engine in one process, and daemons
//! as [`servers`].
//!
//! A crate of its own, because heavy dependencies end here: nothing else in the workspace builds
//! what the rivals need. Workloads and our own measures are in `onceward_bench::engine`; here are
//! the [`rivals`], the machine's [`floors`], the order of processes ([`comparison`]), and what
//! becomes of figures: [`bars`], [`table`], [`plot`]. The generator for servers is
//! `onceward_bench::load`.
#![forbid(unsafe_code)]

mod ballast;
pub mod bars;
pub mod client_cost;
mod command;
pub mod comparison;
pub mod floors;
mod measures;
pub mod plot;
pub mod rivals;
pub mod servers;
mod smoke;
pub mod table;
pub mod task;

pub use command::main;
