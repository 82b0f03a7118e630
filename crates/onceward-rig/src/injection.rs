//! Faults of system calls, made by `strace`: which call fails, how, and from which one on.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use onceward_testkit::SplitMix64;

/// A command that faults need. 6.1 or later, for its way of naming ranges of calls.
pub const TOOLS: &[&str] = &["strace"];

/// Syncs that one begin waits for at most: two rounds, each with a file of every retention in use, the
/// directory twice, manifest and progress.
const SYNCS_WAITED_FOR: u32 = 20;

/// Calls that a journal makes; all of one kind fail alike.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Write,
    Sync,
    Rename,
    Open,
    Allocate,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    /// The call fails with this error and does nothing.
    Error(&'static str),
    /// Nothing was written, and no error either: the shortest of short writes. (A longer one that
    /// strace claims would be a lie: it never makes the call that it answers for.)
    Short,
    /// The call takes that many milliseconds.
    Slow(u64),
    /// The process is killed as it makes the call.
    Kill,
}

/// One fault of one life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Injection {
    kind: Kind,
    fault: Fault,
    /// The first call at fault, from 1, of each thread.
    first: u64,
    /// How many calls; `None` for all from the first on.
    calls: Option<u64>,
}

impl Kind {
    const fn calls(self) -> &'static str {
        match self {
            // Not `write`: that is how the daemon says where it listens.
            Self::Write => "pwrite64,pwritev,pwritev2",
            Self::Sync => "fdatasync,fsync",
            Self::Rename => "rename,renameat,renameat2",
            Self::Open => "openat",
            Self::Allocate => "fallocate,ftruncate",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Rename => "rename",
            Self::Open => "open",
            Self::Allocate => "allocate",
        }
    }
}

impl Injection {
    /// Any of them.
    pub fn draw(random: &mut SplitMix64) -> Self {
        let kinds = [
            Kind::Write,
            Kind::Write,
            Kind::Sync,
            Kind::Sync,
            Kind::Sync,
            Kind::Rename,
            Kind::Open,
            Kind::Allocate,
        ];
        let kind = random.pick(&kinds).copied().unwrap_or(Kind::Sync);
        let mut faults = vec![Fault::Error("EIO"), Fault::Error("ENOSPC"), Fault::Kill];
        match kind {
            Kind::Write => faults.push(Fault::Short),
            Kind::Sync => faults.push(Fault::Slow(random.within(20..250))),
            Kind::Rename | Kind::Open | Kind::Allocate => {}
        }
        let fault = random.pick(&faults).copied().unwrap_or(Fault::Kill);
        let first = match kind {
            Kind::Write | Kind::Sync => random.within(1..40),
            Kind::Rename | Kind::Allocate => random.within(1..4),
            Kind::Open => random.within(1..40),
        };
        let calls = match random.within(0..10) {
            0..5 => Some(1),
            5..8 => Some(random.within(2..6)),
            _ => None,
        };
        Self { kind, fault, first, calls }
    }

    /// Every sync takes that many milliseconds: what is not synced yet is so for longer.
    #[must_use]
    pub const fn slow_syncs(millis: u64) -> Self {
        Self { kind: Kind::Sync, fault: Fault::Slow(millis), first: 1, calls: None }
    }

    /// Whether the process is to end by it.
    #[must_use]
    pub fn kills(&self) -> bool {
        self.fault == Fault::Kill
    }

    /// Whether the daemon has to be as before once it is over.
    #[must_use]
    pub const fn heals(&self) -> bool {
        self.calls.is_some() || matches!(self.fault, Fault::Slow(_))
    }

    /// What it may cost, all of it still ahead, until a daemon that tries once a second is as before: for
    /// each call that fails after the first, the second until the next try and another for the try
    /// (five failing syncs took 9.6 s in six lanes); and the slow syncs that a begin may wait for.
    #[must_use]
    pub fn costs(&self) -> Duration {
        match (self.fault, self.calls) {
            (Fault::Slow(millis), _) => Duration::from_millis(millis) * SYNCS_WAITED_FOR,
            (_, Some(calls)) => Duration::from_secs(2 * (calls - 1)),
            (_, None) => Duration::ZERO,
        }
    }

