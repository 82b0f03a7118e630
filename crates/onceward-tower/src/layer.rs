//! The layer and its settings.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderName;
use onceward_core::limits::CHECKPOINT_BYTES_MAX;
use onceward_http::{Audit, HttpPolicy, Scope};
use tokio::sync::Semaphore;
use tower_layer::Layer;

use crate::detached::Detached;
use crate::service::Idempotency;
use crate::stats::{Counters, LayerStats};

/// How long a begin is repeated while the store gives no answer, unless set. A client of this
/// project repeats its operations by itself before that.
pub const BEGIN_PATIENCE: Duration = Duration::from_secs(1);

/// Most bytes of a streamed body that are read for its digest alone, unless set: what the handler
/// leaves unread, or all of a retry. Over: 413 for a retry, in doubt after a handler.
pub const UNREAD_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Tasks that give keys back while the store does not answer, at once. Over: the lease decides.
const BACKGROUND_TASKS_MAX: usize = 1_024;

/// Guards services: one execution per key, its answer for every retry.
///
/// ```
/// use http::header::HeaderName;
/// use onceward_client::Client;
/// use onceward_tower::{Ambiguous, IdempotencyLayer};
///
/// let store = Client::open("mem://orders")?;
/// let layer = IdempotencyLayer::new(store)
///     .scope_header(HeaderName::from_static("x-account"))
///     .with_policy(|policy| policy.with_ambiguous(Ambiguous::InDoubt));
/// # let _ = layer;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Clones, and all services made by them, count together.
#[derive(Debug)]
pub struct IdempotencyLayer<B> {
    shared: Arc<Shared<B>>,
}

impl<B> Clone for IdempotencyLayer<B> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

/// A layer that lacks the one choice without a default: whose a key is (H2).
#[derive(Clone, Debug)]
#[must_use = "say whose keys they are"]
pub struct IdempotencyLayerBuilder<B> {
    backend: B,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) begin_patience: Duration,
    pub(crate) checkpoint_hint: usize,
    /// Whether bodies over the bound of buffering stream under fingerprint `later` (S9).
    pub(crate) streams: bool,
    pub(crate) unread_bytes_max: u64,
}

/// What all services of one layer share.
#[derive(Clone, Debug)]
pub(crate) struct Shared<B> {
    pub(crate) backend: B,
    pub(crate) policy: HttpPolicy,
    pub(crate) settings: Settings,
    pub(crate) counters: Arc<Counters>,
    pub(crate) background: Arc<Semaphore>,
    pub(crate) detached: Arc<Detached>,
}

impl<B> IdempotencyLayer<B> {
    /// Over a store. Say next whose keys they are: two tenants who choose the same key must not
    /// meet, so there is no default.
    #[expect(clippy::new_ret_no_self, reason = "a layer without a scope does not exist")]
    pub const fn new(backend: B) -> IdempotencyLayerBuilder<B> {
        IdempotencyLayerBuilder { backend }
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &HttpPolicy {
        &self.shared.policy
    }

    /// What the policy has found wrong with keys, and what it has counted.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        self.shared.policy.audit()
    }

    /// What has been counted.
    #[must_use]
    pub fn stats(&self) -> LayerStats {
        self.shared.counters.read()
    }

    /// Resolves once no guarded request runs without its caller and no key is being given back: for
    /// the end of a process, after its server has drained. What ends with the runtime instead leaves
    /// its key to the lease.
    pub async fn settled(&self) {
        self.shared.detached.ended().await;
    }
}

impl<B: Clone> IdempotencyLayer<B> {
    /// Changes the policy: preset, what is ambiguous, fingerprint, kept headers, lease, retention,
    /// wait, bounds, required methods, failing open.
    #[must_use]
    pub fn with_policy(self, change: impl FnOnce(HttpPolicy) -> HttpPolicy) -> Self {
        let shared = Arc::unwrap_or_clone(self.shared);
        let policy = change(shared.policy);
        Self { shared: Arc::new(Shared { policy, ..shared }) }
    }

    fn with_settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut Arc::make_mut(&mut self.shared).settings);
        self
    }

    /// How long a begin is repeated, under the same attempt id, while the store gives no answer;
    /// then 503, or failing open. [`BEGIN_PATIENCE`] unless set.
    #[must_use]
    pub fn with_begin_patience(self, patience: Duration) -> Self {
        self.with_settings(|settings| settings.begin_patience = patience)
    }

    /// Bytes to set aside for checkpoints (S19); none unless set. Over 64 KiB counts as 64 KiB.
    #[must_use]
    pub fn with_checkpoint_hint(self, bytes: usize) -> Self {
        self.with_settings(|settings| settings.checkpoint_hint = bytes.min(CHECKPOINT_BYTES_MAX))
    }

    /// Lets request bodies over the policy's bound stream to the handler instead of 413, with their
    /// digest computed on the way and bound once it is known (S9). Not for bodies that are compared
    /// as JSON.
    ///
    /// Until then a concurrent request with the same key is in progress, whatever it carries. A retry
    /// is read to its end before it is answered. Up to `unread_bytes_max` bytes are read for the
    /// digest alone; see [`UNREAD_BYTES_MAX`].
    #[must_use]
    pub fn with_streamed_bodies(self, unread_bytes_max: u64) -> Self {
        self.with_settings(|settings| {
            settings.streams = true;
            settings.unread_bytes_max = unread_bytes_max;
        })
    }
}

impl<B> IdempotencyLayerBuilder<B> {
    /// A scope of any kind.
    #[must_use]
    pub fn scope(self, scope: Scope) -> IdempotencyLayer<B> {
        self.policy(HttpPolicy::new(scope))
    }

    /// A request header that names the principal, set by a gateway that removes what callers send
    /// under that name; see [`Scope::header`].
    #[must_use]
    pub fn scope_header(self, name: HeaderName) -> IdempotencyLayer<B> {
        self.scope(Scope::header(name))
    }

    /// What an authentication layer outside of this one has left in the request's extensions; 401
    /// if it has not.
    #[must_use]
    pub fn scope_extension<T: Clone + Send + Sync + 'static>(
        self,
        scope: impl Fn(&T) -> Bytes + Send + Sync + 'static,
    ) -> IdempotencyLayer<B> {
        self.scope(Scope::extension(scope))
    }

    /// One scope for all callers. Right where there is one caller, or where keys hold the tenant.
    #[must_use]
    pub fn global(self) -> IdempotencyLayer<B> {
        self.scope(Scope::global())
    }

    /// A whole policy, which holds its scope.
    #[must_use]
    pub fn policy(self, policy: HttpPolicy) -> IdempotencyLayer<B> {
        let settings = Settings {
            begin_patience: BEGIN_PATIENCE,
            checkpoint_hint: 0,
            streams: false,
            unread_bytes_max: UNREAD_BYTES_MAX,
        };
        let background = Arc::new(Semaphore::new(BACKGROUND_TASKS_MAX));
        let (counters, detached) = Default::default();
        let backend = self.backend;
        let shared = Shared { backend, policy, settings, counters, background, detached };
        IdempotencyLayer { shared: Arc::new(shared) }
    }
}

impl<S, B> Layer<S> for IdempotencyLayer<B> {
    type Service = Idempotency<S, B>;

    fn layer(&self, inner: S) -> Self::Service {
        Idempotency::new(inner, Arc::clone(&self.shared))
    }
}
