//! The main job, measured: begin, complete and replay, in process and over loopback.
//!
//! `cargo bench --bench main_job` measures; without `--bench` (as `cargo test --benches` calls
//! it) a tiny run shows that the benchmark works. `ONCEWARD_BENCH_JSON=FILE` writes the figures.

use std::error::Error;
use std::sync::Arc;

use onceward::{BootClock, Store, StoreConfig};
use onceward_bench::{Measurement, Report, Workload, executions, in_process, over_the_wire};
use onceward_server::{Listeners, ServerConfig};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let full = std::env::args().any(|argument| argument == "--bench");
    let (runs, entries, distance, wire_entries) =
        if full { (3, 1_000_000, 100_000, 50_000) } else { (1, 2_000, 100, 500) };
    let mut report = Report::default();
    let workload = Workload { entries, value_bytes: 512, distance, seed: 1 };
    report.setting("runs", runs);
    report.setting(
        "in process",
        format!("{entries} entries, 512 B, {distance} begins between a key's begin and complete"),
    );
    report.setting(
        "over loopback",
        format!("{wire_entries} entries, 512 B, server and callers in one process"),
    );
    for run in 0..runs {
        eprintln!("run {} of {runs}: in process", run + 1);
        let values = in_process::run(&workload).map_err(|error| error.to_string())?;
        report.add_run(values);
        eprintln!("run {} of {runs}: executions", run + 1);
        let executed = Workload { entries: wire_entries, value_bytes: 512, distance: 0, seed: 3 };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        report.add_run(runtime.block_on(executions::run(&executed))?);
        for connections in [1, 50] {
            eprintln!("run {} of {runs}: over loopback, {connections} connections", run + 1);
            let wire = Workload { entries: wire_entries, value_bytes: 512, distance: 0, seed: 2 };
            report.add_run(over_loopback(&wire, connections)?);
        }
    }
    print!("{report}");
    if let Some(path) = std::env::var_os("ONCEWARD_BENCH_JSON") {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)?;
    }
    Ok(())
}

/// A server on a thread of its own, callers on another: one core each where there are two.
fn over_loopback(
    workload: &Workload,
    connections: u64,
) -> Result<Vec<Measurement>, Box<dyn Error + Send + Sync>> {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (bound, address) = std::sync::mpsc::channel();
    let store = Store::new(StoreConfig::default(), Arc::new(BootClock::new()))?;
    let server_runtime = runtime()?;
    let server = std::thread::spawn(move || {
        server_runtime.block_on(async move {
            let config = ServerConfig::default();
            let listen = "127.0.0.1:0".parse().map_err(|_| "address")?;
            let listeners =
                Listeners::bind(&[listen], &[], &config).map_err(|error| error.to_string())?;
            bound.send(listeners.tcp_addresses()[0]).map_err(|_| "no one asks")?;
            let shutdown = async {
                let _ = stopped.await;
            };
            let served = onceward_server::run(listeners, store, config, shutdown).await;
            served.map(|_| ()).map_err(|error| error.to_string())
        })
    });
    let url = format!("onceward://{}/bench", address.recv()?);
    let values = runtime()?.block_on(over_the_wire::run(&url, workload, connections));
    let _ = stop.send(());
    server.join().map_err(|_| "the server panicked")??;
    values
}
