//! The command `onceward-rig simulate`: needs neither a daemon nor root.

use std::process::ExitCode;

use clap::Parser;
use onceward_rig::interrupt;
use onceward_rig::simulation::{Outcome, Settings, campaign, simulate};

use crate::{BROKEN, UNFINISHED, progress, unable};

/// Run the shipped store, journal and protocol in a simulated world, one run per seed
///
/// The same seed gives the same run. Exit status: 0 nothing was broken; 1 a promise was broken, or
/// a planted bug was not caught; 2 it cannot be done; 3 it was interrupted.
#[derive(Debug, Parser)]
#[command(name = "onceward-rig simulate")]
struct Arguments {
    /// Runs
    #[arg(long, value_name = "N", default_value_t = 3_000)]
    seeds: u64,
    /// The first run's seed; with --seeds 1, that run alone
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    /// Calls of one run
    #[arg(long, value_name = "N", default_value_t = Settings::default().steps)]
    steps: u64,
    /// Plant each bug in turn, and run seeds until it is caught; of those named, if any is
    #[arg(long, value_name = "BUG", num_args = 0.., value_delimiter = ',')]
    bugs: Option<Vec<String>>,
    /// Print a summary as JSON on stdout
    #[arg(long)]
    json: bool,
}

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse_from(std::env::args_os().skip(1));
    if let Err(error) = interrupt::listen() {
        return unable(&format!("listening for signals: {error}"));
    }
    let settings = Settings { steps: arguments.steps };
    if let Some(bugs) = &arguments.bugs {
        return hunt(bugs, &arguments, settings);
    }
    if arguments.seeds == 1 {
        return alone(&simulate(arguments.from, settings), arguments.json);
    }
    let seeds = arguments.from..arguments.from.saturating_add(arguments.seeds);
    let campaign = campaign::run(&seeds, settings, &interrupt::interrupted, &|done, wanted| {
        progress(&format!("{done} of {wanted} seeds"));
    });
    let counts = &campaign.counts;
    eprintln!(
        "\n{} of {} seeds in {:.1} s ({:.1} ms each): {} events, {} calls, {} answered, {} lives, {} power cuts, {} damaged, {} refusals after damage, {} keys unjudged; traces {:016x}",
        campaign.seeds,
        campaign.wanted,
        campaign.seconds,
        campaign.seconds * 1_000.0 / campaign.seeds.max(1) as f64,
        campaign.events,
        counts.calls,
        counts.answered,
        counts.lives,
        counts.powered_off,
        counts.damaged,
        counts.refused,
        counts.unjudged,
        campaign.trace_hash
    );
    campaign.failures.iter().for_each(tell);
    if arguments.json {
        println!("{}", serde_json::json!(campaign));
    }
    if !campaign.failures.is_empty() {
        ExitCode::from(BROKEN)
    } else if campaign.seeds < campaign.wanted {
        ExitCode::from(UNFINISHED)
    } else {
        ExitCode::SUCCESS
    }
}

/// One run, whose hash shows that it repeats.
fn alone(outcome: &Outcome, json: bool) -> ExitCode {
    eprintln!(
        "seed {}: {} events, trace {:016x}, {:?}",
        outcome.seed, outcome.events, outcome.trace_hash, outcome.counts
    );
    tell(outcome);
    if json {
        println!("{}", serde_json::json!(outcome));
    }
    if outcome.violation.is_some() { ExitCode::from(BROKEN) } else { ExitCode::SUCCESS }
}

fn tell(outcome: &Outcome) {
    let Some(violation) = &outcome.violation else { return };
    eprintln!("seed {} (again with --from {0} --seeds 1), the last events:", outcome.seed);
    for event in &outcome.last_events {
        eprintln!("    {event}");
    }
    eprintln!("VIOLATION {violation}");
}

#[cfg(not(feature = "planted-bugs"))]
fn hunt(_: &[String], _: &Arguments, _: Settings) -> ExitCode {
    unable("--bugs needs a build with --features planted-bugs")
}

#[cfg(feature = "planted-bugs")]
fn hunt(names: &[String], arguments: &Arguments, settings: Settings) -> ExitCode {
    use onceward::planted::Bug;
    use onceward_rig::simulation::hunt::hunt;

    let unknown = names.iter().find(|name| !Bug::ALL.iter().any(|bug| bug.name() == **name));
    if let Some(unknown) = unknown {
        return unable(&format!("no bug is named {unknown}"));
    }
    // A planted bug may break an assertion; that is told in the table.
    std::panic::set_hook(Box::new(|_| {}));
    let mut hunted = Vec::new();
    for &bug in Bug::ALL {
        if !names.is_empty() && !names.iter().any(|name| name == bug.name()) {
            continue;
        }
        if interrupt::interrupted() {
            return ExitCode::from(UNFINISHED);
        }
        let one = hunt(bug, arguments.from, settings);
        match (&one.promise, one.beyond) {
            (Some(promise), _) => eprintln!(
                "{:<44} caught by seed {} after {} seeds, {:.1} s: {promise}",
                one.bug,
                one.seed.unwrap_or_default(),
                one.seeds,
                one.seconds
            ),
            (None, Some(why)) => eprintln!("{:<44} only the rig can catch it: {why}", one.bug),
            (None, None) => {
                eprintln!(
                    "{:<44} NOT CAUGHT by {} seeds, {:.1} s",
                    one.bug, one.seeds, one.seconds
                );
            }
        }
        hunted.push(one);
    }
    if arguments.json {
        println!("{}", serde_json::json!({ "bugs": hunted }));
    }
    let all = hunted.iter().all(|one| one.is_caught || one.beyond.is_some());
    if all { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) }
}
