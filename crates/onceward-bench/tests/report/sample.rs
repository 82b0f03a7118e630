//! Documents to report on: one that fits on a page of text, and one with everything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};
use onceward_bench::load::record::{
    Bar, Counters, Document, Latency, Load, Machine, Run, SCHEMA, Series, Target,
};

/// A target's behaviour, from which runs are made up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    pub(crate) name: &'static str,
    /// Microseconds of the server for a round trip.
    pub(crate) cpu_us: f64,
    pub(crate) rate: f64,
    pub(crate) p50_us: f64,
    pub(crate) bytes_per_key: Option<f64>,
}

pub(crate) const MADE: [Made; 6] = [
    Made {
        name: "onceward",
        cpu_us: 1.62,
        rate: 431_000.0,
        p50_us: 92.0,
        bytes_per_key: Some(68.3),
    },
    Made { name: "echo", cpu_us: 1.36, rate: 542_000.0, p50_us: 87.0, bytes_per_key: None },
    Made {
        name: "memcached",
        cpu_us: 2.41,
        rate: 330_000.0,
        p50_us: 131.0,
        bytes_per_key: Some(213.0),
    },
    Made {
        name: "redis",
        cpu_us: 2.98,
        rate: 301_000.0,
        p50_us: 151.0,
        bytes_per_key: Some(262.0),
    },
    Made {
        name: "valkey",
        cpu_us: 2.86,
        rate: 305_000.0,
        p50_us: 149.0,
        bytes_per_key: Some(91.0),
    },
    Made {
        name: "redis lua",
        cpu_us: 7.7,
        rate: 145_000.0,
        p50_us: 305.0,
        bytes_per_key: Some(538.0),
    },
];

/// Times around `median_ns` with a tail that grows with `strain`, the same for the same arguments.
pub(crate) fn latency(median_ns: f64, strain: f64, count: u64) -> Latency {
    let mut times = Histogram::<u64>::new_with_bounds(1, 120_000_000_000, 3).expect("bounds");
    for at in 0..count {
        let quantile = (at as f64 + 0.5) / count as f64;
        let tail = (1.0 - quantile).powf(-0.18 * (1.0 + strain)) - 0.5_f64.powf(-0.18);
        let body = 0.6 + 0.8 * quantile;
        times.saturating_record((median_ns * (body + tail.max(0.0))) as u64);
    }
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(&times, &mut bytes).expect("serialized");
    let percents = [("50", 0.5), ("90", 0.9), ("99", 0.99), ("99.9", 0.999), ("99.99", 0.9999)];
    Latency {
        count,
        mean_ns: times.mean(),
        percentile_ns: percents
            .iter()
            .map(|(name, quantile)| ((*name).to_owned(), times.value_at_quantile(*quantile)))
            .collect(),
        histogram: STANDARD.encode(bytes),
    }
}

fn machine() -> Machine {
    Machine {
        cpu: "AMD EPYC 9R45".to_owned(),
        cores: 2,
        kernel: "6.18.5".to_owned(),
        system: "Debian GNU/Linux 12".to_owned(),
        memory_bytes: 24 << 30,
        load_at_start: 0.07,
    }
}

fn load() -> Load {
    Load {
        mix: "first".to_owned(),
        mode: "same".to_owned(),
        connections: 50,
        pipeline: 1,
        threads: 1,
        server_threads: Some(1),
        keys: 100_000,
        key_distribution: "uniform".to_owned(),
        values: "512".to_owned(),
        retention_ms: 86_400_000,
        warm_up: "50000 round trips".to_owned(),
        seed: 7,
        ..Load::default()
    }
}

