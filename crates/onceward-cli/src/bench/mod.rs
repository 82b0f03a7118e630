//! `bench`: the load harness at a store, with its report.

mod arguments;
mod place;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use onceward_bench::engine::{Fault, cores};
use onceward_bench::load::record::{Document, Machine, Run, SCHEMA, Series, Target};
use onceward_bench::load::{
    Address, OncewardDialect, Pace, Plan, Search, ServerProcess, report, run, run_embedded,
};

pub(crate) use self::arguments::BenchArguments;
use self::arguments::Mode;
use self::place::Place;
use crate::arguments::Shared;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::render;
use crate::spinner::Spinner;

/// How long a run of two cores waits for them to be near each other.
const NEAR_PATIENCE: Duration = Duration::from_secs(10);
/// Where the search for a rate begins, in operations per second.
const SEARCH_START: f64 = 1_000.0;

pub(super) fn fault(fault: Fault) -> Failure {
    Failure::new(Exit::Failure, fault.to_string())
}

/// Runs the command.
///
/// # Errors
/// Wrong usage, a store that cannot be reached, a file that cannot be written, or a run in which
/// an answer was wrong.
pub(crate) fn run_command(
    arguments: &BenchArguments,
    shared: &Shared,
) -> Result<ExitCode, Failure> {
    if let [before, after] = &arguments.compare[..] {
        let compared = report::compare(&read(before)?, &read(after)?);
        output::print(compared.table(None).as_bytes())?;
        return Ok(Exit::Ok.into());
    }
    let before = arguments.compare.first().map(|path| read(path)).transpose()?;
    let document = Bench::new(arguments, shared)?.measure(shared.json)?;
    let compared = before.map(|before| report::compare(&before, &document));
    let written = report::write(&document).map_err(|error| fault(error.into()))?;
    if let Some(path) = &arguments.save {
        write(path, &written)?;
    }
    if let Some(path) = &arguments.html {
        write(path, &report::html(&document, compared.as_ref()))?;
    }
    if let Some(folder) = &arguments.hdr {
        fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
        for (name, text) in report::hdr_logs(&document).map_err(|error| fault(error.into()))? {
            write(&folder.join(name), &text)?;
        }
    }
    if shared.json {
        output::print(&render::json(&document))?;
    } else {
        output::print(report::table(&document, None).as_bytes())?;
        if let Some(compared) = &compared {
            output::print(compared.table(None).as_bytes())?;
        }
    }
    verdict(&document)
}

/// Fails if an answer was wrong, and says so on stderr; the report tells what is invalid.
fn verdict(document: &Document) -> Result<ExitCode, Failure> {
    let mut failed = false;
    for series in &document.series {
        for (number, run) in (1..).zip(&series.runs) {
            let what = format!("{} at {}, run {number}", series.load.mix, series.target.address);
            if let Some(why) = wrong(run) {
                failed = true;
                output::complain(&format!("error: {what} FAILED: {why}"));
            }
        }
    }
    Ok(if failed { Exit::Failure.into() } else { Exit::Ok.into() })
}

fn wrong(run: &Run) -> Option<String> {
    let counters = run.counters;
    if run.failure.is_none() && counters.are_right() {
        return None;
    }
    let why = run.failure.as_deref().unwrap_or("an answer was wrong");
    Some(format!(
        "{why}; {} executed twice, {} not executed, {} wrong replays, {} errors",
        counters.executed_twice, counters.not_executed, counters.wrong_replays, counters.errors
    ))
}

fn read(path: &Path) -> Result<Document, Failure> {
    let text =
        fs::read_to_string(path).map_err(|error| Failure::unreadable("compare", path, &error))?;
    report::read(&text)
        .map_err(|error| Failure::bad_input("compare", format!("{}: {error}", path.display())))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failure, format!("{} cannot be written: {error}", path.display()))
}

struct Bench<'a> {
    arguments: &'a BenchArguments,
    place: Place,
    url: String,
    credential: Vec<u8>,
    process: Option<ServerProcess>,
    pair: Option<(usize, usize)>,
    plans: Vec<Plan>,
    runs: u64,
    interrupted: Arc<AtomicBool>,
}

