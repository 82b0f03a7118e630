//! The second pass: the frames that decide are read again, and told.

use onceward::{
    AttemptId, Fingerprint, Identity, Millis, Policy, Restored, RestoredState, Timestamp,
};

use crate::error::JournalError;
use crate::frame::{AcquiredFrame, Frame, FrameEvent};
use crate::merge::{Ended, Extra, Place, Winner};
use crate::names::Names;
use crate::recovery::window::{Handles, Window};

/// An acquisition that falls in doubt as often as that between two starts has its numbers mixed with
/// the next start's.
const DOUBTS_PER_START: u64 = 4_096;

/// An attempt that ended without a result before the restart (S3).
#[derive(Clone, Copy, Debug)]
pub struct EndedAttempt<'a> {
    /// Of which identity.
    pub identity: Identity<'a>,
    /// Which.
    pub attempt_id: AttemptId,
    /// When.
    pub ended_at: Timestamp,
}

/// One thread's way back from places to facts.
pub(crate) struct Reader<'a> {
    handles: Handles<'a>,
    names: &'a Names,
    /// Doubts that only lapsed are numbered from above it: larger than all numbers shown before.
    doubts_shown: u32,
    acquired: Window,
    completed: Window,
    other: Window,
}

impl<'a> Reader<'a> {
    /// `starts`: how often a journal has started here so far.
    pub(crate) fn new(handles: Handles<'a>, names: &'a Names, starts: u64) -> Self {
        let [acquired, completed, other] = [(); 3].map(|()| Window::new());
        let doubts_shown = u32::try_from(starts.saturating_mul(DOUBTS_PER_START));
        let doubts_shown = doubts_shown.unwrap_or(u32::MAX);
        Self { handles, names, doubts_shown, acquired, completed, other }
    }

    /// Tells what is known of one identity.
    pub(crate) fn restored<R>(
        &mut self,
        winner: &Winner,
        extra: &Extra,
        tell: impl FnOnce(&Restored<'_>) -> R,
    ) -> Result<R, JournalError> {
        // What is copied comes first, so that the window it is in is free for what is lent.
        let since = match extra.is_in_doubt() {
            true => self.doubted_since(extra.doubted.1)?,
            false => Timestamp::ZERO,
        };
        let mut bound = match extra.bound.is_some() {
            true => self.bound(extra.bound)?,
            false => None,
        };
        let mut state = match extra.is_in_doubt() {
            true => RestoredState::InDoubt { since },
            false => RestoredState::Reserved,
        };
        if winner.completed.is_some() {
            match decoded(&mut self.completed, winner.completed, &mut self.handles)?.event {
                FrameEvent::Completed { at, result, digest, bound: by_completion } => {
                    state = RestoredState::Completed { at, result, digest };
                    bound = bound.or(by_completion);
                }
                _ => return Err(changed(&self.handles, winner.completed)),
            }
        }
        let saved = winner.completed == Place::NONE && extra.checkpoint.1.is_some();
        let checkpoint = match saved {
            false => (0, &[][..]),
            true => match decoded(&mut self.other, extra.checkpoint.1, &mut self.handles)?.event {
                FrameEvent::Checkpointed { ordinal, bytes } => (ordinal, bytes),
                _ => return Err(changed(&self.handles, extra.checkpoint.1)),
            },
        };
        let frame = decoded(&mut self.acquired, winner.acquired, &mut self.handles)?;
        let FrameEvent::Acquired(acquired) = frame.event else {
            return Err(changed(&self.handles, winner.acquired));
        };
        let identity = self.names.identity(&acquired);
        let identity = identity.ok_or_else(|| changed(&self.handles, winner.acquired))?;
        let recorded = extra.doubted.0.max(extra.doubts_over);
        Ok(tell(&Restored {
            identity,
            fence: frame.fence,
            attempt_id: acquired.attempt_id,
            attempt_number: acquired.attempt_number(),
            doubt_number: match state {
                // A lapse is no fact, and the number that it was shown under must not come again: a
                // verdict on it would end a later one.
                RestoredState::Reserved => recorded.max(self.doubts_shown),
                RestoredState::InDoubt { .. } | RestoredState::Completed { .. } => recorded,
            },
            fingerprint: match (acquired.fingerprint, bound) {
                (Fingerprint::Later, Some(digest)) => Fingerprint::Digest(digest),
                (fingerprint, _) => fingerprint,
            },
            acquired_at: acquired.acquired_at,
            expires_at: acquired.expires_at,
            policy: policy_of(&acquired, extra),
            lease: acquired.lease.max(Millis::new(u64::from(extra.lease))),
            set_aside: acquired.set_aside,
            checkpoint,
            state,
        }))
    }

    /// Tells of one attempt that has ended.
    pub(crate) fn ended<R>(
        &mut self,
        ended: &Ended,
        tell: impl FnOnce(&EndedAttempt<'_>) -> R,
    ) -> Result<R, JournalError> {
        let frame = decoded(&mut self.acquired, ended.acquired, &mut self.handles)?;
        let FrameEvent::Acquired(acquired) = frame.event else {
            return Err(changed(&self.handles, ended.acquired));
        };
        let identity = self.names.identity(&acquired);
        Ok(tell(&EndedAttempt {
            identity: identity.ok_or_else(|| changed(&self.handles, ended.acquired))?,
            attempt_id: acquired.attempt_id,
            ended_at: ended.ended_at,
        }))
    }

    fn doubted_since(&mut self, place: Place) -> Result<Timestamp, JournalError> {
        match decoded(&mut self.other, place, &mut self.handles)?.event {
            FrameEvent::Doubted { since, .. } => Ok(since),
            _ => Err(changed(&self.handles, place)),
        }
    }

    fn bound(&mut self, place: Place) -> Result<Option<onceward::Digest>, JournalError> {
        match decoded(&mut self.other, place, &mut self.handles)?.event {
            FrameEvent::Extended { bound, .. } => Ok(bound),
            _ => Err(changed(&self.handles, place)),
        }
    }
}

/// Once an owner has left it in doubt, an acquisition is not opened to a takeover (S8).
fn policy_of(acquired: &AcquiredFrame<'_>, extra: &Extra) -> Policy {
    if extra.doubted.1.is_some() { Policy::InDoubt } else { acquired.policy }
}

fn decoded<'w>(
    window: &'w mut Window,
    place: Place,
    handles: &mut Handles<'_>,
) -> Result<Frame<'w>, JournalError> {
    let decoded = window.frame(place, handles)?.decode();
    decoded.map_err(|_| changed(handles, place))
}

fn changed(handles: &Handles<'_>, place: Place) -> JournalError {
    handles
        .file(place)
        .damaged(place.offset(), "another frame is here than when the file was scanned".to_owned())
}
