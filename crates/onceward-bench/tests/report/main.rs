//! What the load harness found, as people and programs read it.

mod sample;
mod table;
