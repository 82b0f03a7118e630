//! What a run of the harness asked for, found and measured, as it is written to JSON.
//!
//! ```text
//! Document ── machine, versions, command line
//!    └── Series: one target under one load ── target, load
//!           └── Run ── counters, latencies, send lag, processor time, memory
//! ```
//! Times are in nanoseconds and sizes in bytes, unless a name says otherwise. Names are stable:
//! `--compare` reads what an earlier version wrote, so fields are added and never renamed. A field
//! that a file lacks has its default, and one that is not known is passed over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The name of this format.
pub const SCHEMA: &str = "onceward-bench/1";

/// Everything of one invocation.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: String,
    /// The command as it was typed, word by word.
    pub command_line: Vec<String>,
    /// When it began, in seconds since 1970.
    pub started_at_s: u64,
    /// Where it ran.
    pub machine: Machine,
    /// Version by name: ours, the compiler's, each server's.
    pub versions: BTreeMap<String, String>,
    /// What was measured, in the order of the report.
    pub series: Vec<Series>,
    /// What had to be reached, and whether it was.
    pub bars: Vec<Bar>,
    /// What whoever reads the figures should know: what was left out, and why.
    pub notes: Vec<String>,
}

/// One figure that had to be reached. A bar that is missed fails no run.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Bar {
    /// What is held against what.
    pub name: String,
    /// The most that it may be.
    pub bound: f64,
    /// What was found: the median over the rounds.
    pub found: f64,
    /// The least of them.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
    /// Rounds that count.
    pub rounds: usize,
    /// Where the bar is set against a rival: what the kernel's floor itself has of that rival in
    /// the same rounds. Nobody who answers over a socket gets below it.
    pub floor: Option<f64>,
    /// There, too: what ours takes beyond the floor, of what the rival takes beyond it. Says how
    /// the servers compare where the kernel takes most of both.
    pub beyond_floor: Option<f64>,
    /// [`Bar::verdict`] when it was judged, for who reads the file.
    pub verdict: String,
}

impl Bar {
    /// Whether it is reached.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.found <= self.bound
    }

    /// By what factor it is missed: over 1 where it is.
    #[must_use]
    pub fn missed_by(&self) -> f64 {
        self.found / self.bound
    }

    /// Whether the kernel's floor itself has more of the rival than ours may: then nobody who
    /// answers over a socket reaches the bar on this host.
    #[must_use]
    pub fn is_below_floor(&self) -> bool {
        self.floor.is_some_and(|floor| floor > self.bound)
    }

    /// `met`, or by how much it is missed.
    #[must_use]
    pub fn verdict(&self) -> String {
        if self.is_met() {
            return "met".to_owned();
        }
        let missed = format!("missed by {:.2} ×", self.missed_by());
        let below = ", below the floor on this host";
        if self.is_below_floor() { missed + below } else { missed }
    }
}

/// The machine, as far as figures depend on it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Machine {
    /// Model name of the processor.
    pub cpu: String,
    /// Cores that the process may use.
    pub cores: usize,
    /// Kernel release.
    pub kernel: String,
    /// Name of the distribution.
    pub system: String,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Load of the last minute at the start: above 0.3 or so, figures are no figures.
    pub load_at_start: f64,
}

/// One target under one load, run several times.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Series {
    /// Who answered.
    pub target: Target,
    /// What was asked.
    pub load: Load,
    /// Each run on its own, in order.
    pub runs: Vec<Run>,
}

/// Who answered.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Target {
    /// Short name, unique within a document: `onceward`, `echo`, `redis`, `redis lua`, …
    pub name: String,
    /// Where, as a URL, or the command that was started.
    pub address: String,
    /// Version, as the server says it.
    pub version: String,
    /// The settings it ran with.
    pub settings: BTreeMap<String, String>,
    /// What it does not do that Onceward does, in a sentence; empty for Onceward.
    pub lacks: String,
}

/// What was asked, and how.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Load {
    /// `first`, `replay`, `mixed`, `conflict`, `mismatch` or `waiters`.
    pub mix: String,
    /// `same` (server and generator on one core), `two` (one core each) or `free` (not pinned).
    pub mode: String,
    /// Operations offered per second in all; `None` is the closed loop, which shows saturation.
    pub offered_rate: Option<f64>,
    /// Connections in all.
    pub connections: usize,
    /// Requests in flight on each connection.
    pub pipeline: usize,
    /// Threads of the generator.
    pub threads: usize,
    /// Threads of the server, where the harness started it.
    pub server_threads: Option<usize>,
    /// Different keys.
    pub keys: u64,
    /// How keys are chosen: `uniform`, `zipf:0.99`, …
    pub key_distribution: String,
    /// How large values are: `512`, `64..4096`, `traffic`.
    pub values: String,
    /// Retention of results.
    pub retention_ms: u64,
    /// Length of the warm-up, in round trips or seconds, as text.
    pub warm_up: String,
    /// Decides keys, values and order.
    pub seed: u64,
    /// Bytes of each fingerprint, from those who send one.
    pub fingerprint_bytes: Option<usize>,
    /// The most that a cache line may take from one core to the other, where there are two. A run
    /// above it is invalid.
    pub near_ns: Option<f64>,
}

