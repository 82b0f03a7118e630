//! The load harness: one generator for every target, and what it found as one [`record`].

pub mod record;
