//! The first byte of every reply: an outcome below 0x80, an error from there on.

/// Says which outcome a reply holds. One numbering for all operations: a word of the semantics
/// has one number, and opcode and number together name the layout that follows.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum OutcomeCode {
    /// HELLO, PING, LIST and STATS: done.
    Ok = 0x01,
    /// The caller owns the identity.
    Acquired = 0x10,
    /// The stored result.
    Replay = 0x11,
    /// A lease runs.
    InProgress = 0x12,
    /// Another payload is bound.
    Mismatch = 0x13,
    /// A digest must be named.
    NeedFingerprint = 0x14,
    /// A resolver must decide.
    InDoubt = 0x15,
    /// No room, or no quota.
    Refused = 0x16,
    /// The identity is absent, or the attempt has ended.
    Gone = 0x17,
    /// A tombstone (S23, reserved). May answer any operation on an identity.
    Expired = 0x18,
    /// Another acquisition owns the identity.
    Fenced = 0x19,
    /// Completed otherwise.
    Conflict = 0x1a,
    /// The work is done: stored now, or as read.
    Completed = 0x20,
    /// Stored before, by the same token and result.
    AlreadyCompleted = 0x21,
    /// Given up.
    Abandoned = 0x22,
    /// The lease runs anew.
    Renewed = 0x23,
    /// A checkpoint is held.
    Saved = 0x24,
    /// Nothing is known of the identity.
    Absent = 0x28,
    /// The identity is owned.
    Reserved = 0x29,
    /// The verdict holds.
    Resolved = 0x30,
    /// The identity is absent now.
    Forgotten = 0x31,
}

impl OutcomeCode {
    /// Every outcome, in rising order.
    pub const ALL: [Self; 21] = [
        Self::Ok,
        Self::Acquired,
        Self::Replay,
        Self::InProgress,
        Self::Mismatch,
        Self::NeedFingerprint,
        Self::InDoubt,
        Self::Refused,
        Self::Gone,
        Self::Expired,
        Self::Fenced,
        Self::Conflict,
        Self::Completed,
        Self::AlreadyCompleted,
        Self::Abandoned,
        Self::Renewed,
        Self::Saved,
        Self::Absent,
        Self::Reserved,
        Self::Resolved,
        Self::Forgotten,
    ];

    /// The word used in documents, on the command line and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Acquired => "acquired",
            Self::Replay => "replay",
            Self::InProgress => "in_progress",
            Self::Mismatch => "mismatch",
            Self::NeedFingerprint => "need_fingerprint",
            Self::InDoubt => "in_doubt",
            Self::Refused => "refused",
            Self::Gone => "gone",
            Self::Expired => "expired",
            Self::Fenced => "fenced",
            Self::Conflict => "conflict",
            Self::Completed => "completed",
            Self::AlreadyCompleted => "already_completed",
            Self::Abandoned => "abandoned",
            Self::Renewed => "renewed",
            Self::Saved => "saved",
            Self::Absent => "absent",
            Self::Reserved => "reserved",
            Self::Resolved => "resolved",
            Self::Forgotten => "forgotten",
        }
    }

    /// `None` for a byte that this version does not know, and for every error.
    #[must_use]
    pub fn from_u8(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_u8() == byte)
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        self as u8
    }
}

/// Says why a request got no outcome. All errors have one layout, so that a client can show one
/// that it does not know.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ErrorCode {
    /// Nothing may be concluded: repeat with the same attempt id or token.
    Unavailable,
    /// The credential lacks the right.
    Denied,
    /// Another node leads (S23, reserved).
    NotLeader,
    /// Completed, but the body cannot be read now (S23): do not run the work.
    ResultUnavailable,
    /// A field breaks its bound; nothing was changed.
    BadInput,
    /// The server does not know the opcode.
    UnknownOpcode,
    /// The frame or its body breaks the layout.
    Malformed,
    /// The frame's body is longer than agreed.
    FrameTooLarge,
    /// No version is common to both sides.
    Version,
    /// A request came before HELLO was answered with success.
    HelloFirst,
    /// A second HELLO.
    HelloAgain,
    /// The server has all the connections it takes.
    TooManyConnections,
    /// HELLO, or the rest of a frame, did not come in time.
    TimedOut,
    /// A code that this version does not know; never one of the above.
    Other(u8),
}

