//! What the kernel says about the process of a server.

use std::fs;

use crate::engine::Fault;

/// A server on this machine, by its process id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ServerProcess {
    pid: u32,
}

/// What a server used up to one instant.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// Processor time of all its threads, kernel included, in nanoseconds.
    pub cpu_ns: u64,
    /// Its resident memory.
    pub resident_bytes: u64,
    /// Its threads.
    pub threads: usize,
}

impl ServerProcess {
    /// The process with this id.
    ///
    /// # Errors
    /// There is none, or the kernel keeps its figures from us.
    pub fn of(pid: u32) -> Result<Self, Fault> {
        let process = Self { pid };
        process.usage()?;
        Ok(process)
    }

    /// Its id.
    #[must_use]
    pub const fn pid(self) -> u32 {
        self.pid
    }

    /// What it used until now. The scheduler counts to the nanosecond; `stat` only counts ticks.
    /// Threads that ended took their time with them, so a server must keep its threads.
    ///
    /// # Errors
    /// It is gone.
    pub fn usage(self) -> Result<Usage, Fault> {
        let folder = format!("/proc/{}/task", self.pid);
        let gone = |error| format!("process {}: {error}", self.pid);
        let mut usage = Usage::default();
        for thread in fs::read_dir(&folder).map_err(gone)? {
            // A thread may end while the folder is read.
            let Ok(text) = fs::read_to_string(thread.map_err(gone)?.path().join("schedstat"))
            else {
                continue;
            };
            let on_core = text.split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok());
            usage.cpu_ns += on_core.ok_or("schedstat says nothing: the kernel does not count")?;
            usage.threads += 1;
        }
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).map_err(gone)?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes =
            resident.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        usage.resident_bytes = kilobytes.ok_or("the process has no memory of its own")? * 1024;
        Ok(usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_memory_show() {
        let own = ServerProcess::of(std::process::id()).unwrap();
        let before = own.usage().unwrap();
        assert!(before.threads >= 1 && before.resident_bytes > 0);
        let mut held = Vec::new();
        while own.usage().unwrap().cpu_ns == before.cpu_ns {
            held.push(vec![1_u8; 1 << 20]);
        }
        held.resize(held.len() + 32, vec![1_u8; 1 << 20]);
        let after = own.usage().unwrap();
        assert!(after.resident_bytes >= before.resident_bytes + (16 << 20), "{after:?}");
        assert!(ServerProcess::of(u32::MAX).is_err(), "there is no such process");
    }
}
