//! Answers of our own: problem documents (RFC 9457) with stable types (H3).

mod row;

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use onceward_core::limits::{KEY_BYTES_MAX, SCOPE_BYTES_MAX};
use onceward_core::{Millis, NotKept};
use onceward_keys::JsonFingerprintError;
use serde::Serialize;

use crate::key::KeyHeaderError;

pub use row::{PROBLEMS, ProblemRow, table};

/// What types of problems start with unless [`ProblemTypes::new`] says otherwise.
pub const TYPE_BASE_DEFAULT: &str = "urn:onceward:problem:";

/// The media type of a problem's body.
pub const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// An answer that is not the handler's. [`PROBLEMS`] says of each why it is given and what the
/// caller does; `docs/http.md` prints that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Problem {
    /// The method requires a key, and there is none.
    KeyMissing,
    /// There is a header, and no key in it.
    KeyMalformed(KeyHeaderError),
    /// Nobody knows whose key it is.
    ScopeMissing,
    /// The principal's name is too long.
    ScopeTooLong {
        /// Bytes it has.
        got: usize,
    },
    /// The body is to be compared as JSON, and cannot be.
    BodyNotJson(JsonProblem),
    /// The body broke off before its end.
    BodyUnreadable,
    /// The body is larger than is buffered.
    BodyTooLarge {
        /// Most bytes that are.
        max: usize,
    },
    /// Another request with this key runs.
    InProgress {
        /// When to ask again.
        retry_after: Millis,
        /// Since it began.
        age: Millis,
        /// Its attempt number.
        attempt_number: u32,
    },
    /// An earlier request with this key may or may not have been carried out.
    InDoubt {
        /// How long ago the doubt began.
        since: Millis,
    },
    /// This request ran, and its key passed to another, or was forgotten, before its answer could
    /// be stored.
    LostOwnership,
    /// The key is used for another request.
    Mismatch,
    /// The store cannot be reached, or says nothing that may be relied on.
    Unavailable {
        /// When to ask again.
        retry_after: Millis,
    },
    /// The store is full.
    Full {
        /// When to ask again: when room is due, if that is known.
        retry_after: Millis,
    },
    /// The request was carried out, and its answer could not be stored.
    ResultNotStored {
        /// When to ask again.
        retry_after: Millis,
    },
    /// The request was carried out earlier; the answer's body was not kept.
    ResultNotKept {
        /// The status it had.
        status: StatusCode,
        /// Why.
        reason: NotKept,
        /// Since it was stored.
        age: Millis,
        /// Of the attempt that was carried out.
        attempt_number: u32,
    },
    /// The request was carried out earlier; the answer cannot be read now.
    ResultUnavailable {
        /// When to ask again.
        retry_after: Millis,
    },
    /// The key was used, and is no longer remembered (S23, reserved).
    Expired {
        /// How long ago that ended.
        since: Millis,
    },
    /// The handler panicked, or gave an error instead of an answer.
    HandlerFailed,
    /// The handler's time ran out.
    HandlerTimedOut,
    /// The handler's answer broke off.
    ResponseTruncated,
    /// The service's own settings do not fit its store: a right that is missing, a bound that is
    /// broken, a result that is no HTTP answer. The log has the reason.
    Misconfigured,
}

/// Why a body cannot be compared as JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum JsonProblem {
    /// Arrays and objects lie more than 64 deep.
    Depth,
    /// It is no JSON.
    Syntax,
    /// Two members of one object have one name.
    NameTwice,
    /// A number is more exact than a double.
    Number,
}

impl From<JsonFingerprintError> for Problem {
    fn from(error: JsonFingerprintError) -> Self {
        Self::BodyNotJson(match error {
            JsonFingerprintError::Size { .. } => {
                return Self::BodyTooLarge { max: JSON_BYTES_MAX };
            }
            JsonFingerprintError::Depth { .. } => JsonProblem::Depth,
            JsonFingerprintError::NameTwice { .. } => JsonProblem::NameTwice,
            JsonFingerprintError::Number { .. } => JsonProblem::Number,
            _ => JsonProblem::Syntax,
        })
    }
}

impl From<KeyHeaderError> for Problem {
    fn from(error: KeyHeaderError) -> Self {
        Self::KeyMalformed(error)
    }
}

/// What starts every problem's `type`.
///
/// The default is a name, not a place. A service that has documents puts their address there, so
/// that `type` leads to them; it is then stable as long as the service keeps it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProblemTypes {
    base: Cow<'static, str>,
}

impl ProblemTypes {
    /// Types that start with `base`, such as `https://docs.example.com/problems/`.
    #[must_use]
    pub fn new(base: impl Into<Cow<'static, str>>) -> Self {
        Self { base: base.into() }
    }
}

