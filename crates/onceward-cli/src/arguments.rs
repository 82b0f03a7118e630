//! The command line as typed: commands and the options that all of them share.

use std::ffi::OsString;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand};
use onceward_client::Client;

use crate::commands::{abandon, begin, complete, get, ping, renew};
use crate::demo;
use crate::exit;
use crate::failure::Failure;
use crate::quantity::duration;
use crate::serve::ServeArguments;

const URL_DEFAULT: &str = "onceward://127.0.0.1:7977/default";

const EXAMPLES: &str = "\
Examples:
  onceward serve                                     # a daemon on 127.0.0.1:7977
  onceward begin --key order-17 --json               # whose turn is it?
  onceward complete --key order-17 --token TOKEN --body 'order 17'
  onceward get --key order-17 --wait 30s             # exit 0 once it is completed
  onceward demo                                      # see what it prevents

Every option can be set by the environment: --lease by ONCEWARD_LEASE, and so on.
A credential is read from ONCEWARD_CREDENTIAL only: arguments show in process lists.";

/// An idempotency store: one owner per lease, at most one accepted result per key, and every
/// retry gets the first answer.
#[derive(Debug, Parser)]
#[command(name = "onceward", version, after_help = format!("{EXAMPLES}\n\n{}", exit::help()))]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) shared: Shared,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that may stand before or after the command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Shared options")]
pub(crate) struct Shared {
    /// The store: onceward://HOST[:PORT][/NAMESPACE], onceward+unix:///PATH[?namespace=NAME], or
    /// mem:// for an empty one that ends with the command [default:
    /// onceward://127.0.0.1:7977/default; demo starts a daemon of its own]
    #[arg(long, global = true, env = "ONCEWARD_URL", hide_env_values = true)]
    pub(crate) url: Option<String>,
    /// Answer with one JSON object on stdout, errors included
    #[arg(long, global = true, env = "ONCEWARD_JSON", value_parser = BoolishValueParser::new())]
    pub(crate) json: bool,
    /// How long one connection may take to stand
    #[arg(
        long,
        global = true,
        env = "ONCEWARD_CONNECT_TIMEOUT",
        value_name = "TIME",
        value_parser = duration,
        allow_hyphen_values = true,
        default_value = "1s"
    )]
    pub(crate) connect_timeout: Duration,
    /// How long one answer may take, besides its own --wait
    #[arg(
        long,
        global = true,
        env = "ONCEWARD_TIMEOUT",
        value_name = "TIME",
        value_parser = duration,
        allow_hyphen_values = true,
        default_value = "500ms"
    )]
    pub(crate) timeout: Duration,
    /// How often to ask again, with the same attempt or token, where no answer came
    #[arg(long, global = true, env = "ONCEWARD_RETRIES", value_name = "N", default_value_t = 3)]
    pub(crate) retries: u32,
    /// What to log to stderr: error, warn, info, debug, trace, or a filter as in RUST_LOG, which
    /// counts where this is not given [default: info for serve, else warn]
    #[arg(long, global = true, env = "ONCEWARD_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

impl Shared {
    /// The store's URL. The default is not the parser's, which would hand it to demo too.
    pub(crate) fn url(&self) -> &str {
        self.url.as_deref().unwrap_or(URL_DEFAULT)
    }

    /// A client for the chosen store. Connects on first use.
    ///
    /// # Errors
    /// A URL or a timeout that cannot be used.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let mut builder = Client::builder(self.url())
            .connect_timeout(self.connect_timeout)
            .request_timeout(self.timeout)
            .retries_max(self.retries);
        if let Some(credential) = std::env::var_os("ONCEWARD_CREDENTIAL") {
            builder = builder.credential(credential.into_encoded_bytes());
        }
        Ok(builder.open()?)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(ServeArguments),
    Demo(demo::DemoArgs),
    #[command(name = demo::PROCESS_SUBCOMMAND, hide = true)]
    DemoProcess(demo::ProcessArgs),
    Ping(ping::PingArguments),
    Begin(begin::BeginArguments),
    Complete(complete::CompleteArguments),
    Abandon(abandon::AbandonArguments),
    Renew(renew::RenewArguments),
    Get(get::GetArguments),
    /// Show the store's figures; counters count from the daemon's start
    Stats,
}

/// Whether a command line that could not be parsed asked for JSON.
pub(crate) fn wants_json(arguments: impl IntoIterator<Item = OsString>) -> bool {
    let set = std::env::var("ONCEWARD_JSON").unwrap_or_default();
    matches!(set.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on" | "y" | "t")
        || arguments.into_iter().any(|argument| argument == "--json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    /// The environment reaches every option but those that must be typed on purpose; and help
    /// never shows what it holds, for a token or a key may be there (S16).
    #[test]
    fn every_option_has_its_variable_s16() {
        let mut cli = Cli::command();
        cli.build();
        let mut seen = 0;
        for command in cli.get_subcommands().filter(|command| {
            !command.is_hide_set() && !matches!(command.get_name(), "help" | "demo")
        }) {
            for argument in command.get_arguments() {
                let Some(long) = argument.get_long() else { continue };
                if matches!(long, "help" | "version" | "test-clock") {
                    continue;
                }
                let want = format!("ONCEWARD_{}", long.to_uppercase().replace('-', "_"));
                let got = argument.get_env().map(|name| name.to_string_lossy().into_owned());
                assert_eq!(got, Some(want), "{} --{long}", command.get_name());
                seen += 1;
            }
        }
        assert!(seen > 50, "only {seen} options were looked at");
    }

    #[test]
    fn secrets_do_not_show_in_help_s16() {
        let mut cli = Cli::command();
        cli.build();
        for command in cli.get_subcommands() {
            for argument in command.get_arguments() {
                if matches!(
                    argument.get_long(),
                    Some(
                        "token"
                            | "attempt"
                            | "key"
                            | "key-hex"
                            | "scope"
                            | "scope-hex"
                            | "body"
                            | "fingerprint"
                            | "url"
                    )
                ) {
                    assert!(argument.is_hide_env_values_set(), "{argument}");
                }
            }
        }
    }
}
