//! The client's cost beside redis-rs, printed: `cargo run --release -p onceward-bench-rivals
//! --example client_cost`. Needs the daemon built for release, and a Redis server.

use clap::Parser;
use onceward_bench_rivals::client_cost::{self, Options};

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Prints every run's figures as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let arguments = Arguments::parse();
    let report = client_cost::run(&arguments.options)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    Ok(())
}
