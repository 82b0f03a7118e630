//! How a request went, for logs, traces and figures.

use onceward_core::Millis;

/// What became of a request. A layer leaves it in the response's extensions.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The handler ran for this request, and this is its answer.
    Fresh,
    /// The answer to an earlier request of the same key.
    Replayed,
    /// Not guarded: a safe method, no key where none is required, or failed open.
    Bypassed,
    /// Answered with a problem of that name; see [`Problem::name`](crate::Problem::name).
    Rejected(&'static str),
}

/// What a replayed answer came from. A layer leaves it in the response's extensions, beside
/// [`Outcome::Replayed`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct StoredAnswer {
    /// How long ago it was stored. Less than the retry took: the retry waited for it.
    pub age: Millis,
    /// Of the acquisition that stored it.
    pub attempt_number: u32,
}

impl Outcome {
    /// The word used in traces and figures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Replayed => "replayed",
            Self::Bypassed => "bypassed",
            Self::Rejected(_) => "rejected",
        }
    }
}
