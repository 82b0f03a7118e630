//! The machine that a record is from.

use super::record::Machine;
use crate::engine::process;

impl Machine {
    /// This machine, now. What the kernel does not say stays empty.
    #[must_use]
    pub fn here() -> Self {
        let here = process::Machine::here();
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        Self {
            cpu: here.cpu,
            cores: here.cores,
            kernel: here.kernel,
            system: name.unwrap_or_default().trim_matches('"').to_owned(),
            memory_bytes: here.memory_bytes,
            load_at_start: here.load_at_start,
        }
    }
}
