//! What becomes of a key when its handler has ended (H5): one table.

use http::StatusCode;

use crate::problem::Problem;

/// A choice of what is kept, by the status a handler ends with. [`ROWS`] has all of them.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Preset {
    /// Answers of a handler that began are final; refusals before any work are not; what is
    /// ambiguous goes as [`Ambiguous`] says.
    #[default]
    Default,
    /// As Stripe's API: an error of the server is an answer like any other, and is replayed.
    Stripe,
    /// Only success is final: a key whose call failed may be used again, also for a call that is
    /// put right.
    SuccessOnly,
    /// Whatever the handler says is final, and it never runs again but by its own word.
    AtMostOnce,
}

impl Preset {
    /// All, in the order of [`Row::cells`].
    pub const ALL: [Self; 4] = [Self::Default, Self::Stripe, Self::SuccessOnly, Self::AtMostOnce];

    /// The word used in settings and documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Stripe => "stripe",
            Self::SuccessOnly => "success-only",
            Self::AtMostOnce => "at-most-once",
        }
    }

    /// What is done about the ambiguous unless it is set: `keep`, but `in-doubt` for those that
    /// choose a preset because of it.
    #[must_use]
    pub const fn ambiguous_default(self) -> Ambiguous {
        match self {
            Self::Default | Self::Stripe => Ambiguous::Keep,
            Self::SuccessOnly | Self::AtMostOnce => Ambiguous::InDoubt,
        }
    }
}

/// What to do where nobody knows whether the side effect happened: a 5xx, a panic, a timeout, an
/// answer that broke off.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Ambiguous {
    /// Keep the error as the answer: retries get it again, and know no more than the first.
    Keep,
    /// Nobody runs again until somebody has looked: retries get 409 `in-doubt`. Right where the
    /// namespace is durable at `always`.
    InDoubt,
    /// Let the next retry run: right only where running twice does no harm. Counted.
    Release,
}

impl Ambiguous {
    /// All, in the order of the documents.
    pub const ALL: [Self; 3] = [Self::Keep, Self::InDoubt, Self::Release];

    /// The word used in settings and documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::InDoubt => "in-doubt",
            Self::Release => "release",
        }
    }
}

/// How a handler ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Ending {
    /// With a whole answer.
    Response {
        /// Its status.
        status: StatusCode,
        /// Whether the handler says that nothing has happened.
        no_side_effect: bool,
    },
    /// It panicked.
    Panicked,
    /// Its time ran out.
    TimedOut,
    /// It gave an error instead of an answer: a connection lost after bytes were sent.
    Failed,
    /// Its answer broke off in the middle.
    Truncated,
}

impl Ending {
    /// What the caller is answered where there is no answer of the handler's: where it is kept, it
    /// is this that is replayed.
    #[must_use]
    pub const fn problem(&self) -> Option<Problem> {
        match self {
            Self::Response { .. } => None,
            Self::Panicked | Self::Failed => Some(Problem::HandlerFailed),
            Self::TimedOut => Some(Problem::HandlerTimedOut),
            Self::Truncated => Some(Problem::ResponseTruncated),
        }
    }
}

/// What becomes of the key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Disposition {
    /// Complete: the answer is what every retry gets.
    Keep,
    /// Abandon as not done: the next request with the key runs.
    NotDone,
    /// Abandon in doubt: nobody runs until it is resolved.
    InDoubt,
}

/// One cell of the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cell {
    /// Kept, whatever is set.
    Keep,
    /// Not done, whatever is set.
    NotDone,
    /// As [`Ambiguous`] says.
    AsSet,
    /// As [`Ambiguous`] says, but in doubt where it says `release`.
    AsSetNeverReleased,
}

impl Cell {
    /// What it says under a setting.
    #[must_use]
    pub const fn disposition(self, ambiguous: Ambiguous) -> Disposition {
        match (self, ambiguous) {
            (Self::Keep, _) => Disposition::Keep,
            (Self::NotDone, _) => Disposition::NotDone,
            (Self::AsSet | Self::AsSetNeverReleased, Ambiguous::Keep) => Disposition::Keep,
            (Self::AsSet | Self::AsSetNeverReleased, Ambiguous::InDoubt) => Disposition::InDoubt,
            (Self::AsSet, Ambiguous::Release) => Disposition::NotDone,
            (Self::AsSetNeverReleased, Ambiguous::Release) => Disposition::InDoubt,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Keep => "kept",
            Self::NotDone => "not done",
            Self::AsSet => "as set",
            Self::AsSetNeverReleased => "as set; `release` is in doubt",
        }
    }
}

