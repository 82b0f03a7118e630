//! A daemon of a test's own, and commands against it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Longest patience with anything that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The binary without the environment of whoever runs the tests, which might set `ONCEWARD_URL`,
/// and without a settings file of theirs.
pub(crate) fn onceward() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onceward"));
    command.env_clear().env("ONCEWARD_CONFIG", "").stdin(Stdio::null());
    command
}

/// Polls until `done` gives something.
pub(crate) fn eventually<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        // Between polls only: what is waited for needs the processor too.
        thread::sleep(Duration::from_millis(2));
    }
}

/// What a command printed, and how it exited.
pub(crate) struct Told {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Told {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it was not killed"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8 on stdout"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8 on stderr"),
        }
    }

    /// The one object on stdout.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.matches('\n').count(), 1, "one line: {:?}", self.stdout);
        let value: Value = serde_json::from_str(&self.stdout).expect("JSON on stdout");
        assert_eq!(value["schema"], "onceward/1");
        value
    }
}

/// Runs the binary to its end.
pub(crate) fn told(arguments: &[&str]) -> Told {
    Told::of(onceward().args(arguments).output().expect("the binary starts"))
}

/// A running daemon; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    log: Arc<Mutex<String>>,
    /// As its first line of stdout names them.
    pub(crate) listening: Vec<String>,
}

impl Daemon {
    /// On a free port of 127.0.0.1.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::spawn(&[&["--listen", "127.0.0.1:0"], arguments].concat())
    }

    /// With these arguments and `--json` alone.
    pub(crate) fn spawn(arguments: &[&str]) -> Self {
        Self::spawn_with(arguments, &[])
    }

    /// The same in an environment.
    pub(crate) fn spawn_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = onceward()
            .args(["serve", "--json"])
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon starts");
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let log = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&log);
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut log = written.lock().expect("no reader panicked");
                log.push_str(&line);
                log.push('\n');
            }
        });
        let stdin = child.stdin.take();
        let mut daemon = Self { child, stdin, lines, log, listening: Vec::new() };
        let listening = loop {
            let line: Value = serde_json::from_str(&daemon.line()).expect("JSON");
            assert_eq!(line["schema"], "onceward/1");
            match (&line["phase"], line["listening"].as_array()) {
                (_, Some(listening)) => break listening.clone(),
                // On a slow machine.
                (Value::String(phase), None) if phase.ends_with("ing") => {}
                (_, None) => panic!("it does not listen: {line}"),
            }
        };
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        daemon.listening = listening.iter().map(text).collect();
        daemon
    }

    /// The next line of stdout.
    pub(crate) fn line(&self) -> String {
        self.lines
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("no line; log:\n{}", self.log()))
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("no writer panicked").clone()
    }

    pub(crate) fn url(&self) -> String {
        match self.listening[0].strip_prefix("unix:") {
            Some(path) => format!("onceward+unix://{path}"),
            None => format!("onceward://{}/default", self.listening[0]),
        }
    }

    /// A command against this daemon, not yet started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = onceward();
        command.env("ONCEWARD_URL", self.url()).args(arguments);
        command
    }

    pub(crate) fn told(&self, arguments: &[&str]) -> Told {
        Told::of(self.command(arguments).output().expect("the binary starts"))
    }

    /// The same with `--json`: exit code and object.
    pub(crate) fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let told = self.told(&[arguments, &["--json"]].concat());
        (told.code, told.json())
    }

    /// Begins `key` and gives its token.
    pub(crate) fn acquire(&self, key: &str, options: &[&str]) -> String {
        let (code, answer) = self.json(&[&["begin", "--key", key], options].concat());
        assert_eq!((code, &answer["outcome"]), (0, &Value::from("acquired")), "{key}: {answer}");
        answer["token"].as_str().expect("a string").to_owned()
    }

    /// One figure of stats.
    pub(crate) fn figure(&self, name: &str) -> u64 {
        let (code, answer) = self.json(&["stats"]);
        assert_eq!(code, 0);
        answer[name].as_u64().unwrap_or_else(|| panic!("no figure {name}: {answer}"))
    }

    /// Moves the clock of `--test-clock`.
    pub(crate) fn say(&mut self, line: &str) -> String {
        let stdin = self.stdin.as_mut().expect("open");
        stdin.write_all(line.as_bytes()).expect("it reads");
        self.line()
    }

    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("an id of a process");
        kill(Pid::from_raw(id), signal).expect("it runs");
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        eventually("the daemon's end", || self.child.try_wait().expect("a child of ours"))
    }

    pub(crate) fn await_log(&self, text: &str) {
        eventually(text, || self.log().contains(text).then_some(()));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `command` with `input` on its stdin.
pub(crate) fn fed(mut command: Command, input: &[u8]) -> Told {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    child.stdin.take().expect("piped").write_all(input).expect("it reads");
    Told::of(child.wait_with_output().expect("it ends"))
}

/// The documentation of the command line.
pub(crate) fn operations() -> String {
    document("operations.md")
}

/// A file of `docs`.
pub(crate) fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    std::fs::read_to_string(path).expect("it is there")
}
