//! One fact as bytes: encoded from what the store says, decoded to views of the bytes.
//!
//! A frame is a length with a kind, a checksum, the fence, and what the kind adds; `docs/journal.md`
//! draws each to the byte. [`encode::encode`] leaves the checksum zero, for it runs under the lock of a
//! stripe: [`encode::seal`] fills it in when the file is known. Decoding takes any bytes and never panics.

pub(crate) mod encode;

use onceward::{
    AttemptId, Body, Digest, Fence, Fingerprint, Identity, Millis, NotKept, Policy, ResultRef,
    SetAside, StoredResult, Timestamp,
};

use crate::bytes::Reader;
use crate::header::FileId;

/// What every frame begins with.
pub(crate) const PREFIX_BYTES: usize = 16;
/// A frame's length has 28 bits.
pub(crate) const FRAME_BYTES_MAX: usize = (1 << LENGTH_BITS) - 1;

const LENGTH_BITS: u32 = 28;
const CRC_AT: std::ops::Range<usize> = 4..8;

/// The kinds, as they stand in the upper four bits of a frame's first word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Kind {
    Acquired = 1,
    Completed = 2,
    Removed = 3,
    Doubted = 4,
    Extended = 5,
    Checkpointed = 6,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Acquired,
        Self::Completed,
        Self::Removed,
        Self::Doubted,
        Self::Extended,
        Self::Checkpointed,
    ];

    fn of(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == number)
    }

    /// The word that a dump prints.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Acquired => "acquired",
            Self::Completed => "completed",
            Self::Removed => "removed",
            Self::Doubted => "doubted",
            Self::Extended => "extended",
            Self::Checkpointed => "checkpointed",
        }
    }

    /// Bytes of a frame of this kind that vary with nothing.
    pub(crate) const fn fixed_bytes(self) -> usize {
        match self {
            Self::Acquired => 64,
            Self::Completed => 32,
            Self::Removed => 24,
            Self::Doubted | Self::Extended => 28,
            Self::Checkpointed => 20,
        }
    }
}

mod acquired_flag {
    pub(super) const IN_DOUBT: u8 = 1;
    pub(super) const LATER: u8 = 1 << 1;
    pub(super) const DIGEST: u8 = 2 << 1;
    pub(super) const FINGERPRINT: u8 = 3 << 1;
    pub(super) const TAKEOVER: u8 = 1 << 3;
    pub(super) const SPELT: u8 = 1 << 4;
    pub(super) const ALL: u8 = (1 << 5) - 1;
}

mod completed_flag {
    pub(super) const TOO_LARGE: u8 = 1;
    pub(super) const DECLINED: u8 = 2;
    pub(super) const CAPACITY: u8 = 3;
    pub(super) const NOT_KEPT: u8 = 3;
    pub(super) const DIGEST: u8 = 1 << 2;
    pub(super) const ALL: u8 = (1 << 3) - 1;
}

/// How a frame names the namespace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NamespaceName<'a> {
    /// By its number in the manifest.
    Number(u16),
    /// In full: the manifest does not have it yet.
    Spelt(&'a str),
}

/// One frame, as decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    /// Whose.
    pub(crate) fence: Fence,
    /// What it says.
    pub(crate) event: FrameEvent<'a>,
}

/// What a frame says; the fields are those of [`Event`], as far as they are recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FrameEvent<'a> {
    Acquired(AcquiredFrame<'a>),
    Completed {
        at: Timestamp,
        result: ResultRef<'a>,
        digest: Option<[u8; 32]>,
        bound: Option<Digest>,
    },
    Removed {
        at: Timestamp,
    },
    Doubted {
        since: Timestamp,
        doubt_number: u32,
    },
    Extended {
        lease: Millis,
        doubts_over: u32,
        bound: Option<Digest>,
    },
    Checkpointed {
        ordinal: u32,
        bytes: &'a [u8],
    },
}

impl FrameEvent<'_> {
    /// The frame's kind.
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Acquired(_) => Kind::Acquired,
            Self::Completed { .. } => Kind::Completed,
            Self::Removed { .. } => Kind::Removed,
            Self::Doubted { .. } => Kind::Doubted,
            Self::Extended { .. } => Kind::Extended,
            Self::Checkpointed { .. } => Kind::Checkpointed,
        }
    }
}

/// What the frame of a grant says.
#[derive(Clone, Copy)]
pub(crate) struct AcquiredFrame<'a> {
    pub(crate) attempt_id: AttemptId,
    pub(crate) expires_at: Timestamp,
    pub(crate) acquired_at: Timestamp,
    pub(crate) lease: Millis,
    pub(crate) set_aside: SetAside,
    pub(crate) policy: Policy,
    pub(crate) fingerprint: Fingerprint,
    /// The acquisition taken over from, and this one's attempt number.
    pub(crate) takeover: Option<(Fence, u32)>,
    pub(crate) namespace: NamespaceName<'a>,
    pub(crate) scope: &'a [u8],
    pub(crate) key: &'a [u8],
}

