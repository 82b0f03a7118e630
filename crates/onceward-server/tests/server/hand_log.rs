//! A journal that keeps no bytes, is synced by hand, and can stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use onceward::{Fact, FactLog, Halted, Position, Timestamp};

type Hook = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
pub(crate) struct HandLog {
    facts: Mutex<u64>,
    synced: AtomicU64,
    wants: AtomicU64,
    pub(crate) late: AtomicBool,
    /// Syncs in the very call that asks for it.
    pub(crate) eager: AtomicBool,
    stopped: Mutex<Option<String>>,
    hook: Mutex<Option<Hook>>,
}

impl HandLog {
    /// How many facts it has been given.
    pub(crate) fn facts(&self) -> u64 {
        *self.facts.lock().expect("no panic")
    }

    /// How often anybody has asked for a sync.
    pub(crate) fn wants(&self) -> u64 {
        self.wants.load(SeqCst)
    }

    /// Syncs every fact so far.
    pub(crate) fn sync(&self) {
        self.sync_to(self.facts());
    }

    pub(crate) fn sync_to(&self, position: u64) {
        self.synced.store(position, SeqCst);
        self.call();
    }

    /// Keeps no facts from now on.
    pub(crate) fn stop(&self, why: &str) {
        *self.stopped.lock().expect("no panic") = Some(why.to_owned());
        self.call();
    }

    /// Keeps facts again.
    pub(crate) fn go_on(&self) {
        *self.stopped.lock().expect("no panic") = None;
        self.call();
    }

    fn call(&self) {
        let hook = self.hook.lock().expect("no panic").clone();
        hook.expect("the server listens")();
    }
}

impl FactLog for HandLog {
    fn record(
        &self,
        _: &Fact<'_>,
        commit: &mut dyn FnMut(Position) -> bool,
    ) -> Result<bool, Halted> {
        if self.halted().is_some() {
            return Err(Halted);
        }
        let mut facts = self.facts.lock().expect("no panic");
        let came_about = commit(Position(*facts + 1));
        *facts += u64::from(came_about);
        Ok(came_about)
    }

    fn synced(&self) -> Position {
        Position(self.synced.load(SeqCst))
    }

    fn is_late(&self, _: Timestamp) -> bool {
        self.late.load(SeqCst)
    }

    fn fence_ceiling(&self) -> u64 {
        u64::MAX
    }

    fn note_fence(&self, _: u64) {}

    fn want(&self, _: Position) {
        self.wants.fetch_add(1, SeqCst);
        if self.eager.load(SeqCst) {
            self.sync();
        }
    }

    fn on_synced(&self, hook: Hook) {
        *self.hook.lock().expect("no panic") = Some(hook);
    }

    fn halted(&self) -> Option<String> {
        self.stopped.lock().expect("no panic").clone()
    }
}
