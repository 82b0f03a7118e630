//! The load generator against a server that can be told to lie, and in process.

mod liar;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use onceward_bench::engine::Values;
use onceward_bench::load::record::{Counters, Run};
use onceward_bench::load::{
    Address, Arrivals, Bound, Distribution, Mix, OncewardDialect, Pace, Plan, run, run_embedded,
};

use liar::{Liar, Plant};

const KEYS: u64 = 400;
const OPERATIONS: u64 = 1_000;

fn plan(mix: Mix) -> Plan {
    let mut plan = Plan::new(mix).expect("a plan");
    plan.keys = KEYS;
    plan.connections = 4;
    plan.pipeline = 3;
    plan.bound = Bound { operations: Some(OPERATIONS), duration: None };
    if mix == Mix::Waiters {
        plan.bound.operations = Some(20);
    }
    plan.patience = Some(Duration::from_secs(60));
    plan.values = Values::sized(64).expect("a size");
    plan
}

fn over_the_wire(plan: &Plan, number: u64, address: &Address) -> Result<Run, String> {
    let terms = plan.terms;
    let dialect = || OncewardDialect::new("default", b"", terms);
    run(plan, number, address, &dialect, None, &AtomicBool::new(false))
        .map_err(|fault| fault.to_string())
}

/// What an honest target makes of a plan over `callers` callers, on `threads` threads.
fn expected(plan: &Plan, callers: u64) -> Counters {
    let none = Counters::default();
    let operations = plan.bound.operations.expect("bounded by operations");
    match plan.mix {
        Mix::First => Counters { acquired: operations, completed: operations, ..none },
        Mix::Replay => Counters { replayed: operations, ..none },
        Mix::Conflict => Counters { in_progress: operations, ..none },
        Mix::Mismatch => Counters { mismatched: operations, ..none },
        Mix::Mixed => unreachable!("its parts are counted by the test"),
        Mix::Waiters => Counters {
            acquired: operations,
            completed: operations,
            waited: operations * callers,
            ..none
        },
    }
}

fn check(plan: &Plan, run: &Run, want: Counters, why: &str) {
    assert_eq!(run.failure, None, "{why}");
    if plan.mix == Mix::Mixed {
        let Counters { acquired, completed, replayed, .. } = run.counters;
        let operations = plan.bound.operations.expect("bounded by operations");
        assert_eq!((acquired, acquired + replayed), (completed, operations), "{why}");
        // Five in a hundred; the standard deviation is seven.
        assert!((20..80).contains(&replayed), "{why}: {replayed} of {operations} are replays");
    } else {
        assert_eq!(run.counters, want, "{why}");
    }
    assert!(run.counters.are_right(), "{why}");
    let latencies: u64 =
        run.latency.iter().filter(|(name, _)| *name != "all").map(|(_, times)| times.count).sum();
    assert_eq!(latencies, run.round_trips, "{why}: every round trip has a latency");
    assert_eq!(run.latency["all"].count, run.round_trips, "{why}");
    let sent: u64 = run.wire.values().map(|wire| wire.requests).sum();
    assert_eq!(sent, run.round_trips, "{why}: every request was answered");
}

