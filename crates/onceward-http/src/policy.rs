//! All settings of one service, and what they make of a request's head (H1, H2, H8).

use std::sync::Arc;

use http::header::HeaderValue;
use http::{Method, request};
use onceward_core::{
    AttemptId, BadInput, Begin, Fingerprint, Limits, Millis, Policy, ScopedKey, ScopedKeyBuf,
};

use crate::audit::Audit;
use crate::fingerprint::FingerprintPolicy;
use crate::key::key_of;
use crate::preset::{Ambiguous, Disposition, Ending, EndingKind, Preset, disposition};
use crate::problem::{Problem, ProblemTypes};
use crate::response::{HeaderPolicy, KeptHead};
use crate::scope::Scope;

/// Largest request body that is buffered, unless set: 1 MiB. Over: 413.
pub const REQUEST_BODY_BYTES_MAX: usize = 1024 * 1024;
/// Largest answer that is buffered and kept, unless set: 1 MiB, what a store keeps unless set.
/// Over: the request is completed without its body (S12).
pub const RESULT_BODY_BYTES_MAX: usize = 1024 * 1024;
/// Longest `Retry-After` of a request in progress, unless set: its lease may be far longer than it.
pub const RETRY_AFTER_MAX: Millis = Millis::from_secs(5);
/// `Retry-After` of a store that is out of reach, unless set.
pub const UNAVAILABLE_RETRY_AFTER: Millis = Millis::from_secs(1);

/// What a request's head asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub enum Admission {
    /// Not guarded: pass it on untouched.
    Bypass,
    /// Answer this, and run nothing.
    Reject(Problem),
    /// Guarded under this scope and key.
    Guard(ScopedKeyBuf),
}

/// The settings of one service. Made from the one choice that has no default, the scope.
///
/// ```
/// use http::{Request, header::HeaderName};
/// use onceward_http::{Admission, Ambiguous, HttpPolicy, Scope};
///
/// let policy = HttpPolicy::new(Scope::header(HeaderName::from_static("x-account")))
///     .with_ambiguous(Ambiguous::InDoubt);
/// let (parts, ()) = Request::post("/orders")
///     .header("x-account", "7")
///     .header("idempotency-key", "8f14e45f-ea8a-4b7e-9d0b-6a3c5f0a9d11")
///     .body(())?
///     .into_parts();
/// assert!(matches!(policy.admit(&parts), Admission::Guard(_)));
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct HttpPolicy {
    scope: Scope,
    required: Vec<Method>,
    preset: Preset,
    /// `None`: the preset's own.
    ambiguous: Option<Ambiguous>,
    headers: HeaderPolicy,
    fingerprint: FingerprintPolicy,
    types: ProblemTypes,
    challenge: Option<HeaderValue>,
    request_body_bytes_max: usize,
    result_body_bytes_max: usize,
    lease: Millis,
    retention: Millis,
    wait: Millis,
    /// `None`: what the preset needs.
    begin_policy: Option<Policy>,
    retry_after_max: Millis,
    unavailable_retry_after: Millis,
    fails_open: bool,
    audit: Arc<Audit>,
}

