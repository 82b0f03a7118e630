//! A server in a process of its own, on a core of its own, until it is dropped.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use onceward_bench::engine::{Fault, cores};

const START_MAX: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) version: String,
    /// As its client takes it.
    pub(super) address: String,
    process: Child,
}

impl Server {
    /// Our daemon, on a free port that it tells.
    pub(super) fn onceward(binary: &Path, core: usize) -> Result<Self, Fault> {
        let version = version(binary)?;
        let mut process = start(
            binary,
            &["serve", "--listen", "127.0.0.1:0", "--memory", "2GiB", "--json"],
            core,
        )?;
        let output = process.stdout.take().ok_or("no pipe from the daemon")?;
        let mut server = Self { name: "onceward", version, address: String::new(), process };
        let mut line = String::new();
        BufReader::new(output.take(4_096)).read_line(&mut line)?;
        let told: serde_json::Value = serde_json::from_str(&line)?;
        let address = told["listening"][0].as_str().ok_or("the daemon names no address")?;
        server.address = format!("onceward://{address}");
        Ok(server)
    }

    /// Redis with nothing on disk.
    pub(super) fn redis(binary: &Path, core: usize) -> Result<Self, Fault> {
        let version = version(binary)?;
        // Taken and given back: Redis reads 0 as "no TCP".
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let port_text = port.to_string();
        let arguments =
            ["--port", &port_text, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let process = start(binary, &arguments, core)?;
        let address = format!("redis://127.0.0.1:{port}");
        let server = Self { name: "redis", version, address, process };
        let started = Instant::now();
        while let Err(error) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            if started.elapsed() > START_MAX {
                return Err(format!("Redis does not listen: {error}").into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It keeps nothing that an orderly end would save.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn version(binary: &Path) -> Result<String, Fault> {
    let output = Command::new(binary).arg("--version").output();
    let output = output.map_err(|error| format!("{}: {error}", binary.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn start(
    binary: &Path,
    arguments: &[impl AsRef<OsStr> + Sync],
    core: usize,
) -> Result<Child, Fault> {
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| {
            // A process starts where the thread that starts it may run.
            cores::pin(core)?;
            let mut command = Command::new(binary);
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
            Ok::<_, Fault>(command.spawn()?)
        });
        starting.join().map_err(|_| "the starting thread panicked")?
    })
}
