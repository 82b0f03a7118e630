//! What is measured: a daemon that is there, one that is started for it, or the store in process.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use onceward_bench::load::{Address, ServerProcess};
use onceward_client::Client;
use url::Url;

use super::fault;
use crate::demo;
use crate::exit::Exit;
use crate::failure::Failure;

/// How long the daemon may take to end once asked to.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Port of URLs that name none.
const PORT_DEFAULT: u16 = 7977;

/// Where requests go.
pub(super) enum Place {
    /// Into this process.
    Memory,
    /// To a daemon.
    Daemon { address: Address, namespace: String, started: Option<Daemon> },
}

impl Place {
    /// The place that a URL names.
    ///
    /// # Errors
    /// As for every other command.
    pub(super) fn of(url: &str) -> Result<Self, Failure> {
        Client::builder(url).open()?; // Judges the URL in the same words; connects to nothing.
        let refused = |why: &str| Failure::bad_input("url", format!("--url: {why}"));
        let parsed = Url::parse(url).map_err(|error| refused(&error.to_string()))?;
        let named = |name: &str| match name {
            "" => "default".to_owned(),
            name => name.to_owned(),
        };
        match parsed.scheme() {
            "mem" => Ok(Self::Memory),
            "onceward+unix" => {
                let of_query = parsed.query_pairs().find(|(name, _)| name == "namespace");
                let namespace = named(&of_query.map(|(_, value)| value).unwrap_or_default());
                let path = parsed.to_file_path_of_unix().ok_or_else(|| refused("no such path"))?;
                Ok(Self::Daemon { address: Address::Unix(path), namespace, started: None })
            }
            _ => {
                let host = parsed.host_str().unwrap_or("127.0.0.1");
                let port = parsed.port().unwrap_or(PORT_DEFAULT);
                let address = Address::Tcp(format!("{host}:{port}"));
                let namespace = named(parsed.path().trim_matches('/'));
                Ok(Self::Daemon { address, namespace, started: None })
            }
        }
    }

    /// A daemon of our own.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn start(core: Option<usize>, words: &[OsString]) -> Result<Self, Failure> {
        let (daemon, listening) = Daemon::start(core, words)?;
        let address = match listening.strip_prefix("unix:") {
            Some(path) => Address::Unix(PathBuf::from(path)),
            None => Address::Tcp(listening),
        };
        Ok(Self::Daemon { address, namespace: "default".to_owned(), started: Some(daemon) })
    }

    /// What it runs with, as far as that is known: of a daemon of our own its options, the others
    /// being the defaults, and its core.
    pub(super) fn settings(&self) -> BTreeMap<String, String> {
        match self {
            Self::Daemon { started: Some(daemon), .. } => daemon.settings.clone(),
            _ => BTreeMap::new(),
        }
    }

    /// The process behind it, where it is ours.
    pub(super) fn process(&self) -> Result<Option<ServerProcess>, Failure> {
        match self {
            Self::Daemon { started: Some(daemon), .. } => {
                ServerProcess::of(daemon.child.id()).map(Some).map_err(fault)
            }
            _ => Ok(None),
        }
    }
}

trait UnixPath {
    fn to_file_path_of_unix(&self) -> Option<PathBuf>;
}

impl UnixPath for Url {
    /// As of a `file` URL: escapes are resolved.
    fn to_file_path_of_unix(&self) -> Option<PathBuf> {
        Self::parse(&format!("file://{}", self.path())).ok()?.to_file_path().ok()
    }
}

/// A daemon that was started here. Dropping it ends it; the kernel does if this process dies.
pub(super) struct Daemon {
    child: Child,
    settings: BTreeMap<String, String>,
}

