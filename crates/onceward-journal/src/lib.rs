//! Durability for Onceward: every fact that an answer rests on is in an append-only file, and
//! synced as far as the namespace's level asks, before the answer leaves (S13, S14, S15).
#![forbid(unsafe_code)]
#![expect(dead_code, reason = "codecs come before those who use them")]

mod batch;
mod bytes;
mod disk;
mod frame;
mod header;
#[cfg(test)]
mod sample;

pub use disk::{Disk, DiskFile};
