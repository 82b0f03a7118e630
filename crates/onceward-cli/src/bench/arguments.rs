//! The command line of `bench`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use onceward_bench::engine::Values;
use onceward_bench::load::{Arrivals, Bound, Distribution, Goal, Mix, Pace, Plan, Terms};

use crate::failure::Failure;
use crate::quantity::duration;

const EXAMPLES: &str = "\
Every answer is checked: each key must run once, and each replay must be what was stored. A run in
which one does not is a failure, exit 1, whatever its figures. Keys and values of a seed are the
same every time; on a store that has them already, choose another seed.

Mixes: first (begin of a new key, then its complete), replay (begins of stored keys), mixed (95 in
100 first, the others replay), conflict (begins of keys that somebody else holds), mismatch (begins
of stored keys with another payload), waiters (all slots but one wait for a key whose owner then
completes). What a mix needs in the store is put there before, and measured apart.

Examples:
  onceward bench                                     # a daemon of its own, saturated
  onceward bench --rate 20000 --duration 30s         # latency at a rate that is offered
  onceward bench --find-max 'p99<1ms' --duration 5s  # the highest rate that keeps it
  onceward bench --url mem:// --mix replay           # the store in this process
  onceward bench --save new.json --compare old.json  # beside an earlier run
  onceward bench --mode same -- --threads 1          # one core; words for the daemon's serve";

/// Measure a store: latency at an offered rate, or saturation; every answer is checked
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BenchArguments {
    /// Which operations: first, replay, mixed, conflict, mismatch or waiters
    #[arg(long, value_name = "MIX", value_parser = mix, default_value = "first", value_delimiter = ',')]
    mix: Vec<Mix>,
    /// Offer so many operations per second over all connections, each with a start of its own
    /// (open loop); without it each slot starts its next one at once (closed loop: saturation)
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    pub(super) rate: Option<f64>,
    /// What lies between two starts of --rate and --find-max
    #[arg(long, value_enum, default_value = "poisson")]
    arrivals: Spread,
    /// Find the highest rate that keeps this, such as 'p99<1ms'; each rate runs for --duration
    #[arg(long, value_name = "GOAL", value_parser = goal, conflicts_with = "rate")]
    pub(super) find_max: Option<Goal>,
    /// Connections; with mem:// only the size of a crowd depends on it
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Requests in flight on each connection
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pipeline: u16,
    /// Threads of the generator
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// How long each run is measured [default: 10s, unless --requests is given]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// How many operations each run has at most; in mix waiters, how many crowds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// How long each run goes on before it is measured; 0s: not at all
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s")]
    warm_up: Duration,
    /// Runs, each with keys of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) runs: u16,
    /// Decides keys, values and order [default: by the clock]
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Keys that replay, mixed, conflict and mismatch choose from
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    keys: u64,
    /// How they choose: permuted (each once before any comes again), random, or zipf:THETA
    #[arg(long, value_name = "HOW", value_parser = distribution, default_value = "permuted")]
    distribution: Distribution,
    /// Bytes of each result: 512, 64..4096, or traffic:FILE for the bodies of recorded calls
    #[arg(long, value_name = "SIZES", value_parser = values, default_value = "512")]
    values: Values,
    /// How long results are kept
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "24h")]
    retention: Duration,
    /// Where server and generator run: same (both on one core), two (one core each, if they are
    /// near each other) or free. Pins the generator, and the daemon that is started here
    #[arg(long, value_enum, default_value = "free")]
    pub(super) mode: Mode,
    /// The process of the daemon at --url, for its processor time and memory
    #[arg(long, value_name = "PID", requires = "url")]
    pub(super) server_pid: Option<u32>,
    /// Write everything that was measured to this file, for --compare
    #[arg(long, value_name = "FILE")]
    pub(super) save: Option<PathBuf>,
    /// Write a page with plots to this file
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Write histograms into this folder, as HdrHistogram's interval logs
    #[arg(long, value_name = "DIR")]
    pub(super) hdr: Option<PathBuf>,
    /// Compare with what an earlier run saved; two files: compare them, and run nothing
    #[arg(long, value_name = "FILE", num_args = 1..=2)]
    pub(super) compare: Vec<PathBuf>,
    /// Words for serve, for the daemon that is started here
    #[arg(last = true, value_name = "SERVE_OPTIONS")]
    pub(super) serve: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Spread {
    /// At equal distances
    Constant,
    /// As of many callers who know nothing of each other
    Poisson,
}