    /// The words before the program's, so that `log` tells what was done to it. The program takes
    /// the place of the process that is started: whoever kills that kills the program.
    #[must_use]
    pub fn wrapper(&self, log: &Path) -> Vec<OsString> {
        let calls = self.kind.calls();
        let what = match self.fault {
            Fault::Error(error) => format!("error={error}"),
            Fault::Short => "retval=0".to_owned(),
            Fault::Slow(millis) => format!("delay_enter={}", millis * 1_000),
            Fault::Kill => "signal=KILL".to_owned(),
        };
        let when = match self.calls {
            Some(1) => self.first.to_string(),
            Some(calls) => format!("{}..{}", self.first, self.first + calls - 1),
            None => format!("{}+", self.first),
        };
        let mut words: Vec<OsString> =
            ["strace", "-D", "-f", "-qq", "-y", "-e", "signal=none"].map(OsString::from).into();
        if !self.kills() {
            words.push("--seccomp-bpf".into()); // Much faster, and sends no signals.
        }
        words.extend(["-o".into(), log.as_os_str().to_owned()]);
        words.extend(["-e".into(), "trace=pwrite64,pwritev,pwritev2,fdatasync,fsync,rename,renameat,renameat2,openat,fallocate,ftruncate".into()]);
        words.extend(["-e".into(), format!("inject={calls}:{what}:when={when}").into()]);
        words
    }
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        match self.fault {
            Fault::Error(error) => write!(f, " {error}"),
            Fault::Short => f.write_str(" short"),
            Fault::Slow(_) => f.write_str(" slow"),
            Fault::Kill => f.write_str(" SIGKILL"),
        }
    }
}

/// What a log of strace tells about one life.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Traced {
    /// Calls that were made to fail, or to take long.
    pub injected: u64,
    /// A facts file whose write or sync had failed, and that was written or synced after that.
    pub used_again: Option<String>,
}

/// Reads a log: per thread, as calls of several threads may be told in halves.
#[must_use]
pub fn traced(log: &str) -> Traced {
    let mut traced = Traced::default();
    let mut failed: HashSet<&str> = HashSet::new();
    let mut halves: HashMap<&str, &str> = HashMap::new();
    for line in log.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let told = call.trim_start();
        let file = match told.strip_prefix("<... ") {
            Some(_) => halves.remove(thread),
            None => facts_file(told),
        };
        if told.ends_with("<unfinished ...>")
            && let Some(file) = file
        {
            halves.insert(thread, file);
        }
        let injected = told.contains("(INJECTED)") || told.contains("(DELAYED)");
        traced.injected += u64::from(injected);
        let Some(file) = file else { continue };
        if failed.contains(file) && !told.starts_with("<... ") {
            traced.used_again.get_or_insert_with(|| file.to_owned());
        }
        if injected && told.contains(" = -1 ") {
            failed.insert(file);
        }
    }
    traced
}

/// The name of the facts file that a write or a sync is about.
fn facts_file(call: &str) -> Option<&str> {
    let (name, rest) = call.split_once('(')?;
    if !matches!(name, "pwrite64" | "pwritev" | "pwritev2" | "fdatasync" | "fsync") {
        return None;
    }
    let path = rest.split_once('<')?.1.split_once('>')?.0;
    let file = path.rsplit('/').next()?;
    file.starts_with("facts-").then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_file_that_is_used_again_is_found_and_no_other() {
        let sync = |thread: u32, file: &str, ends: &str| {
            format!("{thread}  fdatasync(7</d/{file}>) = {ends}\n")
        };
        let failed = "-1 EIO (Input/output error) (INJECTED)";
        let (one, two) = ("facts-0000000000000001.log", "facts-0000000000000002.log");
        let halves = format!(
            "5  fdatasync(7</d/{one}> <unfinished ...>\n6  openat(AT_FDCWD, \"/d\", O_RDONLY) = 3</d>\n5  <... fdatasync resumed>) = {failed}\n"
        );
        #[rustfmt::skip]
        let cases = [
            ("a new file", [sync(1, one, failed), sync(1, two, "0")].concat(), 1, None),
            ("synced again", [sync(1, one, failed), sync(1, one, "0")].concat(), 1, Some(one)),
            ("by another thread", [sync(1, one, failed), sync(2, one, "0")].concat(), 1, Some(one)),
            ("written again", [sync(1, one, failed), format!("1  pwrite64(7</d/{one}>, \"\"..., 3, 0) = 3\n")].concat(), 1, Some(one)),
            ("told in halves", [halves, sync(5, one, "0")].concat(), 1, Some(one)),
            ("slow is no failure", [sync(1, one, "0 (DELAYED)"), sync(1, one, "0")].concat(), 1, None),
            ("another kind of file", [sync(1, "manifest.new", failed), sync(1, "manifest.new", "0")].concat(), 1, None),
        ];
        for (why, log, injected, used_again) in cases {
            let used_again = used_again.map(str::to_owned);
            assert_eq!(traced(&log), Traced { injected, used_again }, "{why}");
        }
    }
}
