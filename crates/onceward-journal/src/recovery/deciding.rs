//! Rows to decisions, part by part: first all rows of a fence come together, then all
//! acquisitions of an identity.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use onceward::{Millis, Timestamp};
use parking_lot::Mutex;

use crate::error::JournalError;
use crate::merge::{self, Decided, Ended, Extra, Life, Rows, Winner};
use crate::recovery::collect::{Collected, PARTS, part_of_identity};
use crate::recovery::{RecoveredFile, in_threads};

/// Which frames to read again, by the file that most of their bytes are in.
#[derive(Default)]
pub(crate) struct Plan {
    /// One part per thread that decided.
    shares: Vec<Share>,
    files: usize,
}

#[derive(Default)]
struct Share {
    /// By file.
    winners: Vec<Vec<Winner>>,
    /// By file.
    ended: Vec<Vec<Ended>>,
    extras: Vec<Extra>,
}

/// A winner, and whose extras its number counts in.
#[derive(Clone, Copy)]
pub(crate) struct Planned {
    share: u32,
    winner: Winner,
}

impl std::ops::Deref for Planned {
    type Target = Winner;

    fn deref(&self) -> &Winner {
        &self.winner
    }
}

impl Plan {
    /// Tasks that threads can share; one per file.
    pub(crate) const fn tasks(&self) -> usize {
        self.files
    }

    /// How many winners there are.
    pub(crate) fn winners(&self) -> u64 {
        self.shares
            .iter()
            .flat_map(|share| &share.winners)
            .map(|winners| winners.len() as u64)
            .sum()
    }

    /// The winners of one task, in the order in which their frames lie.
    pub(crate) fn task(&self, task: usize) -> Vec<Planned> {
        let mut winners = Vec::new();
        for (number, share) in self.shares.iter().enumerate() {
            let planned = |&winner: &Winner| Planned { share: number as u32, winner };
            winners.extend(share.winners[task].iter().map(planned));
        }
        winners.sort_unstable_by_key(|planned| planned.winner.main());
        winners
    }

    pub(crate) fn extra(&self, planned: &Planned) -> &Extra {
        let extras = &self.shares[planned.share as usize].extras;
        extras.get(planned.winner.extra as usize).unwrap_or(&Extra::EMPTY)
    }

    pub(crate) fn ended(&self, task: usize) -> impl Iterator<Item = &Ended> {
        self.shares.iter().flat_map(move |share| &share.ended[task])
    }
}

/// Decides by several threads what the rows of all files say. Files learn how long they are
/// needed.
pub(crate) fn decide(
    collected: Vec<Collected>,
    now: Timestamp,
    attempt_memory: Millis,
    threads: usize,
    files: &mut [RecoveredFile],
) -> Result<Plan, JournalError> {
    let joined = join_all(collected, threads, files)?;
    let count = files.len();
    let shares = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    in_threads(threads, |_| {
        let mut share = Share {
            winners: vec![Vec::new(); count],
            ended: vec![Vec::new(); count],
            extras: Vec::new(),
        };
        let mut decided = Decided::default();
        loop {
            let part = next.fetch_add(1, Relaxed);
            if part >= PARTS {
                break;
            }
            let (mut lives, mut part_extras) = (Vec::new(), Vec::new());
            for one in &joined {
                for mut life in std::mem::take(&mut one.lives.lock()[part]) {
                    if let Some(extra) = one.extras.get(life.extra as usize) {
                        life.extra = part_extras.len() as u32;
                        part_extras.push(*extra);
                    }
                    lives.push(life);
                }
            }
            decided.extras = std::mem::take(&mut share.extras);
            merge::decide(&mut lives, &part_extras, now, attempt_memory, &mut decided);
            share.extras = std::mem::take(&mut decided.extras);
            for winner in decided.winners.drain(..) {
                share.winners[winner.main().file()].push(winner);
            }
            for ended in decided.ended.drain(..) {
                share.ended[ended.acquired.file()].push(ended);
            }
        }
        shares.lock().push(share);
        Ok(())
    })?;
    Ok(Plan { shares: shares.into_inner(), files: count })
}

/// Acquisitions that one thread put together.
struct Joined {
    /// By part of the identity.
    lives: Mutex<Vec<Vec<Life>>>,
    extras: Vec<Extra>,
}

fn join_all(
    collected: Vec<Collected>,
    threads: usize,
    files: &mut [RecoveredFile],
) -> Result<Vec<Joined>, JournalError> {
    let ends = Mutex::new(files.iter().map(|file| file.expires_at).collect::<Vec<_>>());
    let collected: Vec<_> = collected.into_iter().map(|one| Mutex::new(one.parts)).collect();
    let all = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    in_threads(threads, |_| {
        let mut lives = vec![Vec::new(); PARTS];
        let mut extras = Vec::new();
        let mut own_ends = ends.lock().clone();
        loop {
            let part = next.fetch_add(1, Relaxed);
            if part >= PARTS {
                break;
            }
            let mut rows = Rows::default();
            for one in &collected {
                let mut more = std::mem::take(&mut one.lock()[part]);
                rows.acquired.append(&mut more.acquired);
                rows.completed.append(&mut more.completed);
                rows.others.append(&mut more.others);
            }
            let joined = merge::join(rows, &mut extras, |place, expires_at| {
                let end = &mut own_ends[place.file()];
                *end = expires_at.max(*end);
            });
            for life in joined {
                lives[part_of_identity(life.identity)].push(life);
            }
        }
        let mut ends = ends.lock();
        for (end, own) in ends.iter_mut().zip(own_ends) {
            *end = own.max(*end);
        }
        all.lock().push(Joined { lives: Mutex::new(lives), extras });
        Ok(())
    })?;
    for (file, end) in files.iter_mut().zip(ends.into_inner()) {
        file.expires_at = end;
    }
    Ok(all.into_inner())
}