/// Which cores are used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Mode {
    /// Server and generator on one core
    Same,
    /// One core each
    Two,
    /// As the kernel sees fit
    Free,
}

impl Mode {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Two => "two",
            Self::Free => "free",
        }
    }
}

fn mix(text: &str) -> Result<Mix, String> {
    Mix::of_name(text).ok_or_else(|| {
        let names: Vec<_> = Mix::ALL.iter().map(|mix| mix.name()).collect();
        format!("there are {}", names.join(", "))
    })
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (0.001..=1e9).contains(rate));
    rate.ok_or_else(|| "write operations per second, such as 20000".to_owned())
}

fn goal(text: &str) -> Result<Goal, String> {
    let form = "write a percentile and its bound, such as 'p99<1ms'";
    let (percentile, below) = text.split_once('<').ok_or(form)?;
    Goal::new(percentile.trim(), duration(below)?).map_err(|fault| format!("{fault}: {form}"))
}

fn distribution(text: &str) -> Result<Distribution, String> {
    match (text, text.strip_prefix("zipf:")) {
        ("permuted", _) => Ok(Distribution::Permuted),
        ("random", _) => Ok(Distribution::Random),
        (_, Some(theta)) => {
            let theta = theta.parse().map_err(|_| "write theta as a number, such as zipf:0.99")?;
            Distribution::zipf(theta).map_err(|fault| fault.to_string())
        }
        _ => Err("there are permuted, random and zipf:THETA".to_owned()),
    }
}

fn values(text: &str) -> Result<Values, String> {
    let form = "write 512, 64..4096 or traffic:FILE";
    let bytes = |text: &str| text.parse::<usize>().map_err(|_| form.to_owned());
    let made = if let Some(path) = text.strip_prefix("traffic:") {
        Values::recorded(path.as_ref())
    } else if let Some((least, most)) = text.split_once("..") {
        Values::ranged(bytes(least)?, bytes(most)?)
    } else {
        Values::sized(bytes(text)?)
    };
    let values = made.map_err(|fault| fault.to_string())?;
    // Over it the store keeps no body, and a replay would have none.
    if values.most_bytes() > 1 << 20 {
        return Err("a store keeps results of at most 1 MiB".to_owned());
    }
    Ok(values)
}

impl BenchArguments {
    /// What to run, one plan for each mix.
    ///
    /// # Errors
    /// Options that contradict each other.
    pub(super) fn plans(&self, seed: u64, cores: &[usize]) -> Result<Vec<Plan>, Failure> {
        let pace = self.rate.map_or(Pace::Closed, |rate| self.open(rate));
        let duration = match (self.duration, self.requests) {
            (None, None) => Some(Duration::from_secs(10)),
            (duration, _) => duration,
        };
        if duration.is_some_and(|length| length.is_zero() || length > Duration::from_secs(86_400)) {
            return Err(Failure::bad_input(
                "duration",
                "--duration: measure for longer than 0s, at most 1d",
            ));
        }
        if self.find_max.is_some() && duration.is_none() {
            return Err(Failure::bad_input(
                "duration",
                "--find-max needs --duration, not --requests",
            ));
        }
        let lease = Terms::default().lease;
        if self.retention < lease {
            return Err(Failure::bad_input(
                "retention",
                format!("--retention: keep results for at least {lease:?}, the lease"),
            ));
        }
        let warm_up = match (self.warm_up, self.requests) {
            (Duration::ZERO, _) => Bound::default(),
            (length, requests) => Bound { operations: requests, duration: Some(length) },
        };
        let plan = |&mix: &Mix| Plan {
            mix,
            pace,
            bound: Bound { operations: self.requests, duration },
            warm_up,
            connections: self.connections.into(),
            pipeline: self.pipeline.into(),
            threads: self.threads.into(),
            keys: self.keys,
            distribution: self.distribution,
            values: self.values.clone(),
            terms: Terms { retention: self.retention, ..Terms::default() },
            seed,
            patience: None,
            cores: cores.to_vec(),
        };
        Ok(self.mix.iter().map(plan).collect())
    }

    /// An open loop at this rate.
    pub(super) const fn open(&self, rate: f64) -> Pace {
        let arrivals = match self.arrivals {
            Spread::Constant => Arrivals::Constant,
            Spread::Poisson => Arrivals::Poisson,
        };
        Pace::Open { rate, arrivals }
    }
}
