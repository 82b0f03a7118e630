//! Threads that do everything at once to a small store whose clock runs so fast that all of it
//! expires and is used again many times. Checks what must hold as it goes, and is what the
//! sanitizers run: see `docs/testing.md`. A `main` of its own, without the standard library's
//! harness, locks and channels, which ThreadSanitizer cannot see into.
//!
//! | environment | what | default |
//! |---|---|---|
//! | `ONCEWARD_SEED` | the one seed to run, as far as threads can be repeated | 0 to 3 |
//! | `ONCEWARD_STORM_OPERATIONS` | operations per thread and seed | 10,000 |
//! | `ONCEWARD_STORM_THREADS` | threads beside the one that ticks and the one that lists | 4 |
//! | `ONCEWARD_STORM_PLANT` | `race` or `overflow`: a fault that a sanitizer must report | none |

mod bytes;
mod caller;
mod keys;
mod planted;
mod storm;

use onceward_testkit::seeds;

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} must be a decimal number")),
        Err(_) => default,
    }
}

fn main() {
    // `cargo test` asks every binary what it holds, and may ask for something else by name.
    if std::env::args().any(|argument| argument == "--list") {
        println!("storm: test");
        return;
    }
    planted::run(&std::env::var("ONCEWARD_STORM_PLANT").unwrap_or_default());
    let operations = number("ONCEWARD_STORM_OPERATIONS", 10_000);
    let threads = number("ONCEWARD_STORM_THREADS", 4);
    for seed in seeds(4) {
        println!("storm: seed {seed} (replay with ONCEWARD_SEED={seed})");
        println!("storm: {}", storm::run(seed, threads, operations));
    }
}