/// One run.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Run {
    /// Why its figures must not be used: the generator lagged, the cores were far apart, …
    pub invalid: Option<String>,
    /// The first answer that was not the right one, if there was any: the run has failed.
    pub failure: Option<String>,
    /// Whether somebody ended it early: it has fewer samples than were asked for.
    #[serde(default)]
    pub interrupted: bool,
    /// How long it took, warm-up excluded.
    pub seconds: f64,
    /// Requests answered.
    pub round_trips: u64,
    /// What the answers were, and whether they were right.
    pub counters: Counters,
    /// Latency by operation: `begin`, `complete`, `replay`, … and `all`. From the intended start in
    /// the open loop, from the write in the closed one.
    pub latency: BTreeMap<String, Latency>,
    /// In the open loop: how long after its intended start each request was written.
    pub send_lag: Option<Latency>,
    /// The part of that which is the generator's own: what waited for a free slot counts from when
    /// one was free. Above a bound the run is invalid.
    pub generator_lag: Option<Latency>,
    /// Bytes on the wire by operation, under the names of `latency`. An echo moves as many.
    pub wire: BTreeMap<String, Wire>,
    /// Processor time of all the server's threads, kernel included.
    pub server_cpu_ns: Option<u64>,
    /// Processor time of the generator's threads.
    pub generator_cpu_ns: Option<u64>,
    /// The server's resident memory before the first key and after the last.
    pub server_resident_bytes: Option<(u64, u64)>,
    /// Bytes of all keys' text and all values stored, for bytes per key.
    pub stored_bytes: Option<u64>,
    /// Keys stored.
    pub stored_keys: Option<u64>,
    /// One way of a cache line between the two cores, in mode `two`.
    pub cache_line_ns: Option<f64>,
}

/// What the answers were. A run in which one of the last four is not zero has failed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Counters {
    /// Begins that acquired.
    pub acquired: u64,
    /// Completes that were accepted.
    pub completed: u64,
    /// Begins answered with the stored result.
    pub replayed: u64,
    /// Begins of a key that somebody else held.
    pub in_progress: u64,
    /// Begins with another payload, refused.
    pub mismatched: u64,
    /// Waits that were answered by the owner's result.
    pub waited: u64,
    /// Answers that were errors.
    pub errors: u64,
    /// Keys that were acquired or completed more than once.
    pub executed_twice: u64,
    /// Keys that were asked for and never executed.
    pub not_executed: u64,
    /// Replays whose bytes differ from those stored.
    pub wrong_replays: u64,
}

impl Counters {
    /// Adds what another thread or phase counted.
    pub const fn add(&mut self, other: &Self) {
        self.acquired += other.acquired;
        self.completed += other.completed;
        self.replayed += other.replayed;
        self.in_progress += other.in_progress;
        self.mismatched += other.mismatched;
        self.waited += other.waited;
        self.errors += other.errors;
        self.executed_twice += other.executed_twice;
        self.not_executed += other.not_executed;
        self.wrong_replays += other.wrong_replays;
    }

    /// Whether every key was executed once and every replay was what had been stored.
    #[must_use]
    pub const fn are_right(&self) -> bool {
        self.errors == 0
            && self.executed_twice == 0
            && self.not_executed == 0
            && self.wrong_replays == 0
    }
}

/// Bytes that requests of one kind and their replies take.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Wire {
    /// Requests sent.
    pub requests: u64,
    /// Bytes of them all.
    pub request_bytes: u64,
    /// Bytes of their replies.
    pub reply_bytes: u64,
}

impl Wire {
    /// Adds what another thread counted.
    pub const fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.request_bytes += other.request_bytes;
        self.reply_bytes += other.reply_bytes;
    }
}

/// A distribution of times.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Latency {
    /// Samples.
    pub count: u64,
    /// Mean.
    pub mean_ns: f64,
    /// Time by quantile, as percent in text: `50`, `90`, `99`, `99.9`, `99.99`, `100`.
    pub percentile_ns: BTreeMap<String, u64>,
    /// The whole histogram: base64 of HdrHistogram's V2 format, compressed.
    pub histogram: String,
}
