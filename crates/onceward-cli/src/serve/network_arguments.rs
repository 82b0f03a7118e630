//! How the daemon uses threads and sockets.

use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use onceward_server::ServerConfig;

use crate::quantity::{duration, size};

/// Unset ones keep their default.
#[derive(Args, Debug)]
#[group(skip)]
pub(crate) struct NetworkArguments {
    /// Threads that serve connections, each with its own connections [default: 1 per processor]
    #[arg(
        long,
        env = "ONCEWARD_THREADS",
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=1024)
    )]
    threads: Option<u16>,
    /// Keep each of them on one processor; for machines that do nothing else
    #[arg(long, env = "ONCEWARD_PIN_THREADS", value_parser = BoolishValueParser::new())]
    pin_threads: bool,
    /// Connections that may wait to be accepted; the system may cut it [default: 4096] [most: 65535]
    #[arg(long, env = "ONCEWARD_BACKLOG", value_name = "N")]
    backlog: Option<u32>,
    /// Silence after which the system asks a TCP peer whether it is there; 0s: never [default: 1m]
    #[arg(long, env = "ONCEWARD_TCP_KEEPALIVE", value_name = "TIME", value_parser = duration)]
    tcp_keepalive: Option<Duration>,
    /// The system's receive buffer for each TCP connection [default: as the system sees fit] [most:
    /// 64MiB]
    #[arg(long, env = "ONCEWARD_RECEIVE_BUFFER_BYTES", value_name = "SIZE", value_parser = size)]
    receive_buffer_bytes: Option<u64>,
    /// The system's send buffer for each TCP connection [default: as the system sees fit] [most: 64MiB]
    #[arg(long, env = "ONCEWARD_SEND_BUFFER_BYTES", value_name = "SIZE", value_parser = size)]
    send_buffer_bytes: Option<u64>,
    /// Unsent replies of a connection above which its requests are left unread [default: 256KiB]
    /// [most: 64MiB]
    #[arg(long, env = "ONCEWARD_UNSENT_BYTES_MAX", value_name = "SIZE", value_parser = size)]
    unsent_bytes_max: Option<u64>,
}

impl NetworkArguments {
    pub(crate) fn threads(&self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(processors, usize::from)
    }

    pub(crate) fn server(&self, config: ServerConfig) -> ServerConfig {
        let bytes = |given: Option<u64>, default: usize| {
            given.map_or(default, |given| usize::try_from(given).unwrap_or(usize::MAX))
        };
        ServerConfig {
            threads: self.threads(),
            pin_threads: self.pin_threads,
            backlog: self.backlog.unwrap_or(config.backlog),
            tcp_keepalive: self.tcp_keepalive.unwrap_or(config.tcp_keepalive),
            receive_buffer_bytes: bytes(self.receive_buffer_bytes, config.receive_buffer_bytes),
            send_buffer_bytes: bytes(self.send_buffer_bytes, config.send_buffer_bytes),
            unsent_bytes_max: bytes(self.unsent_bytes_max, config.unsent_bytes_max),
            ..config
        }
    }

    /// What would work, and may not be what was meant.
    pub(crate) fn doubt(&self) -> Option<(&'static str, String)> {
        let processors = std::thread::available_parallelism().map_or(usize::MAX, usize::from);
        let threads = self.threads();
        (threads > processors)
            .then(|| ("threads", format!("{threads} threads share {processors} processors")))
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Alone {
        #[command(flatten)]
        network: NetworkArguments,
    }

    /// Help states the defaults in words, for options that are not set stay unset. Typed, they must
    /// change nothing.
    #[test]
    fn help_tells_the_defaults_of_the_code_s20() {
        let server = |arguments: &[&str]| {
            let arguments = ["serve"].iter().chain(arguments);
            Alone::parse_from(arguments).network.server(ServerConfig::default())
        };
        let command = Alone::command();
        let told = command.get_arguments().filter_map(|argument| {
            let help = argument.get_help()?.to_string();
            let default = help.split_once("[default: ")?.1.split_once(']')?.0.to_owned();
            Some((format!("--{}", argument.get_long()?), default))
        });
        let told: Vec<_> = told.filter(|(_, default)| !default.contains(' ')).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        for (option, default) in told {
            assert_eq!(server(&[&option, &default]), server(&[]), "{option}");
        }
    }
}
