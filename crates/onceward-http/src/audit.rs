//! The key audit: who sends no keys, weak ones, or one key for two requests. Counts, and a bounded
//! number of findings and of events; a key appears as a short hash only (S16).

mod entropy;

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use http::Method;
use onceward_core::ScopedKey;
use onceward_keys::ShortHash;

pub use entropy::entropy_bits;

/// Findings that are held for [`Audit::recent`]; over: the oldest is dropped.
pub const FINDINGS_MAX: usize = 128;
/// A key that looks as if it had fewer random bits than this is counted as weak. Two strangers
/// seldom draw the same 64 bits; a counter or a date they do.
pub const ENTROPY_BITS_MIN: u32 = 64;

/// What is wrong with a request's key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum FindingKind {
    /// No key where one is required.
    MissingRequired,
    /// No key on a method that changes something, where none is required.
    MissingOptional,
    /// A header, and no key in it.
    Malformed,
    /// A key with fewer than [`ENTROPY_BITS_MIN`] bits, by the look of it.
    LowEntropy,
    /// A key that stands for another request.
    OtherPayload,
}

impl FindingKind {
    /// The word used in logs and figures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MissingRequired => "missing_required",
            Self::MissingOptional => "missing_optional",
            Self::Malformed => "malformed",
            Self::LowEntropy => "low_entropy",
            Self::OtherPayload => "other_payload",
        }
    }
}

/// One finding. Findings that are alike are held once, with how often they were made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// Of which method; `None` where the finding is about the key alone.
    pub method: Option<Method>,
    /// The key's short hash, as logs have it; `None` where there is no key.
    pub key_hash: Option<String>,
    /// How often, since it is held.
    pub times: u64,
}

/// How often each happened, since the policy was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct AuditCounts {
    /// Requests with a key.
    pub keys: u64,
    /// As [`FindingKind::MissingRequired`].
    pub missing_required: u64,
    /// As [`FindingKind::MissingOptional`].
    pub missing_optional: u64,
    /// As [`FindingKind::Malformed`].
    pub malformed: u64,
    /// As [`FindingKind::LowEntropy`].
    pub low_entropy: u64,
    /// As [`FindingKind::OtherPayload`].
    pub other_payload: u64,
    /// Requests that ran unguarded because the policy fails open.
    pub failed_open: u64,
    /// Ambiguous endings whose key was released.
    pub released: u64,
    /// Headers that were allowed and did not fit.
    pub headers_cut: u64,
}

/// What a policy has seen. The 1st, 2nd, 4th, 8th … finding of each kind is an event of `tracing`
/// at level `warn`, so that no caller fills the log; the latest are in [`Audit::recent`].
#[derive(Default)]
pub struct Audit {
    keys: AtomicU64,
    missing_required: AtomicU64,
    missing_optional: AtomicU64,
    malformed: AtomicU64,
    low_entropy: AtomicU64,
    other_payload: AtomicU64,
    failed_open: AtomicU64,
    released: AtomicU64,
    headers_cut: AtomicU64,
    findings: Mutex<VecDeque<Finding>>,
}

// Relaxed throughout: a figure says how often, not what came first.
fn count(figure: &AtomicU64, times: u64) {
    figure.fetch_add(times, Ordering::Relaxed);
}

impl Audit {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A request that changes something carries no key.
    pub(crate) fn missing(&self, method: &Method, required: bool) {
        let kind = match required {
            true => FindingKind::MissingRequired,
            false => FindingKind::MissingOptional,
        };
        self.find(kind, Some(method), None);
    }

    pub(crate) fn malformed(&self, method: &Method) {
        self.find(FindingKind::Malformed, Some(method), None);
    }

    pub(crate) fn seen(&self, method: &Method, key: ScopedKey<'_>) {
        count(&self.keys, 1);
        if entropy::is_weak(key.key(), ENTROPY_BITS_MIN) {
            self.find(FindingKind::LowEntropy, Some(method), Some(key));
        }
    }

    /// The store answered that the key stands for another request.
    pub(crate) fn mismatch(&self, key: ScopedKey<'_>) {
        self.find(FindingKind::OtherPayload, None, Some(key));
    }

    pub(crate) fn failed_open(&self) {
        count(&self.failed_open, 1);
    }

    pub(crate) fn released(&self) {
        count(&self.released, 1);
    }

    pub(crate) fn headers_cut(&self, pairs: usize) {
        if pairs > 0 {
            count(&self.headers_cut, pairs as u64);
        }
    }

    /// How often each happened.
    #[must_use]
    pub fn counts(&self) -> AuditCounts {
        let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        AuditCounts {
            keys: read(&self.keys),
            missing_required: read(&self.missing_required),
            missing_optional: read(&self.missing_optional),
            malformed: read(&self.malformed),
            low_entropy: read(&self.low_entropy),
            other_payload: read(&self.other_payload),
            failed_open: read(&self.failed_open),
            released: read(&self.released),
            headers_cut: read(&self.headers_cut),
        }
    }

    /// The latest findings, at most 128, the last one made last. Of findings that are made at one
    /// moment some may be counted and not held.
    #[must_use]
    pub fn recent(&self) -> Vec<Finding> {
        self.held().iter().cloned().collect()
    }

    fn find(&self, kind: FindingKind, method: Option<&Method>, key: Option<ScopedKey<'_>>) {
        let found = self.figure(kind).fetch_add(1, Ordering::Relaxed) + 1;
        let is_logged = found.is_power_of_two();
        // A request does not wait to be remembered, but what is logged is held as well.
        let held = match self.findings.try_lock() {
            Ok(held) => Some(held),
            Err(TryLockError::Poisoned(held)) => Some(held.into_inner()),
            Err(TryLockError::WouldBlock) => is_logged.then(|| self.held()),
        };
        let Some(held) = held else { return };
        let key_hash = key.map(|key| ShortHash(key).to_string());
        if is_logged {
            let method = method.map_or("", Method::as_str);
            let key = key_hash.as_deref().unwrap_or_default();
            tracing::warn!(finding = kind.name(), method, key, found, "key audit");
        }
        hold(held, Finding { kind, method: method.cloned(), key_hash, times: 1 });
    }

    const fn figure(&self, kind: FindingKind) -> &AtomicU64 {
        match kind {
            FindingKind::MissingRequired => &self.missing_required,
            FindingKind::MissingOptional => &self.missing_optional,
            FindingKind::Malformed => &self.malformed,
            FindingKind::LowEntropy => &self.low_entropy,
            FindingKind::OtherPayload => &self.other_payload,
        }
    }

    fn held(&self) -> MutexGuard<'_, VecDeque<Finding>> {
        // No panic happens under the lock, and a list of findings is never half made.
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts a finding last, with the times that it is held already.
fn hold(mut held: MutexGuard<'_, VecDeque<Finding>>, mut finding: Finding) {
    let alike = |held: &Finding| {
        (held.kind, &held.method, &held.key_hash)
            == (finding.kind, &finding.method, &finding.key_hash)
    };
    if let Some(earlier) = held.iter().position(alike).and_then(|at| held.remove(at)) {
        finding.times += earlier.times;
    }
    if held.len() == FINDINGS_MAX {
        held.pop_front();
    }
    held.push_back(finding);
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Audit({:?})", self.counts())
    }
}