/// Statuses by which a service says that it did not begin. 400 is not among them: a handler that
/// began says it too. What is refused before a handler began is marked instead.
pub const REFUSALS: [StatusCode; 10] = [
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::PROXY_AUTHENTICATION_REQUIRED,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::MISDIRECTED_REQUEST,
    StatusCode::TOO_EARLY,
    StatusCode::TOO_MANY_REQUESTS,
];

/// The kinds of ending that a preset tells apart; a row of the table each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum EndingKind {
    /// Marked by the handler: nothing has happened.
    NoSideEffect,
    /// 101: the connection speaks another protocol from here on.
    Upgrade,
    /// 2xx.
    Success,
    /// 3xx.
    Redirection,
    /// One of [`REFUSALS`].
    Refusal,
    /// Any other 4xx.
    ClientError,
    /// 5xx, and whatever has no meaning as a last answer: other 1xx, 600 and more.
    ServerError,
    /// As [`Ending::Panicked`].
    Panicked,
    /// As [`Ending::TimedOut`].
    TimedOut,
    /// As [`Ending::Failed`].
    Failed,
    /// As [`Ending::Truncated`].
    Truncated,
}

impl EndingKind {
    /// The kind of an ending.
    #[must_use]
    pub fn of(ending: &Ending) -> Self {
        match ending {
            Ending::Response { no_side_effect: true, .. } => Self::NoSideEffect,
            Ending::Response { status, .. } if REFUSALS.contains(status) => Self::Refusal,
            Ending::Response { status, .. } => match status.as_u16() {
                101 => Self::Upgrade,
                200..=299 => Self::Success,
                300..=399 => Self::Redirection,
                400..=499 => Self::ClientError,
                _ => Self::ServerError,
            },
            Ending::Panicked => Self::Panicked,
            Ending::TimedOut => Self::TimedOut,
            Ending::Failed => Self::Failed,
            Ending::Truncated => Self::Truncated,
        }
    }
}

impl EndingKind {
    /// Whether nobody knows if the side effect happened.
    #[must_use]
    pub const fn is_ambiguous(self) -> bool {
        match self {
            Self::ServerError
            | Self::Panicked
            | Self::TimedOut
            | Self::Failed
            | Self::Truncated => true,
            Self::NoSideEffect
            | Self::Upgrade
            | Self::Success
            | Self::Redirection
            | Self::Refusal
            | Self::ClientError => false,
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What it is about.
    pub kind: EndingKind,
    /// In the documents' words.
    pub ending: &'static str,
    /// By preset, in the order of [`Preset::ALL`].
    pub cells: [Cell; 4],
}

const fn row(kind: EndingKind, ending: &'static str, cells: [Cell; 4]) -> Row {
    Row { kind, ending, cells }
}

/// The table of H5: the code decides by it, and `docs/http.md` prints it. In the order of
/// [`EndingKind`].
pub const ROWS: [Row; 11] = {
    use Cell::{AsSet, AsSetNeverReleased as Never, Keep, NotDone};
    [
        row(EndingKind::NoSideEffect, "any, marked \"no side effect\"", [NotDone; 4]),
        row(EndingKind::Upgrade, "101", [Keep; 4]),
        row(EndingKind::Success, "2xx", [Keep; 4]),
        row(EndingKind::Redirection, "3xx", [Keep; 4]),
        row(
            EndingKind::Refusal,
            "401, 403, 405, 407, 408, 413, 415, 421, 425, 429",
            [NotDone, NotDone, NotDone, Keep],
        ),
        row(EndingKind::ClientError, "any other 4xx", [Keep, Keep, NotDone, Keep]),
        row(EndingKind::ServerError, "5xx", [AsSet, Keep, AsSet, Never]),
        row(EndingKind::Panicked, "the handler panicked", [AsSet, Keep, AsSet, Never]),
        row(EndingKind::TimedOut, "the handler's time ran out", [AsSet, Keep, AsSet, Never]),
        row(
            EndingKind::Failed,
            "an error instead of an answer, a connection lost",
            [AsSet, Keep, AsSet, Never],
        ),
        row(EndingKind::Truncated, "an answer that broke off", [AsSet, Keep, AsSet, Never]),
    ]
};

/// What becomes of the key after such an ending.
#[must_use]
pub fn disposition(preset: Preset, ambiguous: Ambiguous, ending: &Ending) -> Disposition {
    let row = &ROWS[EndingKind::of(ending) as usize];
    row.cells[preset as usize].disposition(ambiguous)
}

/// The table as the documents print it.
#[must_use]
pub fn table() -> String {
    let mut table = "| the handler ends with |".to_owned();
    for preset in Preset::ALL {
        table += &format!(" `{}` |", preset.name());
    }
    table += "\n|---|---|---|---|---|\n";
    for row in ROWS {
        let cells = row.cells.map(Cell::words).join(" | ");
        table += &format!("| {} | {cells} |\n", row.ending);
    }
    table
}
