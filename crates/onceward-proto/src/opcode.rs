//! What a frame asks, or answers.

/// The operation of a frame. A reply repeats the opcode of its request.
///
/// 0x00 is no operation: see [`CONNECTION`]. 0x30–0x3f are kept for batches, 0x40–0x4f for
/// replication.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Opcode {
    /// Opens the conversation: version, frame size, namespace, credential.
    Hello = 0x01,
    /// Asks whether the server is there.
    Ping = 0x02,
    /// Ends the wait of an earlier request. Has no reply of its own.
    Cancel = 0x03,
    /// Asks to execute an identity once.
    Begin = 0x10,
    /// Ends an acquisition with a result.
    Complete = 0x11,
    /// Gives an acquisition up.
    Abandon = 0x12,
    /// Starts a lease anew.
    Renew = 0x13,
    /// Leaves bytes for a successor.
    Checkpoint = 0x14,
    /// Looks without acting.
    Get = 0x15,
    /// Ends a doubt.
    Resolve = 0x20,
    /// Makes an identity absent.
    Forget = 0x21,
    /// Lists entries page by page.
    List = 0x22,
    /// Reads the store's figures.
    Stats = 0x23,
}

/// The opcode of a frame that answers no request but speaks of the connection itself. Its
/// correlation is 0, and the connection closes after it.
pub const CONNECTION: u8 = 0x00;

impl Opcode {
    /// Every opcode, in rising order.
    pub const ALL: [Self; 13] = [
        Self::Hello,
        Self::Ping,
        Self::Cancel,
        Self::Begin,
        Self::Complete,
        Self::Abandon,
        Self::Renew,
        Self::Checkpoint,
        Self::Get,
        Self::Resolve,
        Self::Forget,
        Self::List,
        Self::Stats,
    ];

    /// `None` for a byte that this version does not know.
    #[must_use]
    pub const fn from_u8(byte: u8) -> Option<Self> {
        Some(match byte {
            0x01 => Self::Hello,
            0x02 => Self::Ping,
            0x03 => Self::Cancel,
            0x10 => Self::Begin,
            0x11 => Self::Complete,
            0x12 => Self::Abandon,
            0x13 => Self::Renew,
            0x14 => Self::Checkpoint,
            0x15 => Self::Get,
            0x20 => Self::Resolve,
            0x21 => Self::Forget,
            0x22 => Self::List,
            0x23 => Self::Stats,
            _ => return None,
        })
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        self as u8
    }

    /// The word used in documents and figures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Ping => "ping",
            Self::Cancel => "cancel",
            Self::Begin => "begin",
            Self::Complete => "complete",
            Self::Abandon => "abandon",
            Self::Renew => "renew",
            Self::Checkpoint => "checkpoint",
            Self::Get => "get",
            Self::Resolve => "resolve",
            Self::Forget => "forget",
            Self::List => "list",
            Self::Stats => "stats",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_one_opcode_or_none() {
        let known = (0..=u8::MAX).filter_map(Opcode::from_u8);
        assert!(known.eq(Opcode::ALL), "ALL, from_u8 and the discriminants agree");
        for opcode in Opcode::ALL {
            assert_eq!(Opcode::from_u8(opcode.as_u8()), Some(opcode));
        }
    }
}
