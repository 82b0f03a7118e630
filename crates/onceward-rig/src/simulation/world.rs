//! One run: callers, a network, a server that lives and dies, and a disk that outlives it, all in
//! one queue of events.

mod ends;
mod serving;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

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
use crate::call::{Asked, Call, Told};
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
            oracles: levels.map(|level| Oracle::new(level).searching(PAIRS_MAX)).into(),
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

    fn think(&mut self, caller: u32) {
        if caller == RIVAL {
            return;
        }
        let think = self.plan.think.clone();
        let wait = self.within(&think) + self.quiet_until.saturating_sub(self.now());
        self.after(wait, Event::Ask { caller });
    }

    fn new_attempt(&mut self) -> u128 {
        u128::from(self.random.next_u64()) << 64 | u128::from(self.random.next_u64()) | 1
    }

    fn ask(&mut self, caller: u32) {
        if self.is_closing {
            return;
        }
        if self.counts.calls >= self.steps {
            return self.close();
        }
        let key = self.key();
        let attempt = self.new_attempt();
        let has_room = self.pages[&key].has_room();
        if self.life.is_none() || !has_room {
            let wait = self.random.within(5_000..100_000);
            return self.after(wait, Event::Ask { caller });
        }
        match self.doubtful.pop().filter(|_| self.random.chance(80)) {
            Some(key) => self.send(caller, key, Question::of(Asked::Get)),
            None => {
                let question = self.pages[&key].question(key.1, attempt, &mut self.random);
                self.send(caller, key, question);
            }
        }
        if self.random.chance(self.plan.quiet) {
            let quiet = self.plan.quiet_for.clone();
            self.quiet_until = self.now() + self.within(&quiet);
            self.note(format_args!("all fall silent until {} us", self.quiet_until));
        }
    }

    /// Any, or one that somebody asks about just now, to meet at it.
    fn key(&mut self) -> (usize, u32) {
        let others: Vec<_> = self.open.values().map(|open| open.key).collect();
        if self.random.chance(self.plan.interrupted)
            && let Some(&key) = self.random.pick(&others)
        {
            return key;
        }
        let namespace = self.random.within(0..NAMESPACES.len() as u64) as usize;
        (namespace, self.random.within(0..u64::from(self.plan.keys)) as u32)
    }

    /// Sends a question, which the network may lose, delay or duplicate.
    fn send(&mut self, caller: u32, key: (usize, u32), question: Question) {
        let connection = caller * NAMESPACES.len() as u32 + key.0 as u32;
        let Some((number, bytes)) = self.line(connection, key.0).ask(key.1, &question) else {
            return self.violate(Promise::Available, "a question cannot be sent".to_owned());
        };
        let call = self.make_call(caller, key, &question);
        let (began, sent) = (self.moment(), (connection, number));
        if self.random.chance(self.plan.duplicated) && !self.is_closing {
            self.haunt(key, question.clone());
        }
        let patience = self.plan.patience.clone();
        let patience = if self.is_closing { CLOSING_PATIENCE } else { self.within(&patience) };
        let patience = patience + question.wait.as_micros() as u64;
        let is_lost = !self.is_closing && self.random.chance(self.plan.lost);
        self.open.insert(call, Open { caller, key, question, began, sent, is_lost });
        self.after(patience, Event::GiveUp { call });
        if is_lost {
            return self.note(format_args!("call {call} is lost on its way"));
        }
        let delay = self.plan.delay.clone();
        let delay = self.within(&delay);
        self.after(delay, Event::Arrive { arrival: Arrival { connection, bytes }, key });
    }

    fn make_call(&mut self, caller: u32, key: (usize, u32), question: &Question) -> u64 {
        let call = self.next_call;
        self.next_call += 1;
        self.counts.calls += 1;
        if let Some(page) = self.pages.get_mut(&key) {
            page.call();
        }
        self.note(format_args!("call {call} by {caller} on {key:?}: {:?}", question.asked));
        call
    }

    /// A rival's question that has just arrived.
    fn rival(&mut self, key: (usize, u32)) -> Option<Arrival> {
        if self.is_closing || !self.pages[&key].has_room() {
            return None;
        }
        let attempt = self.new_attempt();
        let question = self.pages[&key].question(key.1, attempt, &mut self.random);
        let question = Question { wait: Duration::ZERO, ..question };
        let connection = RIVAL * NAMESPACES.len() as u32 + key.0 as u32;
        let (number, bytes) = self.line(connection, key.0).ask(key.1, &question)?;
        let call = self.make_call(RIVAL, key, &question);
        let (began, sent) = (self.moment(), (connection, number));
        let open = Open { caller: RIVAL, key, question, began, sent, is_lost: false };
        self.open.insert(call, open);
        let patience = self.plan.patience.clone();
        let patience = self.within(&patience);
        self.after(patience, Event::GiveUp { call });
        Some(Arrival { connection, bytes })
    }

    /// The same question comes again, later, and nobody hears the answer.
    fn haunt(&mut self, key: (usize, u32), question: Question) {
        if !self.pages[&key].has_room() {
            return;
        }
        let connection = GHOSTS + key.0 as u32;
        let question = Question { wait: Duration::ZERO, ..question };
        let Some((_, bytes)) = self.line(connection, key.0).ask(key.1, &question) else { return };
        let began = self.moment();
        self.record(key, began, &question, None);
        let delay = self.plan.delay.clone();
        let delay = self.within(&delay) * self.random.within(1..30);
        self.note(format_args!(
            "a duplicate on {key:?} comes after {delay} us: {:?}",
            question.asked
        ));
        self.after(delay, Event::Arrive { arrival: Arrival { connection, bytes }, key });
    }

    fn line(&mut self, connection: u32, namespace: usize) -> &mut Line {
        let life = self.life.as_ref();
        self.lines.entry(connection).or_insert_with(|| {
            let name = onceward_core::Namespace::new(NAMESPACES[namespace].0);
            let (mut line, hello) = Line::open(name.expect("a name"));
            // The handshake is not what this is about: it takes no time.
            if let Some(life) = life {
                life.desk.receive(&Arrival { connection, bytes: hello });
                for welcome in life.desk.replies() {
                    line.read(&welcome.bytes);
                }
            }
            line
        })
    }

    fn record(
        &mut self,
        key: (usize, u32),
        began: Moment,
        question: &Question,
        told: Option<Told>,
    ) {
        let page = self.pages.get_mut(&key);
        match (page, told) {
            (Some(page), Some(told)) => page.answered(question, told),
            (Some(page), None) => page.unanswered(question),
            (None, _) => {}
        }
        let ended = if told.is_some() { self.moment() } else { Moment::NEVER };
        let asked = as_promised(question.asked.clone());
        self.calls[key.0].push(Call { key: key.1, began, ended, asked, told });
    }

    /// A reply has come.
    fn hear(&mut self, arrival: &Arrival) {
        use super::caller::Answer;
        if arrival.connection >= GHOSTS {
            return;
        }
        let Some(line) = self.lines.get_mut(&arrival.connection) else { return };
        let (number, told) = match line.read(&arrival.bytes) {
            Answer::Welcome => return,
            Answer::Told(number, told) => (number, told),
            Answer::Broken => {
                return self
                    .violate(Promise::Linearizable, "the server broke the protocol".to_owned());
            }
        };
        let sent = (arrival.connection, number);
        let call = self.open.iter().find(|(_, open)| open.sent == sent).map(|(call, _)| *call);
        let Some(call) = call else { return };
        let Some(open) = self.open.remove(&call) else { return };
        self.note(format_args!("call {call} is told {told:?}"));
        self.counts.answered += u64::from(told.is_some());
        self.record(open.key, open.began, &open.question, told);
        if let (Some(Told::Acquired { fence, .. }), Asked::Begin { attempt, .. }) =
            (told, &open.question.asked)
        {
            self.check_fence(open.key, fence, *attempt);
        }
        if self.is_closing && self.open.is_empty() && self.life.is_some() {
            return self.conclude();
        }
        self.think(open.caller);
    }

    /// A fence is given once, and every life has larger ones (S4, S13).
    fn check_fence(&mut self, key: (usize, u32), fence: u64, attempt: u128) {
        let owner = (key.0, key.1, attempt);
        let first = *self.fences.entry(fence).or_insert(owner);
        if first != owner {
            let what =
                format!("fence {fence} was granted on {:?} and on {key:?}", (first.0, first.1));
            self.violate(Promise::Fences, what);
        }
        if fence <= self.fence_floor && !self.attempts.contains(&attempt) {
            let what = format!(
                "fence {fence} was granted after a restart, and {} before it (S13)",
                self.fence_floor
            );
            self.violate(Promise::Fences, what);
        }
    }

    fn give_up(&mut self, call: u64) {
        let Some(open) = self.open.remove(&call) else { return };
        self.note(format_args!("call {call} is given up"));
        if !open.is_lost {
            self.record(open.key, open.began, &open.question, None);
        }
        if self.is_closing && self.life.is_some() {
            let what = format!("a get of {:?} was not answered in {CLOSING_PATIENCE} us", open.key);
            self.violate(Promise::Available, what);
        }
        self.think(open.caller);
    }
}

/// The store's clock has whole milliseconds: it may take a time for up to one more than it was.
fn as_promised(mut asked: Asked) -> Asked {
    const PRECISION: Duration = Duration::from_millis(1);
    match &mut asked {
        Asked::Begin { lease, retention, .. } => {
            *lease -= PRECISION;
            *retention -= PRECISION;
        }
        Asked::Renew { lease, .. } => *lease -= PRECISION,
        _ => {}
    }
    asked
}
