//! A tiny run of everything: it measures nothing, and shows that the benchmark works.

use std::time::Duration;

use onceward_bench::engine::Fault;

use crate::comparison::{self, Scope};
use crate::measures::{self, Measure};
use crate::rivals::SystemName;
use crate::task::ValueChoice;
use crate::{plot, table};

pub(crate) fn run() -> Result<(), Fault> {
    let scope = Scope {
        entries: vec![2_000],
        values: vec![ValueChoice::Bytes(512)],
        threads: vec![1, 2],
        systems: SystemName::ALL.to_vec(),
        runs: 1,
        fingerprint_bytes: 16,
        presized: true,
        memory_bytes_max: 1 << 30,
        patience: Duration::ZERO,
        far_retries: 0,
        window: None,
    };
    let mut comparison = comparison::run(&scope)?;
    comparison.memory = comparison::run_memory(&scope, 2_000)?.memory;
    println!("a tiny run, to show that the benchmark works: its figures mean nothing\n");
    print!("{}", table::text(&comparison));
    let picture = std::env::temp_dir().join(format!("engine-smoke-{}.svg", std::process::id()));
    plot::write(&comparison, &picture)?;
    let drawn = std::fs::read_to_string(&picture);
    std::fs::remove_file(&picture)?;
    if !drawn?.contains("<rect") {
        return Err("the plot is empty".into());
    }
    // A full budget and an expiry under load need their seconds: they have commands of their own.
    for measure in [
        Measure::Churn { begins: 100_000, alive: 20_000, json: None },
        Measure::Waiters { waiters: 100, rounds: 3, json: None },
    ] {
        for found in measures::find(&measure)? {
            print!("\n{}", found.report);
            if let Some(fault) = found.faults.first() {
                return Err(fault.as_str().into());
            }
        }
    }
    Ok(())
}
