//! The limits that an operator may move, by their names in the table of limits (S20).

use std::cell::RefCell;
use std::time::Duration;

use clap::Args;
use onceward::{Limits, Millis};
use onceward_server::ServerConfig;

use crate::failure::Failure;
use crate::quantity::{duration, size, spelt, spelt_size};

const KIB: u64 = 1024;
const DAY: Duration = Duration::from_secs(24 * 3_600);
const LEASE_MAX_CEILING: Duration = Duration::from_secs(30 * 24 * 3_600);
const RETENTION_MAX_CEILING: Duration = Duration::from_secs(400 * 24 * 3_600);

/// The largest limits of time that an operator may set.
pub(crate) fn widest() -> Limits {
    Limits {
        lease_max: Millis::covering(LEASE_MAX_CEILING),
        retention_max: Millis::covering(RETENTION_MAX_CEILING),
        ..Limits::DEFAULT
    }
}

/// Unset ones keep their default.
#[derive(Args, Debug)]
#[group(skip)]
pub(crate) struct LimitArguments {
    /// Longest lease [default: 24h] [most: 30d]
    #[arg(long, env = "ONCEWARD_LEASE_MAX", value_name = "TIME", value_parser = duration)]
    lease_max: Option<Duration>,
    /// Longest retention, no shorter than the longest lease [default: 30d] [most: 400d]
    #[arg(long, env = "ONCEWARD_RETENTION_MAX", value_name = "TIME", value_parser = duration)]
    retention_max: Option<Duration>,
    /// Longest wait; a longer one is cut to it [default: 60s] [most: 1h]
    #[arg(long, env = "ONCEWARD_WAIT_MAX", value_name = "TIME", value_parser = duration)]
    wait_max: Option<Duration>,
    /// Largest body kept; a larger one completes as not kept [default: 1MiB] [most: 16MiB]
    #[arg(long, env = "ONCEWARD_RESULT_BYTES_MAX", value_name = "SIZE", value_parser = size)]
    result_bytes_max: Option<u64>,
    /// Memory set aside for a result when begin gives no hint [default: 4KiB] [most: 16MiB]
    #[arg(long, env = "ONCEWARD_SET_ASIDE_BYTES", value_name = "SIZE", value_parser = size)]
    set_aside_bytes: Option<u64>,
    /// Waiters on one key; over it a begin is in progress at once [default: 100000]
    #[arg(long, env = "ONCEWARD_WAITERS_PER_KEY_MAX", value_name = "N")]
    waiters_per_key_max: Option<u64>,
    /// Waiters in all; over it a begin is in progress at once [default: 1000000] [most: 10000000]
    #[arg(long, env = "ONCEWARD_WAITERS_MAX", value_name = "N")]
    waiters_max: Option<u64>,
    /// How long an ended attempt is remembered [default: 2m] [most: 1h]
    #[arg(long, env = "ONCEWARD_ATTEMPT_MEMORY", value_name = "TIME", value_parser = duration)]
    attempt_memory: Option<Duration>,
    /// Ended attempts remembered; over it the oldest is forgotten [default: 1000000] [most:
    /// 10000000]
    #[arg(long, env = "ONCEWARD_ATTEMPTS_REMEMBERED_MAX", value_name = "N")]
    attempts_remembered_max: Option<u64>,
    /// Connections at once; a further one gets an error and is closed [default: 16384] [most:
    /// 1000000]
    #[arg(long, env = "ONCEWARD_CONNECTIONS_MAX", value_name = "N")]
    connections_max: Option<u64>,
    /// Waits at once on one connection; a further one is answered at once [default: 16384] [most: 65536]
    #[arg(long, env = "ONCEWARD_IN_FLIGHT_MAX", value_name = "N")]
    in_flight_max: Option<u32>,
    /// From accept to a greeting; over it the connection is closed [default: 5s]
    #[arg(long, env = "ONCEWARD_HELLO_TIMEOUT", value_name = "TIME", value_parser = duration)]
    hello_timeout: Option<Duration>,
    /// From a frame's first byte to its last; over it the connection is closed [default: 10s]
    #[arg(long, env = "ONCEWARD_FRAME_TIMEOUT", value_name = "TIME", value_parser = duration)]
    frame_timeout: Option<Duration>,
    /// How long a peer may take none of its replies; over it it is cut off [default: 10s]
    #[arg(long, env = "ONCEWARD_WRITE_TIMEOUT", value_name = "TIME", value_parser = duration)]
    write_timeout: Option<Duration>,
    /// Silence after which a connection that waits for nothing is closed; 0s: never [default: 10m]
    #[arg(long, env = "ONCEWARD_IDLE_TIMEOUT", value_name = "TIME", value_parser = duration)]
    idle_timeout: Option<Duration>,
}