fn paces() -> [(&'static str, Pace); 3] {
    let open = |arrivals| Pace::Open { rate: 20_000.0, arrivals };
    [
        ("closed", Pace::Closed),
        ("constant", open(Arrivals::Constant)),
        ("poisson", open(Arrivals::Poisson)),
    ]
}

#[test]
fn every_mix_counts_exactly_over_the_wire() {
    let server = Liar::start(Plant::Nothing);
    let mut number = 0;
    for mix in Mix::ALL {
        for (pace_name, pace) in paces() {
            for threads in [1, 3] {
                let mut plan = plan(mix);
                plan.pace = pace;
                plan.threads = threads;
                plan.warm_up = Bound { operations: Some(30), duration: None };
                if mix == Mix::Waiters {
                    plan.warm_up.operations = Some(2);
                }
                let why = format!("{}, {pace_name}, {threads} threads", mix.name());
                let run = over_the_wire(&plan, number, server.address()).expect(&why);
                number += 1;
                // Connections are dealt out to the threads, and each thread has crowds of its own.
                let crowd = |thread: u64| {
                    let own = (0..4).filter(|at| at % threads as u64 == thread).count() as u64;
                    own * 3 - 1
                };
                let mut want = if mix == Mix::Waiters {
                    let mut want = expected(&plan, 0);
                    for step in 0..20 {
                        want.waited += crowd(step % threads as u64);
                    }
                    want
                } else {
                    expected_or_none(&plan)
                };
                if mix == Mix::Waiters {
                    want.in_progress = run.counters.in_progress; // One look for each connection.
                    assert!(want.in_progress >= 20, "{why}: someone looks whether all wait");
                }
                check(&plan, &run, want, &why);
                assert_eq!(run.send_lag.is_some(), pace != Pace::Closed, "{why}");
            }
        }
    }
}

fn expected_or_none(plan: &Plan) -> Counters {
    if plan.mix == Mix::Mixed { Counters::default() } else { expected(plan, 0) }
}

#[test]
fn every_mix_counts_exactly_in_process() {
    for mix in Mix::ALL {
        for (pace_name, pace) in paces() {
            for threads in [1, 2] {
                let mut plan = plan(mix);
                plan.pace = pace;
                plan.threads = threads;
                let why = format!("{}, {pace_name}, {threads} threads", mix.name());
                let interrupted = AtomicBool::new(false);
                let memory = Some(64 << 20);
                let run = run_embedded(&plan, 0, memory, &interrupted).expect(&why);
                let callers = 12 / threads as u64 - 1;
                let want = match mix {
                    Mix::Mixed => Counters::default(),
                    _ => expected(&plan, callers),
                };
                check(&plan, &run, want, &why);
            }
        }
    }
}

/// The last four counters are what the harness is for: each lie must show, and as what it is.
#[test]
fn a_server_that_lies_fails_the_run() {
    type Case = (&'static str, Plant, Mix, fn(&Counters) -> u64, &'static str);
    let twice: fn(&Counters) -> u64 = |counters| counters.executed_twice;
    let lost: fn(&Counters) -> u64 = |counters| counters.not_executed;
    let wrong: fn(&Counters) -> u64 = |counters| counters.wrong_replays;
    let errors: fn(&Counters) -> u64 = |counters| counters.errors;
    let cases: [Case; 10] = [
        ("a stored key runs again", Plant::AcquireTwice, Mix::Replay, twice, "right to run"),
        ("a held key runs again", Plant::AcquireTwice, Mix::Conflict, twice, "right to run"),
        ("another payload runs", Plant::AcquireTwice, Mix::Mismatch, twice, "right to run"),
        ("two of a crowd run", Plant::AcquireTwice, Mix::Waiters, twice, "right to run"),
        ("the last byte differs", Plant::FlipLast, Mix::Replay, wrong, "other bytes"),
        ("a byte inside differs", Plant::FlipInside, Mix::Replay, wrong, "other bytes"),
        ("a byte for the crowd", Plant::FlipLast, Mix::Waiters, wrong, "other bytes"),
        ("a result is forgotten", Plant::ForgetResults, Mix::First, errors, "in progress"),
        ("a new key is not given", Plant::RefuseBegins, Mix::First, lost, "in progress"),
        ("an error", Plant::Errors, Mix::Mixed, errors, "unavailable"),
    ];
    for (why, plant, mix, counter, words) in cases {
        let server = Liar::start(plant);
        let run = over_the_wire(&plan(mix), 0, server.address()).expect(why);
        assert!(counter(&run.counters) > 0, "{why}: {:?}", run.counters);
        assert!(!run.counters.are_right(), "{why}");
        let failure = run.failure.unwrap_or_default();
        assert!(failure.contains(words), "{why}: {failure}");
    }
}

#[test]
fn a_connection_that_is_lost_fails_the_run() {
    for (plant, words) in [
        (Plant::HangUp, "closed the connection"),
        (Plant::Garbage, "reserved bits"),
        (Plant::AnswerTwice, "not asked"),
    ] {
        let server = Liar::start(plant);
        let fault = over_the_wire(&plan(Mix::First), 0, server.address()).expect_err(words);
        assert!(fault.contains(words), "{plant:?}: {fault}");
    }
}

#[test]
fn a_server_that_never_answers_ends_by_the_limit() {
    let server = Liar::start(Plant::Silence);
    let mut plan = plan(Mix::First);
    plan.patience = Some(Duration::from_millis(300));
    let fault = over_the_wire(&plan, 0, server.address()).expect_err("no answer ever comes");
    assert!(fault.contains("unanswered"), "{fault}");
}

#[test]
fn an_interrupted_run_ends_with_what_there_is() {
    let server = Liar::start(Plant::Nothing);
    let mut plan = plan(Mix::First);
    plan.bound = Bound { operations: None, duration: Some(Duration::from_secs(600)) };
    plan.patience = Some(Duration::from_secs(660));
    let interrupted = AtomicBool::new(false);
    let (terms, address) = (plan.terms, server.address());
    let found = std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let dialect = || OncewardDialect::new("default", b"", terms);
            run(&plan, 0, address, &dialect, None, &interrupted).map_err(|fault| fault.to_string())
        });
        while server.answered() < 100 {
            std::thread::yield_now();
        }
        interrupted.store(true, Ordering::Relaxed);
        running.join().expect("no panic")
    });
    let run = found.expect("an interruption is no fault");
    assert!(run.interrupted, "and says so");
    assert!(run.counters.acquired >= 1);
    assert_eq!(run.counters.acquired, run.counters.completed, "nothing is left half done");
    assert_eq!(run.failure, None);
}

