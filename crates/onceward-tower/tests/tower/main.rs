//! The layer from outside: over an embedded store, over a real server, and over a store whose time
//! and failures a test scripts. Rules H1 to H9, and those of the store beneath them.

#[cfg(feature = "axum")]
mod axum;
mod bodies;
mod call;
mod context;
mod endings;
mod fuzz;
mod hang_ups;
mod leases;
mod matrix;
mod outages;
mod recorded;
mod stores;
