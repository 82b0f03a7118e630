//! What many threads saw of the store at once must be what it could have answered one by one, by
//! the rules of the naive model. `ONCEWARD_SEED=N` replays one run, as far as threads can be
//! replayed; `ONCEWARD_HISTORIES=N` makes N runs instead of a few.

#[path = "../store/put.rs"]
mod put;

mod planted;
mod recorded;
mod recorder;
