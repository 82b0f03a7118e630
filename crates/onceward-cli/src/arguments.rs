//! The command line as typed: commands and the options that all of them share.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{BoolishValueParser, OsStringValueParser, TypedValueParser as _};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use onceward_client::Client;

use crate::bench::BenchArguments;
use crate::commands::{
    abandon, begin, check_config, complete, completions, config, forget, get, journal, list, man,
    ping, renew, resolve, version, wait,
};
use crate::credential;
use crate::demo;
use crate::exit;
use crate::failure::Failure;
use crate::quantity::duration;
use crate::run;
use crate::serve::ServeArguments;
use crate::settings::SettingsFile;

const URL_DEFAULT: &str = "onceward://127.0.0.1:7977/default";

const EXAMPLES: &str = "\
Examples:
  onceward serve                                     # a daemon on 127.0.0.1:7977
  onceward begin --key order-17 --json               # whose turn is it?
  ONCEWARD_TOKEN=… onceward complete --key order-17 --body 'order 17'
  onceward run --key nightly-7 -- make-report        # a command once, replayed to later calls
  onceward get --key order-17 --wait 30s             # exit 0 once it is completed
  onceward list --state in_doubt                     # what waits for a person's word
  onceward demo                                      # see what it prevents

Every option can be set by the environment: --lease by ONCEWARD_LEASE, and so on; below that by
a settings file. A credential is read from ONCEWARD_CREDENTIAL or from --credential-file: arguments
show in process lists.";

/// Commands that ask no store, so that the options of a connection mean nothing to them.
const NOT_ASKING: &[&str] = &[
    "serve",
    "demo",
    "bench",
    demo::PROCESS_SUBCOMMAND,
    "journal",
    "check-config",
    "completions",
    "man",
    "version",
];
/// Options that only say how to ask.
const OF_ASKING: &[&str] = &["url", "connect_timeout", "timeout", "retries", "credential_file"];

/// An idempotency store: one owner per lease, at most one accepted result per key, and every
/// retry gets the first answer.
#[derive(Debug, Parser)]
#[command(name = "onceward", version, long_version = version::long(), after_help = format!("{EXAMPLES}\n\n{}", exit::help()))]
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
    /// onceward://127.0.0.1:7977/default; demo and bench start a daemon of their own]
    #[arg(long, global = true, env = "ONCEWARD_URL", hide_env_values = true)]
    pub(crate) url: Option<String>,
    /// Read settings from this file; an empty name reads none [default:
    /// $XDG_CONFIG_HOME/onceward/config.toml, else /etc/onceward/onceward.toml]
    #[arg(
        long,
        global = true,
        env = "ONCEWARD_CONFIG",
        value_name = "FILE",
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    pub(crate) config: Option<PathBuf>,
    /// Read the credential from this file, which others on the machine may not read
    #[arg(long, global = true, env = "ONCEWARD_CREDENTIAL_FILE", value_name = "FILE")]
    pub(crate) credential_file: Option<PathBuf>,
    /// Whether the file was named on the command line, and so goes before ONCEWARD_CREDENTIAL.
    #[arg(skip)]
    credential_file_typed: bool,
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
    /// counts where this is not given [default: info for serve, error for run, else warn]
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
        if let Some(credential) = self.credential()? {
            builder = builder.credential(credential);
        }
        Ok(builder.open()?)
    }

    /// By the order of all settings: flag, environment, file.
    pub(crate) fn credential(&self) -> Result<Option<Vec<u8>>, Failure> {
        let set = std::env::var_os(credential::VARIABLE).map(OsString::into_encoded_bytes);
        match (&self.credential_file, set) {
            (Some(path), None) => credential::read(path).map(Some),
            (Some(path), Some(_)) if self.credential_file_typed => credential::read(path).map(Some),
            (_, set) => Ok(set),
        }
    }
}

