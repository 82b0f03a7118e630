//! The store from outside: every promise of its public API, alone, beside the naive model, and
//! under threads. `ONCEWARD_SEED=N` replays one seeded run.

mod batch;
mod bell;
mod budget;
mod embedded;
mod journaled;
mod line;
mod listing;
mod log;
mod property;
mod put;
mod retentions;
mod scene;
mod sinks;
mod spelling;
mod threads;
mod ticking;
mod waiting;
