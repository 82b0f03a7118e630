//! The test support from a service's side: each outage in each operation, time, and what a test
//! that scripts too much is told.

mod outages;
mod script;
mod time;
