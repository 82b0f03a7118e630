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
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use onceward_client::Client;
use onceward_core::Backend;

use case::Case;
use runner::run;
use world::{World, store_for};

const NAMESPACE: &str = "default";

/// Enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_conforms() {
    conforms("embedded store", async |case| {
        let (store, clock) = store_for(&case)?;
        let client = Client::embedded(store.clone(), NAMESPACE).map_err(|why| why.to_string())?;
        Ok(World { backend: Arc::new(client), store, clock })
    })
    .await;
}

/// Runs every case on a world of its own; fails with every failure there was.
async fn conforms<B, F>(subject: &str, mut make: impl FnMut(Case) -> F)
where
    B: Backend + 'static,
    F: Future<Output = Result<World<B>, String>>,
{
    let cases = case::read_all().expect("cases keep to their format");
    let mut failures = Vec::new();
    for case in &cases {
        let world = make(case.clone()).await.unwrap_or_else(|why| panic!("{}: {why}", case.place));
        if let Err(failure) = run(case, &world, PATIENCE).await {
            failures.push(failure.to_string());
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
