//! Every problem in one table: what the code answers with, and what the documents say.

use http::StatusCode;

use super::Problem;

/// One problem, as code and documents have it.
#[derive(Clone, Copy, Debug)]
pub struct ProblemRow {
    /// The end of its `type`.
    pub name: &'static str,
    /// Its status; `None` where it is the stored answer's.
    pub status: Option<StatusCode>,
    /// Its `title`.
    pub title: &'static str,
    /// Its `detail` where nothing of the request is in it.
    pub detail: &'static str,
    /// Why it is given, for the documents.
    pub cause: &'static str,
    /// What the caller does, for the documents.
    pub remedy: &'static str,
    /// Members it may have besides `type`, `title`, `status`, `detail` and `retry_after_ms`, in
    /// back-ticks.
    pub members: &'static str,
}

macro_rules! problems {
    ($(
        $row:ident: $name:literal $status:expr, $title:literal,
        $detail:literal,
        $cause:literal,
        $remedy:literal,
        [$($member:literal)*];
    )+) => {
        $(const $row: ProblemRow = ProblemRow {
            name: $name,
            status: $status,
            title: $title,
            detail: $detail,
            cause: $cause,
            remedy: $remedy,
            members: concat!($("`", $member, "` ",)* ""),
        };)+

        /// Every problem, in the order of the documents.
        pub const PROBLEMS: &[ProblemRow] = &[$($row),+];
    };
}

problems! {
    KEY_MISSING: "key-missing" Some(StatusCode::BAD_REQUEST), "Idempotency key is missing",
        "This method requires the header Idempotency-Key.",
        "the method requires a key, and the request has none",
        "draw a key per intent, keep it, send it with the request and with each retry",
        ["field"];
    KEY_MALFORMED: "key-malformed" Some(StatusCode::BAD_REQUEST), "Idempotency key is malformed",
        "The header Idempotency-Key holds no key.",
        "the header has two lines, no bytes, more than 255, or bytes that no key holds",
        "send one line with 1 to 255 bytes of `[A-Za-z0-9._:~+/=-]`, or printable ASCII in quotes",
        ["field" "limit"];
    SCOPE_MISSING: "scope-missing" Some(StatusCode::UNAUTHORIZED), "Nobody is signed in",
        "Keys belong to whoever sends them, and this request does not say who that is.",
        "the service does not know whose key it is",
        "sign in, then send the request with the same key",
        [];
    SCOPE_TOO_LONG: "scope-too-long" Some(StatusCode::BAD_REQUEST), "Principal's name is too long",
        "The principal's name is too long.",
        "the name of who sends the request has more than 255 bytes",
        "tell the service: its choice of scope takes too much",
        ["field" "limit"];
    BODY_NOT_JSON: "body-not-json" Some(StatusCode::BAD_REQUEST), "Body cannot be compared as JSON",
        "The body cannot be compared as JSON.",
        "the service compares bodies as JSON, and this one is none, names a member twice, nests too deep or has a number that a double does not hold",
        "put the body right; the key is unused",
        ["field"];
    BODY_UNREADABLE: "body-unreadable" Some(StatusCode::BAD_REQUEST), "Body cannot be read",
        "The request's body broke off before its end.",
        "the request's body broke off, or a bound of the service's own cut it",
        "send the whole body again, with the same key: it is unused",
        [];
    BODY_TOO_LARGE: "body-too-large" Some(StatusCode::PAYLOAD_TOO_LARGE), "Body is too large",
        "The request's body is too large.",
        "the request's body is larger than the service buffers",
        "send at most `limit` bytes; the key is unused",
        ["field" "limit"];
    IN_PROGRESS: "in-progress" Some(StatusCode::CONFLICT), "Request is in progress",
        "A request with this key has not ended.",
        "an earlier request with this key still runs",
        "ask again after `Retry-After`, with the same key and body",
        ["age_ms" "attempt_number"];
    IN_DOUBT: "in-doubt" Some(StatusCode::CONFLICT), "Outcome is in doubt",
        "An earlier request with this key may or may not have been carried out. It does not run again until that is known.",
        "an earlier request with this key fell silent or failed in the middle, so it may have been carried out; or this request lost its key while it ran",
        "look whether it was carried out before anything else; the service's operators resolve the key. Do not send it under a new key unchecked",
        ["age_ms"];
    MISMATCH: "mismatch" Some(StatusCode::UNPROCESSABLE_ENTITY), "Key was used for another request",
        "The key stands for a request with another method, path, query or body.",
        "the key was sent before with another method, path, query or body",
        "for a retry, send what was sent first; for another intent, draw a new key",
        [];
    UNAVAILABLE: "unavailable" Some(StatusCode::SERVICE_UNAVAILABLE), "Keys cannot be checked now",
        "Whether the request was carried out before cannot be found out now. It was not carried out by this call.",
        "the store of keys does not answer; this call ran nothing",
        "ask again after `Retry-After`, with the same key and body",
        [];
    FULL: "full" Some(StatusCode::SERVICE_UNAVAILABLE), "No room for new keys",
        "There is no room for new keys now. The request was not carried out.",
        "the store of keys is full, or the service has used up its share; this call ran nothing",
        "ask again after `Retry-After`, with the same key and body",
        [];
    RESULT_NOT_STORED: "result-not-stored" Some(StatusCode::SERVICE_UNAVAILABLE), "Answer could not be stored",
        "The request was carried out, and its answer could not be stored.",
        "this request ran to its end, and the store of keys could not be reached to keep its answer",
        "ask again after `Retry-After`, with the same key and body: the answer is then in doubt, or the service runs the request again if it is set to",
        [];
    RESULT_NOT_KEPT: "result-not-kept" None, "Answer's body was not kept",
        "The request was carried out; its answer's body was not kept.",
        "the request was carried out earlier, and its answer was too large to keep, a stream, or declined by the service; status and headers are those of the first answer",
        "take it as done; fetch the details from where `Location` points, or by a query",
        ["reason" "age_ms" "attempt_number"];
    RESULT_UNAVAILABLE: "result-unavailable" Some(StatusCode::SERVICE_UNAVAILABLE), "Answer cannot be read now",
        "The request was carried out; its answer cannot be read now.",
        "the request was carried out earlier, and its answer cannot be read now",
        "ask again after `Retry-After`, with the same key and body",
        [];
    EXPIRED: "expired" Some(StatusCode::CONFLICT), "Key is used up",
        "The key was used, and what was answered is no longer remembered.",
        "the key was used so long ago that its answer is no longer remembered (reserved: no store answers this yet)",
        "look whether the request was carried out; draw a new key for a new intent",
        ["age_ms"];
    HANDLER_FAILED: "handler-failed" Some(StatusCode::INTERNAL_SERVER_ERROR), "Service failed",
        "The service failed while it carried out the request.",
        "the service failed in the middle of the request, without an answer",
        "ask again with the same key and body: what comes then is by the service's preset",
        [];
    HANDLER_TIMED_OUT: "handler-timed-out" Some(StatusCode::GATEWAY_TIMEOUT), "Service took too long",
        "The service did not end within its time.",
        "the service did not end the request within its time; it may have been carried out",
        "ask again with the same key and body: what comes then is by the service's preset",
        [];
    RESPONSE_TRUNCATED: "response-truncated" Some(StatusCode::BAD_GATEWAY), "Answer broke off",
        "The service's answer broke off.",
        "the service's answer broke off in the middle; the request may have been carried out",
        "ask again with the same key and body: what comes then is by the service's preset",
        [];
    MISCONFIGURED: "misconfigured" Some(StatusCode::INTERNAL_SERVER_ERROR), "Service is misconfigured",
        "The service's settings do not fit its store of keys. The request was not carried out by this call.",
        "the service may not use its store of keys as it tries to, or found there what is no answer of HTTP; its log says what",
        "tell the service's operators; the same key may be sent again later",
        [];
}