#[test]
fn an_open_loop_that_cannot_keep_up_is_invalid() {
    let server = Liar::start(Plant::Nothing);
    let mut plan = plan(Mix::First);
    (plan.connections, plan.pipeline) = (1, 1);
    plan.pace = Pace::Open { rate: 50_000_000.0, arrivals: Arrivals::Constant };
    plan.bound = Bound { operations: Some(20_000), duration: Some(Duration::from_micros(100)) };
    let run = over_the_wire(&plan, 0, server.address()).expect("it runs");
    let why = run.invalid.expect("what was offered in 100 µs takes longer over one slot");
    assert!(why.contains("lagged") || why.contains("offered"), "{why}");
    // Queued, and never skipped: 100 µs at 50 million a second.
    assert_eq!(run.counters.acquired, 5_000);
}

#[test]
fn keys_are_chosen_as_asked() {
    let server = Liar::start(Plant::Nothing);
    let distributions =
        [Distribution::Permuted, Distribution::Random, Distribution::zipf(0.99).expect("a theta")];
    for (number, distribution) in (0..).zip(distributions) {
        let mut plan = plan(Mix::Replay);
        plan.distribution = distribution;
        let run = over_the_wire(&plan, number, server.address()).expect("it runs");
        check(&plan, &run, expected(&plan, 0), &distribution.name());
    }
}

#[test]
fn values_of_many_sizes_come_back_as_they_were() {
    let folder = tempfile::tempdir().expect("a folder");
    let traffic = folder.path().join("calls.jsonl");
    let calls = [
        "{\"response_body\": \"\"}",
        "{\"response_body\": \"{\\\"id\\\": 7, \\\"done\\\": true}\"}",
    ];
    std::fs::write(&traffic, calls.join("\n")).expect("ours");
    let server = Liar::start(Plant::Nothing);
    let values = [
        ("64", Values::sized(64)),
        ("16..300", Values::ranged(16, 300)),
        ("traffic", Values::recorded(&traffic)),
        // Larger than what one read takes.
        ("200000", Values::sized(200_000)),
    ];
    for (number, (name, values)) in (0..).zip(values) {
        let mut plan = plan(Mix::Mixed);
        plan.values = values.expect("good values");
        assert_eq!(plan.values.name(), name);
        plan.bound.operations = Some(if name == "200000" { 60 } else { OPERATIONS });
        plan.keys = if name == "200000" { 20 } else { KEYS };
        let run = over_the_wire(&plan, number, server.address()).expect(name);
        assert_eq!(run.failure, None, "{name}");
        assert!(run.counters.replayed > 0, "{name}");
    }
}
