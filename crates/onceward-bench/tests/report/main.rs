//! What the load harness found, as people and programs read it.

mod comparison;
mod hdr_log;
mod page;
mod sample;
mod table;
