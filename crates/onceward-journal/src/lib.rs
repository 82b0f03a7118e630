//! Durability for Onceward: every fact that an answer rests on is in an append-only file, and
//! synced as far as the namespace's level asks, before the answer leaves (S13, S14, S15).
#![forbid(unsafe_code)]

mod batch;
mod bytes;
mod clock;
mod damage;
mod directory;
mod disk;
#[cfg(test)]
mod documented;
mod error;
mod facts_file;
mod file_name;
mod files;
mod frame;
mod gather;
mod header;
pub mod inspect;
mod journal;
mod level;
mod lock;
mod manifest;
mod merge;
mod names;
mod open_file;
mod options;
mod pending;
mod progress;
mod recovery;
mod rounds;
#[cfg(test)]
mod sample;
mod scan;
mod spares;
mod start;
mod stream;
mod stripes;
mod system_clock;
mod thread;
#[cfg(test)]
mod written;

pub use clock::{ClockReading, ClockRecord, resume};
pub use disk::{Disk, DiskFile, SystemDisk};
pub use error::JournalError;
pub use journal::Journal;
pub use lock::Lock;
pub use manifest::{FileEntry, FileState, Manifest};
pub use options::{FILE_BYTES_MAX, FILE_BYTES_MIN, JournalOptions};
pub use recovery::{
    EndedAttempt, OnProgress, Pass, Recovered, RecoveredFile, RecoveryOptions, RecoveryProgress,
    RestoreInto, RestoredCounts,
};
pub use start::{KnownFile, Start};
pub use system_clock::{read_clocks, resume_clock, wall_ms};
pub use thread::JournalThread;
