//! One run: callers, a network, a server that lives and dies, and a disk that outlives it, all in
//! one queue of events.

mod asking;
mod ends;
mod serving;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use onceward_testkit::SplitMix64;
use parking_lot::Mutex;
use serde::Serialize;

use super::caller::Line;
use super::desk::Arrival;
use super::disk::SimulatedDisk;
use super::life::Life;
use super::plan::{NAMESPACES, Plan};
use super::question::{Kind, Page, Question};
use super::time::Time;
use super::trace::Trace;
use crate::call::Call;
use crate::moment::Moment;
use crate::oracle::{Ending, Level, Oracle, Promise, Violation};

/// Connections of nobody, one per namespace: what comes on them is a duplicate, and nobody hears
/// the answer.
const GHOSTS: u32 = 1_000_000;
/// A caller who asks only where another is being served.
const RIVAL: u32 = 1_000;
/// In microseconds, at the end, when nothing is wrong any more.
const CLOSING_PATIENCE: u64 = 10_000_000;
/// What the oracle looks at for one key of one life before it gives the key up.
const PAIRS_MAX: usize = 4_000;
/// Runs that make no progress are cut off here.
const EVENTS_MAX: u64 = 200_000;

/// Something that happens at a time of its own.
#[derive(Clone, Debug)]
enum Event {
    /// A caller thinks of a question.
    Ask { caller: u32 },
    /// A request reaches the server.
    Arrive { arrival: Arrival, key: (usize, u32) },
    /// A reply reaches its caller.
    Return { arrival: Arrival },
    /// A caller's patience ends.
    GiveUp { call: u64 },
    /// The journal is to run.
    Journal,
    /// The store is to do what is due.
    Tick,
    /// The server's process, or its machine, ends.
    End,
    /// A process is started.
    Start,
    /// Somebody sets the wall clock.
    Step(i64),
    /// The process stands still.
    Pause(u64),
    /// There is no room on the disk, or room again.
    Full(bool),
}

/// A call without an answer so far.
#[derive(Clone, Debug)]
struct Open {
    caller: u32,
    key: (usize, u32),
    question: Question,
    began: Moment,
    /// The connection and the number of the request.
    sent: (u32, u64),
    /// It never reaches the server.
    is_lost: bool,
}

/// How a run went.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    /// Calls made.
    pub calls: u64,
    /// Of these, answered.
    pub answered: u64,
    /// Lives of the server.
    pub lives: u64,
    /// Ends by a power cut.
    pub powered_off: u64,
    /// How often the journal ran and could keep no facts.
    pub halted: u64,
    /// Bits flipped at rest.
    pub damaged: u64,
    /// Starts refused after damage.
    pub refused: u64,
    /// Keys that the oracle gave up, for there were too many orders.
    pub unjudged: u64,
}

impl Counts {
    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.answered += other.answered;
        self.lives += other.lives;
        self.powered_off += other.powered_off;
        self.halted += other.halted;
        self.damaged += other.damaged;
        self.refused += other.refused;
        self.unjudged += other.unjudged;
    }
}

/// The whole run.
pub(crate) struct World {
    random: SplitMix64,
    plan: Plan,
    time: Arc<Time>,
    trace: Arc<Mutex<Trace>>,
    disk: SimulatedDisk,
    queue: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    oracles: Vec<Oracle>,
    pages: BTreeMap<(usize, u32), Page>,
    /// Of this life.
    calls: [Vec<Call>; 3],
    open: BTreeMap<u64, Open>,
    next_call: u64,
    /// Every fence that was shown, with who got it.
    fences: BTreeMap<u64, (usize, u32, u128)>,
    /// No new acquisition of this life has a fence up to this one.
    fence_floor: u64,
    attempts: BTreeSet<u128>,
    life: Option<Life>,
    lives: u64,
    lines: BTreeMap<u32, Line>,
    journal_at: Option<u64>,
    tick_at: Option<u64>,
    paused_until: u64,
    quiet_until: u64,
    /// Bits that were flipped at rest, and not back.
    flipped: Vec<(String, u64, u8)>,
    /// Something may be wrong with what is synced, so a refusal is right.
    is_damaged: bool,
    /// To be sent again, heard by nobody, when there is a server again.
    late: Vec<((usize, u32), Question)>,
    /// Keys about which nobody knows what became of them in the last life.
    doubtful: Vec<(usize, u32)>,
    steps: u64,
    is_closing: bool,
    is_over: bool,
    /// How the last life ended.
    ending: Ending,
    /// The machine is off, and boots before the next start.
    reboots: bool,
    /// It did since the last life.
    rebooted: bool,
    violation: Option<Violation>,
    pub(crate) counts: Counts,
}