impl AcquiredFrame<'_> {
    pub(crate) fn attempt_number(&self) -> u32 {
        self.takeover.map_or(1, |(_, number)| number)
    }
}

impl std::fmt::Debug for AcquiredFrame<'_> {
    /// Neither scope nor key nor attempt id (S16).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AcquiredFrame(scope {} B, key {} B)", self.scope.len(), self.key.len())
    }
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FrameError {
    /// There is less than the frame's length says, or less than its fields need.
    Length,
    /// The kind is not known.
    Kind,
    /// The checksum does not fit the bytes, or fits another file.
    Checksum,
    /// A field has a value that none may have.
    Field,
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Length => "its length is not possible",
            Self::Kind => "its kind is not known",
            Self::Checksum => "its checksum does not fit",
            Self::Field => "a field has a value that is not possible",
        })
    }
}

/// One frame's bytes among others, its length checked, not its checksum.
#[derive(Clone, Copy)]
pub(crate) struct FrameBytes<'a> {
    bytes: &'a [u8],
}

impl<'a> FrameBytes<'a> {
    /// The frame at the front of `bytes`.
    pub(crate) fn first(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let Some((word, _)) = bytes.split_first_chunk::<4>() else {
            return Err(FrameError::Length);
        };
        let length = length_of(*word);
        if length < PREFIX_BYTES {
            return Err(FrameError::Length);
        }
        bytes.get(..length).map(|bytes| Self { bytes }).ok_or(FrameError::Length)
    }

    /// Bytes of the whole frame.
    pub(crate) fn len(self) -> usize {
        self.bytes.len()
    }

    /// The checksum that stands in it.
    pub(crate) fn stated_crc(self) -> u32 {
        Reader::new(&self.bytes[CRC_AT]).u32().unwrap_or_default()
    }

    /// The checksum that its bytes have in `file`.
    #[inline]
    pub(crate) fn crc(self, file: FileId) -> u32 {
        let mut start = [0; 8];
        start[..4].copy_from_slice(&self.bytes[..4]);
        let crc = crc32c::crc32c_append(file.crc(), &start);
        crc32c::crc32c_append(crc, &self.bytes[8..])
    }

    /// The fence alone.
    pub(crate) fn fence(self) -> Option<Fence> {
        let number = Reader::new(&self.bytes[8..PREFIX_BYTES]).u64()?;
        Fence::new(number)
    }

    /// The kind alone.
    pub(crate) fn kind(self) -> Option<Kind> {
        let word = Reader::new(self.bytes).u32()?;
        Kind::of(word >> LENGTH_BITS)
    }

    /// Reads it. The checksum is not looked at.
    #[inline]
    pub(crate) fn decode(self) -> Result<Frame<'a>, FrameError> {
        let kind = self.kind().ok_or(FrameError::Kind)?;
        let fence = self.fence().ok_or(FrameError::Field)?;
        if self.bytes.len() < kind.fixed_bytes() {
            return Err(FrameError::Length);
        }
        let mut fields = Reader::new(&self.bytes[PREFIX_BYTES..]);
        let event = match kind {
            Kind::Acquired => FrameEvent::Acquired(get_acquired(&mut fields)?),
            Kind::Completed => get_completed(&mut fields)?,
            Kind::Removed => {
                let at = time(&mut fields)?;
                fields.zeros::<2>()?;
                FrameEvent::Removed { at }
            }
            Kind::Doubted => {
                let since = time(&mut fields)?;
                fields.zeros::<2>()?;
                FrameEvent::Doubted { since, doubt_number: fields.u32().ok_or(FrameError::Length)? }
            }
            Kind::Extended => get_extended(&mut fields)?,
            Kind::Checkpointed => {
                let ordinal = fields.u32().ok_or(FrameError::Length)?;
                FrameEvent::Checkpointed { ordinal, bytes: fields.rest() }
            }
        };
        if !fields.is_empty() {
            return Err(FrameError::Length);
        }
        Ok(Frame { fence, event })
    }
}

/// The length that a frame's first word states.
pub(crate) fn length_of(word: [u8; 4]) -> usize {
    (u32::from_le_bytes(word) & ((1 << LENGTH_BITS) - 1)) as usize
}

fn time(fields: &mut Reader<'_>) -> Result<Timestamp, FrameError> {
    fields.u48().map(Timestamp::from_millis).ok_or(FrameError::Length)
}

fn digest(fields: &mut Reader<'_>, size: usize) -> Result<Option<Digest>, FrameError> {
    let bytes = fields.take(size).ok_or(FrameError::Length)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    Digest::new(bytes).map(Some).map_err(|_| FrameError::Field)
}