impl HttpPolicy {
    /// The defaults: POST and PATCH require a key, preset `default`, the body counts byte by byte,
    /// bodies up to 1 MiB, lease 30 s, retention 24 h, no wait, fail closed.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        Self {
            scope,
            required: vec![Method::POST, Method::PATCH],
            preset: Preset::Default,
            ambiguous: None,
            headers: HeaderPolicy::new(),
            fingerprint: FingerprintPolicy::raw(),
            types: ProblemTypes::default(),
            challenge: None,
            request_body_bytes_max: REQUEST_BODY_BYTES_MAX,
            result_body_bytes_max: RESULT_BODY_BYTES_MAX,
            lease: Begin::LEASE_DEFAULT,
            retention: Begin::RETENTION_DEFAULT,
            wait: Millis::ZERO,
            begin_policy: None,
            retry_after_max: RETRY_AFTER_MAX,
            unavailable_retry_after: UNAVAILABLE_RETRY_AFTER,
            fails_open: false,
            audit: Arc::new(Audit::new()),
        }
    }

    /// Methods that require a key. Others are guarded if they carry one. GET, HEAD, OPTIONS, TRACE
    /// and CONNECT pass in any case (H8).
    #[must_use]
    pub fn with_required_methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.required = methods.into_iter().collect();
        self
    }

    /// What of an answer is kept, by its status.
    #[must_use]
    pub const fn with_preset(mut self, preset: Preset) -> Self {
        self.preset = preset;
        self
    }

    /// What to do where nobody knows whether the side effect happened. Unless set, it is the
    /// preset's own. Set [`Ambiguous::InDoubt`] where the namespace is durable at `always`.
    #[must_use]
    pub const fn with_ambiguous(mut self, ambiguous: Ambiguous) -> Self {
        self.ambiguous = Some(ambiguous);
        self
    }

    /// Which headers of an answer are kept.
    #[must_use]
    pub fn with_headers(mut self, headers: HeaderPolicy) -> Self {
        self.headers = headers;
        self
    }

    /// What makes two requests the same request.
    #[must_use]
    pub fn with_fingerprint(mut self, fingerprint: FingerprintPolicy) -> Self {
        self.fingerprint = fingerprint;
        self
    }

    /// What types of problems start with.
    #[must_use]
    pub fn with_problem_types(mut self, types: ProblemTypes) -> Self {
        self.types = types;
        self
    }

    /// The `WWW-Authenticate` of a 401, which RFC 9110 asks for; none unless set, for only the
    /// service knows its scheme.
    #[must_use]
    pub fn with_challenge(mut self, challenge: HeaderValue) -> Self {
        self.challenge = Some(challenge);
        self
    }

    /// Largest request body that is buffered.
    #[must_use]
    pub const fn with_request_body_bytes_max(mut self, bytes: usize) -> Self {
        self.request_body_bytes_max = bytes;
        self
    }

    /// Largest answer that is buffered and kept. More than the store keeps is not kept there.
    #[must_use]
    pub const fn with_result_body_bytes_max(mut self, bytes: usize) -> Self {
        self.result_body_bytes_max = bytes;
        self
    }

    /// How long a handler may be silent before its key is taken over or in doubt. The service
    /// renews it while the handler lives.
    #[must_use]
    pub const fn with_lease(mut self, lease: Millis) -> Self {
        self.lease = lease;
        self
    }

    /// How long a key is remembered.
    #[must_use]
    pub const fn with_retention(mut self, retention: Millis) -> Self {
        self.retention = retention;
        self
    }

    /// How long a retry waits for a request in progress before it is answered 409 (S10).
    #[must_use]
    pub const fn with_wait(mut self, wait: Millis) -> Self {
        self.wait = wait;
        self
    }

    /// What the end of a lease means (S8): the process died, or lost the store, while the handler
    /// ran. Unless set it follows what is ambiguous: in doubt if that is, else takeover. Under
    /// preset `at-most-once` it is in doubt whatever is set.
    #[must_use]
    pub const fn with_begin_policy(mut self, policy: Policy) -> Self {
        self.begin_policy = Some(policy);
        self
    }

    /// Longest `Retry-After` of a request in progress.
    #[must_use]
    pub const fn with_retry_after_max(mut self, wait: Millis) -> Self {
        self.retry_after_max = wait;
        self
    }

    /// `Retry-After` of a store that is out of reach.
    #[must_use]
    pub const fn with_unavailable_retry_after(mut self, wait: Millis) -> Self {
        self.unavailable_retry_after = wait;
        self
    }

    /// Runs requests unguarded while the store is out of reach or full, instead of 503: a retry may
    /// then run twice. Counted, see [`Audit::counts`].
    #[must_use]
    pub const fn failing_open(mut self) -> Self {
        self.fails_open = true;
        self
    }

    /// Whether a store takes what its begins ask for, by its default limits: for a service's start.
    ///
    /// # Errors
    /// The setting that breaks its limit.
    pub fn check(&self) -> Result<(), BadInput> {
        let begin = self.begin(Fingerprint::None, AttemptId::from_bytes([0; 16]));
        begin.check(&Limits::DEFAULT)
    }

    /// What a request's head asks for. Counts in the [`Audit`].
    pub fn admit(&self, parts: &request::Parts) -> Admission {
        if is_never_guarded(&parts.method) {
            return Admission::Bypass;
        }
        let key = match key_of(&parts.headers) {
            Ok(Some(key)) => key,
            Ok(None) => {
                let required = self.required.contains(&parts.method);
                self.audit.missing(&parts.method, required);
                return match required {
                    true => Admission::Reject(Problem::KeyMissing),
                    false => Admission::Bypass,
                };
            }
            Err(error) => {
                self.audit.malformed(&parts.method);
                return Admission::Reject(error.into());
            }
        };
        let scope = match self.scope.scope_of(parts) {
            Ok(scope) => scope,
            Err(problem) => return Admission::Reject(problem),
        };
        let scoped_key =
            ScopedKey::new(&scope, key.as_bytes()).expect("key and scope have their bounds by now");
        self.audit.seen(&parts.method, scoped_key);
        Admission::Guard(scoped_key.to_owned())
    }

    /// The begin of an admitted request.
    #[must_use]
    pub fn begin(&self, fingerprint: Fingerprint, attempt_id: AttemptId) -> Begin {
        Begin {
            lease: self.lease,
            retention: self.retention,
            policy: self.begin_policy(),
            wait: self.wait,
            ..Begin::new(fingerprint, attempt_id)
        }
    }

    /// What becomes of the key after such an ending. What is ambiguous and released is counted.
    #[must_use]
    pub fn disposition(&self, ending: &Ending) -> Disposition {
        let chosen = disposition(self.preset, self.ambiguous(), ending);
        let released = chosen == Disposition::NotDone && EndingKind::of(ending).is_ambiguous();
        if released {
            self.audit.released();
        }
        chosen
    }

    /// What is kept of an answer's head. Headers that are cut are counted.
    #[must_use]
    pub fn keep(&self, head: &http::response::Parts) -> KeptHead {
        let kept = self.headers.keep(head.status, &head.headers);
        self.audit.headers_cut(kept.pairs_cut());
        kept
    }

    /// What is done about the ambiguous.
    #[must_use]
    pub fn ambiguous(&self) -> Ambiguous {
        self.ambiguous.unwrap_or(self.preset.ambiguous_default())
    }

    /// What the end of a lease means.
    #[must_use]
    pub fn begin_policy(&self) -> Policy {
        match (self.preset, self.begin_policy, self.ambiguous()) {
            (Preset::AtMostOnce, _, _) => Policy::InDoubt,
            (_, Some(policy), _) => policy,
            (_, None, Ambiguous::InDoubt) => Policy::InDoubt,
            (_, None, Ambiguous::Keep | Ambiguous::Release) => Policy::Takeover,
        }
    }

    /// The preset.
    #[must_use]
    pub const fn preset(&self) -> Preset {
        self.preset
    }

    /// What makes two requests the same request.
    #[must_use]
    pub const fn fingerprint(&self) -> &FingerprintPolicy {
        &self.fingerprint
    }

    /// Which headers of an answer are kept.
    #[must_use]
    pub const fn headers(&self) -> &HeaderPolicy {
        &self.headers
    }

    /// What types of problems start with.
    #[must_use]
    pub const fn types(&self) -> &ProblemTypes {
        &self.types
    }

    /// The `WWW-Authenticate` of a 401.
    #[must_use]
    pub const fn challenge(&self) -> Option<&HeaderValue> {
        self.challenge.as_ref()
    }

    /// Largest request body that is buffered.
    #[must_use]
    pub const fn request_body_bytes_max(&self) -> usize {
        self.request_body_bytes_max
    }

    /// Largest answer that is buffered and kept.
    #[must_use]
    pub const fn result_body_bytes_max(&self) -> usize {
        self.result_body_bytes_max
    }

    /// How long a handler may be silent.
    #[must_use]
    pub const fn lease(&self) -> Millis {
        self.lease
    }

    /// How long a key is remembered.
    #[must_use]
    pub const fn retention(&self) -> Millis {
        self.retention
    }

    /// How long a retry waits for a request in progress.
    #[must_use]
    pub const fn wait(&self) -> Millis {
        self.wait
    }

    /// Longest `Retry-After` of a request in progress.
    #[must_use]
    pub const fn retry_after_max(&self) -> Millis {
        self.retry_after_max
    }

    /// `Retry-After` of a store that is out of reach.
    #[must_use]
    pub const fn unavailable_retry_after(&self) -> Millis {
        self.unavailable_retry_after
    }

    /// Whether requests run unguarded while the store is out of reach.
    #[must_use]
    pub const fn fails_open(&self) -> bool {
        self.fails_open
    }

    /// What has been counted. Clones of a policy count together.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.audit
    }
}

/// Safe methods, and CONNECT, which opens a tunnel.
fn is_never_guarded(method: &Method) -> bool {
    method.is_safe() || *method == Method::CONNECT
}
