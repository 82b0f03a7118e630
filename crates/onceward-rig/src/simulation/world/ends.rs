//! How lives of the server end and begin, and what befalls its disk in between.

use onceward_journal::JournalError;

use super::super::disk::{End, Fault};
use super::super::life::Life;
use super::super::plan::NAMESPACES;
use super::super::question::Question;
use super::{Event, World};
use crate::call::Asked;
use crate::oracle::{Ending, Promise};

/// A step of the wall clock: more than a weekend.
const STEP_MS: i64 = 49 * 3_600_000;

impl World {
    /// The process ends, one way or another.
    pub(super) fn end(&mut self) {
        let Some(life) = self.life.take() else { return };
        let died = self.disk.is_dead();
        let may_stop = !died && self.paused_until <= self.now();
        if may_stop && self.random.chance(self.plan.stopped) {
            self.stop(&life);
        }
        let died = self.disk.is_dead();
        self.clear_network();
        drop(life);
        self.bury();
        // Silent damage is only seen while its witnesses are there.
        let is_damaged = self.is_damaged || !self.disk.misdirected().is_empty();
        let power = !is_damaged && self.random.chance(self.plan.power);
        self.disk.end(if power { End::Power } else { End::Process });
        self.counts.powered_off += u64::from(power);
        self.note(format_args!(
            "life {} has ended: {:?}, power cut {power}",
            self.lives, self.ending
        ));
        self.reboots = power;
        if !power && !died && self.random.chance(self.plan.damaged) {
            self.damage();
        }
        let down = if self.random.chance(80) { 200_000 } else { 20_000_000 };
        let down = self.random.within(1..down);
        if self.random.chance(self.plan.stepped) {
            let by = self.step();
            self.after(down / 2, Event::Step(by));
        }
        self.start_after(down);
    }

    /// At a whole millisecond: the clocks of two lives differ by less than that.
    fn start_after(&mut self, down: u64) {
        let at = (self.now() + down).next_multiple_of(1_000);
        self.after(at - self.now(), Event::Start);
    }

    fn step(&mut self) -> i64 {
        if self.random.chance(50) { STEP_MS } else { -STEP_MS }
    }

    /// Asked to stop, the server answers what it has and syncs (S17).
    fn stop(&mut self, life: &Life) {
        if self.random.chance(20) && !self.is_closing {
            let steps = self.random.within(1..30);
            self.disk.schedule(steps, Fault::Die);
        }
        let stopped = life.stop();
        self.note(format_args!("the server stops: {}", stopped.is_ok()));
        if stopped.is_ok() && !self.disk.is_dead() {
            self.ending = Ending::Stopped;
        }
        life.desk.close();
        for arrival in life.desk.replies() {
            if self.random.chance(70) {
                self.hear(&arrival);
            }
        }
    }

    /// Replies that were on their way come now or never; requests are lost, or come later.
    fn clear_network(&mut self) {
        let network: Vec<_> = self
            .queue
            .extract_if(.., |_, event| {
                matches!(
                    event,
                    Event::Return { .. }
                        | Event::Arrive { .. }
                        | Event::Journal
                        | Event::Tick
                        | Event::End
                )
            })
            .map(|(_, event)| event)
            .collect();
        for event in network {
            if let Event::Return { arrival } = event
                && self.random.chance(60)
            {
                self.hear(&arrival);
            }
        }
        let open: Vec<_> = self.open.keys().copied().collect();
        for call in open {
            let late = self
                .open
                .get(&call)
                .filter(|_| self.random.chance(12))
                .map(|open| (open.key, open.question.clone()));
            self.late.extend(late);
            self.give_up(call);
        }
        (self.journal_at, self.tick_at, self.paused_until) = (None, None, 0);
        self.lines.clear();
    }

    /// The oracles judge the life that has ended.
    fn bury(&mut self) {
        let death = self.moment();
        for (namespace, calls) in self.calls.iter_mut().enumerate() {
            for call in calls.iter() {
                if let Asked::Begin { attempt, .. } = call.asked {
                    self.attempts.insert(attempt);
                }
            }
            let judged = self.oracles[namespace].life_ended(std::mem::take(calls), death);
            if let Err(mut violations) = judged
                && self.violation.is_none()
            {
                let mut violation = violations.swap_remove(0);
                violation.what = format!("{}: {}", NAMESPACES[namespace].0, violation.what);
                self.violation = Some(violation);
            }
        }
        self.fence_floor = self.fences.last_key_value().map_or(0, |(fence, _)| *fence);
    }

    /// One bit of a file flips at rest.
    fn damage(&mut self) {
        let files = self.disk.written();
        let files: Vec<_> = files.into_iter().filter(|(name, _)| name != "lock").collect();
        let Some((name, written)) = self.random.pick(&files).cloned() else { return };
        let (offset, bit) = (self.random.within(0..written), self.random.within(0..8) as u8);
        self.disk.flip(&name, offset, bit);
        self.flipped.push((name, offset, bit));
        self.is_damaged = true;
        self.counts.damaged += 1;
    }