impl World {
    pub(crate) fn new(seed: u64, steps: u64, keeps_lines: bool) -> Self {
        let mut random = SplitMix64::new(seed);
        let plan = Plan::draw(&mut random);
        let time = Arc::<Time>::default();
        let trace = Arc::new(Mutex::new(Trace::new(keeps_lines)));
        let disk = SimulatedDisk::new(random.next_u64(), &time, &trace);
        let levels = [Level::Memory, Level::Interval(plan.interval.as_duration()), Level::Always];
        let mut pages = BTreeMap::new();
        for namespace in 0..NAMESPACES.len() {
            for key in 0..plan.keys {
                pages.insert((namespace, key), Page::new(Kind::draw(&mut random)));
            }
        }
        let mut world = Self {
            random,
            plan,
            time,
            trace,
            disk,
            queue: BTreeMap::new(),
            sequence: 0,
            oracles: levels
                .map(|level| Oracle::new(level).searching(PAIRS_MAX).over_boots())
                .into(),
            pages,
            calls: Default::default(),
            open: BTreeMap::new(),
            next_call: 0,
            fences: BTreeMap::new(),
            fence_floor: 0,
            attempts: BTreeSet::new(),
            life: None,
            lives: 0,
            lines: BTreeMap::new(),
            journal_at: None,
            tick_at: None,
            paused_until: 0,
            quiet_until: 0,
            flipped: Vec::new(),
            is_damaged: false,
            late: Vec::new(),
            doubtful: Vec::new(),
            steps,
            is_closing: false,
            is_over: false,
            ending: Ending::Crashed,
            reboots: false,
            rebooted: false,
            violation: None,
            counts: Counts::default(),
        };
        world.after(0, Event::Start);
        for caller in 0..world.plan.callers {
            world.think(caller);
        }
        world
    }

    /// Runs to the end, or to the first broken promise.
    pub(crate) fn run(&mut self) -> Option<Violation> {
        let mut events = 0;
        while self.violation.is_none() && !self.is_over {
            let Some(((at, _), event)) = self.queue.pop_first() else { break };
            self.time.pass(at);
            self.happen(event);
            events += 1;
            if events > EVENTS_MAX {
                self.violate(Promise::Available, "the run makes no progress".to_owned());
            }
        }
        self.counts.unjudged = self.oracles.iter().map(|oracle| oracle.judged().unjudged).sum();
        self.violation.take()
    }

    pub(crate) fn trace(&self) -> (u64, u64, Vec<String>) {
        let trace = self.trace.lock();
        (trace.hash(), trace.events(), trace.lines())
    }

    fn now(&self) -> u64 {
        self.time.now_us()
    }

    fn moment(&self) -> Moment {
        Moment::from_micros(self.now())
    }

    fn note(&self, event: std::fmt::Arguments<'_>) {
        self.trace.lock().note(self.now(), event);
    }

    fn after(&mut self, wait: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now() + wait, self.sequence), event);
    }

    fn within(&mut self, range: &std::ops::Range<u64>) -> u64 {
        self.random.within(range.clone())
    }

    fn violate(&mut self, promise: Promise, what: String) {
        self.violation.get_or_insert_with(|| Violation::new(promise, what));
    }

    fn happen(&mut self, event: Event) {
        // A process that stands still does nothing; its callers go on.
        let is_servers = matches!(event, Event::Arrive { .. } | Event::Journal | Event::Tick);
        if is_servers && self.now() < self.paused_until {
            let wait = self.paused_until - self.now();
            return self.after(wait, event);
        }
        match event {
            Event::Ask { caller } => self.ask(caller),
            Event::Arrive { arrival, key } => self.arrive(&arrival, key),
            Event::Return { arrival } => self.hear(&arrival),
            Event::GiveUp { call } => self.give_up(call),
            Event::Journal => self.run_journal(),
            Event::Tick => self.tick(),
            Event::End => self.end(),
            Event::Start => self.start(),
            Event::Step(by) => {
                self.note(format_args!("the wall clock is set by {by} ms"));
                self.time.step_wall(by);
            }
            Event::Pause(length) => {
                self.note(format_args!("the process stands still for {length} us"));
                self.paused_until = self.now() + length;
            }
            Event::Full(is_full) => {
                self.note(format_args!("the disk is full: {is_full}"));
                self.disk.set_full(is_full);
            }
        }
    }
}
