//! A journal that keeps its facts in memory, is synced by hand, and can stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use onceward::{
    AttemptId, Digest, Event, Fact, FactLog, Fence, Halted, Millis, Position, SetAside, Timestamp,
};
use parking_lot::Mutex;

/// A fact with its bytes copied, as far as tests look at it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kept {
    Acquired {
        fence: u64,
        attempt: AttemptId,
        number: u32,
        previous: Option<Fence>,
        lease: Millis,
        set_aside: SetAside,
    },
    Completed {
        fence: u64,
        status: u16,
        body: Option<Vec<u8>>,
        digest: bool,
        bound: Option<Digest>,
    },
    Removed(u64),
    Doubted(u64, u32),
    Extended {
        fence: u64,
        lease: Millis,
        doubts_over: u32,
        bound: Option<Digest>,
    },
    Checkpointed(u64, u32, Vec<u8>),
}

pub(crate) struct MemoryLog {
    kept: Mutex<Vec<Kept>>,
    digests: Mutex<Vec<[u8; 32]>>,
    synced: AtomicU64,
    pub(crate) late: AtomicBool,
    pub(crate) stopped: AtomicBool,
    pub(crate) ceiling: AtomicU64,
}

impl MemoryLog {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            kept: Mutex::default(),
            digests: Mutex::default(),
            synced: AtomicU64::new(0),
            late: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            ceiling: AtomicU64::new(u64::MAX),
        })
    }

    /// All facts so far; each takes the position after the one before.
    pub(crate) fn kept(&self) -> Vec<Kept> {
        self.kept.lock().clone()
    }

    /// Those of results that were not kept whole.
    pub(crate) fn digests(&self) -> Vec<[u8; 32]> {
        self.digests.lock().clone()
    }

    pub(crate) fn end(&self) -> Position {
        Position(self.kept.lock().len() as u64)
    }
}

impl FactLog for MemoryLog {
    fn record(
        &self,
        fact: &Fact<'_>,
        commit: &mut dyn FnMut(Position) -> bool,
    ) -> Result<bool, Halted> {
        if self.stopped.load(SeqCst) {
            return Err(Halted);
        }
        let mut kept = self.kept.lock();
        if !commit(Position(kept.len() as u64 + 1)) {
            return Ok(false);
        }
        let fence = fact.fence.get();
        kept.push(match fact.event {
            Event::Acquired { view, previous, set_aside, .. } => Kept::Acquired {
                fence,
                attempt: view.attempt_id,
                number: view.attempt_number,
                previous,
                lease: view.longest_lease,
                set_aside,
            },
            Event::Completed { result, digest, bound } => {
                self.digests.lock().extend(digest);
                Kept::Completed {
                    fence,
                    status: result.status,
                    body: result.body.kept().map(|body| body.to_vec()),
                    digest: digest.is_some(),
                    bound,
                }
            }
            Event::Removed => Kept::Removed(fence),
            Event::Doubted { doubt_number } => Kept::Doubted(fence, doubt_number),
            Event::Extended { lease, doubts_over, bound } => {
                Kept::Extended { fence, lease, doubts_over, bound }
            }
            Event::Checkpointed { ordinal, bytes } => {
                Kept::Checkpointed(fence, ordinal, bytes.to_vec())
            }
        });
        Ok(true)
    }

    fn synced(&self) -> Position {
        Position(self.synced.load(SeqCst))
    }

    fn is_late(&self, _: Timestamp) -> bool {
        self.late.load(SeqCst)
    }

    fn fence_ceiling(&self) -> u64 {
        self.ceiling.load(SeqCst)
    }

    fn note_fence(&self, _: u64) {}

    fn want(&self, _: Position) {}

    fn on_synced(&self, _: Arc<dyn Fn() + Send + Sync>) {}

    fn halted(&self) -> Option<String> {
        self.stopped.load(SeqCst).then(|| "stopped by hand".to_owned())
    }
}
