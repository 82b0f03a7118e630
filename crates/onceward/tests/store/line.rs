//! Waiting beside a naive line of waiters: whoever waits is asked again, in order, whenever
//! anything happens (S10), and the clock stops at every instant at which anything might.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use onceward::{BeginOutcome, BeginTicket, GetTicket};
use onceward::{Get, GetOutcome, Millis, Timestamp, Waitable};
use onceward_testkit::{
    FenceMap, Generator, Model, Operation, Outcome, Plan, SplitMix64, Step, seeds,
};

use crate::bell::{Bell, shown, told};
use crate::embedded::Embedded;
use crate::put::{as_capacity, put};

const RUNS: u64 = 200;
const STEPS: usize = 250;

struct Waiter {
    number: u64,
    identity: u32,
    asks: Operation,
    until: Timestamp,
}

fn waits(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Begin(BeginOutcome::InProgress { .. }) | Outcome::Get(GetOutcome::Reserved { .. })
    )
}

/// The rules, for callers who wait.
struct NaiveLine {
    model: Model,
    waiters: Vec<Waiter>,
    answered: Vec<(u64, u32, Outcome)>,
}

impl NaiveLine {
    fn settle(&mut self) {
        let Self { model, waiters, answered } = self;
        waiters.retain(|waiter| {
            let outcome = model.apply(waiter.identity, &waiter.asks);
            let stays = waits(&outcome);
            if !stays {
                answered.push((waiter.number, waiter.identity, outcome));
            }
            stays
        });
    }

    fn move_clock(&mut self, to: Timestamp) {
        while self.model.now() < to {
            let ends = self.waiters.iter().map(|waiter| waiter.until);
            let next = ends.chain(self.model.deadlines()).filter(|&at| at > self.model.now()).min();
            let now = next.map_or(to, |next| next.min(to));
            self.model.move_clock(now);
            self.settle(); // A change comes before the end of a wait.
            let (ended, left): (Vec<_>, Vec<_>) =
                self.waiters.drain(..).partition(|waiter| waiter.until <= now);
            self.waiters = left;
            for waiter in ended {
                let outcome = self.model.apply(waiter.identity, &waiter.asks);
                assert!(waits(&outcome), "nothing changed since it was asked");
                self.answered.push((waiter.number, waiter.identity, outcome));
            }
        }
    }
}

enum Ticket {
    Begin(BeginTicket),
    Get(GetTicket),
}

impl Ticket {
    fn told(&mut self, bell: &Arc<Bell>) -> Option<Outcome> {
        match self {
            Self::Begin(ticket) => {
                told(ticket, bell).map(|told| Outcome::Begin(as_capacity(told.expect("open"))))
            }
            Self::Get(ticket) => shown(ticket, bell).map(|told| Outcome::Get(told.expect("open"))),
        }
    }
}

/// The store with its callers, whose clock stops wherever the store's own tick says.
struct RealLine {
    embedded: Embedded,
    bell: Arc<Bell>,
    tickets: BTreeMap<u64, Ticket>,
}

impl RealLine {
    fn tick(&self) -> Option<Timestamp> {
        let now = self.embedded.store.now();
        loop {
            match self.embedded.store.tick(now, 3) {
                Some(again) if again <= now => {}
                next => return next,
            }
        }
    }

    fn move_clock(&self, to: Timestamp) {
        while self.embedded.store.now() < to {
            let next = self.tick().map_or(to, |next| next.min(to));
            self.embedded.clock.set(next).expect("runs move forward");
            self.tick();
        }
    }

