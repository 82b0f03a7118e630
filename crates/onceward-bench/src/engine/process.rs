//! What the kernel says about this process and this machine.

use std::fs;
use std::time::Duration;

use nix::time::ClockId;
use serde::{Deserialize, Serialize};

use super::system::Fault;

fn read(path: &str) -> Result<String, Fault> {
    fs::read_to_string(path).map_err(|error| format!("{path}: {error}").into())
}

/// Bytes of memory that this process holds.
///
/// # Errors
/// The kernel has no `/proc`.
pub fn resident_bytes() -> Result<u64, Fault> {
    let text = read("/proc/self/status")?;
    Ok(kilobytes(&text, "VmRSS:").ok_or("/proc/self/status lacks VmRSS")? * 1024)
}

/// Bytes of that in huge pages.
///
/// # Errors
/// The kernel has no `/proc`.
pub fn huge_bytes() -> Result<u64, Fault> {
    Ok(kilobytes(&read("/proc/self/smaps_rollup")?, "AnonHugePages:").unwrap_or(0) * 1024)
}

/// Bytes that new processes can have without swapping.
///
/// # Errors
/// The kernel has no `/proc`.
pub fn available_bytes() -> Result<u64, Fault> {
    let text = read("/proc/meminfo")?;
    Ok(kilobytes(&text, "MemAvailable:").ok_or("/proc/meminfo lacks MemAvailable")? * 1024)
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Processor time of the calling thread, in the kernel and outside.
///
/// # Errors
/// The kernel lacks that clock.
pub fn thread_cpu_time() -> Result<Duration, Fault> {
    Ok(ClockId::CLOCK_THREAD_CPUTIME_ID.now()?.into())
}

/// Nanoseconds for which the calling thread was ready to run and had no core, since it began. The
/// host's own interruptions are not in it.
///
/// # Errors
/// The kernel has no `/proc`, or does not count.
pub fn thread_wait_nanos() -> Result<u64, Fault> {
    let path = "/proc/thread-self/schedstat";
    let text = read(path)?;
    Ok(text.split_whitespace().nth(1).ok_or("schedstat has no second figure")?.parse()?)
}

/// Processes ready to run, averaged over the last minute.
///
/// # Errors
/// The kernel has no `/proc`.
pub fn load() -> Result<f64, Fault> {
    Ok(read("/proc/loadavg")?.split_whitespace().next().ok_or("/proc/loadavg is empty")?.parse()?)
}

/// What one must know of a machine to compare figures.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Machine {
    /// The processor's name for itself.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// Whether programs get huge pages: the kernel's setting.
    pub huge_pages: String,
    /// Memory of the machine in bytes.
    pub memory_bytes: u64,
    /// Processes ready to run when the benchmark began: above 0.3 or so others disturbed it.
    pub load_at_start: f64,
}

impl Machine {
    /// This machine, now. What the kernel does not say stays empty.
    #[must_use]
    pub fn here() -> Self {
        let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
        let cpu = model.and_then(|line| line.split_once(": ")).map_or("", |(_, name)| name);
        let meminfo = read("/proc/meminfo").unwrap_or_default();
        let huge_pages = "/sys/kernel/mm/transparent_hugepage/enabled";
        Self {
            cpu: cpu.to_owned(),
            cores: super::cores::available().map_or(0, |cores| cores.len()),
            kernel: read("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            huge_pages: read(huge_pages).unwrap_or_default().trim().to_owned(),
            memory_bytes: kilobytes(&meminfo, "MemTotal:").unwrap_or(0) * 1024,
            load_at_start: load().unwrap_or(0.0),
        }
    }
}
