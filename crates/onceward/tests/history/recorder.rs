//! Threads that use one store at once and write down what they saw.
//!
//! A run goes in phases. While threads work the clock stands still, so that the instant at which
//! each call was judged is known; between phases one thread moves it. Calls that wait may wait
//! over several phases. Reclaiming goes on throughout, with budgets of every size.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::task::{Poll, Waker};
use std::thread;

use onceward::{
    Answer, AttemptId, Begin, BeginOutcome, BeginTicket, Get, GetOutcome, GetTicket, Identity,
    Limits, Millis, Store, StoreConfig, StoreError, Timestamp, Waitable,
};
use onceward_testkit::{
    Checker, Coverage, Event, Generator, Glimpse, Happened, Impossible, ManualClock, Model,
    Operation, Outcome, Plan, SplitMix64,
};

use crate::put::put;

pub(crate) const THREADS: u32 = 8;
const KEYS: [&str; 3] =
    ["plain", "01890a5d-ac96-774b-bcce-b302099a8057", "01ARZ3NDEKTSV4RRFFQ69G5FAV"];
const PHASES: usize = 40;
const STEPS_PER_PHASE: usize = 20;
/// Phases after which a wait is ended by its caller.
const PATIENCE: usize = 3;

/// What a run has shown, beside that it was right.
#[derive(Default)]
pub(crate) struct Shown {
    pub(crate) coverage: Coverage,
    /// Calls that began while another call about the same identity was under way.
    pub(crate) overlapping: u64,
    pub(crate) calls: u64,
    pub(crate) waits: u64,
    pub(crate) pairs_most: usize,
}

/// The run, and what is shared by its threads.
struct Run {
    seed: u64,
    store: Store,
    clock: Arc<ManualClock>,
    limits: Limits,
    moments: AtomicU64,
    /// What is thought to be the state of each key: right when a phase begins.
    glimpses: [Mutex<Option<Glimpse>>; KEYS.len()],
    ended: [Vec<AttemptId>; KEYS.len()],
}

/// One caller that takes part.
struct Caller {
    number: u32,
    random: SplitMix64,
    generator: Generator,
    waiting: Vec<Waiting>,
    seen: Vec<(usize, Event)>,
}

/// A call that waits.
struct Waiting {
    key: usize,
    began: u64,
    operation: Operation,
    ticket: Ticket,
    wait_ends: Timestamp,
    patience: usize,
}

enum Ticket {
    Begin(BeginTicket),
    Get(GetTicket),
}

impl Ticket {
    fn poll(&mut self) -> Option<Outcome> {
        fn told<T>(polled: Poll<Result<Answer<T>, StoreError>>) -> Option<T> {
            match polled {
                Poll::Ready(answer) => Some(answer.expect("the store is open").value),
                Poll::Pending => None,
            }
        }
        match self {
            Self::Begin(ticket) => told(
                ticket.poll(Waker::noop(), |outcome| Outcome::Begin(outcome.map(<[u8]>::to_vec))),
            ),
            Self::Get(ticket) => told(
                ticket.poll(Waker::noop(), |outcome| Outcome::Get(outcome.map(<[u8]>::to_vec))),
            ),
        }
    }

    fn end_wait(&mut self) {
        match self {
            Self::Begin(ticket) => ticket.end_wait(),
            Self::Get(ticket) => ticket.end_wait(),
        }
    }
}

/// One run, checked phase by phase. `alter` may change what was recorded before it is checked.
pub(crate) fn run(
    seed: u64,
    shown: &mut Shown,
    alter: &mut dyn FnMut(usize, &mut Vec<Event>),
) -> Result<(), Box<Impossible>> {
    let mut run = Run::new(seed);
    let mut callers: Vec<_> = (0..THREADS).map(|number| Caller::new(seed, number)).collect();
    let start = run.store.now();
    let mut checkers: Vec<_> = (0..KEYS.len())
        .map(|key| Checker::new(key as u32, Model::new(run.limits, start)))
        .collect();
    let mut pieces: BTreeMap<usize, Vec<Event>> = BTreeMap::new();
    let mut time = Generator::new(seed ^ 0x71_3e, 1, 1, run.limits);
    for phase in 0..=PHASES {
        if phase < PHASES {
            run.phase(phase, &mut callers);
        } else {
            callers.iter_mut().for_each(|caller| caller.end_waits(&run));
        }
        for caller in &mut callers {
            shown.waits += caller.waiting.len() as u64;
            for (key, event) in caller.seen.drain(..) {
                pieces.entry(key).or_default().push(event);
            }
        }
        for (key, checker) in checkers.iter_mut().enumerate() {
            if callers.iter().any(|caller| caller.waits_for(key)) {
                continue; // What it will be told is part of this stretch.
            }
            let mut events = pieces.remove(&key).unwrap_or_default();
            shown.count(&events);
            alter(key, &mut events);
            checker.go_on(events)?;
            run.ended[key] = checker.model().ended_attempts().map(|(_, attempt)| attempt).collect();
            *run.glimpses[key].lock().unwrap() = checker.model().glimpse(key as u32);
        }
        // Half of the time by a little, else to where something happens by itself.
        let aim = checkers[phase % KEYS.len()].model().clone();
        let ahead = Timestamp::from_millis(run.store.now().as_millis() + phase as u64 % 40);
        // A model whose key is waited for stands in the past.
        let due = time.instant(&aim).max(run.store.now());
        let now = if phase % 2 == 0 { due } else { ahead };
        for (at, event) in run.move_clock(now, &callers) {
            (0..KEYS.len()).for_each(|key| pieces.entry(key).or_default().push(event.clone()));
            debug_assert!(at <= now);
        }
        callers.iter_mut().for_each(|caller| caller.poll(&run));
        run.check_waits(&callers);
    }
    shown.pairs_most =
        checkers.iter().map(Checker::pairs_most).max().unwrap_or(0).max(shown.pairs_most);
    Ok(())
}

