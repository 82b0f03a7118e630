//! What was asked: a digest over method, path, query, chosen headers and body (H2).

use std::borrow::Cow;
use std::fmt;

use http::header::{CONTENT_TYPE, HeaderName};
use http::request;
use onceward_core::{Digest, Fingerprint};
use onceward_keys::{JsonDocument, JsonFingerprintError, PartsHasher, PayloadHasher};

/// Most JSON fields that a fingerprint chooses.
const FIELDS_MAX: usize = 64;

/// How a body counts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum FingerprintForm {
    /// Byte by byte: a retry sends what was sent first.
    #[default]
    Raw,
    /// By the canonical form of its JSON (RFC 8785): order of members, white space and the spelling
    /// of numbers do not count. A body that does not call itself JSON, or has no bytes, is raw.
    CanonicalJson,
    /// By chosen fields of its JSON alone; made by [`FingerprintPolicy::json_fields`].
    JsonFields(JsonFields),
}

/// JSON Pointers (RFC 6901) to the fields that count.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JsonFields(
    /// Invariant: 1 to 64 pointers, in order, each once.
    Vec<Box<str>>,
);

/// What of a request makes it the same request. Method, path and query always do; the query's
/// pairs in order of their names, so that a client may build it from a map.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FingerprintPolicy {
    form: FingerprintForm,
    /// In order, each once.
    headers: Vec<HeaderName>,
}

impl FingerprintPolicy {
    /// The body byte by byte, no header.
    #[must_use]
    pub fn raw() -> Self {
        Self::default()
    }

    /// The body by its canonical JSON.
    #[must_use]
    pub fn canonical_json() -> Self {
        Self { form: FingerprintForm::CanonicalJson, ..Self::default() }
    }

    /// Of a JSON body only the values at these JSON Pointers, such as `/cart` or `/items/0/sku`.
    /// What is absent is other than what is `null`. A body that does not call itself JSON, or has no
    /// bytes, is raw.
    ///
    /// # Errors
    /// [`PointerError`]: the program's own fault.
    pub fn json_fields(
        pointers: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, PointerError> {
        let mut chosen = Vec::new();
        for (at, pointer) in pointers.into_iter().enumerate() {
            let pointer = pointer.into();
            if !is_pointer(&pointer) {
                return Err(PointerError::Syntax { at: at + 1 });
            }
            chosen.push(pointer.into_boxed_str());
        }
        chosen.sort_unstable();
        chosen.dedup();
        match chosen.len() {
            1..=FIELDS_MAX => {
                let form = FingerprintForm::JsonFields(JsonFields(chosen));
                Ok(Self { form, ..Self::default() })
            }
            got => Err(PointerError::Count { got }),
        }
    }

    /// Lets a header's values count as well, such as an API version. One that a proxy adds or
    /// changes between tries makes each retry another request.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName) -> Self {
        if let Err(place) = self.headers.binary_search_by(|held| held.as_str().cmp(name.as_str())) {
            self.headers.insert(place, name);
        }
        self
    }

    /// How the body counts.
    #[must_use]
    pub const fn form(&self) -> &FingerprintForm {
        &self.form
    }

    /// The fingerprint of a request whose body is here.
    ///
    /// # Errors
    /// [`JsonFingerprintError`] of a body that calls itself JSON and cannot be compared as such.
    pub fn of(
        &self,
        parts: &request::Parts,
        body: &[u8],
    ) -> Result<Fingerprint, JsonFingerprintError> {
        if !self.reads_json(parts, body.is_empty()) {
            let mut streamed = StreamedFingerprint::new(self, parts);
            streamed.update(body);
            return Ok(streamed.finish().into());
        }
        let document = JsonDocument::parse(body)?;
        let mut hasher = self.start(parts);
        match &self.form {
            FingerprintForm::JsonFields(JsonFields(pointers)) => {
                hasher.part(b"fields");
                for pointer in pointers {
                    if let Some(value) = document.canonical_at(pointer) {
                        hasher.part(pointer.as_bytes());
                        hasher.part(&value);
                    }
                }
            }
            FingerprintForm::CanonicalJson | FingerprintForm::Raw => {
                hasher.part(b"json");
                hasher.part(&document.canonical());
            }
        }
        Ok(digest(&hasher.finish()).into())
    }