impl LimitArguments {
    /// The store's limits, and every number beyond its ceiling. What contradicts another one is the
    /// store's to refuse.
    pub(crate) fn store(&self) -> (Limits, Vec<Failure>) {
        let default = Limits::DEFAULT;
        let over = RefCell::new(Vec::new());
        let complain = |name: &str, got: String, max: String| {
            let failure = Failure::bad_input(name, format!("{name} is {got}: give at most {max}"));
            over.borrow_mut().push(failure);
        };
        let time = |name, given: Option<Duration>, default: Millis, max: Duration| {
            let Some(given) = given else { return default };
            if given > max {
                complain(name, spelt(given), spelt(max));
                return default;
            }
            Millis::covering(given)
        };
        let size = |name, given: Option<u64>, default: usize, max: u64| {
            let Some(given) = given else { return default };
            if given > max {
                complain(name, spelt_size(given), spelt_size(max));
                return default;
            }
            usize::try_from(given).unwrap_or(usize::MAX)
        };
        let number = |name, given: Option<u64>, default: usize, max: u64| {
            let Some(given) = given else { return default };
            if given > max {
                complain(name, given.to_string(), max.to_string());
                return default;
            }
            usize::try_from(given).unwrap_or(usize::MAX)
        };
        let waiters_max = number("waiters_max", self.waiters_max, default.waiters_max, 10_000_000);
        let mib_16 = 16 * KIB * KIB;
        let limits = Limits {
            lease_max: time("lease_max", self.lease_max, default.lease_max, LEASE_MAX_CEILING),
            retention_max: time(
                "retention_max",
                self.retention_max,
                default.retention_max,
                RETENTION_MAX_CEILING,
            ),
            wait_max: time("wait_max", self.wait_max, default.wait_max, DAY / 24),
            result_bytes_max: size(
                "result_bytes_max",
                self.result_bytes_max,
                default.result_bytes_max,
                mib_16,
            ),
            set_aside_bytes: size(
                "set_aside_bytes",
                self.set_aside_bytes,
                default.set_aside_bytes,
                mib_16,
            ),
            waiters_per_key_max: number(
                "waiters_per_key_max",
                self.waiters_per_key_max,
                default.waiters_per_key_max.min(waiters_max),
                waiters_max as u64,
            ),
            waiters_max,
            attempt_memory: time(
                "attempt_memory",
                self.attempt_memory,
                default.attempt_memory,
                DAY / 24,
            ),
            attempts_remembered_max: number(
                "attempts_remembered_max",
                self.attempts_remembered_max,
                default.attempts_remembered_max,
                10_000_000,
            ),
        };
        (limits, over.into_inner())
    }

    /// The server's limits. Its frames grow with the results that the store keeps.
    pub(crate) fn server(&self, limits: &Limits) -> ServerConfig {
        let default = ServerConfig::default();
        let frame = limits.result_bytes_max + onceward::limits::FRAME_BYTES_BEYOND_BODY;
        let frame = u32::try_from(frame).unwrap_or(u32::MAX);
        let connections = self.connections_max.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        ServerConfig {
            body_bytes_max: default.body_bytes_max.max(frame),
            connections_max: connections.unwrap_or(default.connections_max),
            in_flight_max: self.in_flight_max.unwrap_or(default.in_flight_max),
            hello_timeout: self.hello_timeout.unwrap_or(default.hello_timeout),
            frame_timeout: self.frame_timeout.unwrap_or(default.frame_timeout),
            write_timeout: self.write_timeout.unwrap_or(default.write_timeout),
            idle_timeout: self.idle_timeout.unwrap_or(default.idle_timeout),
            ..default
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Alone {
        #[command(flatten)]
        limits: LimitArguments,
    }

    /// Help states the defaults in words, for options that are not set stay unset. Typed, they must
    /// change nothing.
    #[test]
    fn help_tells_the_defaults_of_the_code_s20() {
        let command = Alone::command();
        let typed = command.get_arguments().filter_map(|argument| {
            let help = argument.get_help()?.to_string();
            let (_, rest) = help.split_once("[default: ")?;
            let (default, _) = rest.split_once(']')?;
            Some([format!("--{}", argument.get_long()?), default.to_owned()])
        });
        let typed: Vec<_> = typed.collect();
        assert!(typed.len() > 10, "{typed:?}");
        let unset = Alone::parse_from(["serve"]).limits;
        let shown = |limits: &LimitArguments| {
            let store = limits.store().0;
            let server = limits.server(&store);
            let parts: [&dyn Debug; 2] = [&store, &server];
            format!("{parts:?}")
        };
        for option in typed {
            let arguments = ["serve".to_owned()].into_iter().chain(option.clone());
            let set = Alone::parse_from(arguments).limits;
            assert_eq!(shown(&set), shown(&unset), "{option:?}");
        }
    }

    #[test]
    fn operations_names_the_servers_defaults_s20() {
        let default = ServerConfig::default();
        let time = |time| spelt(time);
        let cases = [
            ("connections-max", default.connections_max.to_string()),
            ("in-flight-max", default.in_flight_max.to_string()),
            ("hello-timeout", time(default.hello_timeout)),
            ("frame-timeout", time(default.frame_timeout)),
            ("write-timeout", time(default.write_timeout)),
            ("idle-timeout", time(default.idle_timeout)),
        ];
        for (option, default) in cases {
            let row = include_str!("../../../../docs/operations.md")
                .lines()
                .find(|line| line.starts_with(&format!("| `--{option} ")));
            let told = row.and_then(|row| row.split('|').nth(2)).map(str::trim);
            assert_eq!(told, Some(default.as_str()), "docs/operations.md on --{option}");
        }
    }
}
