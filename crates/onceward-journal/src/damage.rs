//! Whether a file's end is a torn tail or damage: a pure decision.
//!
//! A crash may leave anything in bytes that were not synced, for nothing in them was acknowledged
//! (S14). What was synced must be there. Who says what was: the manifest, of a file that is no
//! longer written; the `progress` file, and later batches of the file itself, of one that was.

use crate::scan::{Scan, Stop};

/// What is known of a file without reading it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Known {
    /// It was being written. So many bytes are synced, at least.
    Open {
        /// As `progress` has it.
        synced: u64,
    },
    /// It is not written any more. All facts in it are in its first bytes.
    Closed {
        /// How many.
        len: u64,
    },
}

/// What a file's end is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Everything is there, and nothing else.
    Whole,
    /// What follows the valid batches was never acknowledged.
    TornTail,
    /// Something that was synced is not there as it was written.
    Damaged {
        /// Bytes that were synced, as far as is known.
        synced: u64,
    },
}

/// Says what the end of a file is.
pub(crate) fn judge(scan: &Scan, known: Known) -> Verdict {
    let synced = match known {
        Known::Open { synced } => synced.max(scan.synced_beyond),
        Known::Closed { len } => len,
    };
    match scan.stop {
        _ if scan.end < synced => Verdict::Damaged { synced },
        // Its checksums fit, so no crash made it; what else it says is not known either.
        Stop::Frame { .. } => Verdict::Damaged { synced },
        Stop::End | Stop::Blank => Verdict::Whole,
        Stop::Batch(_) | Stop::Chain => match known {
            Known::Open { .. } => Verdict::TornTail,
            Known::Closed { .. } => Verdict::Whole,
        },
    }
}

#[cfg(test)]
mod tests {
    use onceward::Timestamp;

    use super::*;
    use crate::batch::BatchError;
    use crate::frame::FrameError;

    fn scan(end: u64, stop: Stop, synced_beyond: u64) -> Scan {
        Scan {
            end,
            stop,
            crc: 0,
            batches: 1,
            frames: 1,
            last_at: Timestamp::ZERO,
            largest_fence: 0,
            index: 0,
            synced: 0,
            synced_beyond,
        }
    }

    #[test]
    fn only_what_was_not_synced_may_be_torn_s14() {
        use Verdict::{Damaged, TornTail, Whole};
        let open = |synced| Known::Open { synced };
        let torn = Stop::Batch(BatchError::Checksum);
        let strange = Stop::Frame { at: 64, error: FrameError::Kind };
        #[rustfmt::skip]
        let cases = [
            ("nothing follows",                    Stop::Blank, 0,   open(200),                   Whole),
            ("bytes end with the batches",         Stop::End,   0,   open(200),                   Whole),
            ("torn just after what was synced",    torn,        0,   open(200),                   TornTail),
            ("torn where something was synced",    torn,        0,   open(201),                   Damaged { synced: 201 }),
            ("lost where something was synced",    Stop::Blank, 0,   open(201),                   Damaged { synced: 201 }),
            ("cut where something was synced",     Stop::End,   0,   open(201),                   Damaged { synced: 201 }),
            ("a later batch knows of no more",     Stop::Chain, 200, open(64),                    TornTail),
            ("a later batch knows better",         Stop::Chain, 201, open(64),                    Damaged { synced: 201 }),
            ("valid, yet not understood",          strange,     0,   open(64),                    Damaged { synced: 64 }),
            ("closed, all there",                  Stop::End,   0,   Known::Closed { len: 200 },  Whole),
            ("closed, and more expected",          torn,        0,   Known::Closed { len: 208 },  Damaged { synced: 208 }),
            ("closed before its later batches",    Stop::Chain, 900, Known::Closed { len: 200 },  Whole),
        ];
        for (why, stop, synced_beyond, known, want) in cases {
            assert_eq!(judge(&scan(200, stop, synced_beyond), known), want, "{why}");
        }
    }
}
