//! An answer as it is stored, replayed and compared: status, headers and body.

use axum::http::{HeaderMap, HeaderName};
use bytes::Bytes;
use onceward_client::{BadInput, Body, ExecutionResult, Metadata, MetadataBuf, StoredResult};
use sha2::{Digest as _, Sha256};

/// Headers that belong to one connection or one reply, not to the answer. They are never stored
/// and never compared: HTTP frames every reply anew (H4).
const OF_THE_REPLY: [&str; 12] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    REPLAYED,
];

/// Says that the reply repeats an earlier one.
pub(super) const REPLAYED: &str = "idempotency-replayed";

/// An answer. Equal answers are equal to the byte.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct Document {
    pub(super) status: u16,
    /// Names in lower case, sorted; repeats of one name in their own order. HTTP gives no meaning
    /// to the order of different names, and header maps do not keep it.
    headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Bytes,
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { status, headers, body } = self; // S16: sizes only.
        write!(f, "Document({status}, {} headers, {} bytes)", headers.len(), body.len())
    }
}

impl Document {
    pub(super) fn new<N: AsRef<str>, V: AsRef<[u8]>>(
        status: u16,
        headers: impl IntoIterator<Item = (N, V)>,
        body: Bytes,
    ) -> Self {
        let headers = headers.into_iter();
        let mut headers: Vec<_> = headers
            .map(|(name, value)| (name.as_ref().to_ascii_lowercase(), value.as_ref().to_vec()))
            .filter(|(name, _)| !OF_THE_REPLY.contains(&name.as_str()))
            .collect();
        headers.sort_by(|(one, _), (other, _)| one.cmp(other)); // Stable: repeats keep their order.
        Self { status, headers, body }
    }

    pub(super) fn json(status: u16, body: Vec<u8>) -> Self {
        Self::new(status, [("content-type", "application/json")], body.into())
    }

    pub(super) fn from_reply(status: u16, headers: &HeaderMap, body: Bytes) -> Self {
        let headers = headers.iter().map(|(name, value): (&HeaderName, _)| (name.as_str(), value));
        Self::new(status, headers, body)
    }

    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// What Onceward stores.
    ///
    /// # Errors
    /// More headers than a result may have (S20).
    pub(super) fn to_result(&self) -> Result<ExecutionResult, BadInput> {
        let mut metadata = MetadataBuf::new();
        for (name, value) in self.headers() {
            metadata.push(name, value)?;
        }
        Ok(ExecutionResult::new(self.status, self.body.clone()).with_metadata(metadata))
    }

    /// What Onceward replays. A body that is not kept is an empty one, which comparing will show.
    pub(super) fn from_result(result: &StoredResult<Bytes>) -> Self {
        let metadata = Metadata::decode(&result.metadata).unwrap_or(Metadata::EMPTY);
        let headers = metadata.pairs();
        let headers = headers.filter_map(|(name, value)| Some((str::from_utf8(name).ok()?, value)));
        let body = match &result.body {
            Body::Kept(body) => body.clone(),
            Body::NotKept(_) => Bytes::new(),
        };
        Self::new(result.status, headers, body)
    }

    /// 128 bits of SHA-256 over everything, to compare answers that different processes saw.
    pub(super) fn digest(&self) -> u128 {
        let mut hasher = Sha256::new();
        hasher.update(self.status.to_le_bytes());
        for (name, value) in self.headers() {
            for part in [name.as_bytes(), value] {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        hasher.update([0xff; 8]); // No length of a header: the body starts here.
        hasher.update(&self.body);
        let digest: [u8; 32] = hasher.finalize().into();
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        u128::from_le_bytes(half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(status: u16, headers: &[(&str, &str)], body: &'static str) -> Document {
        Document::new(status, headers.iter().copied(), Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn an_answer_survives_storing_to_the_byte() {
        let headers = [("X-Proxied", "b"), ("x-proxied", "a"), ("Etag", "\"1\"")];
        let answer = document(201, &headers, "{}");
        let stored = answer.to_result().unwrap();
        let replayed = Document::from_result(&stored.into());
        assert_eq!(replayed, answer);
        assert_eq!(replayed.digest(), answer.digest());
    }

    #[test]
    fn any_difference_shows_and_framing_is_none() {
        let answer = document(201, &[("link", "a"), ("link", "b")], "{}");
        #[rustfmt::skip]
        let cases = [
            ("the same",                  document(201, &[("Link", "a"), ("link", "b")], "{}"), true),
            ("framed otherwise",          document(201, &[("Content-Length", "9"), ("link", "a"), ("link", "b"), ("date", "x"), ("transfer-encoding", "chunked")], "{}"), true),
            ("another status",            document(200, &[("link", "a"), ("link", "b")], "{}"), false),
            ("repeats in another order",  document(201, &[("link", "b"), ("link", "a")], "{}"), false),
            ("a header less",             document(201, &[("link", "a")], "{}"), false),
            ("another body",              document(201, &[("link", "a"), ("link", "b")], "{} "), false),
        ];
        for (why, other, same) in cases {
            assert_eq!(other == answer, same, "{why}");
            assert_eq!(other.digest() == answer.digest(), same, "{why}");
        }
    }
}
