//! A running server: started, reached, asked for its version, and stopped whatever happens.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use onceward_bench::engine::Fault;
use onceward_bench::load::{Address, Socket};
use tempfile::TempDir;

use super::launch::Launch;
use super::program::{Given, Program};
use super::settings::{Needs, Settings};

/// From the start to the first connection.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// Between two attempts to connect: whoever starts does not tell when it listens.
const ATTEMPT_EVERY: Duration = Duration::from_millis(5);
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// For writing down, or reading back, all that it stored.
const SAVE_PATIENCE: Duration = Duration::from_secs(300);
/// Somebody else may take the port between our look and the server's.
const STARTS_MAX: usize = 3;

/// How a server is reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// TCP on loopback, on a port of its own.
    Tcp,
    /// A Unix socket in a folder of its own.
    Unix,
}

/// A server that runs. Dropped, it is stopped; it also ends with the thread that started it.
#[derive(Debug)]
pub struct Server {
    process: Child,
    program: Program,
    binary: std::path::PathBuf,
    address: Address,
    settings: Settings,
    /// Its working folder: socket and log. Declared last, so that it goes after the process.
    folder: TempDir,
}

impl Server {
    /// Starts one on these cores and waits until it accepts connections.
    ///
    /// # Errors
    /// Its program is missing, or it does not listen in time; says what it wrote.
    pub fn start(
        program: Program,
        given: &Given,
        transport: Transport,
        needs: &Needs,
        cores: &[usize],
    ) -> Result<Self, Fault> {
        let binary = program.find(given)?;
        let mut fault = None;
        for _ in 0..STARTS_MAX {
            let folder = tempfile::Builder::new().prefix("onceward-rivals-").tempdir()?;
            let address = match transport {
                Transport::Tcp => Address::Tcp(free_address()?),
                Transport::Unix => Address::Unix(folder.path().join("socket")),
            };
            let settings = Settings::of(program, binary.clone(), &address, folder.path(), needs);
            let log = File::create(folder.path().join("log"))?;
            let process = Launch::command(&settings.words, cores)?
                .current_dir(folder.path())
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .spawn()?;
            let binary = binary.clone();
            let mut server = Self { process, program, binary, address, settings, folder };
            match server.await_ready() {
                Ok(()) => return Ok(server),
                Err(found) => fault = Some(found),
            }
        }
        Err(fault.unwrap_or_else(|| "no start was tried".into()))
    }

    fn await_ready(&mut self) -> Result<(), Fault> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait()? {
                let log = last_lines(&self.folder.path().join("log"));
                return Err(format!("{} ended at once, {status}: {log}", self.program).into());
            }
            if Socket::connect(&self.address).is_ok() {
                return Ok(());
            }
            if started.elapsed() > START_PATIENCE {
                let log = last_lines(&self.folder.path().join("log"));
                return Err(format!("{} does not listen: {log}", self.program).into());
            }
            thread::sleep(ATTEMPT_EVERY);
        }
    }

    /// Stops it so that it keeps what it stored, starts it again on the same folder, and says how long
    /// that took from the start to the first answer that is not "loading".
    ///
    /// # Errors
    /// It does not stop, or not answer, in time; says what it wrote.
    pub fn restart(&mut self, cores: &[usize]) -> Result<Duration, Fault> {
        if matches!(self.program, Program::Redis | Program::Valkey) {
            self.ask_for(b"SAVE\r\n", "", SAVE_PATIENCE)?;
        }
        kill(Pid::from_raw(self.process.id().cast_signed()), Signal::SIGTERM)?;
        let asked = Instant::now();
        while self.process.try_wait()?.is_none() {
            if asked.elapsed() > SAVE_PATIENCE {
                return Err(format!("{} does not stop", self.program).into());
            }
            thread::sleep(ATTEMPT_EVERY);
        }
        let log = File::create(self.folder.path().join("log"))?;
        let started = Instant::now();
        self.process = Launch::command(&self.settings.words, cores)?
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        loop {
            if let Some(status) = self.process.try_wait()? {
                let log = last_lines(&self.folder.path().join("log"));
                return Err(format!("{} ended at once, {status}: {log}", self.program).into());
            }
            if self.answers() {
                return Ok(started.elapsed());
            }
            if started.elapsed() > SAVE_PATIENCE {
                let log = last_lines(&self.folder.path().join("log"));
                return Err(format!("{} does not come back: {log}", self.program).into());
            }
            thread::sleep(ATTEMPT_EVERY);
        }
    }

    /// Whether it has all that it stored, and serves it.
    fn answers(&self) -> bool {
        match self.program {
            Program::Redis | Program::Valkey => self
                .ask(b"PING\r\n", "")
                .is_ok_and(|lines| lines.iter().any(|line| line == "+PONG")),
            // It listens once it is ready.
            Program::Echo | Program::Onceward | Program::Memcached => {
                Socket::connect(&self.address).is_ok()
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// What it was started with.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The version that it tells.
    ///
    /// # Errors
    /// It does not.
    pub fn version(&self) -> Result<String, Fault> {
        let (question, from, to): (&[u8], _, _) = match self.program {
            Program::Echo => return Ok(env!("CARGO_PKG_VERSION").to_owned()),
            Program::Onceward => {
                let told = Command::new(&self.binary).arg("--version").output()?;
                let told = String::from_utf8_lossy(&told.stdout);
                let version = told.split_whitespace().nth(1).ok_or("onceward has no version")?;
                return Ok(version.to_owned());
            }
            Program::Redis => (b"INFO server\r\n", "redis_version:", "process_id:"),
            Program::Valkey => (b"INFO server\r\n", "valkey_version:", "process_id:"),
            Program::Memcached => (b"version\r\n", "VERSION ", "VERSION "),
        };
        let lines = self.ask(question, to)?;
        let version = lines.iter().find_map(|line| line.strip_prefix(from));
        Ok(version.ok_or_else(|| format!("{} tells no version", self.program))?.to_owned())
    }

    /// Lines of the answer to a command in plain text, up to one that begins with `last`.
    fn ask(&self, question: &[u8], last: &str) -> Result<Vec<String>, Fault> {
        self.ask_for(question, last, ANSWER_PATIENCE)
    }

    fn ask_for(
        &self,
        question: &[u8],
        last: &str,
        patience: Duration,
    ) -> Result<Vec<String>, Fault> {
        let mut reader: Box<dyn std::io::BufRead> = match &self.address {
            Address::Tcp(address) => {
                let mut stream = TcpStream::connect(address)?;
                stream.set_read_timeout(Some(patience))?;
                stream.write_all(question)?;
                Box::new(BufReader::new(stream))
            }
            Address::Unix(path) => {
                let mut stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(patience))?;
                stream.write_all(question)?;
                Box::new(BufReader::new(stream))
            }
        };
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Err(format!("{} closed instead of answering", self.program).into());
            }
            let line = line.trim_end().to_owned();
            let ends = line.starts_with(last);
            lines.push(line);
            if ends {
                return Ok(lines);
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It holds nothing that anybody needs again. An error means that it is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A loopback address that nobody listens on now.
fn free_address() -> Result<String, Fault> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.to_string())
}

/// The end of a server's log, in one line.
fn last_lines(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(5).collect();
    if lines.is_empty() {
        return "it wrote nothing".to_owned();
    }
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}
