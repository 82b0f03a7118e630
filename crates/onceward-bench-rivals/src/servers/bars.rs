//! What our server has to reach beside the others, as ratios of figures of the same rounds.
//!
//! Targets are asked in turn within a round, so a ratio is taken within each round: what slowed the
//! machine down for a while slowed both.

use onceward_bench::load::record::{Bar, Document, Load, Run, Series};
use onceward_bench::load::report::Spread;

use super::figures::{bytes_beyond, cpu_micros, is_usable, latency_micros};
use super::target::TargetName;

const OWN: &str = TargetName::Onceward.name();
const FLOOR: &str = TargetName::Echo.name();
const PLAIN: [&str; 2] = [TargetName::Valkey.name(), TargetName::Redis.name()];
const SCRIPTS: [&str; 2] = [TargetName::ValkeyLua.name(), TargetName::RedisLua.name()];
/// Rivals among whom the best plain replay is looked for.
const PEERS: [&str; 3] = [PLAIN[0], PLAIN[1], TargetName::Memcached.name()];
const MIXES: [&str; 2] = ["first", "replay"];
/// Bytes per key are judged from here on.
const MEMORY_KEYS_MIN: u64 = 5_000_000;
const MEMORY_BYTES: f64 = 76.0;

type Figure = fn(&Run) -> Option<f64>;

/// All bars for which there are figures.
#[must_use]
pub fn bars(document: &Document) -> Vec<Bar> {
    let figures = Figures { document };
    let mut bars = Vec::new();
    for keys in figures.keys() {
        for mix in MIXES {
            let at = |mode, connections, pipeline| Place { mode, connections, pipeline, mix, keys };
            let calm = at("same", 50, 1);
            bars.extend(figures.against(calm, "CPU", cpu_micros, FLOOR, 1.25));
            for rival in PLAIN {
                bars.extend(figures.against(calm, "CPU", cpu_micros, rival, 0.62));
            }
            for rival in SCRIPTS {
                bars.extend(figures.against(calm, "CPU", cpu_micros, rival, 0.27));
            }
            let deep = at("same", 50, 16);
            bars.extend(figures.against(deep, "CPU", cpu_micros, FLOOR, 3.8));
            bars.extend(figures.against_best_replay(deep, 0.65));
            for rival in SCRIPTS {
                bars.extend(figures.against(deep, "CPU", cpu_micros, rival, 0.1));
            }
            let p50: Figure = |run| latency_micros(run, "50");
            bars.extend(figures.against(at("two", 1, 1), "p50", p50, FLOOR, 1.1));
            let p999: Figure = |run| latency_micros(run, "99.9");
            bars.extend(figures.against(at("two", 50, 1), "p99.9", p999, FLOOR, 1.5));
            for mode in ["same", "both"] {
                bars.extend(figures.two_threads(at(mode, 50, 16), 1.25));
            }
        }
    }
    bars.extend(figures.memory());
    bars
}

/// Where in the document a figure stands.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    mode: &'a str,
    connections: usize,
    pipeline: usize,
    mix: &'a str,
    keys: u64,
}

impl Place<'_> {
    fn is(&self, load: &Load) -> bool {
        load.offered_rate.is_none()
            && (&*load.mode, load.connections, load.pipeline, &*load.mix, load.keys)
                == (self.mode, self.connections, self.pipeline, self.mix, self.keys)
    }

    fn name(&self) -> String {
        let Self { mode, connections, pipeline, mix, keys } = self;
        let s = if *connections == 1 { "" } else { "s" };
        let deep = if *pipeline > 1 { format!(" × {pipeline}") } else { String::new() };
        format!("{mix}, {connections} connection{s}{deep}, mode {mode}, {keys} keys")
    }
}

#[derive(Clone, Copy, Debug)]
struct Figures<'a> {
    document: &'a Document,
}