impl Run {
    fn new(seed: u64) -> Self {
        let limits = Plan::default().limits;
        let shards = if seed.is_multiple_of(2) { 1 } else { 64 };
        let config = StoreConfig { limits, shards, ..StoreConfig::default() };
        let clock = Arc::new(ManualClock::new(1_000));
        let store = Store::new(config, Arc::clone(&clock) as _).expect("a valid configuration");
        Self {
            seed,
            store,
            clock,
            limits,
            moments: AtomicU64::new(1),
            glimpses: [const { Mutex::new(None) }; KEYS.len()],
            ended: [const { Vec::new() }; KEYS.len()],
        }
    }

    fn moment(&self) -> u64 {
        self.moments.fetch_add(1, SeqCst)
    }

    /// All callers work at once, and this thread reclaims.
    fn phase(&self, phase: usize, callers: &mut [Caller]) {
        let ready = AtomicUsize::new(0);
        let working = AtomicUsize::new(callers.len());
        let started = AtomicBool::new(false);
        thread::scope(|scope| {
            for caller in callers.iter_mut() {
                let (ready, working, started) = (&ready, &working, &started);
                scope.spawn(move || {
                    ready.fetch_add(1, SeqCst);
                    while !started.load(SeqCst) {
                        thread::yield_now();
                    }
                    let _leaves = Leaves(working);
                    for _ in 0..STEPS_PER_PHASE {
                        caller.step(self);
                    }
                    caller.poll(self);
                });
            }
            while ready.load(SeqCst) < THREADS as usize {
                thread::yield_now();
            }
            started.store(true, SeqCst);
            let mut random = SplitMix64::new(self.seed ^ phase as u64);
            while working.load(SeqCst) > 0 {
                let budget = random.within(0..8) as usize;
                let _ = self.store.tick(self.store.now(), budget);
                thread::yield_now();
            }
        });
    }

    /// Moves the clock to `now`, and does what is due. The move is written down in parts, each to
    /// an instant at which a wait ends: who is late to answer it answers as of then.
    fn move_clock(&self, now: Timestamp, callers: &[Caller]) -> Vec<(Timestamp, Event)> {
        let waits = callers.iter().flat_map(|caller| &caller.waiting);
        let mut instants: Vec<_> = waits.map(|waiting| waiting.wait_ends).collect();
        instants.retain(|&at| self.store.now() < at && at < now);
        instants.push(now);
        instants.sort_unstable();
        instants.dedup();
        let moved = instants.into_iter().map(|at| {
            let (began, ended) = (self.moment(), self.moment());
            (at, Event { began, ended, what: Happened::MoveClock(at) })
        });
        let moved = moved.collect();
        self.clock.set(now).expect("forward");
        while self.store.tick(now, 3).is_some_and(|next| next <= now) {}
        moved
    }

    /// S10: after a tick nobody waits for what would be answered at once.
    fn check_waits(&self, callers: &[Caller]) {
        for waiting in callers.iter().flat_map(|caller| &caller.waiting) {
            let stands = put(&self.store, identity(waiting.key), &Operation::Get);
            let waits = match (&waiting.ticket, &stands) {
                (Ticket::Get(_), Outcome::Get(GetOutcome::Reserved { .. })) => true,
                (Ticket::Begin(_), Outcome::Get(GetOutcome::Reserved { lease_left, .. })) => {
                    lease_left.get() > 0
                }
                _ => false,
            };
            assert!(waits, "seed {}: {} still waits at {stands}", self.seed, waiting.operation);
        }
    }
}

/// One thread less works, also if it panics.
struct Leaves<'a>(&'a AtomicUsize);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

fn identity(key: usize) -> Identity<'static> {
    Identity::new("orders", b"tenant", KEYS[key].as_bytes()).expect("valid")
}

