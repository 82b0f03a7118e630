//! What happens while the server lives.

use super::super::desk::Arrival;
use super::super::disk::WhileSyncing;
use super::{Event, GHOSTS, World};
use std::sync::Arc;

impl World {
    /// A request reaches the server, and another may reach it in the middle of the first.
    pub(super) fn arrive(&mut self, arrival: &Arrival, key: (usize, u32)) {
        if self.life.is_none() {
            return;
        }
        let mut interrupting = Vec::new();
        if self.random.chance(self.plan.interrupted) {
            interrupting = self.on_their_way(key, 1);
            if interrupting.is_empty() {
                interrupting.extend(self.rival(key));
            }
        }
        let Some(life) = &self.life else { return };
        life.desk.interrupt_with(interrupting);
        life.desk.receive(arrival);
        self.receive_rest();
        self.tend();
    }

    /// Takes requests on the same key from the network, up to so many, at once.
    fn on_their_way(&mut self, key: (usize, u32), most: usize) -> Vec<Arrival> {
        let same =
            |event: &Event| matches!(event, Event::Arrive { key: other, .. } if *other == key);
        self.take_arrivals(same, most)
    }

    fn take_arrivals(&mut self, is_wanted: impl Fn(&Event) -> bool, most: usize) -> Vec<Arrival> {
        let places = self.queue.iter().filter(|(_, event)| is_wanted(event));
        let places: Vec<_> = places.map(|(place, _)| *place).take(most).collect();
        let taken = places.iter().filter_map(|place| self.queue.remove(place));
        taken
            .filter_map(|event| match event {
                Event::Arrive { arrival, .. } => Some(arrival),
                _ => None,
            })
            .collect()
    }

    /// What was to come in the middle of something, and found no middle.
    fn receive_rest(&mut self) {
        if let Some(life) = &self.life {
            for arrival in life.desk.uninterrupted() {
                life.desk.receive(&arrival);
            }
        }
    }

    pub(super) fn run_journal(&mut self) {
        if self.journal_at.is_none_or(|at| self.now() < at) {
            return; // It was put off, or has run.
        }
        self.journal_at = None;
        let interrupting = if self.random.chance(self.plan.interrupted) {
            let most = self.random.within(1..4) as usize;
            self.take_arrivals(|event| matches!(event, Event::Arrive { .. }), most)
        } else {
            Vec::new()
        };
        let Some(life) = &self.life else { return };
        life.desk.interrupt_with(interrupting);
        let desk = Arc::downgrade(&life.desk);
        let hook: WhileSyncing = Arc::new(move || {
            if let Some(desk) = desk.upgrade() {
                desk.interrupt();
            }
        });
        self.disk.while_syncing(Some(hook));
        let next = life.run_journal();
        self.disk.while_syncing(None);
        self.counts.halted += u64::from(life.halted().is_some());
        if self.disk.is_dead() {
            // What it let go before that may still be heard.
            self.tend();
            return self.end();
        }
        self.receive_rest();
        let now = self.now();
        if let Some(next) = next {
            let late = self.random.within(0..1_500);
            self.run_journal_at(next.max(now + 50) + late);
        }
        self.tend();
    }

    pub(super) fn tick(&mut self) {
        if self.tick_at.is_none_or(|at| self.now() < at) {
            return;
        }
        self.tick_at = None;
        let budget = self.random.within(1..64) as usize;
        let Some(life) = &self.life else { return };
        let next = life.tick(budget);
        if let Some(next) = next {
            let late = self.random.within(0..2_000);
            self.tick_at((next.max(self.now() + 20)) + late);
        }
        self.tend();
    }

    fn run_journal_at(&mut self, at: u64) {
        if self.journal_at.is_none_or(|before| at < before) {
            self.journal_at = Some(at);
            self.after(at.saturating_sub(self.now()), Event::Journal);
        }
    }

    fn tick_at(&mut self, at: u64) {
        if self.tick_at.is_none_or(|before| at < before) {
            self.tick_at = Some(at);
            self.after(at.saturating_sub(self.now()), Event::Tick);
        }
    }

    /// After anything has happened at the server: replies leave, and it says when it is to be
    /// called again.
    pub(super) fn tend(&mut self) {
        let Some(life) = &self.life else { return };
        life.desk.tend();
        let replies = life.desk.replies();
        let (wakes, earlier) = life.wants();
        for arrival in replies {
            if arrival.connection >= GHOSTS {
                continue;
            }
            let delay = self.plan.delay.clone();
            let delay = self.within(&delay);
            if self.is_closing || !self.random.chance(self.plan.lost) {
                self.after(delay, Event::Return { arrival });
            }
        }
        let now = self.now();
        if wakes {
            let sync = self.plan.sync.clone();
            let wait = self.within(&sync);
            self.run_journal_at(now + wait);
        }
        if earlier {
            let late = self.random.within(0..500);
            self.tick_at(now + late);
        }
    }

    /// The server is ready.
    pub(super) fn serve(&mut self) {
        let now = self.now();
        (self.journal_at, self.tick_at) = (None, None);
        self.run_journal_at(now + 100);
        self.tick_at(now + 100);
        for (key, question) in std::mem::take(&mut self.late) {
            self.haunt(key, question);
        }
    }
}
