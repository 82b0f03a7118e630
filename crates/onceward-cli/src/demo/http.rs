//! HTTP as a caller sends it: politely, or losing what comes back.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Request, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use onceward_http::{IDEMPOTENCY_REPLAYED, PROBLEM_JSON, TYPE_BASE_DEFAULT};
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::document::Document;

/// The key, as the draft standard names it.
pub(super) const KEY: &str = "idempotency-key";
/// Which intent; stands for what a real service reads out of the payload.
pub(super) const INTENT: &str = "x-demo-intent";
/// How long the work takes around its side effect, in microseconds.
pub(super) const WORK_US: &str = "x-demo-work-us";
/// The work is to stand still at this moment until its process is killed.
pub(super) const CRASH: &str = "x-demo-crash";

/// The type of the problem that the warehouse answers when it fails.
pub(super) const FAILED: &str = "urn:onceward-demo:failed";

/// How long a caller waits for a reply. Longer than a service waits for another owner.
const REPLY_TIMEOUT: Duration = Duration::from_secs(20);

/// A request to be.
pub(super) struct Outgoing<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: &'a [(&'static str, String)],
    pub(super) body: Bytes,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) document: Document,
    /// It repeats an earlier answer, and says so.
    pub(super) replayed: bool,
    pub(super) refusal: Option<Refusal>,
}

/// Why a service does not answer an intent, by the type of the problem that it sends instead (H3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// Another owner's lease runs.
    InProgress,
    /// The work may have happened; somebody must find out.
    InDoubt,
    /// The key belongs to another payload. The only final one.
    Mismatch,
    /// Whatever else: no store, no room, no ledger. Try again.
    Unavailable,
}

impl Refusal {
    /// `None` for an answer to the intent, whatever its status: also one that is a problem of
    /// somebody else's.
    fn of(headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Problem {
            r#type: String,
        }
        if headers.get(CONTENT_TYPE) != Some(&PROBLEM_JSON) {
            return None;
        }
        let problem: Problem = serde_json::from_slice(body).ok()?;
        if problem.r#type == FAILED {
            return Some(Self::Unavailable);
        }
        Some(match problem.r#type.strip_prefix(TYPE_BASE_DEFAULT)? {
            "in-progress" => Self::InProgress,
            "in-doubt" => Self::InDoubt,
            "mismatch" => Self::Mismatch,
            _ => Self::Unavailable,
        })
    }
}

/// Why there is no reply. The request may have arrived or not.
#[derive(Debug)]
pub(super) struct HttpError {
    message: String,
}

impl HttpError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A client that keeps its connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct HttpClient {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Default for HttpClient {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        // Retries are the callers' business: each one is an attempt, and counts.
        let client =
            Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build(connector);
        Self { client }
    }
}

impl HttpClient {
    /// Sends and reads the whole reply.
    pub(super) async fn send(
        &self,
        address: SocketAddr,
        outgoing: &Outgoing<'_>,
    ) -> Result<Reply, HttpError> {
        let uri = format!("http://{address}{}", outgoing.path);
        let uri: Uri = uri.parse().map_err(|error| HttpError::new(format!("target: {error}")))?;
        let mut request = Request::builder().method(outgoing.method).uri(uri);
        for (name, value) in outgoing.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(outgoing.body.clone()));
        let request = request.map_err(|error| HttpError::new(format!("request: {error}")))?;
        let exchange = async {
            let reply = self.client.request(request).await.map_err(|error| describe(&error))?;
            let (head, body) = reply.into_parts();
            let body = body.collect().await.map_err(|error| describe(&error))?.to_bytes();
            Ok(Reply {
                replayed: head.headers.contains_key(IDEMPOTENCY_REPLAYED),
                refusal: Refusal::of(&head.headers, &body),
                document: Document::from_reply(head.status.as_u16(), &head.headers, body),
            })
        };
        let late = |_| HttpError::new(format!("no reply within {} s", REPLY_TIMEOUT.as_secs()));
        timeout(REPLY_TIMEOUT, exchange).await.map_err(late)?
    }
}

fn describe(error: &dyn std::error::Error) -> HttpError {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        message = format!("{message}: {error}");
        source = error.source();
    }
    HttpError::new(message)
}

/// How a caller loses its reply.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loss {
    /// The connection breaks once the reply is under way.
    UnderWay,
    /// The caller hangs up so long after it sent the request.
    HangUp(Duration),
}

/// Sends over a connection of its own and closes that without reading the reply.
pub(super) async fn send_and_lose(
    address: SocketAddr,
    outgoing: &Outgoing<'_>,
    loss: Loss,
) -> std::io::Result<()> {
    use std::fmt::Write as _;
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut text = format!("{} {} HTTP/1.1\r\nhost: {address}\r\n", outgoing.method, outgoing.path);
    for (name, value) in outgoing.headers {
        let _ = write!(text, "{name}: {value}\r\n"); // A string takes every write.
    }
    let _ = write!(text, "content-length: {}\r\n\r\n", outgoing.body.len());
    let bytes = [text.as_bytes(), &outgoing.body].concat();
    stream.write_all(&bytes).await?;
    match loss {
        Loss::UnderWay => match timeout(REPLY_TIMEOUT, stream.readable()).await {
            Ok(readable) => readable,
            Err(_) => Ok(()), // As lost as any.
        },
        Loss::HangUp(after) => {
            sleep(after).await;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_problems_of_the_layer_and_of_the_warehouse_are_no_answer() {
        let json = HeaderValue::from_static("application/json");
        let typed = |name: &str| format!(r#"{{"type":"{name}","status":409}}"#);
        #[rustfmt::skip]
        let cases = [
            ("the key runs",              PROBLEM_JSON, typed("urn:onceward:problem:in-progress"), Some(Refusal::InProgress)),
            ("it is in doubt",            PROBLEM_JSON, typed("urn:onceward:problem:in-doubt"),    Some(Refusal::InDoubt)),
            ("another payload",           PROBLEM_JSON, typed("urn:onceward:problem:mismatch"),    Some(Refusal::Mismatch)),
            ("one not known here",        PROBLEM_JSON, typed("urn:onceward:problem:full"),        Some(Refusal::Unavailable)),
            ("the warehouse fails",       PROBLEM_JSON, typed(FAILED),                             Some(Refusal::Unavailable)),
            ("a carrier's own problem",   PROBLEM_JSON, typed("urn:carrier:bad-address"),          None),
            ("a problem without a type",  PROBLEM_JSON, "{}".to_owned(),                           None),
            ("an answer like a problem",  json,         typed("urn:onceward:problem:mismatch"),    None),
        ];
        for (why, content_type, body, want) in cases {
            let headers = [(CONTENT_TYPE, content_type)].into_iter().collect();
            assert_eq!(Refusal::of(&headers, body.as_bytes()), want, "{why}");
        }
    }
}