impl Caller {
    fn new(seed: u64, number: u32) -> Self {
        let own = seed * u64::from(THREADS) + u64::from(number);
        Self {
            number,
            random: SplitMix64::new(own),
            generator: Generator::new(own, THREADS, KEYS.len() as u32, Plan::default().limits)
                .numbered(number as u8),
            waiting: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn waits_for(&self, key: usize) -> bool {
        self.waiting.iter().any(|waiting| waiting.key == key)
    }

    fn step(&mut self, run: &Run) {
        // The first key is asked about most, so that threads meet there.
        let key = if self.random.chance(60) { 0 } else { self.random.within(1..3) as usize };
        let held = run.glimpses[key].try_lock().ok().and_then(|held| *held);
        let operation = self.generator.operation(self.number, key as u32, held, &run.ended[key]);
        if self.random.chance(8) && self.waiting.len() < 2 {
            self.ask_and_wait(run, key, operation);
        } else {
            let began = run.moment();
            let outcome = put(&run.store, identity(key), &operation);
            self.answered(run, key, began, operation, outcome);
        }
        if self.random.chance(20) {
            self.poll(run);
        }
    }

    fn answered(
        &mut self,
        run: &Run,
        key: usize,
        began: u64,
        operation: Operation,
        outcome: Outcome,
    ) {
        let ended = run.moment();
        self.generator.observe(key as u32, &outcome);
        if let (Operation::Begin(begin), Outcome::Begin(BeginOutcome::Acquired(acquired))) =
            (&operation, &outcome)
            && let Ok(mut glimpse) = run.glimpses[key].try_lock()
        {
            *glimpse = Some(Glimpse {
                token: acquired.token,
                fingerprint: begin.fingerprint,
                doubt_number: 0,
                checkpoint_ordinal: acquired.checkpoint.as_ref().map_or(0, |held| held.ordinal),
            });
        }
        let what = Happened::Call { caller: self.number, operation, outcome };
        self.seen.push((key, Event { began, ended, what }));
    }

    fn ask_and_wait(&mut self, run: &Run, key: usize, operation: Operation) {
        let wait = Millis::new(self.random.within(1..150));
        let wait_ends = run.store.now().after(wait);
        let (mut at_once, noop) = (None, Waker::noop());
        let began = run.moment();
        let waits = match &operation {
            Operation::Begin(begin) => {
                let begin = Begin { wait, ..*begin };
                let waits = run.store.begin_or_wait(identity(key), &begin, noop, |outcome| {
                    at_once = Some(Outcome::Begin(outcome.map(<[u8]>::to_vec)));
                });
                ticket(waits, Ticket::Begin)
            }
            _ => {
                let waits = run.store.get_or_wait(identity(key), &Get { wait }, noop, |outcome| {
                    at_once = Some(Outcome::Get(outcome.map(<[u8]>::to_vec)));
                });
                ticket(waits, Ticket::Get)
            }
        };
        let operation = match operation {
            begin @ Operation::Begin(_) => begin,
            _ => Operation::Get,
        };
        match waits {
            Err(outcome) => self.answered(run, key, began, operation, outcome),
            Ok(None) => {
                let outcome = at_once.expect("the sink was called");
                self.answered(run, key, began, operation, outcome);
            }
            Ok(Some(ticket)) => {
                let patience = PATIENCE * STEPS_PER_PHASE / 5;
                self.waiting.push(Waiting { key, began, operation, ticket, wait_ends, patience });
            }
        }
    }

    /// Takes what waiting calls have been told by now; ends waits that have lasted for long.
    fn poll(&mut self, run: &Run) {
        for mut waiting in std::mem::take(&mut self.waiting) {
            waiting.patience = waiting.patience.saturating_sub(1);
            if waiting.patience == 0 {
                waiting.ticket.end_wait();
            }
            match waiting.ticket.poll() {
                None => self.waiting.push(waiting),
                Some(outcome) => {
                    let Waiting { key, began, operation, .. } = waiting;
                    self.answered(run, key, began, operation, outcome);
                }
            }
        }
    }

    fn end_waits(&mut self, run: &Run) {
        self.waiting.iter_mut().for_each(|waiting| waiting.patience = 0);
        self.poll(run);
        assert!(self.waiting.is_empty(), "seed {}: a wait that was ended goes on", run.seed);
    }
}

/// The ticket of a call that waits; `None` if its sink was called. A call that was refused as bad
/// input has that for its answer.
fn ticket<T>(
    waits: Result<Waitable<(), T>, StoreError>,
    name: impl FnOnce(T) -> Ticket,
) -> Result<Option<Ticket>, Outcome> {
    match waits {
        Ok(Waitable::Answered(_)) => Ok(None),
        Ok(Waitable::Waiting(ticket)) => Ok(Some(name(ticket))),
        Err(StoreError::BadInput(bad)) => Err(Outcome::BadInput(bad)),
        Err(other) => panic!("the store is open: {other}"),
    }
}

impl Shown {
    fn count(&mut self, events: &[Event]) {
        let mut events: Vec<_> = events.iter().collect();
        events.sort_by_key(|event| event.began);
        let mut latest = 0;
        for event in events {
            if let Happened::Call { operation, outcome, .. } = &event.what {
                self.calls += 1;
                self.overlapping += u64::from(event.began < latest);
                *self.coverage.entry((operation.name(), outcome.name())).or_default() += 1;
            }
            latest = latest.max(event.ended);
        }
    }
}
