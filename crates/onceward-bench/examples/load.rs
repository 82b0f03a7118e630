//! `load HOST:PORT MIX [CONNECTIONS PIPELINE OPERATIONS RATE SERVER_PID]`: one run, its record as JSON.

use onceward_bench::load::{
    Address, Arrivals, Bound, Mix, OncewardDialect, Pace, Plan, ServerProcess, run,
};
use std::sync::atomic::AtomicBool;

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    let mut plan = Plan::new(Mix::of_name(&words[1]).ok_or("no such mix")?)?;
    plan.connections = number(2).unwrap_or(50) as usize;
    plan.pipeline = number(3).unwrap_or(1) as usize;
    plan.bound = Bound { operations: number(4).or(Some(100_000)), duration: None };
    if let Some(rate) = number(5).filter(|rate| *rate > 0) {
        plan.pace = Pace::Open { rate: rate as f64, arrivals: Arrivals::Poisson };
    }
    let server = number(6).map(|pid| ServerProcess::of(pid as u32)).transpose()?;
    plan.seed = std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_nanos() as u64;
    let terms = plan.terms;
    let dialect = || OncewardDialect::new("default", b"", terms);
    let address = Address::Tcp(words[0].clone());
    let mut run = run(&plan, 0, &address, &dialect, server, &AtomicBool::new(false))?;
    for latency in run.latency.values_mut().chain(&mut run.send_lag).chain(&mut run.generator_lag) {
        latency.histogram.clear();
    }
    println!("{}", serde_json::to_string_pretty(&run)?);
    Ok(())
}
