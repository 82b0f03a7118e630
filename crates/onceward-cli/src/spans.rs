//! How long: lease, retention and wait, as every command that takes one spells it.

use std::time::Duration;

use clap::Args;
use onceward_client::Millis;

use crate::quantity::duration;

/// How long an owner may be silent.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
pub(crate) struct LeaseArguments {
    /// How long the owner may be silent, from now
    #[arg(
        long,
        env = "ONCEWARD_LEASE",
        value_name = "TIME",
        value_parser = duration,
        allow_hyphen_values = true,
        default_value = "30s"
    )]
    lease: Duration,
}

impl LeaseArguments {
    pub(crate) fn lease(self) -> Millis {
        Millis::covering(self.lease)
    }
}

/// How long a key is remembered.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
pub(crate) struct RetentionArguments {
    /// How long the key is remembered, from now; at least the lease
    #[arg(
        long,
        env = "ONCEWARD_RETENTION",
        value_name = "TIME",
        value_parser = duration,
        allow_hyphen_values = true,
        default_value = "24h"
    )]
    retention: Duration,
}

impl RetentionArguments {
    pub(crate) fn retention(self) -> Millis {
        Millis::covering(self.retention)
    }
}

/// How long a caller waits for somebody else's work (S10).
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
pub(crate) struct WaitArguments {
    /// How long to wait while its owner works
    #[arg(
        long,
        env = "ONCEWARD_WAIT",
        value_name = "TIME",
        value_parser = duration,
        allow_hyphen_values = true,
        default_value = "0s"
    )]
    wait: Duration,
}

impl WaitArguments {
    pub(crate) fn wait(self) -> Millis {
        Millis::covering(self.wait)
    }
}
