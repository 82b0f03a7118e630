//! The command `onceward-rig`.

mod arguments;
mod simulate;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser as _;
use onceward_rig::interrupt;
use onceward_rig::planted::{Planted, hunt};
use onceward_rig::run::{Report, Setting, perform};

use arguments::Arguments;

/// A promise was broken.
const BROKEN: u8 = 1;
/// The rig could not work here: arguments, rights, tools.
const UNABLE: u8 = 2;
/// Nothing was broken, but not all was done: too little time, or interrupted.
const UNFINISHED: u8 = 3;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == "simulate") {
        return simulate::main();
    }
    let arguments = Arguments::parse();
    if let Err(error) = interrupt::listen() {
        return unable(&format!("listening for signals: {error}"));
    }
    if let Err(missing) = arguments.check() {
        return unable(&missing);
    }
    let (scratch, images) = match arguments.scratch_folders() {
        Ok(folders) => folders,
        Err(error) => return unable(&format!("making a scratch folder: {error}")),
    };
    let seed = arguments.seed();
    eprintln!("seed {seed} (again with --seed {seed})");
    let setting = Setting {
        daemon: arguments.daemon.clone(),
        scratch: scratch.path().to_owned(),
        images: images.path().to_owned(),
        seed,
        levels: arguments.levels(),
        lanes: arguments.lanes,
        deadline: Instant::now() + arguments.budget,
        without_data_dir: arguments.no_data_dir,
        planted: None,
    };
    if let Some(bugs) = arguments.planted() {
        return hunt_all(&bugs, &setting, arguments.json);
    }
    let mut reports = Vec::new();
    for (run, times) in arguments.runs() {
        let report = perform(run, times, &setting, progress);
        tell(&report);
        let over = !report.violations.is_empty() || !report.errors.is_empty();
        reports.push(report);
        if over || interrupt::interrupted() {
            break;
        }
    }
    drop((scratch, images));
    if arguments.json {
        let summary = serde_json::json!({ "seed": seed, "runs": reports });
        println!("{summary}");
    }
    verdict(&reports, arguments.runs().len(), arguments.rate_min)
}

/// Each bug must be caught.
fn hunt_all(bugs: &[Planted], setting: &Setting, json: bool) -> ExitCode {
    let mut all = Vec::new();
    for planted in bugs {
        let caught = hunt(planted, setting, |line| progress(&format!("{}: {line}", planted.bug)));
        clear();
        let verdict =
            caught.promise.map_or("GOT AWAY".to_owned(), |promise| format!("{promise:?}"));
        eprintln!(
            "{} by {} in {:.1} s: {verdict}: {}",
            caught.bug, caught.run, caught.seconds, caught.what
        );
        all.push(caught);
        if interrupt::interrupted() {
            return ExitCode::from(UNFINISHED);
        }
    }
    let away = all.iter().filter(|caught| caught.promise.is_none()).count();
    eprintln!("{} of {} planted bugs were caught", all.len() - away, all.len());
    if json {
        println!("{}", serde_json::json!({ "seed": setting.seed, "planted": all }));
    }
    if away == 0 { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) }
}

fn clear() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}

/// One line that is written over on a terminal, and now and then a line elsewhere.
fn progress(line: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = if stderr.is_terminal() {
        write!(stderr, "\r\x1b[K{line}")
    } else {
        writeln!(stderr, "{line}")
    };
}

fn tell(report: &Report) {
    clear();
    eprintln!(
        "{}: {} of {} in {:.1} s; {} lives, {} calls ({} unanswered, {} keys unjudged), {:.0} answers/s under load; {} violations",
        report.run,
        report.times,
        report.wanted,
        report.seconds,
        report.judged.lives,
        report.judged.calls,
        report.judged.unanswered,
        report.judged.unjudged,
        report.answered_per_second,
        report.violations.len()
    );
    if !report.events.is_empty() {
        let events: Vec<_> =
            report.events.iter().map(|(event, times)| format!("{event} {times}")).collect();
        eprintln!("  {}", events.join(", "));
    }
    for violation in &report.violations {
        eprintln!("VIOLATION {violation}");
    }
    for error in &report.errors {
        eprintln!("ERROR {error}");
    }
}

fn verdict(reports: &[Report], runs: usize, rate_min: u32) -> ExitCode {
    if reports.iter().any(|report| !report.violations.is_empty()) {
        return ExitCode::from(BROKEN);
    }
    if reports.iter().any(|report| !report.errors.is_empty()) {
        return ExitCode::from(UNABLE);
    }
    let mut finished = reports.len() == runs;
    for report in reports {
        let name = &report.run;
        if report.times < report.wanted {
            eprintln!("{name}: done {} of {} times", report.times, report.wanted);
            finished = false;
        }
        if report.judged.unjudged > 0 {
            eprintln!("{name}: {} keys have too many orders to judge", report.judged.unjudged);
            finished = false;
        }
        if report.needs_rate && report.answered_per_second < f64::from(rate_min) {
            eprintln!(
                "{name}: {:.0} answers/s, which is below --rate-min {rate_min}",
                report.answered_per_second
            );
            finished = false;
        }
    }
    if finished { ExitCode::SUCCESS } else { ExitCode::from(UNFINISHED) }
}

fn unable(why: &str) -> ExitCode {
    eprintln!("onceward-rig: {why}");
    ExitCode::from(UNABLE)
}