impl ErrorCode {
    /// Every error that this version knows, in rising order.
    pub const ALL: [Self; 13] = [
        Self::Unavailable,
        Self::Denied,
        Self::NotLeader,
        Self::ResultUnavailable,
        Self::BadInput,
        Self::UnknownOpcode,
        Self::Malformed,
        Self::FrameTooLarge,
        Self::Version,
        Self::HelloFirst,
        Self::HelloAgain,
        Self::TooManyConnections,
        Self::TimedOut,
    ];

    /// Bytes from here on are errors.
    pub const FIRST: u8 = 0x80;
    /// After an error from here on the server closes the connection.
    pub const FIRST_CLOSING: u8 = 0xc0;

    /// `None` for an outcome, that is below 0x80.
    #[must_use]
    pub fn from_u8(byte: u8) -> Option<Self> {
        if byte < Self::FIRST {
            return None;
        }
        let known = Self::ALL.into_iter().find(|code| code.as_u8() == byte);
        Some(known.unwrap_or(Self::Other(byte)))
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        match self {
            Self::Unavailable => 0x80,
            Self::Denied => 0x81,
            Self::NotLeader => 0x82,
            Self::ResultUnavailable => 0x83,
            Self::BadInput => 0x84,
            Self::UnknownOpcode => 0x85,
            Self::Malformed => 0xc0,
            Self::FrameTooLarge => 0xc1,
            Self::Version => 0xc2,
            Self::HelloFirst => 0xc3,
            Self::HelloAgain => 0xc4,
            Self::TooManyConnections => 0xc5,
            Self::TimedOut => 0xc6,
            Self::Other(byte) => byte,
        }
    }

    /// The word used in documents and figures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Denied => "denied",
            Self::NotLeader => "not_leader",
            Self::ResultUnavailable => "result_unavailable",
            Self::BadInput => "bad_input",
            Self::UnknownOpcode => "unknown_opcode",
            Self::Malformed => "malformed",
            Self::FrameTooLarge => "frame_too_large",
            Self::Version => "version",
            Self::HelloFirst => "hello_first",
            Self::HelloAgain => "hello_again",
            Self::TooManyConnections => "too_many_connections",
            Self::TimedOut => "timed_out",
            Self::Other(_) => "other",
        }
    }

    /// Whether the server closes the connection after this error.
    #[must_use]
    pub const fn closes(self) -> bool {
        self.as_u8() >= Self::FIRST_CLOSING
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_an_outcome_an_error_or_unknown() {
        let outcomes = (0..=u8::MAX).filter_map(OutcomeCode::from_u8);
        assert!(outcomes.eq(OutcomeCode::ALL), "ALL rises and repeats nothing");
        let known = (0..=u8::MAX)
            .filter_map(ErrorCode::from_u8)
            .filter(|code| !matches!(code, ErrorCode::Other(_)));
        assert!(known.eq(ErrorCode::ALL), "ALL rises and repeats nothing");
        assert_eq!(ErrorCode::from_u8(0x7f), None);
        assert_eq!(ErrorCode::from_u8(0xff), Some(ErrorCode::Other(0xff)));
        assert!(OutcomeCode::ALL.iter().all(|code| code.as_u8() < ErrorCode::FIRST));
        assert!(ErrorCode::Malformed.closes() && ErrorCode::Other(0xff).closes());
        assert!(!ErrorCode::UnknownOpcode.closes() && !ErrorCode::Other(0xbf).closes());
    }
}