impl<'a> Figures<'a> {
    fn keys(&self) -> Vec<u64> {
        let mut keys: Vec<_> = self.document.series.iter().map(|series| series.load.keys).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    fn series(&self, place: Place<'_>, target: &str, threads: usize) -> Option<&'a Series> {
        self.document.series.iter().find(|series| {
            series.target.name == target
                && series.load.server_threads.unwrap_or(1) == threads
                && place.is(&series.load)
        })
    }

    fn against(
        &self,
        place: Place<'_>,
        what: &str,
        figure: Figure,
        rival: &str,
        bound: f64,
    ) -> Option<Bar> {
        let theirs = self.series(place, rival, 1)?;
        let own = self.series(place, OWN, 1)?;
        let name = format!("{what} / {rival}, {}", place.name());
        let bar = bar(name, bound, by_round(own, theirs, figure))?;
        let floor = self.series(place, FLOOR, 1).filter(|_| rival != FLOOR);
        Some(floor.map_or(bar.clone(), |floor| beside_floor(bar, own, theirs, floor, figure)))
    }

    /// Against the replay of whoever has the cheapest one.
    fn against_best_replay(&self, place: Place<'_>, bound: f64) -> Option<Bar> {
        let replay = Place { mix: "replay", ..place };
        let median = |name: &&str| {
            let series = self.series(replay, name, 1)?;
            let median = Spread::of(series.runs.iter().filter_map(usable(cpu_micros)))?.median;
            Some((median, series))
        };
        let found = PEERS.iter().filter_map(median);
        let (_, best) = found.min_by(|(one, _), (other, _)| one.total_cmp(other))?;
        let own = self.series(place, OWN, 1)?;
        let name = format!("CPU / {}'s replay, the best, {}", best.target.name, place.name());
        let bar = bar(name, bound, by_round(own, best, cpu_micros))?;
        let floor = self.series(place, FLOOR, 1);
        Some(floor.map_or(bar.clone(), |floor| beside_floor(bar, own, best, floor, cpu_micros)))
    }

    fn two_threads(&self, place: Place<'_>, bound: f64) -> Option<Bar> {
        let (one, two) = (self.series(place, OWN, 1)?, self.series(place, OWN, 2)?);
        let name = format!("CPU of two server threads / one, {}", place.name());
        bar(name, bound, by_round(two, one, cpu_micros))
    }

    fn memory(&self) -> Option<Bar> {
        let filled = |series: &&Series| {
            series.target.name == OWN
                && series.load.mix == "first"
                && series.load.keys >= MEMORY_KEYS_MIN
        };
        let series = self.document.series.iter().find(filled)?;
        let (keys, values) = (series.load.keys, &series.load.values);
        let mut name = format!("bytes beyond key and value, {keys} keys × {values}");
        if let Some(bytes) = series.load.fingerprint_bytes {
            name += &format!(", fingerprints of {bytes} bytes");
        }
        let bytes = series.runs.iter().filter_map(usable(bytes_beyond)).collect();
        bar(name, MEMORY_BYTES, bytes)
    }
}

fn usable(figure: Figure) -> impl Fn(&Run) -> Option<f64> {
    move |run| if is_usable(run) { figure(run) } else { None }
}

/// The ratio of each round in which both can be used.
fn by_round(own: &Series, other: &Series, figure: Figure) -> Vec<f64> {
    let pairs = own.runs.iter().zip(&other.runs);
    let ratio = |(own, other)| Some(usable(figure)(own)? / usable(figure)(other)?);
    pairs.filter_map(ratio).collect()
}

fn bar(name: String, bound: f64, values: Vec<f64>) -> Option<Bar> {
    let Spread { median, least, greatest, runs } = Spread::of(values)?;
    Some(Bar { name, bound, found: median, least, greatest, rounds: runs, ..Bar::default() })
}

/// Adds what the floor says of a bar against a rival.
fn beside_floor(bar: Bar, own: &Series, rival: &Series, floor: &Series, figure: Figure) -> Bar {
    let rounds = own.runs.iter().zip(&rival.runs).zip(&floor.runs);
    let beyond = |((own, rival), floor): ((&Run, &Run), &Run)| {
        let floor = usable(figure)(floor)?;
        Some((usable(figure)(own)? - floor) / (usable(figure)(rival)? - floor))
    };
    let median = |values: Vec<f64>| Spread::of(values).map(|spread| spread.median);
    let beyond_floor = median(rounds.filter_map(beyond).collect());
    Bar { floor: median(by_round(floor, rival, figure)), beyond_floor, ..bar }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onceward_bench::load::record::{Latency, Target};

    /// One series whose runs cost so many nanoseconds per round trip.
    fn series(
        name: &str,
        threads: usize,
        mode: &str,
        pipeline: usize,
        mix: &str,
        costs: &[u64],
    ) -> Series {
        let run = |cost: &u64| Run {
            round_trips: 10,
            server_cpu_ns: Some(10 * cost),
            latency: [(
                "all".to_owned(),
                Latency {
                    percentile_ns: [("99.9".to_owned(), 2 * cost), ("50".to_owned(), *cost)].into(),
                    ..Latency::default()
                },
            )]
            .into(),
            ..Run::default()
        };
        let load = Load {
            mix: mix.to_owned(),
            mode: mode.to_owned(),
            connections: 50,
            pipeline,
            server_threads: Some(threads),
            keys: 100,
            ..Load::default()
        };
        let target = Target { name: name.to_owned(), ..Target::default() };
        Series { target, load, runs: costs.iter().map(run).collect() }
    }

    fn found(document: &Document) -> Vec<(String, f64, bool, Option<f64>)> {
        bars(document)
            .into_iter()
            .map(|bar| (bar.name.clone(), bar.found, bar.is_met(), bar.floor))
            .collect()
    }

    #[test]
    fn ratios_are_of_the_same_round_and_name_the_floor() {
        // The machine is twice as slow in the second round.
        let document = Document {
            series: vec![
                series("echo", 1, "same", 1, "first", &[100, 200, 100]),
                series("onceward", 1, "same", 1, "first", &[125, 250, 130]),
                series("valkey", 1, "same", 1, "first", &[200, 400, 200]),
            ],
            ..Document::default()
        };
        let at = "first, 50 connections, mode same, 100 keys";
        assert_eq!(
            found(&document),
            [
                (format!("CPU / echo, {at}"), 1.25, true, None),
                (format!("CPU / valkey, {at}"), 0.625, false, Some(0.5)),
            ]
        );
        let [own, rival] = &bars(&document)[..] else { panic!("two bars") };
        assert_eq!([own.verdict(), rival.verdict()], ["met", "missed by 1.01 ×"]);
        assert!(rival.beyond_floor.is_some_and(|part| (part - 0.25).abs() < 1e-9));
    }

    #[test]
    fn a_round_that_cannot_be_used_is_left_out() {
        let mut own = series("onceward", 1, "two", 1, "replay", &[100, 900, 900]);
        own.runs[1].invalid = Some("far".to_owned());
        own.runs[2].counters.wrong_replays = 1;
        let floor = series("echo", 1, "two", 1, "replay", &[100, 100, 100]);
        let document = Document { series: vec![own, floor], ..Document::default() };
        let [bar] = &bars(&document)[..] else { panic!("one bar") };
        assert!(bar.name.starts_with("p99.9 / echo"), "{}", bar.name);
        assert_eq!((bar.rounds, bar.found, bar.is_met()), (1, 1.0, true));
    }

    #[test]
    fn deep_pipelines_meet_the_best_replay_and_two_threads_meet_one() {
        let document = Document {
            series: vec![
                series("onceward", 1, "same", 16, "first", &[60]),
                series("onceward", 2, "same", 16, "first", &[90]),
                series("redis", 1, "same", 16, "replay", &[200]),
                series("memcached", 1, "same", 16, "replay", &[100]),
                series("valkey lua", 1, "same", 16, "first", &[500]),
            ],
            ..Document::default()
        };
        let at = "first, 50 connections × 16, mode same, 100 keys";
        assert_eq!(
            found(&document),
            [
                (format!("CPU / memcached's replay, the best, {at}"), 0.6, true, None),
                (format!("CPU / valkey lua, {at}"), 0.12, false, None),
                (format!("CPU of two server threads / one, {at}"), 1.5, false, None),
            ]
        );
    }

    #[test]
    fn bytes_are_judged_with_many_keys_only() {
        let mut own = series("onceward", 1, "same", 16, "first", &[60]);
        own.runs[0].server_resident_bytes = Some((1_000, 1_000 + 700));
        own.runs[0].stored_bytes = Some(550);
        own.runs[0].stored_keys = Some(2);
        let mut document = Document { series: vec![own], ..Document::default() };
        assert_eq!(bars(&document), []);
        document.series[0].load.keys = MEMORY_KEYS_MIN;
        let [bar] = &bars(&document)[..] else { panic!("one bar") };
        assert_eq!((bar.found, bar.is_met()), (75.0, true));
    }
}
