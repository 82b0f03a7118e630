//! What a target speaks: bytes for each request, and what the bytes of its replies mean. No I/O.

use std::time::Duration;

use crate::engine::Fault;

/// Bytes of every key: UUID text.
pub const KEY_BYTES: usize = 36;
/// Most bytes of a fingerprint: as SHA-256 makes them.
pub const FINGERPRINT_BYTES: usize = 32;

/// What holds for all requests of a run.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How long an owner may be silent.
    pub lease: Duration,
    /// How long a result is kept, from the first begin on.
    pub retention: Duration,
    /// How many bytes of each fingerprint are sent, and stored by who stores it: 16 to
    /// [`FINGERPRINT_BYTES`].
    pub fingerprint_bytes: usize,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            retention: Duration::from_secs(24 * 3_600),
            fingerprint_bytes: FINGERPRINT_BYTES,
        }
    }
}

/// What the caller of a begin may know of its key. A target that has cheaper words for it takes
/// them: the benefit of the doubt is the rival's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Known {
    /// Nobody has begun it.
    New,
    /// Its result is stored.
    Stored,
    /// Either, or somebody else has it.
    Nothing,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub enum Ask<'a> {
    /// Claims a key, or asks for its result.
    Begin {
        /// Which.
        key: &'a [u8; KEY_BYTES],
        /// New for every begin. A target without such a thing leaves it out.
        attempt: &'a [u8; 16],
        /// What is asked for; another one under the same key is refused, where a target can. As much
        /// of it goes as [`Terms`] say.
        fingerprint: &'a [u8; FINGERPRINT_BYTES],
        /// How long to wait while somebody else holds the key; zero answers at once.
        wait: Duration,
        /// Size of the result that will be stored.
        result_bytes: usize,
        /// What may be known before.
        known: Known,
    },
    /// Stores the result of a key that was acquired.
    Complete {
        /// Which.
        key: &'a [u8; KEY_BYTES],
        /// What [`Answer::Acquired`] gave.
        grant: Grant,
        /// As in the begin.
        fingerprint: &'a [u8; FINGERPRINT_BYTES],
        /// The result.
        value: &'a [u8],
    },
}

/// What an acquisition hands to its complete. A target that needs less leaves the rest zero.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Grant {
    /// The fence, or a version to compare with.
    pub fence: u64,
    /// The attempt id of the begin that acquired.
    pub attempt: [u8; 16],
}

/// What a reply says. Its bytes are borrowed from what was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer<'a> {
    /// A begin: the caller owns the key.
    Acquired(Grant),
    /// A complete: stored.
    Completed,
    /// A begin: the stored result.
    Replay(&'a [u8]),
    /// A begin: somebody else owns the key.
    InProgress,
    /// A begin: the key belongs to another payload.
    Mismatch,
    /// As many bytes as the right answer has, from a target that does nothing but move bytes: counts
    /// as the right answer, and a complete of it needs no grant.
    Moved,
    /// Anything else that the target's own words have an outcome for, by its name.
    Other(&'static str),
    /// An error. Must not quote keys or bodies.
    Error(&'a str),
}

/// A reply that was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Decoded<'a> {
    /// Bytes of the input that it took.
    pub consumed: usize,
    /// Which request it answers.
    pub slot: u32,
    /// What it says.
    pub answer: Answer<'a>,
}

/// One connection's side of a protocol. The driver has a value of it for each connection and never
/// more than one request in flight for each slot; slots are numbered from 0 and used anew.
///
/// Generator and server may share a core, and every target must cost the generator about the same:
/// an encode is one pass over the request, a decode looks at what it must.
pub trait Dialect: Send {
    /// Whether a begin can wait until the owner is done.
    const WAITS: bool;
    /// Whether a begin with another payload is told from a retry.
    const TELLS_MISMATCH: bool;
    /// Whether a begin of a key in progress is told so, rather than answered in another way.
    const TELLS_IN_PROGRESS: bool;

    /// Appends what is sent before anything else, possibly nothing.
    fn handshake(&mut self, out: &mut Vec<u8>);

    /// Reads the answers to the handshake from the front of `input`; gives how many bytes they
    /// took, or `None` while they are not whole. Asked until it gives a size.
    ///
    /// # Errors
    /// The server refuses, or speaks otherwise.
    fn greeted(&mut self, input: &[u8]) -> Result<Option<usize>, Fault>;

    /// Appends one request.
    ///
    /// # Errors
    /// It cannot be said in this dialect.
    fn encode(&mut self, ask: &Ask<'_>, slot: u32, out: &mut Vec<u8>) -> Result<(), Fault>;

    /// Reads one reply from the front of `input`; `None` means "more bytes first".
    ///
    /// # Errors
    /// The server speaks otherwise. Final: the run fails.
    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Option<Decoded<'a>>, Fault>;
}
