//! A booking of three steps, killed at every point between and inside them, and at any instant:
//! 500 seeded runs, each of several real processes that one after the other die by SIGKILL until
//! one lives to the end.
//!
//! What must hold afterwards: each side effect happened once per derived key, and what is stored
//! is what the system downstream answered. What must have happened: each kill point was hit, and
//! each process that died while it owned the key was taken over.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::thread;

use libtest_mimic::{Arguments, Trial};
use onceward_testkit::seeds;

mod child;
mod downstream;
mod plan;
#[expect(dead_code, reason = "the suite it comes from asks for more kinds of server")]
#[path = "../e2e/server.rs"]
mod server;
mod verdict;

use child::Ended;
use plan::{Kill, Point, RunPlan};
use server::Server;

const RUNS: u64 = 500;

/// Runs at once. Most of a run is waiting for a lease of 100 ms to end.
const RUNS_AT_ONCE: usize = 12;

/// Most processes of one run: every planned kill, and some whose lease ended because the machine
/// was busy.
const PROCESSES_MAX: usize = 40;

/// A fault that the rig must find.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Planted {
    None,
    /// The key for calls downstream differs from attempt to attempt.
    AttemptInDerivedKey,
    /// A step gives back something else than downstream answered.
    AnswerNotReturned,
}

/// What one run came to.
#[derive(Debug, Default)]
struct Account {
    hits: BTreeMap<Point, u64>,
    /// Processes that died, or gave up, while they owned the key.
    taken_over: u64,
    /// Processes that died at no point of ours, while they owned the key or not.
    at_any_instant: u64,
    /// Of those: processes whose lease ended while they lived.
    too_slow: u64,
}

impl Account {
    fn add(&mut self, other: Self) {
        for (point, hits) in other.hits {
            *self.hits.entry(point).or_default() += hits;
        }
        self.taken_over += other.taken_over;
        self.at_any_instant += other.at_any_instant;
        self.too_slow += other.too_slow;
    }
}

/// One run: processes, one after the other, until one of them has the final result.
fn run_once(address: &str, plan: &RunPlan, planted: Planted) -> Result<Account, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut account = Account::default();
    let mut kills = plan.kills.iter().copied();
    let mut kill = kills.next();
    for _ in 0..PROCESSES_MAX {
        match child::run(address, folder.path(), plan, kill, planted)? {
            Ended::Killed => {
                match kill.ok_or("a process was killed that was to live")? {
                    Kill::At(point) => {
                        *account.hits.entry(point).or_default() += 1;
                        account.taken_over += u64::from(point != Point::AfterComplete);
                    }
                    Kill::After(_) => account.at_any_instant += 1,
                }
                kill = kills.next();
            }
            Ended::TooSlow => {
                account.taken_over += 1;
                account.too_slow += 1;
            }
            Ended::Done if matches!(kill, Some(Kill::At(_))) => {
                return Err(format!("{kill:?} was not reached"));
            }
            Ended::Done => {
                let attempts = verdict::check(address, folder.path(), plan, &account)?;
                account.taken_over = attempts - 1; // Within what the verdict allows.
                return Ok(account);
            }
        }
    }
    Err(format!("no process of {PROCESSES_MAX} got to the end"))
}

/// All runs, several at once. Stops at the first that fails, and tells its seed.
fn run_all(server: &Server, seeds: Range<u64>, planted: Planted) -> Result<Account, String> {
    let address = server.address.to_string();
    let seeds = Mutex::new(seeds);
    let (total, failed) = (Mutex::new(Account::default()), Mutex::new(None));
    thread::scope(|scope| {
        for _ in 0..RUNS_AT_ONCE {
            scope.spawn(|| {
                while failed.lock().unwrap().is_none() {
                    let Some(seed) = seeds.lock().unwrap().next() else { return };
                    let plan = RunPlan::of(seed);
                    match run_once(&address, &plan, planted) {
                        Ok(account) => total.lock().unwrap().add(account),
                        Err(why) => {
                            let why = format!("ONCEWARD_SEED={seed}, {plan:?}: {why}");
                            failed.lock().unwrap().get_or_insert(why);
                        }
                    }
                }
            });
        }
    });
    match failed.into_inner().unwrap() {
        Some(why) => Err(why),
        None => Ok(total.into_inner().unwrap()),
    }
}

fn a_booking_killed_between_any_two_steps_has_each_side_effect_once_per_key_s4_s18_s19() {
    let server = Server::start();
    let seeds = seeds(RUNS);
    let alone = seeds.end - seeds.start == 1;
    let total = run_all(&server, seeds, Planted::None).unwrap_or_else(|why| panic!("{why}"));
    println!("{total:?}");
    let taken_over = server.store.stats().begin_takeover;
    assert_eq!(taken_over, total.taken_over, "each owner that died was taken over, and no other");
    for point in Point::ALL {
        let hits = total.hits.get(&point).copied().unwrap_or_default();
        assert!(alone || hits > 0, "{point:?} was never hit");
    }
}

fn the_rig_finds_planted_faults() {
    let server = Server::start();
    for planted in [Planted::AttemptInDerivedKey, Planted::AnswerNotReturned] {
        let found = run_all(&server, 10_000..10_100, planted);
        assert!(found.is_err(), "{planted:?} was not found: {found:?}");
    }
}

fn main() {
    if let Some(process) = child::Process::of_environment() {
        return process.live();
    }
    let trial = |name: &str, test: fn()| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    let trials = vec![
        trial(
            "a_booking_killed_between_any_two_steps_has_each_side_effect_once_per_key_s4_s18_s19",
            a_booking_killed_between_any_two_steps_has_each_side_effect_once_per_key_s4_s18_s19,
        ),
        trial("the_rig_finds_planted_faults", the_rig_finds_planted_faults),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
