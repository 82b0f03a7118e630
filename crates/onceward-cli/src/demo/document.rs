//! An answer as it is given, replayed and compared: status, headers and body.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;
use onceward_http::{HeaderPolicy, KEPT, KeptHead};
use sha2::{Digest as _, Sha256};

/// Headers that belong to one connection or one reply, not to the answer: HTTP frames every reply
/// anew.
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
    "idempotency-replayed",
];

/// An answer. Equal answers have the same status, the same body to the byte, and the same headers of
/// those that a replay has (H4).
#[derive(Clone)]
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

    /// The headers that a replay has.
    fn kept(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers().filter(|(name, _)| KEPT.iter().any(|kept| kept == name))
    }

    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// What the layer keeps of it, for whoever stores it in its place.
    ///
    /// # Errors
    /// A status or a header that HTTP does not know, or more headers than a store keeps (S20).
    pub(super) fn kept_head(&self) -> Result<KeptHead, String> {
        let status = StatusCode::from_u16(self.status).map_err(|error| error.to_string())?;
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers() {
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
            let value = HeaderValue::from_bytes(value).map_err(|error| error.to_string())?;
            headers.append(name, value);
        }
        let head = HeaderPolicy::new().keep(status, &headers);
        match head.pairs_cut() {
            0 => Ok(head),
            cut => Err(format!("{cut} headers more than are kept")),
        }
    }

    /// 128 bits of SHA-256 over everything, to compare answers that different processes saw.
    pub(super) fn digest(&self) -> u128 {
        let mut hasher = Sha256::new();
        hasher.update(self.status.to_le_bytes());
        for (name, value) in self.kept() {
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

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.status == other.status && self.body == other.body && self.kept().eq(other.kept())
    }
}

impl Eq for Document {}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(status: u16, headers: &[(&str, &str)], body: &'static str) -> Document {
        Document::new(status, headers.iter().copied(), Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn what_the_layer_keeps_makes_an_equal_answer() {
        let headers = [("X-Proxied", "b"), ("Link", "b"), ("Etag", "\"1\""), ("link", "a")];
        let answer = document(201, &headers, "{}");
        let head = answer.kept_head().unwrap();
        let result = head.result(Some(&answer.body));
        let kept = onceward_client::Metadata::decode(result.metadata).unwrap();
        let kept = kept.pairs().map(|(name, value)| (str::from_utf8(name).unwrap(), value));
        let replayed = Document::new(result.status, kept, answer.body.clone());
        assert_eq!(replayed.headers().count(), 3);
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
            ("a header that no replay has",document(201, &[("link", "a"), ("link", "b"), ("x-node", "7")], "{}"), true),
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
