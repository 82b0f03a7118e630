//! The first pass: frames become rows of fixed size, sorted into parts as they come.

use onceward::Timestamp;

use crate::frame::{Frame, FrameEvent};
use crate::merge::{AcquiredRow, CompletedRow, Other, OtherRow, Place, Rows};
use crate::names::Names;

/// Parts that fences, and identities, fall into: so many that one fits into a core's cache, at
/// millions of entries.
pub(crate) const PARTS: usize = 64;

/// Rows of all files that one thread read.
pub(crate) struct Collected {
    /// By part of the fence.
    pub(crate) parts: Vec<Rows>,
    /// The largest fence of any frame.
    pub(crate) largest_fence: u64,
    /// A frame whose namespace nobody knows.
    pub(crate) nameless: Option<Place>,
}

impl Collected {
    pub(crate) fn new() -> Self {
        Self {
            parts: (0..PARTS).map(|_| Rows::default()).collect(),
            largest_fence: 0,
            nameless: None,
        }
    }

    /// Takes the frame at `place`. `expires_at` is the latest that its file is known to need.
    pub(crate) fn take(
        &mut self,
        place: Place,
        frame: &Frame<'_>,
        names: &Names,
        expires_at: &mut Timestamp,
    ) {
        let fence = frame.fence.get();
        self.largest_fence = self.largest_fence.max(fence);
        let rows = &mut self.parts[part_of(fence)];
        let other = match frame.event {
            FrameEvent::Acquired(acquired) => {
                let Some(identity) = names.hash(&acquired) else {
                    self.nameless = self.nameless.or(Some(place));
                    return;
                };
                *expires_at = acquired.expires_at.max(*expires_at);
                rows.acquired.push(AcquiredRow {
                    fence,
                    identity,
                    expires_at: acquired.expires_at,
                    place,
                });
                match acquired.takeover {
                    Some((previous, _)) => Other::TookOver { previous: previous.get() },
                    None => return,
                }
            }
            FrameEvent::Completed { .. } => {
                rows.completed.push(CompletedRow { fence, place });
                return;
            }
            FrameEvent::Removed { at } => Other::Removed { at },
            FrameEvent::Doubted { doubt_number, .. } => Other::Doubted { doubt_number },
            FrameEvent::Extended { lease, doubts_over, bound } => Other::Extended {
                lease: u32::try_from(lease.get()).unwrap_or(u32::MAX),
                doubts_over,
                binds: bound.is_some(),
            },
            FrameEvent::Checkpointed { ordinal, .. } => Other::Checkpointed { ordinal },
        };
        rows.others.push(OtherRow { fence, place, other });
    }
}

/// Fences are given one after the other, so their low bits spread them evenly.
fn part_of(number: u64) -> usize {
    (number % PARTS as u64) as usize
}

/// The part of an identity's hash.
pub(crate) fn part_of_identity(identity: [u64; 2]) -> usize {
    part_of(identity[0])
}