#[inline]
fn get_acquired<'a>(fields: &mut Reader<'a>) -> Result<AcquiredFrame<'a>, FrameError> {
    let attempt_id = AttemptId::from_bytes(*fields.array().ok_or(FrameError::Length)?);
    let expires_at = time(fields)?;
    let acquired_at = time(fields)?;
    let lease = Millis::new(u64::from(fields.u32().ok_or(FrameError::Length)?));
    let result = u64::from(fields.u32().ok_or(FrameError::Length)?);
    let checkpoint = u64::from(fields.u24().ok_or(FrameError::Length)?);
    let flags = fields.u8().ok_or(FrameError::Length)?;
    let number = fields.u16().ok_or(FrameError::Length)?;
    let [print_size, scope_size, key_size, spelt_size] =
        fields.array::<4>().ok_or(FrameError::Length)?.map(usize::from);
    fields.zeros::<2>()?;
    let takeover = if flags & acquired_flag::TAKEOVER == 0 {
        None
    } else {
        let previous = fields.u64().ok_or(FrameError::Length)?;
        let number = fields.u32().ok_or(FrameError::Length)?;
        fields.zeros::<4>()?;
        Some((Fence::new(previous).ok_or(FrameError::Field)?, number))
    };
    let print = digest(fields, print_size)?;
    let fingerprint = match (flags & acquired_flag::FINGERPRINT, print) {
        (0, None) => Fingerprint::None,
        (acquired_flag::LATER, None) => Fingerprint::Later,
        (acquired_flag::DIGEST, Some(digest)) => Fingerprint::Digest(digest),
        _ => return Err(FrameError::Field),
    };
    let scope = fields.take(scope_size).ok_or(FrameError::Length)?;
    let key = fields.take(key_size).ok_or(FrameError::Length)?;
    let spelt = fields.take(spelt_size).ok_or(FrameError::Length)?;
    let spelt = std::str::from_utf8(spelt).map_err(|_| FrameError::Field)?;
    let namespace = match (flags & acquired_flag::SPELT != 0, number) {
        (true, 0) => NamespaceName::Spelt(spelt),
        (false, number) if spelt.is_empty() => NamespaceName::Number(number),
        _ => return Err(FrameError::Field),
    };
    // Whoever joins identity and frame later relies on these bounds.
    let name = match namespace {
        NamespaceName::Spelt(name) => name,
        NamespaceName::Number(_) => onceward::Namespace::DEFAULT.as_str(),
    };
    if flags & !acquired_flag::ALL != 0 || Identity::new(name, scope, key).is_err() {
        return Err(FrameError::Field);
    }
    let policy =
        if flags & acquired_flag::IN_DOUBT == 0 { Policy::Takeover } else { Policy::InDoubt };
    let set_aside = SetAside { result, checkpoint };
    Ok(AcquiredFrame {
        attempt_id,
        expires_at,
        acquired_at,
        lease,
        set_aside,
        policy,
        fingerprint,
        takeover,
        namespace,
        scope,
        key,
    })
}

fn get_completed<'a>(fields: &mut Reader<'a>) -> Result<FrameEvent<'a>, FrameError> {
    let at = time(fields)?;
    let status = fields.u16().ok_or(FrameError::Length)?;
    let metadata_size = fields.u32().ok_or(FrameError::Length)? as usize;
    let flags = fields.u8().ok_or(FrameError::Length)?;
    let bound_size = usize::from(fields.u8().ok_or(FrameError::Length)?);
    fields.zeros::<2>()?;
    if flags & !completed_flag::ALL != 0 {
        return Err(FrameError::Field);
    }
    let bound = digest(fields, bound_size)?;
    let digest = if flags & completed_flag::DIGEST == 0 {
        None
    } else {
        Some(*fields.array().ok_or(FrameError::Length)?)
    };
    let metadata = fields.take(metadata_size).ok_or(FrameError::Length)?;
    let rest = fields.rest();
    let body = match flags & completed_flag::NOT_KEPT {
        completed_flag::TOO_LARGE => Body::NotKept(NotKept::TooLarge),
        completed_flag::DECLINED => Body::NotKept(NotKept::Declined),
        completed_flag::CAPACITY => Body::NotKept(NotKept::Capacity),
        _ => Body::Kept(rest),
    };
    if body.kept().is_none() && !rest.is_empty() {
        return Err(FrameError::Length);
    }
    let result = StoredResult { status, metadata, body };
    Ok(FrameEvent::Completed { at, result, digest, bound })
}

fn get_extended<'a>(fields: &mut Reader<'a>) -> Result<FrameEvent<'a>, FrameError> {
    let lease = Millis::new(u64::from(fields.u32().ok_or(FrameError::Length)?));
    let doubts_over = fields.u32().ok_or(FrameError::Length)?;
    let size = usize::from(fields.u8().ok_or(FrameError::Length)?);
    fields.zeros::<3>()?;
    Ok(FrameEvent::Extended { lease, doubts_over, bound: digest(fields, size)? })
}

#[cfg(test)]
mod tests;
