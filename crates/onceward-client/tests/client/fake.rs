//! A backend that answers from a script and writes down what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use onceward_core::*;
use tokio::time::{Duration, Instant, sleep};

pub(crate) const LEASE: Millis = Millis::from_secs(30);

/// One scripted answer.
#[derive(Clone)]
pub(crate) struct Reply<T> {
    after_ms: u64,
    answer: Result<T, BackendError>,
    forever: bool,
}

pub(crate) fn ok<T>(answer: T) -> Reply<T> {
    Reply { after_ms: 0, answer: Ok(answer), forever: false }
}

pub(crate) fn down<T>() -> Reply<T> {
    let message = "scripted outage".to_owned();
    Reply { after_ms: 0, answer: Err(BackendError::Unavailable { message }), forever: false }
}

pub(crate) fn denied<T>() -> Reply<T> {
    Reply { after_ms: 0, answer: Err(BackendError::Denied), forever: false }
}

impl<T> Reply<T> {
    pub(crate) fn bad_input(field: &str) -> Self {
        let (field, message) = (field.to_owned(), "scripted".to_owned());
        Self { after_ms: 0, answer: Err(BackendError::BadInput { field, message }), forever: false }
    }

    pub(crate) fn after(self, after_ms: u64) -> Self {
        Self { after_ms, ..self }
    }

    pub(crate) fn forever(self) -> Self {
        Self { forever: true, ..self }
    }
}

type Queue<T> = Mutex<VecDeque<Reply<T>>>;

/// Answers from its queues; an empty queue gives what an idle store would.
#[derive(Clone)]
pub(crate) struct Fake(Arc<State>);

struct State {
    start: Instant,
    begin: Queue<BeginOutcome<Bytes>>,
    complete: Queue<CompleteOutcome>,
    abandon: Queue<AbandonOutcome>,
    renew: Queue<RenewOutcome>,
    checkpoint: Queue<CheckpointOutcome>,
    attempts: Mutex<Vec<AttemptId>>,
    set_aside: Mutex<Vec<usize>>,
    calls: Mutex<Vec<(u64, String)>>,
}

pub(crate) fn fence(number: u64) -> Fence {
    Fence::new(number).unwrap()
}

impl Fake {
    pub(crate) fn new() -> Self {
        Self(Arc::new(State {
            start: Instant::now(),
            begin: Queue::default(),
            complete: Queue::default(),
            abandon: Queue::default(),
            renew: Queue::default(),
            checkpoint: Queue::default(),
            attempts: Mutex::default(),
            set_aside: Mutex::default(),
            calls: Mutex::default(),
        }))
    }

    pub(crate) fn begin(self, reply: Reply<BeginOutcome<Bytes>>) -> Self {
        self.0.begin.lock().unwrap().push_back(reply);
        self
    }

    pub(crate) fn complete(self, reply: Reply<CompleteOutcome>) -> Self {
        self.0.complete.lock().unwrap().push_back(reply);
        self
    }

    pub(crate) fn abandon(self, reply: Reply<AbandonOutcome>) -> Self {
        self.0.abandon.lock().unwrap().push_back(reply);
        self
    }

    pub(crate) fn renew(self, reply: Reply<RenewOutcome>) -> Self {
        self.0.renew.lock().unwrap().push_back(reply);
        self
    }

    pub(crate) fn checkpoint(self, reply: Reply<CheckpointOutcome>) -> Self {
        self.0.checkpoint.lock().unwrap().push_back(reply);
        self
    }