impl Shared {
    /// The same for commands about what others left in a store.
    ///
    /// # Errors
    /// As [`Self::client`], and a `mem://` URL.
    pub(crate) fn client_of_daemon(&self) -> Result<Client, Failure> {
        let scheme = self.url().trim_start().split(':').next().unwrap_or_default();
        if scheme.eq_ignore_ascii_case("mem") {
            return Err(Failure::bad_input(
                "url",
                "--url is mem://, a store that begins empty and ends with this command: name a daemon",
            ));
        }
        self.client()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Box<ServeArguments>),
    Demo(demo::DemoArgs),
    Bench(Box<BenchArguments>),
    #[command(name = demo::PROCESS_SUBCOMMAND, hide = true)]
    DemoProcess(demo::ProcessArgs),
    Run(run::RunArguments),
    #[command(name = run::PROCESS_SUBCOMMAND, hide = true)]
    RunProcess(run::ProcessArguments),
    Ping(ping::PingArguments),
    Begin(begin::BeginArguments),
    Complete(complete::CompleteArguments),
    Abandon(abandon::AbandonArguments),
    Renew(renew::RenewArguments),
    Get(get::GetArguments),
    Wait(wait::WaitForArguments),
    List(list::ListArguments),
    Resolve(resolve::ResolveArguments),
    Forget(forget::ForgetArguments),
    /// Show the store's figures; counters count from the daemon's start
    Stats,
    Journal(journal::JournalArguments),
    Config(config::ConfigArguments),
    CheckConfig(check_config::CheckConfigArguments),
    Completions(completions::CompletionsArguments),
    Man(man::ManArguments),
    /// Show what this binary is: version, protocol, features
    Version,
}

impl Command {
    /// Whether the settings file counts for it. Demonstration and load are the same on every machine, and
    /// what helps to write a file must not need a good one.
    pub(crate) const fn reads_settings(&self) -> bool {
        match self {
            Self::Demo(_)
            | Self::Bench(_)
            | Self::DemoProcess(_)
            | Self::RunProcess(_)
            | Self::Journal(_)
            | Self::CheckConfig(_)
            | Self::Completions(_)
            | Self::Man(_)
            | Self::Version => false,
            Self::Config(arguments) => !arguments.default,
            _ => true,
        }
    }
}

/// The command line, ready to parse or to be described.
pub(crate) fn command() -> clap::Command {
    without_asking(Cli::command())
}

/// The command line as it is described to others: without what is not for people.
pub(crate) fn described() -> clap::Command {
    let all = command();
    let shown = all.get_subcommands().filter(|own| !own.is_hide_set()).cloned();
    let about = all.get_about().cloned().unwrap_or_default();
    let after = all.get_after_help().cloned().unwrap_or_default();
    clap::Command::new("onceward")
        .version(env!("CARGO_PKG_VERSION"))
        .about(about)
        .after_help(after)
        .subcommand_required(true)
        .args(all.get_arguments())
        .subcommands(shown)
}

/// Parses the command line, with what `file` says as its defaults.
///
/// # Errors
/// The parser's: bad usage, or help or the version that was asked for.
pub(crate) fn parse(
    arguments: &[OsString],
    file: Option<&SettingsFile>,
) -> Result<(Cli, ArgMatches), clap::Error> {
    let command = Cli::command();
    let command = match file {
        Some(file) => file.apply(command),
        None => command,
    };
    let matches = without_asking(command).try_get_matches_from(arguments)?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    cli.shared.credential_file_typed =
        matches.value_source("credential_file") == Some(ValueSource::CommandLine);
    Ok((cli, matches))
}

/// Hides the options of asking where nobody is asked. They are taken all the same: the environment
/// sets them for all commands.
fn without_asking(command: clap::Command) -> clap::Command {
    let hidden: Vec<_> = command
        .get_arguments()
        .filter(|option| OF_ASKING.contains(&option.get_id().as_str()))
        .map(|option| option.clone().hide(true))
        .collect();
    NOT_ASKING.iter().fold(command, |command, name| {
        // Demonstration and load can be pointed at a daemon.
        let kept: &[&str] = match *name {
            "demo" => &["url"],
            "bench" => &["url", "credential_file"],
            _ => &[],
        };
        let hidden = hidden.iter().filter(|option| !kept.contains(&option.get_id().as_str()));
        command.mut_subcommand(name, |own| own.args(hidden))
    })
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

    /// Commands whose options are typed on purpose.
    const TYPED: &[&str] =
        &["help", "demo", "bench", "config", "check-config", "completions", "man", "version"];

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    /// The environment reaches every option but those that must be typed on purpose; and help
    /// never shows what it holds, for a token or a key may be there (S16).
    #[test]
    fn every_option_has_its_variable_s16() {
        let mut cli = command();
        cli.build();
        let mut seen = 0;
        for command in cli
            .get_subcommands()
            .filter(|command| !command.is_hide_set() && !TYPED.contains(&command.get_name()))
        {
            for argument in command.get_arguments() {
                let Some(long) = argument.get_long() else { continue };
                // Verdicts, and what goes ahead unasked, are of one command and one moment: a
                // variable that was left set would repeat them.
                let typed = ["completed", "never-done", "yes", "all-keys", "empty-scope"];
                if matches!(long, "help" | "version" | "test-clock") || typed.contains(&long) {
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
        let mut cli = command();
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
