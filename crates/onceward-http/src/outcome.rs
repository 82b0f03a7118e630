//! How a request went, for logs, traces and figures.

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
