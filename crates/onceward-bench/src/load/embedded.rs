//! The store in this process, called by the generator's threads: the same jobs without a wire.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use onceward::{BootClock, Store, StoreConfig, Ticker, Waitable};
use onceward_core::{Identity, ScopedKey};

use super::desk::{Desk, Next};
use super::dialect::{Answer, Ask, Known, Terms};
use super::driver::{Found, Stage};
use super::onceward::{begin, begun, complete, ended};
use super::pace::Source;
use super::record::Run;
use super::run::{Plan, Rig, phases};
use super::script::{Job, Mix, Operation, WAIT};
use super::server_process::ServerProcess;
use super::tally::Kind;
use crate::engine::{Fault, cores, process};

/// Longest sleep: after it interruption is looked at.
const SLEEP_MAX: Duration = Duration::from_millis(100);

/// Runs `plan` once in this process, with a store of its own that holds at most `memory_bytes`.
/// Connections count as callers that wait for a key in mix `waiters`, and nothing else.
///
/// # Errors
/// The store does not start, or a limit of time.
pub fn run_embedded(
    plan: &Plan,
    number: u64,
    memory_bytes: Option<u64>,
    interrupted: &AtomicBool,
) -> Result<Run, Fault> {
    let config = memory_bytes.map_or_else(StoreConfig::default, StoreConfig::with_memory);
    let process = ServerProcess::of(std::process::id())?;
    let store = Store::new(config, Arc::new(BootClock::new()))?;
    let _ticker = Ticker::start(&store)?;
    let threads = plan.threads.max(1);
    let crowd = (plan.connections * plan.pipeline / threads).saturating_sub(1);
    let mut calls = Calls { store, terms: plan.terms, threads, crowd };
    let mut run = phases(plan, number, &mut calls, Some(process), interrupted)?;
    // Generator and store are one: what they take apart is not known.
    run.server_cpu_ns = None;
    Ok(run)
}

struct Calls {
    store: Store,
    terms: Terms,
    threads: usize,
    /// Callers that wait for one key at a time.
    crowd: usize,
}

impl Rig for Calls {
    fn drive(&mut self, stage: &Stage<'_>) -> Result<Found, Fault> {
        let ready = Barrier::new(self.threads);
        let origin = Instant::now();
        let (calls, ready): (&Self, _) = (self, &ready);
        let ends: Vec<Result<Found, Fault>> = thread::scope(|scope| {
            let running: Vec<_> = (0..calls.threads)
                .map(|thread| {
                    scope.spawn(move || {
                        let pinned = match stage.cores {
                            [] => Ok(()),
                            cores => cores::pin(cores[thread % cores.len()]),
                        };
                        ready.wait();
                        let (pace, bound, seed) = (stage.pace, stage.bound, stage.seed);
                        let source = Source::new(pace, bound, thread, calls.threads, seed);
                        let desk = Desk::of(stage, origin, source);
                        pinned.and_then(|()| Caller { calls, stage, desk }.run())
                    })
                })
                .collect();
            let ended = running.into_iter().map(|thread| thread.join());
            ended
                .map(|end| end.unwrap_or_else(|_| Err("a thread of the generator panicked".into())))
                .collect()
        });
        Found::of_all(ends)
    }
}

struct Caller<'a, 's> {
    calls: &'a Calls,
    stage: &'a Stage<'s>,
    desk: Desk<'s>,
}

impl Caller<'_, '_> {
    fn run(mut self) -> Result<Found, Fault> {
        let cpu = process::thread_cpu_time()?;
        let mut found = Found::default();
        let stop_ns = self.stage.bound.duration.map_or(u64::MAX, |length| length.as_nanos() as u64);
        let patience_ns = self.stage.patience.as_nanos() as u64;
        let mut judged = false;
        while let Some(due) = self.desk.source.due() {
            let now = self.desk.now();
            if self.desk.source.is_open() && !judged && now >= stop_ns {
                judged = true;
                found.unsent = self.desk.source.overdue(now);
                found.offered = self.desk.started + found.unsent;
            }
            if self.stage.interrupted.load(Ordering::Relaxed) {
                found.interrupted = true;
                break;
            }
            if now >= patience_ns {
                return Err(format!("not done after {:?}", self.stage.patience).into());
            }
            if due > now {
                thread::sleep(Duration::from_nanos(due - now).min(SLEEP_MAX));
                continue;
            }
            let Some((step, intended)) = self.desk.source.take(now) else { break };
            self.desk.started += 1;
            let job = self.desk.script.job(self.desk.phase, step);
            self.operation(job, intended)?;
        }
        if !judged {
            found.offered = self.desk.started;
        }
        found.steps = Some(self.desk.source.next_step());
        found.seconds = self.desk.now() as f64 / 1e9;
        found.cpu_ns = process::thread_cpu_time()?.saturating_sub(cpu).as_nanos() as u64;
        found.tally = self.desk.tally;
        Ok(found)
    }

