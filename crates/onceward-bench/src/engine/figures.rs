//! Names of the figures, in the order in which tables show them.

/// Claiming a new key.
pub const BEGIN: &str = "begin";
/// Storing the value.
pub const COMPLETE: &str = "complete";
/// The main job of a new key.
pub const BOTH: &str = "begin + complete";
/// A begin of a stored key.
pub const REPLAY: &str = "replay with copy";
/// A look at a stored key.
pub const GET: &str = "get with copy";
/// A begin of a key that somebody else runs.
pub const DUPLICATE: &str = "duplicate begin";
/// Each of a batch of new keys.
pub const BATCH_BEGIN: &str = "batch of 16: begin";
/// Each of a batch of claimed keys.
pub const BATCH_COMPLETE: &str = "batch of 16: complete";
/// Both.
pub const BATCH_BOTH: &str = "batch of 16: begin + complete";
/// Each of a batch of stored keys.
pub const BATCH_REPLAY: &str = "batch of 16: replay with copy";
/// Reclaiming one ended entry.
pub const EXPIRY: &str = "expiry, per entry";
/// The longest that reclaiming kept its thread.
pub const EXPIRY_SLICE: &str = "expiry, longest slice of 2,048";
/// All of them.
pub const FIGURES: &[&str] = &[
    BEGIN,
    COMPLETE,
    BOTH,
    DUPLICATE,
    REPLAY,
    GET,
    BATCH_BEGIN,
    BATCH_COMPLETE,
    BATCH_BOTH,
    BATCH_REPLAY,
    EXPIRY,
    EXPIRY_SLICE,
];