    /// Operations in the order asked.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.0.calls.lock().unwrap().iter().map(|(_, call)| call.clone()).collect()
    }

    /// Operations with the millisecond at which each was asked.
    pub(crate) fn timed_calls(&self) -> Vec<(u64, String)> {
        self.0.calls.lock().unwrap().clone()
    }

    pub(crate) fn attempts(&self) -> Vec<AttemptId> {
        self.0.attempts.lock().unwrap().clone()
    }

    /// What each begin asked to have set aside for checkpoints, in bytes.
    pub(crate) fn set_aside(&self) -> Vec<usize> {
        self.0.set_aside.lock().unwrap().clone()
    }

    /// Waits, in paused time, until as many operations were asked.
    pub(crate) async fn until_calls(&self, count: usize) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.calls().len() < count {
            assert!(Instant::now() < deadline, "only {:?}", self.calls());
            sleep(Duration::from_millis(1)).await;
        }
        self.calls()
    }

    fn note(&self, call: String) {
        let at = self.0.start.elapsed().as_millis() as u64;
        self.0.calls.lock().unwrap().push((at, call));
    }

    async fn reply<T: Clone>(&self, queue: &Queue<T>, idle: T) -> Result<T, BackendError> {
        let reply = {
            let mut queue = queue.lock().unwrap();
            match queue.front() {
                Some(reply) if reply.forever => reply.clone(),
                Some(_) => queue.pop_front().unwrap(),
                None => ok(idle),
            }
        };
        if reply.after_ms > 0 {
            sleep(Duration::from_millis(reply.after_ms)).await;
        }
        reply.answer
    }
}

/// The grant that fits a begin.
pub(crate) fn grant(number: u64, attempt_id: AttemptId, lease: Millis) -> BeginOutcome<Bytes> {
    BeginOutcome::Acquired(Acquired {
        token: Token { fence: fence(number), attempt_id },
        attempt_number: number as u32,
        checkpoint: None,
        lease_left: lease,
        retention_left: Millis::from_secs(86_400),
    })
}

impl Backend for Fake {
    type Bytes = Bytes;

    fn namespace(&self) -> Namespace<'_> {
        Namespace::new("orders").expect("a name")
    }

    async fn begin(
        &self,
        _key: ScopedKey<'_>,
        request: &Begin,
    ) -> Result<BeginOutcome<Bytes>, BackendError> {
        self.0.attempts.lock().unwrap().push(request.attempt_id);
        self.0.set_aside.lock().unwrap().push(request.checkpoint_hint);
        self.note(format!("begin wait {}", request.wait.get()));
        self.reply(&self.0.begin, grant(1, request.attempt_id, request.lease)).await
    }

    async fn complete(
        &self,
        _key: ScopedKey<'_>,
        request: &Complete<'_>,
    ) -> Result<CompleteOutcome, BackendError> {
        let bound = if request.fingerprint.is_some() { " bound" } else { "" };
        self.note(format!("complete {}{bound}", request.result.status));
        self.reply(&self.0.complete, CompleteOutcome::Completed { not_kept: None }).await
    }

    async fn abandon(
        &self,
        _key: ScopedKey<'_>,
        request: &Abandon,
    ) -> Result<AbandonOutcome, BackendError> {
        self.note(format!("abandon {:?}", request.certainty));
        self.reply(&self.0.abandon, AbandonOutcome::Abandoned).await
    }

    async fn renew(
        &self,
        _key: ScopedKey<'_>,
        request: &Renew,
    ) -> Result<RenewOutcome, BackendError> {
        let bound = if request.fingerprint.is_some() { " bound" } else { "" };
        self.note(format!("renew{bound}"));
        self.reply(&self.0.renew, RenewOutcome::Renewed { lease_left: request.lease }).await
    }

    async fn checkpoint(
        &self,
        _key: ScopedKey<'_>,
        request: &SaveCheckpoint<'_>,
    ) -> Result<CheckpointOutcome, BackendError> {
        self.note(format!("checkpoint {}", request.ordinal));
        self.reply(&self.0.checkpoint, CheckpointOutcome::Saved { ordinal: request.ordinal }).await
    }

    async fn get(
        &self,
        _key: ScopedKey<'_>,
        _request: &Get,
    ) -> Result<GetOutcome<Bytes>, BackendError> {
        unreachable!("an execution never gets")
    }

    async fn resolve(
        &self,
        _key: ScopedKey<'_>,
        _request: &Resolve<'_>,
    ) -> Result<ResolveOutcome, BackendError> {
        unreachable!("an execution never resolves")
    }

    async fn forget(
        &self,
        _key: ScopedKey<'_>,
        _request: &Forget,
    ) -> Result<ForgetOutcome, BackendError> {
        unreachable!("an execution never forgets")
    }

    async fn list(&self, _query: &ListQuery) -> Result<ListPage, BackendError> {
        unreachable!("an execution never lists")
    }

    async fn stats(&self) -> Result<Stats, BackendError> {
        unreachable!("an execution reads no figures")
    }
}
