//! What the connections of one thread share: where operations come from, what they carry, and
//! where answers are counted.

use std::time::{Duration, Instant};

use super::dialect::{Answer, Ask, Dialect, Grant};
use super::driver::Stage;
use super::pace::Source;
use super::script::{Job, Operation, Phase, Script, WAIT};
use super::tally::{Kind, Tally};
use crate::engine::{Fault, Values};

/// One thread's desk in one phase.
#[derive(Debug)]
pub(super) struct Desk<'a> {
    /// Says what each step is.
    pub(super) script: &'a Script,
    /// Which steps.
    pub(super) phase: Phase,
    /// What is stored.
    pub(super) values: &'a Values,
    /// When the phase began: all times are nanoseconds from here.
    pub(super) origin: Instant,
    /// When the next operation is due.
    pub(super) source: Source,
    /// What was seen.
    pub(super) tally: Tally,
    /// Operations that have a slot.
    pub(super) in_flight: usize,
    /// Operations that ever had one.
    pub(super) started: u64,
    /// Whether a slot that is free takes the next operation at once.
    pub(super) follows: bool,
    /// When the owner for whom others wait sent its complete.
    pub(super) released_ns: u64,
    /// Room for a value.
    pub(super) scratch: Vec<u8>,
}

/// What follows an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    /// The operation goes on with its complete.
    Complete(Grant),
    /// The slot is the operation's until somebody goes on with it.
    Keep,
    /// The slot is free.
    Done,
}

impl<'a> Desk<'a> {
    /// A desk on which nothing was counted.
    #[must_use]
    pub(super) fn of(stage: &Stage<'a>, origin: Instant, source: Source) -> Self {
        Self {
            script: stage.script,
            phase: stage.phase,
            values: stage.values,
            origin,
            source,
            tally: Tally::default(),
            in_flight: 0,
            started: 0,
            follows: true,
            released_ns: 0,
            scratch: stage.values.scratch(),
        }
    }

    /// Nanoseconds since the phase began.
    #[must_use]
    pub(super) fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    /// Encodes the begin of a job.
    ///
    /// # Errors
    /// The dialect's.
    pub(super) fn begin<D: Dialect>(
        &mut self,
        job: Job,
        slot: u32,
        kind: Kind,
        dialect: &mut D,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let ask = Ask::Begin {
            key: &self.script.key(job),
            attempt: &self.script.attempt(job),
            fingerprint: &self.script.fingerprint(job),
            wait: if kind == Kind::Wait { WAIT } else { Duration::ZERO },
            result_bytes: self.values.size(job.number),
            known: self.phase.known(job.operation),
        };
        let before = out.len();
        dialect.encode(&ask, slot, out)?;
        self.tally.sent(kind, out.len() - before);
        Ok(())
    }

    /// Encodes the complete of a job.
    ///
    /// # Errors
    /// The dialect's.
    pub(super) fn complete<D: Dialect>(
        &mut self,
        job: Job,
        grant: Grant,
        slot: u32,
        dialect: &mut D,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let ask = Ask::Complete {
            key: &self.script.key(job),
            grant,
            fingerprint: &self.script.fingerprint(job),
            value: self.values.of(job.number, &mut self.scratch),
        };
        let before = out.len();
        dialect.encode(&ask, slot, out)?;
        self.tally.sent(Kind::Complete, out.len() - before);
        Ok(())
    }

    /// Judges an answer, and says what follows.
    pub(super) fn judge(&mut self, kind: Kind, job: Job, answer: &Answer<'_>) -> Next {
        match kind {
            Kind::Complete => self.ended(answer),
            Kind::Wait => self.waited(job, answer),
            _ => return self.begun(job, answer),
        }
        Next::Done
    }

    /// Where the latency of an answer counts from: of one that waited, from the owner's complete.
    pub(super) const fn since(&self, kind: Kind, from_ns: u64) -> u64 {
        match kind {
            Kind::Wait => self.released_ns,
            _ => from_ns,
        }
    }

    fn begun(&mut self, job: Job, answer: &Answer<'_>) -> Next {
        let counters = &mut self.tally.counters;
        match (job.operation, answer) {
            (Operation::First, Answer::Acquired(grant)) => {
                counters.acquired += 1;
                return Next::Complete(*grant);
            }
            (Operation::First, Answer::Moved) => {
                counters.acquired += 1;
                return Next::Complete(Grant::default());
            }
            (Operation::Hold, Answer::Acquired(_) | Answer::Moved) => counters.acquired += 1,
            (Operation::Replay, Answer::Replay(body)) => {
                counters.replayed += 1;
                if self.values.check(job.number, body, &mut self.scratch).is_err() {
                    self.tally.complain(Kind::Replay, answer);
                }
            }
            (Operation::Replay, Answer::Moved) => counters.replayed += 1,
            (Operation::Conflict, Answer::InProgress) => counters.in_progress += 1,
            (Operation::Mismatch, Answer::Mismatch) => counters.mismatched += 1,
            _ => self.tally.complain(Kind::of(job.operation), answer),
        }
        Next::Done
    }

    fn ended(&mut self, answer: &Answer<'_>) {
        match answer {
            Answer::Completed | Answer::Moved => self.tally.counters.completed += 1,
            _ => self.tally.complain(Kind::Complete, answer),
        }
    }

    fn waited(&mut self, job: Job, answer: &Answer<'_>) {
        match answer {
            Answer::Replay(body)
                if self.values.check(job.number, body, &mut self.scratch).is_ok() =>
            {
                self.tally.counters.waited += 1;
            }
            _ => self.tally.complain(Kind::Wait, answer),
        }
    }
}