    fn operation(&mut self, job: Job, intended: u64) -> Result<(), Fault> {
        let start = self.desk.now();
        let from = if self.desk.source.is_open() {
            self.desk.tally.send_lag.record(start.saturating_sub(intended));
            // One call at a time: what was due before the last one ended waited for it.
            let free = self.desk.released_ns;
            self.desk.tally.lag.record(start.saturating_sub(intended.max(free)));
            intended
        } else {
            start
        };
        if let Next::Complete(grant) = self.begin(job, from)? {
            let tickets = match self.stage.phase.mix() {
                Some(Mix::Waiters) => self.gather(job)?,
                _ => Vec::new(),
            };
            let begun = self.desk.now();
            let key = self.desk.script.key(job);
            let value = self.desk.values.of(job.number, &mut self.desk.scratch);
            let complete = complete(grant, value)?;
            let answer = self.calls.store.complete(identity(&key)?, &complete)?;
            let answer = ended(&answer.value);
            let took = self.desk.now().saturating_sub(begun);
            self.desk.tally.sent(Kind::Complete, 0);
            self.desk.tally.received(Kind::Complete, 0, took);
            self.desk.judge(Kind::Complete, job, &answer);
            self.collect(tickets, begun)?;
        }
        self.desk.released_ns = self.desk.now();
        Ok(())
    }

    fn begin(&mut self, job: Job, from: u64) -> Result<Next, Fault> {
        let (key, begin) = self.asked(job, Duration::ZERO)?;
        let kind = Kind::of(job.operation);
        let desk = &mut self.desk;
        desk.tally.sent(kind, 0);
        let answer = self.calls.store.begin(identity(&key)?, &begin, |outcome| {
            let took = desk.now().saturating_sub(from);
            desk.tally.received(kind, 0, took);
            desk.judge(kind, job, &begun(&outcome))
        })?;
        Ok(answer.value)
    }

    fn asked(&self, job: Job, wait: Duration) -> Result<([u8; 36], onceward_core::Begin), Fault> {
        let key = self.desk.script.key(job);
        let ask = Ask::Begin {
            key: &key,
            attempt: &self.desk.script.attempt(job),
            fingerprint: &self.desk.script.fingerprint(job),
            wait,
            result_bytes: self.desk.values.size(job.number),
            known: Known::Nothing,
        };
        let begin = begin(&ask, &self.calls.terms)?;
        Ok((key, begin))
    }

    fn gather(&mut self, owner: Job) -> Result<Vec<(Job, onceward::BeginTicket)>, Fault> {
        let mut tickets = Vec::with_capacity(self.calls.crowd);
        for nth in 0..self.calls.crowd as u64 {
            let job = self.desk.script.beside(owner, Operation::Replay, nth);
            let (key, begin) = self.asked(job, WAIT)?;
            self.desk.tally.sent(Kind::Wait, 0);
            let store = &self.calls.store;
            let desk = &mut self.desk;
            let waiting =
                store.begin_or_wait(identity(&key)?, &begin, Waker::noop(), |outcome| {
                    // Nobody has completed: any answer is wrong.
                    desk.tally.complain(Kind::Conflict, &begun(&outcome));
                })?;
            if let Waitable::Waiting(ticket) = waiting {
                tickets.push((job, ticket));
            }
        }
        Ok(tickets)
    }

    fn collect(
        &mut self,
        tickets: Vec<(Job, onceward::BeginTicket)>,
        released: u64,
    ) -> Result<(), Fault> {
        for (job, mut ticket) in tickets {
            let desk = &mut self.desk;
            let polled = ticket.poll(Waker::noop(), |outcome| {
                let took = desk.now().saturating_sub(released);
                desk.tally.received(Kind::Wait, 0, took);
                desk.judge(Kind::Wait, job, &begun(&outcome));
            });
            match polled {
                Poll::Ready(answer) => answer?.value,
                Poll::Pending => desk.tally.complain(Kind::Wait, &Answer::InProgress),
            }
        }
        Ok(())
    }
}

fn identity(key: &[u8; 36]) -> Result<Identity<'_>, Fault> {
    let key = ScopedKey::new(b"", key)?;
    Ok(key.within(onceward_core::Namespace::DEFAULT))
}
