//! The shipped store, journal and protocol in a simulated world.
#![expect(dead_code, reason = "half of it")]
mod caller;
mod content;
mod desk;
mod disk;
mod interruption;
mod plan;
mod question;
mod time;
mod trace;