/// Three runs of a target of which the second can be off by `wobble`.
fn series(made: Made, load: Load, wobble: f64) -> Series {
    let runs = [1.0, 1.0 + wobble, 1.0 - wobble / 2.0].map(|factor| {
        let open = load.offered_rate;
        let served = load.pipeline as f64;
        let rate = open.unwrap_or(made.rate).min(made.rate * served.sqrt()) / factor;
        let cpu_us = made.cpu_us / served.sqrt();
        let round_trips = rate as u64 * 2;
        let strain = open.map_or(1.0, |offered| (offered / made.rate).min(1.4).powi(3));
        let median =
            made.p50_us * 1e3 * factor * if open.is_some() { 0.2 + 0.4 * strain } else { 1.0 };
        let kinds: &[&str] =
            if load.mix == "replay" { &["replay"] } else { &["begin", "complete"] };
        let mut found: std::collections::BTreeMap<_, _> =
            kinds.iter().map(|kind| ((*kind).to_owned(), latency(median, strain, 4_000))).collect();
        found.insert("all".to_owned(), latency(median, strain, 8_000));
        let behind = open.is_some_and(|offered| offered > made.rate * 1.05);
        Run {
            invalid: behind.then(|| "the generator lagged: p99 of its lag is 2.1 ms".to_owned()),
            seconds: 2.0,
            round_trips,
            latency: found,
            send_lag: open.map(|_| latency(1_500.0, strain, 1_000)),
            server_cpu_ns: Some((cpu_us * 1e3 * factor * round_trips as f64) as u64),
            generator_cpu_ns: Some((1.1e3 * factor * round_trips as f64) as u64),
            server_resident_bytes: Some((
                4 << 20,
                made.bytes_per_key.map_or(4 << 20, |bytes| {
                    (4 << 20) + (100_000.0 * (548.0 + bytes * factor)) as u64
                }),
            )),
            // An echo has them, too, and keeps nothing.
            stored_bytes: Some(54_800_000),
            stored_keys: Some(100_000),
            cache_line_ns: (load.mode == "two").then_some(24.0 * factor),
            ..Run::default()
        }
    });
    let lacks = match made.name {
        "onceward" => "",
        "echo" => "everything: it moves this run's bytes and keeps none",
        "redis lua" => "waiting, and a fence per key; an end of the lease is a key's end",
        _ => "fingerprint, fence, owner and lease: SET NX, then SET XX",
    };
    Series {
        target: Target {
            name: made.name.to_owned(),
            address: format!("127.0.0.1, {} of this run", made.name),
            version: "1.2.3".to_owned(),
            settings: [("threads".to_owned(), "1".to_owned())].into(),
            lacks: lacks.to_owned(),
        },
        load,
        runs: runs.to_vec(),
    }
}

/// Two targets under one load; one run failed and one is invalid.
pub(crate) fn small() -> Document {
    let mut own = series(MADE[0], load(), 0.02);
    own.runs[1].invalid = Some("the generator lagged".to_owned());
    let echo = series(MADE[1], load(), 0.04);
    let mut redis = series(MADE[3], load(), 0.06);
    redis.runs[2].counters = Counters { wrong_replays: 1_200, ..Counters::default() };
    Document {
        schema: SCHEMA.to_owned(),
        command_line: ["onceward-bench", "rivals", "--runs", "3"].map(str::to_owned).to_vec(),
        started_at_s: 1_795_534_669,
        machine: machine(),
        versions: [("onceward", "0.1.0"), ("redis", "7.0.15")]
            .map(|(name, version)| (name.to_owned(), version.to_owned()))
            .into(),
        series: vec![own, echo, redis],
        bars: Vec::new(),
        notes: vec!["valkey was not found".to_owned()],
    }
}

/// All mixes, both modes, pipelines, and a ladder of rates.
pub(crate) fn full() -> Document {
    let mut document = small();
    document.series.clear();
    let shapes = [("first", "same", 50, 1), ("replay", "same", 50, 1), ("first", "same", 50, 16)];
    for (mix, mode, connections, pipeline) in shapes.into_iter().chain([("first", "two", 50, 1)]) {
        for made in MADE {
            let (mix, mode) = (mix.to_owned(), mode.to_owned());
            let load = Load { mix, mode, connections, pipeline, ..load() };
            document.series.push(series(made, load, 0.03));
        }
    }
    for made in MADE {
        for part in 1..=5 {
            let load = Load {
                mix: "mixed".to_owned(),
                mode: "two".to_owned(),
                offered_rate: Some(80_000.0 * f64::from(part)),
                ..load()
            };
            document.series.push(series(made, load, 0.05));
        }
    }
    document.bars = bars();
    document
}

/// One that is met, one that is missed, and one that nobody could have met.
fn bars() -> Vec<Bar> {
    let bar = |name: &str, bound, found, floor: Option<f64>| {
        let (name, beyond_floor) = (name.to_owned(), floor.map(|_| 0.4));
        let (least, greatest, rounds) = (found - 0.01, found + 0.02, 5);
        Bar { name, bound, found, least, greatest, rounds, floor, beyond_floor, ..Bar::default() }
    };
    vec![
        bar("CPU / echo, first, 50 connections, mode same, 100000 keys", 1.25, 1.19, None),
        bar("CPU / valkey, first, 50 connections, mode same, 100000 keys", 0.62, 0.65, Some(0.47)),
        bar("CPU / redis, replay, 50 connections, mode same, 100000 keys", 0.62, 0.8, Some(0.7)),
    ]
}
