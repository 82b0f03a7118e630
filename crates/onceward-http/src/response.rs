//! What of an answer is kept, and the answer to a retry made of it (H4).

use std::fmt;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use onceward_core::{Body, Metadata, MetadataBuf, NotKept, Replay, ResultRef};

use crate::outcome::StoredAnswer;
use crate::problem::{PROBLEM_JSON, Problem, ProblemTypes};

/// The header that tells a replay from a first answer; its value is `true`.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Headers that are kept unless they are forbidden. In the order of the documents.
pub const KEPT: [HeaderName; 10] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_DISPOSITION,
    header::CONTENT_LOCATION,
    header::LOCATION,
    header::ETAG,
    header::LAST_MODIFIED,
    header::LINK,
    header::CACHE_CONTROL,
];

/// Headers that are never kept: they belong to one connection (RFC 9110 §7.6.1), to one caller's
/// session, or to the moment of the first answer; `Content-Length` is computed anew.
pub const NEVER_KEPT: [HeaderName; 19] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::CONTENT_LENGTH,
    header::SET_COOKIE,
    HeaderName::from_static("set-cookie2"),
    header::AUTHORIZATION,
    header::WWW_AUTHENTICATE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("authentication-info"),
    header::DATE,
    header::AGE,
    header::SERVER,
    IDEMPOTENCY_REPLAYED,
];

/// Kept headers that describe the body that is not there when its problem stands in for it.
const OF_THE_BODY: [HeaderName; 5] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_DISPOSITION,
    header::CONTENT_LOCATION,
];

/// Which headers of an answer are kept for its replays: [`KEPT`], and what is added.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HeaderPolicy {
    /// In order, each once; none of [`KEPT`], none of [`NEVER_KEPT`].
    more: Vec<HeaderName>,
}

impl HeaderPolicy {
    /// [`KEPT`] alone.
    #[must_use]
    pub const fn new() -> Self {
        Self { more: Vec::new() }
    }

    /// Keeps one more header.
    ///
    /// # Errors
    /// [`NeverKept`] for one of [`NEVER_KEPT`]: the program's own fault.
    pub fn with(mut self, name: HeaderName) -> Result<Self, NeverKept> {
        if NEVER_KEPT.contains(&name) {
            return Err(NeverKept { name });
        }
        if !self.keeps(&name)
            && let Err(place) = self.more.binary_search_by(|held| held.as_str().cmp(name.as_str()))
        {
            self.more.insert(place, name);
        }
        Ok(self)
    }

    fn keeps(&self, name: &HeaderName) -> bool {
        KEPT.contains(name)
            || self.more.binary_search_by(|held| held.as_str().cmp(name.as_str())).is_ok()
    }

    /// What is kept of an answer's status and headers: allowed ones in order, with repeats, none
    /// that `Connection` names. What does not fit 64 pairs and 16 KiB is cut, whole pairs in order
    /// (S12).
    #[must_use]
    pub fn keep(&self, status: StatusCode, headers: &HeaderMap) -> KeptHead {
        let mut kept =
            KeptHead { status: status.as_u16(), metadata: MetadataBuf::new(), pairs_cut: 0 };
        for (name, value) in headers {
            if !self.keeps(name) || is_named_by_connection(headers, name) {
                continue;
            }
            // Once one does not fit, none behind it does: order is not broken.
            if kept.pairs_cut > 0 || kept.metadata.push(name.as_str(), value.as_bytes()).is_err() {
                kept.pairs_cut += 1;
            }
        }
        kept
    }
}

fn is_named_by_connection(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()))
}

/// Status and headers of an answer, as they are stored.
#[derive(Clone, Debug)]
pub struct KeptHead {
    status: u16,
    metadata: MetadataBuf,
    pairs_cut: usize,
}

impl KeptHead {
    /// The result to complete with. `None` for a body that is not to be kept (S12).
    #[must_use]
    pub fn result<'a>(&'a self, body: Option<&'a [u8]>) -> ResultRef<'a> {
        ResultRef {
            status: self.status,
            metadata: self.metadata.as_ref().encoded(),
            body: body.map_or(Body::NotKept(NotKept::Declined), Body::Kept),
        }
    }

    /// Headers that are allowed and were cut.
    #[must_use]
    pub const fn pairs_cut(&self) -> usize {
        self.pairs_cut
    }
}

/// The answer to a retry: stored status, headers and body, `Content-Length` computed anew, and
/// `Idempotency-Replayed: true`.
///
/// Where the body was not kept, the problem `result-not-kept` stands in for it, under the stored
/// status. What is no answer of HTTP, because something else stored it, is
/// [`Problem::Misconfigured`]. A header that is never kept is not replayed either, whoever stored it.
///
/// # Errors
/// The problem that is answered instead of the stored status: what is stored cannot be sent.
pub fn replay(stored: &Replay<Bytes>, types: &ProblemTypes) -> Result<Response<Bytes>, Problem> {
    let result = &stored.result;
    let status = StatusCode::from_u16(result.status).map_err(|_| Problem::Misconfigured)?;
    let metadata = Metadata::decode(&result.metadata).map_err(|_| Problem::Misconfigured)?;
    // An upgraded connection is over; its status on another would open one that nobody serves.
    let status = if status.is_informational() { StatusCode::CONFLICT } else { status };
    let not_kept = |reason| Problem::ResultNotKept {
        status,
        reason,
        age: stored.age,
        attempt_number: stored.attempt_number,
    };
    let (body, problem) = match &result.body {
        _ if has_no_body(status) => (Bytes::new(), false),
        Body::Kept(body) => (body.clone(), false),
        Body::NotKept(reason) => (not_kept(*reason).body(types), true),
    };
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in metadata.pairs() {
        let pair = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value));
        if let (Ok(name), Ok(value)) = pair
            && !NEVER_KEPT.contains(&name)
            && !(problem && OF_THE_BODY.contains(&name))
        {
            headers.append(name, value);
        }
    }
    if problem {
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
    }
    // RFC 9110 §8.6: not with 204, and with 304 it would be that of another answer.
    if !has_no_body(status) {
        headers.insert(header::CONTENT_LENGTH, body.len().into());
    }
    headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    let (age, attempt_number) = (stored.age, stored.attempt_number);
    response.extensions_mut().insert(StoredAnswer { age, attempt_number });
    *response.body_mut() = body;
    Ok(response)
}

fn has_no_body(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// A header that cannot be kept was to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NeverKept {
    /// Its name.
    pub name: HeaderName,
}

impl fmt::Display for NeverKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "header {} is never kept: it belongs to one connection, one caller or one moment",
            self.name
        )
    }
}

impl std::error::Error for NeverKept {}