    fn ask(&mut self, number: u64, identity: u32, operation: &Operation, wait: Millis) -> Outcome {
        let store = &self.embedded.store;
        let id = self.embedded.identity(identity);
        let waker = Waker::from(Arc::clone(&self.bell));
        match operation {
            Operation::Begin(begin) if wait > Millis::ZERO => {
                let begin = onceward::Begin { wait, ..*begin };
                let mut at_once = None;
                let waited = store.begin_or_wait(id, &begin, &waker, |outcome| {
                    at_once = Some(outcome.map(<[u8]>::to_vec));
                });
                match waited {
                    Ok(Waitable::Answered(_)) => {
                        Outcome::Begin(as_capacity(at_once.expect("the sink was called")))
                    }
                    Ok(Waitable::Waiting(ticket)) => {
                        self.tickets.insert(number, Ticket::Begin(ticket));
                        put(store, id, operation) // As of now; it is in progress, or this fails.
                    }
                    Err(onceward::StoreError::BadInput(bad)) => Outcome::BadInput(bad),
                    Err(other) => panic!("{other}"),
                }
            }
            Operation::Get if wait > Millis::ZERO => {
                let mut at_once = None;
                let waited = store.get_or_wait(id, &Get { wait }, &waker, |outcome| {
                    at_once = Some(outcome.map(<[u8]>::to_vec));
                });
                match waited {
                    Ok(Waitable::Answered(_)) => {
                        Outcome::Get(at_once.expect("the sink was called"))
                    }
                    Ok(Waitable::Waiting(ticket)) => {
                        self.tickets.insert(number, Ticket::Get(ticket));
                        put(store, id, operation)
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            _ => put(store, id, operation),
        }
    }

    fn answered(&mut self) -> BTreeMap<u64, Outcome> {
        let bell = &self.bell;
        let answered: BTreeMap<_, _> = self
            .tickets
            .iter_mut()
            .filter_map(|(&number, ticket)| ticket.told(bell).map(|outcome| (number, outcome)))
            .collect();
        self.tickets.retain(|number, _| !answered.contains_key(number));
        answered
    }
}

/// One seeded run; how many waits were answered, by what they were told.
fn run(seed: u64, told: &mut BTreeMap<&'static str, u64>) {
    let plan = Plan {
        limits: onceward::Limits { attempt_memory: Millis::new(300), ..Embedded::limits() },
        identities: 2,
        entries_max: (seed % 4 == 3).then_some(1),
        ..Plan::default()
    };
    let mut random = SplitMix64::new(seed ^ 0x5eed);
    let mut model = Model::new(plan.limits, plan.start);
    if let Some(most) = plan.entries_max {
        model = model.with_room_for(most);
    }
    let mut naive = NaiveLine { model, waiters: Vec::new(), answered: Vec::new() };
    let embedded = Embedded::new(seed, &plan, None);
    let mut real = RealLine { embedded, bell: Bell::new(), tickets: BTreeMap::new() };
    let mut generator = Generator::new(seed, plan.callers, plan.identities, plan.limits);
    let mut fences = FenceMap::new();
    for number in 0..STEPS as u64 {
        let at = format!("seed {seed} (replay with ONCEWARD_SEED={seed}), step {number}");
        match generator.next(&naive.model) {
            Step::MoveClock(now) => {
                naive.move_clock(now);
                real.move_clock(now);
            }
            Step::Ask { identity, operation, .. } => {
                let wait = Millis::new(if random.chance(70) { random.within(1..900) } else { 0 });
                let mine = fences.translate(identity, &operation);
                let expected = naive.model.apply(identity, &operation);
                let actual = real.ask(number, identity, &mine, wait);
                let asks = operation.name();
                if let Err(why) = fences.compare(identity, &expected, &actual) {
                    panic!("{at}: {asks} of {identity} with wait {wait}: {why}");
                }
                generator.observe(identity, &expected);
                if waits(&expected) && wait > Millis::ZERO {
                    let until = naive.model.now().after(wait);
                    naive.waiters.push(Waiter { number, identity, asks: operation, until });
                } else {
                    naive.settle();
                }
            }
        }
        real.tick();
        let mut answered = real.answered();
        for (waiter, identity, expected) in naive.answered.drain(..) {
            let actual = answered.remove(&waiter).unwrap_or_else(|| {
                panic!("{at}: waiter {waiter} of {identity} waits on, and was due {expected:?}")
            });
            if let Err(why) = fences.compare(identity, &expected, &actual) {
                panic!("{at}: waiter {waiter} of {identity}: {why}");
            }
            generator.observe(identity, &expected);
            *told.entry(expected.name()).or_default() += 1;
        }
        assert!(answered.is_empty(), "{at}: answered, and should wait on: {answered:?}");
        if random.chance(3)
            && let Some((&gone, _)) = real.tickets.iter().next()
        {
            real.tickets.remove(&gone);
            naive.waiters.retain(|waiter| waiter.number != gone);
        }
        assert_eq!(real.embedded.store.stats().waiters, naive.waiters.len() as u64, "{at}");
    }
}

#[test]
fn the_line_is_served_as_a_naive_one_is_s10() {
    let mut told = BTreeMap::new();
    for seed in seeds(RUNS) {
        run(seed, &mut told);
    }
    if seeds(RUNS) != (0..RUNS) {
        return;
    }
    for word in ["acquired", "replay", "in_progress", "mismatch", "in_doubt", "completed", "absent"]
    {
        let met = told.get(word).copied().unwrap_or(0);
        assert!(met >= 20, "{met} waits ended in {word}: the runs prove nothing of it");
    }
}
