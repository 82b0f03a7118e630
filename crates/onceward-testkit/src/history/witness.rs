//! The shortest piece of a history that no order explains, to be read.

use core::fmt;

use super::{Checker, Event, Happened, Searched};

/// A piece of a history that the rules do not allow. Its text is the piece, call by call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Impossible {
    identity: u32,
    /// Whether the search ended without an answer.
    gave_up: bool,
    /// Where the identity may have stood before.
    before: Vec<String>,
    events: Vec<Event>,
}

impl Checker {
    pub(super) fn give_up(&self, events: Vec<Event>) -> Impossible {
        self.impossible(true, events)
    }

    /// `stretch` has no order. Cuts it after the first answer that cannot be explained, by halving:
    /// if a piece has none, no longer one has. Then takes out what it has no need of to be
    /// impossible.
    pub(super) fn shortest(&mut self, stretch: Vec<Event>) -> Impossible {
        let until = |cut: u64| stretch.iter().filter(move |event| event.began <= cut).cloned();
        let mut ends: Vec<_> = stretch.iter().map(|event| event.ended).collect();
        ends.sort_unstable();
        let first = ends.partition_point(|&cut| {
            let piece: Vec<_> = until(cut).collect();
            !matches!(self.search(&piece, cut), Searched::None)
        });
        let cut = ends.get(first).copied().unwrap_or(u64::MAX);
        let mut piece: Vec<_> = until(cut).collect();
        let mut number = piece.len();
        while number > 0 {
            number -= 1;
            let changes = match &piece[number].what {
                Happened::MoveClock(_) => true,
                Happened::Call { outcome, .. } => outcome.may_have_changed_something(),
            };
            let mut fewer = piece.clone();
            fewer.remove(number);
            if !changes && matches!(self.search(&fewer, cut), Searched::None) {
                piece = fewer;
            }
        }
        self.impossible(false, piece)
    }

    fn impossible(&self, gave_up: bool, events: Vec<Event>) -> Impossible {
        let before = self.standing.iter().map(|model| model.describe(self.identity)).collect();
        Impossible { identity: self.identity, gave_up, before, events }
    }
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identity = self.identity;
        if self.gave_up {
            writeln!(f, "identity {identity}: too many orders to try; give the runs fewer steps:")?;
        } else {
            writeln!(f, "identity {identity}: the rules allow no order of what happened here:")?;
        }
        for before in &self.before {
            writeln!(f, "  before: {before}")?;
        }
        for Event { began, ended, what } in &self.events {
            match what {
                Happened::MoveClock(now) => {
                    writeln!(f, "  {began}–{ended}: the clock moves to {} ms", now.as_millis())?;
                }
                Happened::Call { caller, operation, outcome } => {
                    writeln!(f, "  {began}–{ended}: caller {caller}: {operation}")?;
                    writeln!(f, "      -> {outcome}")?;
                }
            }
        }
        Ok(())
    }
}

impl core::error::Error for Impossible {}
