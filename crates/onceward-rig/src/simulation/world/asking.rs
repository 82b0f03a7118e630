//! What callers ask, and what they hear.

use std::time::Duration;

use onceward_core::Namespace;

use super::super::caller::{Answer, Line};
use super::super::desk::Arrival;
use super::super::plan::NAMESPACES;
use super::super::question::Question;
use super::{CLOSING_PATIENCE, Event, GHOSTS, Open, RIVAL, World};
use crate::call::{Asked, Call, Told};
use crate::moment::Moment;
use crate::oracle::Promise;

impl World {
    pub(super) fn think(&mut self, caller: u32) {
        if caller == RIVAL {
            return;
        }
        let think = self.plan.think.clone();
        let wait = self.within(&think) + self.quiet_until.saturating_sub(self.now());
        self.after(wait, Event::Ask { caller });
    }

    pub(super) fn new_attempt(&mut self) -> u128 {
        u128::from(self.random.next_u64()) << 64 | u128::from(self.random.next_u64()) | 1
    }

    pub(super) fn ask(&mut self, caller: u32) {
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
    pub(super) fn key(&mut self) -> (usize, u32) {
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
    pub(super) fn send(&mut self, caller: u32, key: (usize, u32), question: Question) {
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

    pub(super) fn make_call(&mut self, caller: u32, key: (usize, u32), question: &Question) -> u64 {
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
    pub(super) fn rival(&mut self, key: (usize, u32)) -> Option<Arrival> {
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
    pub(super) fn haunt(&mut self, key: (usize, u32), question: Question) {
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

    pub(super) fn line(&mut self, connection: u32, namespace: usize) -> &mut Line {
        let life = self.life.as_ref();
        self.lines.entry(connection).or_insert_with(|| {
            let name = Namespace::new(NAMESPACES[namespace].0);
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

    pub(super) fn record(
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
    pub(super) fn hear(&mut self, arrival: &Arrival) {
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
    pub(super) fn check_fence(&mut self, key: (usize, u32), fence: u64, attempt: u128) {
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

    pub(super) fn give_up(&mut self, call: u64) {
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