impl Problem {
    /// What the table says of it.
    #[must_use]
    pub const fn row(&self) -> &'static ProblemRow {
        match self {
            Self::KeyMissing => &KEY_MISSING,
            Self::KeyMalformed(_) => &KEY_MALFORMED,
            Self::ScopeMissing => &SCOPE_MISSING,
            Self::ScopeTooLong { .. } => &SCOPE_TOO_LONG,
            Self::BodyNotJson(_) => &BODY_NOT_JSON,
            Self::BodyUnreadable => &BODY_UNREADABLE,
            Self::BodyTooLarge { .. } => &BODY_TOO_LARGE,
            Self::InProgress { .. } => &IN_PROGRESS,
            Self::InDoubt { .. } | Self::LostOwnership => &IN_DOUBT,
            Self::Mismatch => &MISMATCH,
            Self::Unavailable { .. } => &UNAVAILABLE,
            Self::Full { .. } => &FULL,
            Self::ResultNotStored { .. } => &RESULT_NOT_STORED,
            Self::ResultNotKept { .. } => &RESULT_NOT_KEPT,
            Self::ResultUnavailable { .. } => &RESULT_UNAVAILABLE,
            Self::Expired { .. } => &EXPIRED,
            Self::HandlerFailed => &HANDLER_FAILED,
            Self::HandlerTimedOut => &HANDLER_TIMED_OUT,
            Self::ResponseTruncated => &RESPONSE_TRUNCATED,
            Self::Misconfigured => &MISCONFIGURED,
        }
    }
}

/// The table as the documents print it.
#[must_use]
pub fn table() -> String {
    let mut table =
        "| status | type | members | cause | what the caller does |\n|---|---|---|---|---|\n"
            .to_owned();
    for row in PROBLEMS {
        let status =
            row.status.map_or("the stored one".to_owned(), |status| status.as_str().into());
        table += &format!(
            "| {status} | `{}` | {} | {} | {} |\n",
            row.name,
            row.members.trim_end(),
            row.cause,
            row.remedy
        );
    }
    table
}
