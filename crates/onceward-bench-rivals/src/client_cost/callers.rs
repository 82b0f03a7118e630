//! Callers of one system over one connection, which check every answer.

use std::future::Future;
use std::time::{Duration, Instant};

use onceward_bench::Workload;
use onceward_bench::engine::Fault;
use onceward_client::{
    AttemptId, Begin, BeginOutcome, Client, Complete, CompleteOutcome, Digest, Fingerprint, Get,
    GetOutcome, ResultRef, ScopedKey,
};
use redis::aio::MultiplexedConnection;

use super::{Turn, VALUE_BYTES_MAX};

/// What a call asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Operation {
    /// A stored key's begin.
    Replay,
    /// A stored key's value.
    Get,
    /// A new key's begin and complete: two calls.
    First,
}

impl Operation {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Replay => "begin, replay",
            Self::Get => "get",
            Self::First => "begin and complete, first",
        }
    }
}

/// One system's client; clones share its connection.
pub(super) trait Caller: Clone + Send + Sync + 'static {
    const NAME: &'static str;
    const OPERATIONS: &'static [Operation];

    /// Connects and stores every key.
    async fn connect(address: &str, workload: &Workload) -> Result<Self, Fault>;

    /// Calls so far and the system calls that wrote them, where the client tells.
    fn writes(&self) -> Option<(u64, u64)>;

    /// The calls of one task, one after the other.
    fn call(
        &self,
        turn: Turn,
        workload: &Workload,
        task: u64,
        latencies: Option<&mut Vec<Duration>>,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// Times each call, where somebody wants to know.
macro_rules! timed {
    ($latencies:ident, $call:expr) => {{
        let asked = $latencies.is_some().then(Instant::now);
        let answer = $call.await?;
        if let (Some(latencies), Some(asked)) = ($latencies.as_deref_mut(), asked) {
            latencies.push(asked.elapsed());
        }
        answer
    }};
}

#[derive(Clone)]
pub(super) struct Onceward(Client);

impl Onceward {
    async fn first(&self, workload: &Workload, number: u64) -> Result<(), Fault> {
        let key = workload.key(number);
        let key = ScopedKey::new(b"", &key)?;
        match self.0.begin(key, &begin(workload, number, number)?).await? {
            BeginOutcome::Acquired(acquired) => {
                let value = workload.value(number);
                let result = ResultRef::of(201, &value);
                let complete = Complete { token: acquired.token, result, fingerprint: None };
                match self.0.complete(key, &complete).await? {
                    CompleteOutcome::Completed { not_kept: None } => Ok(()),
                    other => Err(format!("complete answered {}", other.name()).into()),
                }
            }
            other => Err(format!("begin answered {}", other.name()).into()),
        }
    }
}

fn begin(workload: &Workload, number: u64, attempt: u64) -> Result<Begin, Fault> {
    let fingerprint = Fingerprint::Digest(Digest::new(&workload.attempt(number))?);
    Ok(Begin::new(fingerprint, AttemptId::from_bytes(workload.attempt(attempt))))
}

impl Caller for Onceward {
    const NAME: &'static str = "onceward";
    const OPERATIONS: &'static [Operation] = &[Operation::Replay, Operation::Get, Operation::First];

    async fn connect(address: &str, workload: &Workload) -> Result<Self, Fault> {
        let caller = Self(Client::open(address)?);
        for number in 0..workload.entries {
            let key = workload.key(number);
            let stored = caller.0.get(ScopedKey::new(b"", &key)?, &Get::default()).await?;
            if stored == GetOutcome::Absent {
                caller.first(workload, number).await?;
            }
        }
        Ok(caller)
    }

    fn writes(&self) -> Option<(u64, u64)> {
        let stats = self.0.stats();
        Some((stats.requests, stats.writes))
    }

    async fn call(
        &self,
        turn: Turn,
        workload: &Workload,
        task: u64,
        mut latencies: Option<&mut Vec<Duration>>,
    ) -> Result<(), Fault> {
        let Turn { operation, tasks, calls, run, part } = turn;
        for call in (task..calls).step_by(tasks as usize) {
            match operation {
                Operation::Replay => {
                    let number = workload.shuffled(call % workload.entries);
                    let key = workload.key(number);
                    let key = ScopedKey::new(b"", &key)?;
                    let begin = begin(workload, number, workload.entries + call)?;
                    let outcome = timed!(latencies, self.0.begin(key, &begin));
                    let BeginOutcome::Replay(replay) = outcome else {
                        return Err(format!("begin answered {}", outcome.name()).into());
                    };
                    check(workload, number, replay.result.body.kept())?;
                }
                Operation::Get => {
                    let number = workload.shuffled(call % workload.entries);
                    let key = workload.key(number);
                    let key = ScopedKey::new(b"", &key)?;
                    let outcome = timed!(latencies, self.0.get(key, &Get::default()));
                    let GetOutcome::Completed(completed) = outcome else {
                        return Err(format!("get answered {}", outcome.name()).into());
                    };
                    check(workload, number, completed.result.body.kept())?;
                }
                Operation::First => {
                    // Two calls at each step.
                    if call % (2 * tasks) >= tasks {
                        continue;
                    }
                    let number = ((1 + run) << 40) + (part << 36) + call;
                    timed!(latencies, self.first(workload, number));
                }
            }
        }
        Ok(())
    }
}

fn check<B: AsRef<[u8]>>(workload: &Workload, number: u64, got: Option<&B>) -> Result<(), Fault> {
    // The stamp tells each value from the others, the rest that it is whole.
    let got = got.ok_or("the body is not kept")?.as_ref();
    let (stamp, rest) = got.split_first_chunk::<8>().ok_or("a short value")?;
    if u64::from_le_bytes(*stamp) != number || rest != &WHOLE[..workload.value_bytes - 8] {
        return Err("an answer differs from what was stored".into());
    }
    Ok(())
}

/// What follows the stamp of the longest value.
static WHOLE: [u8; VALUE_BYTES_MAX] = [b'v'; VALUE_BYTES_MAX];

#[derive(Clone)]
pub(super) struct Redis(MultiplexedConnection);

impl Caller for Redis {
    const NAME: &'static str = "redis-rs";
    const OPERATIONS: &'static [Operation] = &[Operation::Get];

    async fn connect(address: &str, workload: &Workload) -> Result<Self, Fault> {
        let client = redis::Client::open(address)?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        for number in 0..workload.entries {
            let mut set = redis::cmd("SET");
            set.arg(&workload.key(number)[..]).arg(workload.value(number));
            set.exec_async(&mut connection).await?;
        }
        Ok(Self(connection))
    }

    fn writes(&self) -> Option<(u64, u64)> {
        None
    }

    async fn call(
        &self,
        turn: Turn,
        workload: &Workload,
        task: u64,
        mut latencies: Option<&mut Vec<Duration>>,
    ) -> Result<(), Fault> {
        let mut connection = self.0.clone();
        for call in (task..turn.calls).step_by(turn.tasks as usize) {
            let number = workload.shuffled(call % workload.entries);
            let key = workload.key(number);
            let mut get = redis::cmd("GET");
            get.arg(&key[..]);
            let got: Option<Vec<u8>> = timed!(latencies, get.query_async(&mut connection));
            check(workload, number, got.as_ref())?;
        }
        Ok(())
    }
}