impl<'a> Bench<'a> {
    fn new(arguments: &'a BenchArguments, shared: &Shared) -> Result<Self, Failure> {
        let seed = arguments.seed.unwrap_or_else(|| {
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64)
        });
        let available = cores::available().map_err(fault)?;
        let (first, last) = (available.first().copied(), available.last().copied());
        let (server, generator) = match arguments.mode {
            Mode::Same => (last, last),
            // The first core often has devices to serve.
            Mode::Two => (last, first),
            Mode::Free => (None, None),
        };
        let pair = server.zip(generator).filter(|(server, generator)| server != generator);
        if arguments.mode == Mode::Two && pair.is_none() {
            return Err(Failure::bad_input("mode", "--mode two needs two cores: choose same"));
        }
        let plans = arguments.plans(seed, generator.as_slice())?;
        let credential = shared.credential()?.unwrap_or_default();
        let place = match &shared.url {
            Some(url) if !arguments.serve.is_empty() => {
                return Err(Failure::bad_input(
                    "serve",
                    format!(
                        "words after -- are for a daemon of bench's own: leave out --url {url}"
                    ),
                ));
            }
            Some(url) => Place::of(url)?,
            None => Place::start(server, &arguments.serve)?,
        };
        let process = match arguments.server_pid {
            Some(pid) => Some(ServerProcess::of(pid).map_err(|fault| {
                Failure::bad_input("server_pid", format!("--server-pid: {fault}"))
            })?),
            None => place.process()?,
        };
        let url = match (&shared.url, &place) {
            (Some(url), _) => url.clone(),
            (None, Place::Daemon { address: Address::Tcp(address), .. }) => {
                format!("onceward://{address}")
            }
            (None, Place::Daemon { address: Address::Unix(path), .. }) => {
                format!("onceward+unix://{}", path.display())
            }
            (None, Place::Memory) => "mem://".to_owned(),
        };
        let interrupted = Arc::new(AtomicBool::new(false));
        on_interrupt(&interrupted)?;
        Ok(Self { arguments, place, url, credential, process, pair, plans, runs: 0, interrupted })
    }

    fn measure(mut self, json: bool) -> Result<Document, Failure> {
        let mut document = Document {
            schema: SCHEMA.to_owned(),
            command_line: std::env::args().collect(),
            started_at_s: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            machine: Machine::here(),
            ..Document::default()
        };
        document.versions.insert("onceward".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        let spinner = Spinner::start(json);
        for plan in std::mem::take(&mut self.plans) {
            match &self.arguments.find_max {
                None => {
                    let series = self.series(&plan, &spinner)?;
                    document.series.push(series);
                }
                Some(goal) => {
                    let mut search = Search::new(SEARCH_START);
                    while let Some(rate) = search.next_rate() {
                        let plan = Plan { pace: self.arguments.open(rate), ..plan.clone() };
                        let mut series = self.series(&plan, &spinner)?;
                        // Whatever else the machine did then is no verdict on the rate.
                        if series.runs.iter().any(|run| run.invalid.is_some()) {
                            series = self.series(&plan, &spinner)?;
                        }
                        let met = self.is_met(&series, goal)?;
                        document.series.push(series);
                        if self.interrupted.load(Ordering::Relaxed) {
                            break;
                        }
                        search.tell(rate, met);
                    }
                    let mix = plan.mix.name();
                    document.notes.push(match search.found() {
                        Some(rate) => format!(
                            "{mix}: {rate:.0} operations/s is the highest rate tried that kept {}",
                            goal.text
                        ),
                        None => format!("{mix}: no rate kept {}", goal.text),
                    });
                }
            }
            if self.interrupted.load(Ordering::Relaxed) {
                document.notes.push("interrupted: there is less than was asked for".to_owned());
                break;
            }
        }
        Ok(document)
    }

    /// Most of the runs must reach it.
    fn is_met(&self, series: &Series, goal: &onceward_bench::load::Goal) -> Result<bool, Failure> {
        let mut met = 0;
        for run in &series.runs {
            met += usize::from(goal.is_met(run).map_err(fault)?);
        }
        Ok(2 * met > series.runs.len())
    }

    fn series(&mut self, plan: &Plan, spinner: &Spinner) -> Result<Series, Failure> {
        let target = Target {
            name: "onceward".to_owned(),
            address: self.url.clone(),
            version: match &self.place {
                Place::Daemon { started: None, .. } => String::new(),
                _ => env!("CARGO_PKG_VERSION").to_owned(),
            },
            settings: self.place.settings(),
            ..Target::default()
        };
        let load = plan.load(self.arguments.mode.name(), None);
        let mut series = Series { target, load, runs: Vec::new() };
        for number in 1..=self.arguments.runs {
            let rate = match plan.pace {
                Pace::Closed => "as fast as it goes".to_owned(),
                Pace::Open { rate, .. } => format!("{rate:.0} a second"),
            };
            let of = self.arguments.runs;
            if let Some(length) = plan.length() {
                spinner.lasts(length);
            }
            spinner.say(format!("{}, {rate}, run {number} of {of}", plan.mix.name()));
            series.runs.push(self.run(plan)?);
            if self.interrupted.load(Ordering::Relaxed) {
                break;
            }
        }
        Ok(series)
    }

    fn run(&mut self, plan: &Plan) -> Result<Run, Failure> {
        let distance = match self.pair {
            Some((server, generator)) => {
                let near = cores::NEAR_NANOS_MAX;
                Some(cores::await_near(server, generator, near, NEAR_PATIENCE).map_err(fault)?)
            }
            None => None,
        };
        let number = self.runs;
        self.runs += 1;
        let interrupted = &self.interrupted;
        let found = match &self.place {
            Place::Memory => run_embedded(plan, number, None, interrupted),
            Place::Daemon { address, namespace, .. } => {
                let dialect = || OncewardDialect::new(namespace, &self.credential, plan.terms);
                run(plan, number, address, &dialect, self.process, interrupted)
            }
        };
        let mut found = found.map_err(|why| {
            let unreachable = why.downcast_ref::<std::io::Error>().is_some();
            let exit = if unreachable { Exit::Unavailable } else { Exit::Failure };
            Failure::new(exit, why.to_string()).at(&self.url)
        })?;
        found.cache_line_ns = distance;
        if let Some(distance) = distance.filter(|distance| *distance > cores::NEAR_NANOS_MAX) {
            let most = cores::NEAR_NANOS_MAX;
            let why = format!("the two cores are {distance:.0} ns apart, {most} ns is the most");
            found.invalid.get_or_insert(why);
        }
        Ok(found)
    }
}

/// The first Ctrl-C ends the measurement with what there is; the second ends the command.
fn on_interrupt(interrupted: &Arc<AtomicBool>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Failure, format!("signals cannot be listened to: {error}"))
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
    let interrupted = Arc::clone(interrupted);
    let listen = move || {
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if interrupted.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        });
    };
    std::thread::Builder::new().name("interrupt".to_owned()).spawn(listen).map_err(failed)?;
    Ok(())
}
