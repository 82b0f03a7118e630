//! How durable what a server stores is, in the words of each.

use serde::{Deserialize, Serialize};

use super::program::Program;

/// What a server promises of what it has acknowledged, should the machine stop.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Deserialize,
    Eq,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Nothing: it is in memory only.
    #[default]
    Memory,
    /// All but the last second: `interval 1s`, `appendfsync everysec`.
    Interval,
    /// All of it: `always`.
    Always,
}

impl Durability {
    /// What the report calls it behind the name of a server; nothing in memory.
    #[must_use]
    pub const fn suffix(self, program: Program) -> &'static str {
        match (self, program) {
            (Self::Memory, _) => "",
            (Self::Interval, Program::Redis | Program::Valkey) => " everysec",
            (Self::Interval, _) => " interval",
            (Self::Always, _) => " always",
        }
    }

    /// Whether this server can be asked for it.
    #[must_use]
    pub const fn is_had_by(self, program: Program) -> bool {
        match (self, program) {
            (Self::Memory, _) => true,
            (_, Program::Onceward | Program::Redis | Program::Valkey) => true,
            (_, Program::Echo | Program::Memcached) => false,
        }
    }
}