impl Default for ProblemTypes {
    fn default() -> Self {
        Self::new(TYPE_BASE_DEFAULT)
    }
}

/// The document, in the order in which it is written.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: Cow<'a, str>,
    #[serde(flatten)]
    members: Members,
}

/// What a program reads besides `type`; absent where it has no meaning.
#[derive(Default, Serialize)]
#[serde(default)]
struct Members {
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt_number: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl Problem {
    /// Its name: the end of its `type`, and what an [`Outcome`](crate::Outcome) carries.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.row().name
    }

    /// The status it is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::ResultNotKept { status, .. } => *status,
            _ => self.row().status.expect("every other problem has a status of its own"),
        }
    }

    /// When to ask again, where asking again helps.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Millis> {
        match self {
            Self::InProgress { retry_after, .. }
            | Self::Unavailable { retry_after }
            | Self::Full { retry_after }
            | Self::ResultNotStored { retry_after }
            | Self::ResultUnavailable { retry_after } => Some(*retry_after),
            _ => None,
        }
    }

    /// The answer: status, `Content-Type`, `Retry-After` and the document.
    #[must_use]
    pub fn to_response(&self, types: &ProblemTypes) -> Response<Bytes> {
        let mut response = Response::new(self.body(types));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        if let Some(wait) = self.retry_after() {
            headers.insert(RETRY_AFTER, retry_after(wait));
        }
        response
    }

    /// The document alone.
    #[must_use]
    pub fn body(&self, types: &ProblemTypes) -> Bytes {
        let row = self.row();
        let document = Document {
            r#type: [&types.base, row.name].concat(),
            title: row.title,
            status: self.status().as_u16(),
            detail: self.detail(),
            members: self.members(),
        };
        serde_json::to_vec(&document).expect("strings and numbers always encode").into()
    }

    /// What of this very request: names, numbers and bounds, never bytes of it (S16).
    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::KeyMalformed(error) => error.to_string().into(),
            Self::ScopeTooLong { got } => format!(
                "The principal's name has {got} bytes; at most {SCOPE_BYTES_MAX} are taken."
            )
            .into(),
            Self::BodyTooLarge { max } => {
                format!("The request's body has more than {max} bytes.").into()
            }
            Self::BodyNotJson(JsonProblem::Depth) => {
                "The body nests arrays and objects too deep.".into()
            }
            Self::BodyNotJson(JsonProblem::Syntax) => "The body is no JSON document.".into(),
            Self::BodyNotJson(JsonProblem::NameTwice) => {
                "An object of the body names a member twice.".into()
            }
            Self::BodyNotJson(JsonProblem::Number) => {
                "A number of the body is more exact than a double; send it as a string.".into()
            }
            Self::InProgress { age, .. } => {
                format!("A request with this key began {age} ago and has not ended.").into()
            }
            Self::ResultNotKept { age, .. } => {
                format!("The request was carried out {age} ago; this is not its body.").into()
            }
            _ => self.row().detail.into(),
        }
    }

    fn members(&self) -> Members {
        let mut members =
            Members { retry_after_ms: self.retry_after().map(Millis::get), ..Members::default() };
        match self {
            Self::KeyMissing => members.field = Some(KEY_FIELD),
            Self::KeyMalformed(error) => {
                members.field = Some(KEY_FIELD);
                if let KeyHeaderError::TooLong { .. } = error {
                    members.limit = Some(KEY_BYTES_MAX);
                }
            }
            Self::ScopeTooLong { .. } => {
                (members.field, members.limit) = (Some("scope"), Some(SCOPE_BYTES_MAX));
            }
            Self::BodyTooLarge { max } => {
                (members.field, members.limit) = (Some("body"), Some(*max));
            }
            Self::BodyNotJson(_) => members.field = Some("body"),
            Self::InProgress { age, attempt_number, .. } => {
                (members.age_ms, members.attempt_number) = (Some(age.get()), Some(*attempt_number));
            }
            Self::InDoubt { since } | Self::Expired { since } => {
                members.age_ms = Some(since.get());
            }
            Self::ResultNotKept { reason, age, attempt_number, .. } => {
                members.reason = Some(reason.name());
                (members.age_ms, members.attempt_number) = (Some(age.get()), Some(*attempt_number));
            }
            _ => {}
        }
        members
    }
}

/// How the header is called in a problem's `field`.
const KEY_FIELD: &str = "Idempotency-Key";

/// Most bytes of a document that is made canonical: the bound of `onceward-keys`.
const JSON_BYTES_MAX: usize = 1024 * 1024;

/// A length of time as `Retry-After` has it: whole seconds, rounded up, at least one.
#[must_use]
pub fn retry_after(wait: Millis) -> HeaderValue {
    HeaderValue::from(wait.get().div_ceil(1_000).max(1))
}
