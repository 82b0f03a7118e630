//! The store from outside: every promise of its public API, alone, beside the naive model, and
//! under threads. `ONCEWARD_SEED=N` replays one seeded run.

mod bell;
mod budget;
mod logging;
mod scene;
mod ticking;
mod waiting;
