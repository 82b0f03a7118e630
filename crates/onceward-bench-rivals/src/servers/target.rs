//! Whom the harness can ask: a server, and a way to speak to it.

use std::fmt;
use std::sync::atomic::AtomicBool;

use onceward_bench::engine::Fault;
use onceward_bench::load::record::Run;
use onceward_bench::load::{self, Address, Dialect, Mix, OncewardDialect, Plan, ServerProcess};
use serde::{Deserialize, Serialize};

use super::dialects::{EchoDialect, MemcachedDialect, RedisLuaDialect, RedisPlainDialect};
use super::program::Program;

/// A server and the words it is spoken to in.
#[derive(
    Clone,
    Copy,
    Debug,
    Deserialize,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum TargetName {
    /// The floor.
    Echo,
    /// Ours.
    Onceward,
    /// Redis: SET NX, SET XX, GET.
    Redis,
    /// Valkey: the same.
    Valkey,
    /// memcached: meta commands.
    Memcached,
    /// Redis: scripts that do the whole job.
    RedisLua,
    /// Valkey: the same.
    ValkeyLua,
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl TargetName {
    /// All, in the order of the report.
    pub const ALL: [Self; 7] = [
        Self::Echo,
        Self::Onceward,
        Self::Redis,
        Self::Valkey,
        Self::Memcached,
        Self::RedisLua,
        Self::ValkeyLua,
    ];

    /// Its name in the report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Onceward => "onceward",
            Self::Redis => "redis",
            Self::Valkey => "valkey",
            Self::Memcached => "memcached",
            Self::RedisLua => "redis lua",
            Self::ValkeyLua => "valkey lua",
        }
    }

    /// What runs.
    #[must_use]
    pub const fn program(self) -> Program {
        match self {
            Self::Echo => Program::Echo,
            Self::Onceward => Program::Onceward,
            Self::Redis | Self::RedisLua => Program::Redis,
            Self::Valkey | Self::ValkeyLua => Program::Valkey,
            Self::Memcached => Program::Memcached,
        }
    }

    /// Whether scripts on the server do the whole job.
    #[must_use]
    pub const fn is_script(self) -> bool {
        matches!(self, Self::RedisLua | Self::ValkeyLua)
    }

    /// What it does not do that Onceward does.
    #[must_use]
    pub const fn lacks(self) -> &'static str {
        match self {
            Self::Echo => "Stores nothing: it moves as many bytes, and is the kernel's floor.",
            Self::Onceward => "",
            Self::Redis | Self::Valkey => {
                "No fingerprint, fence, owner or waiting: a late owner overwrites, another payload gets the first one's result."
            }
            Self::Memcached => {
                "No fingerprint, fence, owner or waiting; evicts live keys at its memory limit."
            }
            Self::RedisLua | Self::ValkeyLua => {
                "No waiting; a fingerprint is forgotten with its lease; whoever writes the scripts keeps them right."
            }
        }
    }

    /// Whether it can be asked these operations, and say what came of them.
    #[must_use]
    pub const fn can(self, mix: Mix) -> bool {
        match self {
            Self::Echo => matches!(mix, Mix::First | Mix::Replay),
            Self::Onceward => true,
            Self::Redis | Self::Valkey | Self::Memcached => can::<RedisPlainDialect>(mix),
            Self::RedisLua | Self::ValkeyLua => can::<RedisLuaDialect>(mix),
        }
    }

    /// Runs `plan` on it once; see [`load::run`].
    ///
    /// # Errors
    /// As there.
    pub fn run(
        self,
        plan: &Plan,
        number: u64,
        address: &Address,
        server: ServerProcess,
        interrupted: &AtomicBool,
    ) -> Result<Run, Fault> {
        let terms = plan.terms;
        match self {
            Self::Echo => {
                let floor = EchoDialect::new(terms)?;
                let dialect = move || floor.another();
                load::run(plan, number, address, &dialect, Some(server), interrupted)
            }
            Self::Onceward => {
                let dialect = move || OncewardDialect::new("default", b"", terms);
                load::run(plan, number, address, &dialect, Some(server), interrupted)
            }
            Self::Redis | Self::Valkey => {
                let dialect = move || RedisPlainDialect::new(terms);
                load::run(plan, number, address, &dialect, Some(server), interrupted)
            }
            Self::Memcached => {
                let dialect = move || MemcachedDialect::new(terms);
                load::run(plan, number, address, &dialect, Some(server), interrupted)
            }
            Self::RedisLua | Self::ValkeyLua => {
                let dialect = move || RedisLuaDialect::new(terms);
                load::run(plan, number, address, &dialect, Some(server), interrupted)
            }
        }
    }
}

const fn can<D: Dialect>(mix: Mix) -> bool {
    match mix {
        Mix::First | Mix::Replay | Mix::Mixed => true,
        Mix::Conflict => D::TELLS_IN_PROGRESS,
        Mix::Mismatch => D::TELLS_MISMATCH,
        Mix::Waiters => D::WAITS,
    }
}
