//! The conformance suite: the cases beside this file, run on the embedded store, and on client
//! and server over TCP and over a Unix socket. `README.md` describes the format; `run.py` runs
//! the same cases with the plain Python client (see `crates/onceward-cli/tests`).

mod act;
mod answer;
mod case;
mod planted;
mod runner;
mod value;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use onceward_core::Backend;

use case::Case;
use runner::run;
use world::{Transport, World, embedded, remote};

/// Enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_conforms() {
    conforms("embedded store", embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_and_server_over_tcp_conform() {
    conforms("client and server over TCP", |case| remote(case, Transport::Tcp)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_and_server_over_a_unix_socket_conform() {
    conforms("client and server over a Unix socket", |case| remote(case, Transport::Unix)).await;
}

/// Runs every case on a world of its own; fails with every failure there was.
async fn conforms<B: Backend + 'static>(
    subject: &str,
    make: impl Fn(&Case) -> Result<World<B>, String>,
) {
    let cases = case::read_all().expect("cases keep to their format");
    let mut failures = Vec::new();
    for case in &cases {
        let world = make(case).unwrap_or_else(|why| panic!("{}: {why}", case.place));
        if let Err(failure) = run(case, &world, PATIENCE).await {
            failures.push(failure.to_string());
        }
        if let Err(why) = world.end().await {
            failures.push(format!("{}: the server did not end well: {why}", case.place));
        }
    }
    let (failed, all) = (failures.len(), cases.len());
    assert!(failures.is_empty(), "{subject}: {failed} of {all} fail\n{}", failures.join("\n"));
    println!("{subject}: {all} cases hold");
}

#[test]
fn the_cases_are_many_and_cite_every_rule_they_are_for() {
    let cases = case::read_all().expect("cases keep to their format");
    assert!(cases.len() >= 200, "{} cases", cases.len());
    let names: BTreeSet<_> = cases.iter().map(|case| &case.name).collect();
    assert_eq!(names.len(), cases.len(), "a name is used twice");
    let mut cited = BTreeMap::new();
    for case in &cases {
        assert!(!case.rules.is_empty() && !case.steps.is_empty(), "{}: {}", case.place, case.name);
        for rule in &case.rules {
            *cited.entry(rule.as_str()).or_insert(0) += 1;
        }
    }
    for rule in (1..=12).chain([19, 20, 23]) {
        let rule = format!("S{rule}");
        assert!(cited.get(rule.as_str()).is_some_and(|&cases| cases >= 3), "{rule}: {cited:?}");
    }
}
