//! One module per command: its options, its request, its answer.

pub(crate) mod abandon;
pub(crate) mod begin;
pub(crate) mod check_config;
pub(crate) mod complete;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod forget;
pub(crate) mod get;
pub(crate) mod journal;
pub(crate) mod list;
pub(crate) mod man;
pub(crate) mod ping;
pub(crate) mod renew;
pub(crate) mod resolve;
pub(crate) mod stats;
pub(crate) mod version;
pub(crate) mod wait;