    /// A process is started.
    pub(super) fn start(&mut self) {
        if std::mem::take(&mut self.reboots) {
            self.time.boot();
            self.rebooted = true;
        }
        let quiet = self.is_closing;
        if !quiet && self.random.chance(self.plan.dying / 2) {
            let steps = self.random.within(1..40);
            self.disk.schedule(steps, Fault::Die);
        }
        if !quiet && self.random.chance(self.plan.failing / 4) {
            let steps = self.random.within(1..40);
            self.disk.schedule(steps, Fault::Fail);
        }
        let failed = self.disk.failed();
        let began_anew = self.moment();
        let random = [self.random.next_u64(), self.random.next_u64()];
        self.note(format_args!("a process is started"));
        match Life::start(&self.disk, &self.time, &self.plan, random) {
            Ok(life) => {
                self.lives += 1;
                self.counts.lives += 1;
                if self.lives > 1 {
                    let ending = std::mem::replace(&mut self.ending, Ending::Crashed);
                    let rebooted = std::mem::take(&mut self.rebooted);
                    for oracle in &mut self.oracles {
                        if rebooted {
                            oracle.life_begins_after_boot(ending, began_anew);
                        } else {
                            oracle.life_begins(ending, began_anew);
                        }
                    }
                }
                let doubtful =
                    self.pages.iter_mut().filter_map(|(key, page)| page.turn().then_some(*key));
                self.doubtful = doubtful.collect();
                self.note(format_args!("life {} begins", self.lives));
                // Bytes are written over from now on: what was flipped stays so.
                self.flipped.clear();
                self.life = Some(life);
                self.befall();
                self.serve();
                if quiet {
                    self.look_back();
                }
            }
            Err(error) => self.not_started(&error, failed),
        }
    }

    fn not_started(&mut self, error: &JournalError, failed: u64) {
        self.note(format_args!("it does not start: {error}"));
        let is_transient = self.disk.is_dead() || self.disk.failed() > failed;
        if is_transient {
            self.flipped.clear();
            let power =
                self.disk.is_dead() && !self.is_damaged && self.random.chance(self.plan.power);
            self.disk.end(if power { End::Power } else { End::Process });
            self.reboots = power;
            let down = self.random.within(1..100_000);
            return self.start_after(down);
        }
        let names_its_place = matches!(
            error,
            JournalError::Damaged { .. }
                | JournalError::Missing { .. }
                | JournalError::NewerFormat { .. }
        );
        if !self.is_damaged && self.disk.misdirected().is_empty() || !names_its_place {
            return self.violate(Promise::Available, format!("a start was refused: {error}"));
        }
        self.counts.refused += 1;
        self.disk.end(End::Process);
        if self.flipped.is_empty() {
            self.is_over = true; // Nobody knows what was where.
            return;
        }
        for (name, offset, bit) in std::mem::take(&mut self.flipped) {
            self.disk.flip(&name, offset, bit);
        }
        self.is_damaged = false;
        self.start_after(1_000);
    }

    /// What is to befall the life that begins.
    fn befall(&mut self) {
        let life = self.plan.life.clone();
        let life = self.within(&life);
        if self.is_closing {
            return;
        }
        self.after(life, Event::End);
        if self.random.chance(self.plan.dying) {
            let steps = self.random.within(1..60);
            self.disk.schedule(steps, Fault::Die);
        }
        if self.random.chance(self.plan.failing) {
            for _ in 0..self.random.within(1..4) {
                let steps = self.random.within(1..60);
                self.disk.schedule(steps, Fault::Fail);
            }
        }
        if self.random.chance(self.plan.misdirected) {
            let steps = self.random.within(1..60);
            self.disk.schedule(steps, Fault::Misdirect);
        }
        if self.random.chance(self.plan.full) {
            let from = self.random.within(0..life.max(1));
            let until = from + self.random.within(0..3_000_000);
            self.after(from, Event::Full(true));
            self.after(until, Event::Full(false));
        }
        if self.random.chance(self.plan.paused) {
            let from = self.random.within(0..life.max(1));
            let length = self.random.within(1_000..2_000_000);
            self.after(from, Event::Pause(length));
        }
        if self.random.chance(self.plan.stepped) {
            let from = self.random.within(0..life.max(1));
            let by = self.step();
            self.after(from, Event::Step(by));
        }
    }

    /// Enough was asked: one more crash, and then everything is looked at.
    pub(super) fn close(&mut self) {
        self.is_closing = true;
        self.note(format_args!("the run closes"));
        self.queue.retain(|_, event| {
            !matches!(event, Event::Ask { .. } | Event::Full(_) | Event::Pause(_))
        });
        if self.life.is_some() {
            self.end();
        }
        self.disk.clear_faults();
    }

    /// Everything was looked at.
    pub(super) fn conclude(&mut self) {
        if let Some(life) = self.life.take() {
            self.clear_network();
            drop(life);
            self.bury();
        }
        self.is_over = true;
    }

    fn look_back(&mut self) {
        let keys: Vec<_> = self.pages.keys().copied().collect();
        for (caller, key) in (0..).zip(keys) {
            self.send(caller, key, Question::of(Asked::Get));
        }
    }
}
