//! Crowds: on each connection callers wait for one key, whose owner then completes.
//!
//! ```text
//! owner    begin ── acquired                        complete ── completed
//! waiters              begin, wait ······················──── the result, pushed
//! lookers                        begin ── in progress ┘
//! ```
//! Replies of one connection may overtake each other, but its requests are taken in order: once the
//! looker's begin, sent after the waiters', is told "in progress", all of them wait.

use super::connection::Connection;
use super::desk::{Desk, Next};
use super::dialect::{Answer, Dialect, Grant};
use super::script::{Job, Operation};
use super::tally::Kind;
use crate::engine::Fault;

/// One crowd at a time, over the connections of a thread.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    group: Option<Group>,
}

#[derive(Debug)]
struct Group {
    job: Job,
    slot: u32,
    grant: Option<Grant>,
    gathered: bool,
    completed: bool,
    lookers: usize,
}

impl Crowd {
    /// Judges an answer.
    pub(super) fn judge(
        &mut self,
        desk: &mut Desk<'_>,
        kind: Kind,
        job: Job,
        answer: &Answer<'_>,
    ) -> Next {
        let next = desk.judge(kind, job, answer);
        match (&mut self.group, next) {
            (Some(group), Next::Complete(grant)) => {
                group.grant = Some(grant);
                return Next::Keep;
            }
            (Some(group), _) if kind == Kind::Conflict => group.lookers -= 1,
            _ => {}
        }
        next
    }

    /// Whether one is on its way, so that none is begun.
    pub(super) const fn gathers(&self) -> bool {
        self.group.is_some()
    }

    /// Does what is due.    ///
    /// # Errors
    /// The dialect's.
    pub(super) fn advance<D: Dialect>(
        &mut self,
        desk: &mut Desk<'_>,
        connections: &mut [Connection<D>],
    ) -> Result<(), Fault> {
        let now = desk.now();
        if self.group.is_some() && desk.in_flight == 0 {
            self.group = None;
        }
        let Some(group) = &mut self.group else {
            let Some((step, intended)) = desk.source.take(now) else {
                return Ok(());
            };
            let job = desk.script.job(desk.phase, step);
            let slot = connections[0].start(desk, job, Kind::Begin, intended)?;
            let (grant, gathered, completed, lookers) = (None, false, false, 0);
            self.group = Some(Group { job, slot, grant, gathered, completed, lookers });
            return Ok(());
        };
        let Some(grant) = group.grant else {
            return Ok(());
        };
        if !group.gathered {
            group.gathered = true;
            let mut nth = 0;
            for connection in connections.iter_mut() {
                // The last is the looker's.
                while connection.free_slots() > 1 {
                    let waiter = desk.script.beside(group.job, Operation::Replay, nth);
                    connection.start(desk, waiter, Kind::Wait, now)?;
                    nth += 1;
                }
                let looker = desk.script.beside(group.job, Operation::Conflict, nth);
                connection.start(desk, looker, Kind::Conflict, now)?;
                nth += 1;
                group.lookers += 1;
            }
        } else if group.lookers == 0 && !group.completed {
            group.completed = true;
            desk.released_ns = now;
            connections[0].complete(desk, group.job, grant, group.slot, now)?;
        }
        Ok(())
    }
}