impl Daemon {
    fn start(core: Option<usize>, words: &[OsString]) -> Result<(Self, String), Failure> {
        let failed = |what: String| Failure::new(Exit::Failure, what);
        let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
        let mut command = Command::new(program);
        // A group of its own: Ctrl-C is for the measurement, which then ends the daemon.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
        for (variable, _) in std::env::vars_os() {
            if variable.as_encoded_bytes().starts_with(b"ONCEWARD_") {
                command.env_remove(variable);
            }
        }
        command.args([demo::PROCESS_SUBCOMMAND, "--parent", &std::process::id().to_string()]);
        // That it remembers nothing is no news here.
        command.args(["daemon", "--", "--log", "error"]).args(words);
        let child = on_core(core, || command.spawn())?;
        let mut daemon = Self { child, settings: stated(core, words) };
        let stdout = daemon.child.stdout.take().ok_or_else(|| failed("no output".to_owned()))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map_err(|error| failed(error.to_string()))?;
        let told: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        // A socket that was asked for comes last, and is what was meant.
        let listening = told["listening"].as_array().and_then(|all| all.last()?.as_str());
        match listening {
            Some(listening) => Ok((daemon, listening.to_owned())),
            None => match told["error"]["message"].as_str() {
                Some(message) => Err(Failure::bad_input("serve", format!("the daemon: {message}"))),
                None => Err(failed("the daemon did not start".to_owned())),
            },
        }
    }
}

/// A daemon's words as the report has them: an option's name and its values. No option has a secret
/// on the command line; those are in files.
fn stated(core: Option<usize>, words: &[OsString]) -> BTreeMap<String, String> {
    let mut settings: BTreeMap<String, String> = BTreeMap::new();
    let mut name = None;
    for word in words {
        let word = word.to_string_lossy();
        let value = match (word.strip_prefix("--"), &name) {
            (Some(option), _) => {
                let (option, value) = option.split_once('=').unwrap_or((option, ""));
                name = Some(option.to_owned());
                value
            }
            (None, Some(_)) => &word,
            (None, None) => continue,
        };
        let Some(name) = &name else { continue };
        let values = settings.entry(name.clone()).or_default();
        if !values.is_empty() && !value.is_empty() {
            values.push(',');
        }
        values.push_str(value);
    }
    for flag in settings.values_mut().filter(|value| value.is_empty()) {
        "on".clone_into(flag);
    }
    if settings.is_empty() {
        settings.insert("options".to_owned(), "defaults".to_owned());
    }
    if let Some(core) = core {
        settings.insert("core".to_owned(), core.to_string());
    }
    settings
}

/// Starts something that inherits which core it may use, and is itself where it was afterwards.
fn on_core<T>(
    core: Option<usize>,
    start: impl FnOnce() -> std::io::Result<T>,
) -> Result<T, Failure> {
    let own = Pid::from_raw(0);
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Failure, format!("the daemon cannot be started: {error}"))
    };
    let Some(core) = core else { return start().map_err(failed) };
    let before = sched_getaffinity(own).map_err(|error| failed(error.into()))?;
    let mut one = CpuSet::new();
    one.set(core).map_err(|error| failed(error.into()))?;
    sched_setaffinity(own, &one).map_err(|error| failed(error.into()))?;
    let started = start();
    sched_setaffinity(own, &before).map_err(|error| failed(error.into()))?;
    started.map_err(failed)
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let Ok(pid) = i32::try_from(self.child.id()) else { return };
        if kill(Pid::from_raw(pid), Signal::SIGTERM).is_ok() {
            let asked = Instant::now();
            while asked.elapsed() < STOP_PATIENCE {
                match self.child.try_wait() {
                    Ok(None) => std::thread::sleep(LOOK_EVERY),
                    Ok(Some(_)) | Err(_) => return,
                }
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemons_words_are_its_settings() {
        for (words, core, want) in [
            (&[][..], None, &[("options", "defaults")][..]),
            (&[], Some(1), &[("core", "1"), ("options", "defaults")]),
            (
                &["--threads=2", "--memory", "2GiB", "--insecure-no-auth"],
                None,
                &[("insecure-no-auth", "on"), ("memory", "2GiB"), ("threads", "2")],
            ),
            (
                &["--listen", "127.0.0.1:0", "--listen=[::1]:0"],
                None,
                &[("listen", "127.0.0.1:0,[::1]:0")],
            ),
        ] {
            let words: Vec<OsString> = words.iter().map(Into::into).collect();
            let got = stated(core, &words);
            let got: Vec<_> = got.iter().map(|(name, value)| (&**name, &**value)).collect();
            assert_eq!(got, want, "{words:?}");
        }
    }
}
