//! One module per operation: its options, its request, its answer.

pub(crate) mod abandon;
pub(crate) mod begin;
pub(crate) mod complete;
pub(crate) mod get;
pub(crate) mod ping;
pub(crate) mod renew;
pub(crate) mod stats;
