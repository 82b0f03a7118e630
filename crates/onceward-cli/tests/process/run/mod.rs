//! `onceward run` against a daemon, with real commands.

mod death;
mod ends;
mod output;
mod replay;
mod signals;
mod store;
mod usage;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::{Daemon, eventually};

/// What the tests' own begins and the runs they meet have in common.
const DIGEST: &str = "00112233445566778899aabbccddeeff";

/// A folder for commands to leave marks in. Scripts that wait for something also end when it is gone,
/// so that a failed test leaves none behind.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `onceward run OPTIONS -- WORDS` in this folder, not yet started.
    fn words(&self, daemon: &Daemon, options: &[&str], words: &[&str]) -> Command {
        let mut command = daemon.command(&[&["run"], options, &["--"], words].concat());
        command.current_dir(self.path()).env("PATH", "/usr/local/bin:/usr/bin:/bin");
        piped(&mut command);
        command
    }

    /// The same with a script as the command.
    fn script(&self, daemon: &Daemon, options: &[&str], script: &str) -> Command {
        self.words(daemon, options, &["sh", "-c", script])
    }

    fn run(&self, daemon: &Daemon, options: &[&str], script: &str) -> Ran {
        Ran::of(&mut self.script(daemon, options, script))
    }

    /// What the file holds; nothing if there is none.
    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap_or_default()
    }

    /// Waits until the file holds a whole line, and gives it.
    fn line(&self, name: &str) -> String {
        eventually(name, || {
            let text = self.text(name);
            text.split_once('\n').map(|(line, _)| line.to_owned())
        })
    }

    /// Waits for the process id that a command left in the file.
    fn id(&self, name: &str) -> i32 {
        self.line(name).trim().parse().expect("a process id")
    }

    fn mark(&self, name: &str) {
        fs::write(self.path().join(name), "").expect("ours");
    }

    /// How often the command ran that appends a line here.
    fn runs(&self) -> usize {
        self.text("runs").lines().count()
    }
}

/// How a call ended.
#[derive(Debug, Eq, PartialEq)]
struct Ran {
    /// `None` if a signal killed it.
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Ran {
    /// Of a call that ends by itself; one that does not is killed.
    fn of(command: &mut Command) -> Self {
        Running(command.spawn().expect("the binary starts")).ended()
    }

    fn stdout(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("UTF-8 on stdout")
    }

    fn stderr(&self) -> &str {
        std::str::from_utf8(&self.stderr).expect("UTF-8 on stderr")
    }

    /// Ended with onceward's own `code`, and with its last line, which starts with `word`.
    #[track_caller]
    fn expect_own(&self, why: &str, code: i32, word: &str) {
        let last = self.stderr().lines().last().unwrap_or_default();
        let starts = last.starts_with(&format!("onceward: {word}: "));
        assert!(self.code == Some(code) && starts, "{why}: {code} {word}, got {self:?}");
    }
}

/// With its output for the test to read.
fn piped(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped())
}

/// A started call. Killed when dropped.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Self {
        Self(command.spawn().expect("the binary starts"))
    }

    fn id(&self) -> i32 {
        i32::try_from(self.0.id()).expect("a process id")
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.id()), signal).expect("it runs");
    }

    /// Its end, with what it wrote.
    fn ended(mut self) -> Ran {
        let (stdout, stderr) = (self.0.stdout.take(), self.0.stderr.take());
        let stdout = std::thread::spawn(move || read_all(stdout));
        let stderr = std::thread::spawn(move || read_all(stderr));
        let code = eventually("its end", || self.0.try_wait().expect("ours")).code();
        let read = |reader: std::thread::JoinHandle<Vec<u8>>| reader.join().expect("it reads");
        Ran { code, stdout: read(stdout), stderr: read(stderr) }
    }
}

fn read_all(stream: Option<impl std::io::Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        stream.read_to_end(&mut bytes).expect("a pipe");
    }
    bytes
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether the process runs; one that nobody has reaped yet does not.
fn lives(id: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The state stands after the name, which is in parentheses.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Whether it is stopped, as SIGSTOP does.
fn is_stopped(id: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.contains(") T ")
}

fn await_death(id: i32) {
    eventually("a death", || (!lives(id)).then_some(()));
}

/// The outcome of a look at the key. A look may find no answer where the processor is busy.
fn state(daemon: &Daemon, key: &str) -> Value {
    eventually("a look", || {
        let outcome = daemon.json(&["get", "--key", key]).1["outcome"].take();
        (!outcome.is_null()).then_some(outcome)
    })
}

fn report(place: &Place, name: &str) -> Value {
    let text = place.text(name);
    assert_eq!(text.matches('\n').count(), 1, "one line: {text}");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report["schema"], "onceward/1");
    report
}
