//! Durability for Onceward: every fact that an answer rests on is in an append-only file, and
//! synced as far as the namespace's level asks, before the answer leaves (S13, S14, S15).
#![forbid(unsafe_code)]

mod disk;

pub use disk::{Disk, DiskFile};
