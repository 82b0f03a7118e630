//! The client from outside: executions over a scripted backend, over an embedded store and over
//! connections that fail.

mod batch;
#[cfg(all(feature = "blocking", feature = "test-util"))]
mod blocking;
mod coalesce;
mod codecs;
mod connection;
mod context;
mod edges;
mod embedded;
mod execute;
mod fake;
mod figures;
mod keys;
mod one_begin;
mod peer;
mod proxy;
mod remote;
mod steps;
mod storm;
#[cfg(feature = "test-util")]
mod testing;
mod typed;
mod vectors;