    /// Begins the fingerprint of a request whose body streams (S9); `None` where the form must see
    /// all of it at once. It is the same as [`FingerprintPolicy::of`] gives for that body.
    #[must_use]
    pub fn streamed(&self, parts: &request::Parts) -> Option<StreamedFingerprint> {
        let readable = self.reads_json(parts, false);
        (!readable).then(|| StreamedFingerprint::new(self, parts))
    }

    fn reads_json(&self, parts: &request::Parts, is_empty: bool) -> bool {
        self.form != FingerprintForm::Raw && !is_empty && is_json(parts)
    }

    /// All but the body.
    fn start(&self, parts: &request::Parts) -> PartsHasher {
        let mut hasher = PartsHasher::new("onceward http fingerprint v1");
        hasher.part(parts.method.as_str().as_bytes());
        hasher.part(parts.uri.path().as_bytes());
        hasher.part(sorted(parts.uri.query().unwrap_or_default()).as_bytes());
        for name in &self.headers {
            for value in parts.headers.get_all(name) {
                hasher.part(name.as_str().as_bytes());
                hasher.part(value.as_bytes());
            }
        }
        hasher
    }
}

/// A fingerprint in the making while its body streams.
pub struct StreamedFingerprint {
    head: PartsHasher,
    body: PayloadHasher,
}

impl StreamedFingerprint {
    fn new(policy: &FingerprintPolicy, parts: &request::Parts) -> Self {
        Self { head: policy.start(parts), body: PayloadHasher::new() }
    }

    /// Adds the next bytes of the body.
    pub fn update(&mut self, bytes: &[u8]) {
        self.body.update(bytes);
    }

    /// The digest of all.
    #[must_use]
    pub fn finish(self) -> Digest {
        let Self { mut head, body } = self;
        head.part(b"raw");
        // By its digest, so that its length need not be known before its first byte.
        head.part(&body.finish());
        digest(&head.finish())
    }
}

impl fmt::Debug for StreamedFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamedFingerprint(…)")
    }
}

fn digest(hash: &[u8; 32]) -> Digest {
    Digest::new(hash).expect("SHA-256 has 32 bytes")
}

/// A query with its pairs in order of their names; pairs of one name keep theirs, for it may mean
/// something. Percent-encoding is not undone: two spellings are two requests.
fn sorted(query: &str) -> Cow<'_, str> {
    if !query.contains('&') {
        return Cow::Borrowed(query);
    }
    let mut pairs: Vec<_> = query.split('&').collect();
    pairs.sort_by_key(|pair| pair.split('=').next());
    Cow::Owned(pairs.join("&"))
}

/// Whether a request says that its body is JSON.
fn is_json(parts: &request::Parts) -> bool {
    let value = parts.headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    let media_type = value.unwrap_or_default().split(|byte| *byte == b';').next();
    let media_type = media_type.unwrap_or_default().trim_ascii().to_ascii_lowercase();
    media_type == b"application/json" || media_type.ends_with(b"+json")
}

/// Whether the text is a JSON Pointer (RFC 6901).
fn is_pointer(text: &str) -> bool {
    let escapes = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    (text.is_empty() || text.starts_with('/')) && escapes
}

/// What is wrong with the fields a fingerprint chooses.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PointerError {
    /// There are none, or more than 64.
    Count {
        /// As many as there are.
        got: usize,
    },
    /// One is no JSON Pointer.
    Syntax {
        /// Which, counted from 1.
        at: usize,
    },
}

impl fmt::Display for PointerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { got } => {
                write!(f, "{got} JSON fields are chosen: choose 1 to {FIELDS_MAX}")
            }
            Self::Syntax { at } => write!(
                f,
                "JSON field {at} is no JSON Pointer: start it with `/`, and write `~` as `~0` and `/` in a name as `~1`"
            ),
        }
    }
}

impl std::error::Error for PointerError {}
