//! What a client counts: once, for [`ClientStats`] and for the `metrics` facade alike.
//!
//! One table names each figure; adding to it is the only way to count. Relaxed atomics: a figure
//! says how often, not what came first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "metrics")]
use tokio::time::Instant;

/// How a figure moves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Only up.
    Counter,
    /// Up and down.
    Gauge,
}

/// A figure's name in the `metrics` facade.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(any(test, feature = "metrics")),
    expect(dead_code, reason = "only the facade reads names")
)]
pub(crate) struct Metric {
    pub(crate) kind: Kind,
    pub(crate) name: &'static str,
    /// Beside `namespace`.
    pub(crate) label: Option<(&'static str, &'static str)>,
}

macro_rules! figures {
    ($(
        $(#[doc = $doc:literal])+
        $figure:ident $field:ident: $kind:ident $name:literal $($label:literal = $value:literal)?;
    )+) => {
        /// What one client, with its clones, has done since it was made; read at one moment, each
        /// figure by itself. The store's own figures are `Client::store_stats`.
        ///
        /// Each is also a metric, where the feature `metrics` is on: the table is in
        /// `docs/observability.md`.
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        #[non_exhaustive]
        pub struct ClientStats {$(
            $(#[doc = $doc])+
            pub $field: u64,
        )+}

        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(crate) enum Figure {$($figure),+}

        impl Figure {
            const ALL: &[Self] = &[$(Self::$figure),+];

            pub(crate) const fn metric(self) -> Metric {
                match self {$(
                    Self::$figure => Metric {
                        kind: Kind::$kind,
                        name: $name,
                        label: figures!(@label $($label $value)?),
                    },
                )+}
            }
        }

        impl Figures {
            pub(crate) fn stats(&self) -> ClientStats {
                ClientStats {$($field: self.count(Figure::$figure)),+}
            }
        }
    };
    (@label $label:literal $value:literal) => { Some(($label, $value)) };
    (@label) => { None };
}

figures! {
    /// Executions that have not ended: asking, running, storing, or following another call.
    ExecutionsRunning executions_running: Gauge "onceward_client_executions_running";
    /// Executions whose work ran here and whose result is stored.
    Ran ran: Counter "onceward_client_executions_total" "outcome" = "ran";
    /// Executions that got a stored result.
    Replayed replayed: Counter "onceward_client_executions_total" "outcome" = "replayed";
    /// Executions that another owner's lease kept from running.
    InProgress in_progress: Counter "onceward_client_executions_total" "outcome" = "in_progress";
    /// Executions of a key that is bound to another payload.
    Mismatch mismatch: Counter "onceward_client_executions_total" "outcome" = "mismatch";
    /// Executions that have to digest their payload first.
    NeedFingerprint need_fingerprint: Counter "onceward_client_executions_total" "outcome" = "need_fingerprint";
    /// Executions of a key that is in doubt.
    InDoubt in_doubt: Counter "onceward_client_executions_total" "outcome" = "in_doubt";
    /// Executions that the store had no room or no quota for.
    Refused refused: Counter "onceward_client_executions_total" "outcome" = "refused";
    /// Executions of a tombstone.
    Expired expired: Counter "onceward_client_executions_total" "outcome" = "expired";
    /// Executions whose work gave an error.
    WorkErrors work_errors: Counter "onceward_client_executions_total" "outcome" = "work_error";
    /// Executions whose work ran and was no longer its owner's.
    LostOwnership lost_ownership: Counter "onceward_client_executions_total" "outcome" = "lost_ownership";
    /// Executions whose work ran and whose result could not be stored in time.
    NotStored not_stored: Counter "onceward_client_executions_total" "outcome" = "not_stored";
    /// Executions that did not run for want of an answer of the store.
    NotRun not_run: Counter "onceward_client_executions_total" "outcome" = "not_run";
    /// Executions whose future was dropped, or whose work panicked.
    CutOff cut_off: Counter "onceward_client_executions_total" "outcome" = "cut_off";
    /// Executions that got the answer of a concurrent call in this process and sent nothing.
    Coalesced coalesced: Counter "onceward_client_coalesced_total";
    /// Completes made anew within an execution, after one that got no answer.
    CompletesRepeated completes_repeated: Counter "onceward_client_completes_repeated_total";
    /// Begins asked for, each once however often it was repeated.
    Begins begins: Counter "onceward_client_operations_total" "operation" = "begin";
    /// Completes asked for, likewise.
    Completes completes: Counter "onceward_client_operations_total" "operation" = "complete";
    /// Abandons asked for, likewise.
    Abandons abandons: Counter "onceward_client_operations_total" "operation" = "abandon";
    /// Renewals asked for, likewise.
    Renewals renewals: Counter "onceward_client_operations_total" "operation" = "renew";
    /// Checkpoints asked for, likewise.
    Checkpoints checkpoints: Counter "onceward_client_operations_total" "operation" = "checkpoint";
    /// Gets asked for, likewise.
    Gets gets: Counter "onceward_client_operations_total" "operation" = "get";
    /// Operators' requests, likewise: resolve, forget, list, the store's figures.
    Operator operator: Counter "onceward_client_operations_total" "operation" = "operator";
    /// Pings, likewise.
    Pings pings: Counter "onceward_client_operations_total" "operation" = "ping";
    /// Operations that got no outcome but an error.
    OperationErrors operation_errors: Counter "onceward_client_operation_errors_total";
    /// Requests put on a connection, repeats included. A `mem://` client makes none.
    Requests requests: Counter "onceward_client_requests_total";
    /// System calls that wrote requests: calls made at once share them.
    Writes writes: Counter "onceward_client_writes_total";
    /// Requests without their reply yet, those whose caller has gone included.
    RequestsInFlight requests_in_flight: Gauge "onceward_client_requests_in_flight";
    /// Times that an operation was tried again after it got no answer.
    Retries retries: Counter "onceward_client_retries_total";
    /// Times that no answer came within the request timeout or before the deadline.
    Timeouts timeouts: Counter "onceward_client_timeouts_total";
    /// Connections that stood.
    ConnectionsMade connections_made: Counter "onceward_client_connections_made_total";
    /// Connections that ended while the client was there.
    ConnectionsLost connections_lost: Counter "onceward_client_connections_lost_total";
    /// Connections that could not be made.
    ConnectionsFailed connections_failed: Counter "onceward_client_connections_failed_total";
}

/// Histograms, in the facade alone.
pub(crate) const EXECUTION_SECONDS: &str = "onceward_client_execution_seconds";
pub(crate) const OPERATION_SECONDS: &str = "onceward_client_operation_seconds";

/// When something began, where durations are kept: a clock is not read for nothing.
#[derive(Clone, Copy)]
pub(crate) struct Since(#[cfg(feature = "metrics")] Instant);

impl Since {
    pub(crate) fn now() -> Self {
        Self(
            #[cfg(feature = "metrics")]
            Instant::now(),
        )
    }
}

/// The counts themselves.
pub(crate) struct Figures {
    counts: [AtomicU64; Figure::ALL.len()],
    #[cfg(feature = "metrics")]
    namespace: metrics::SharedString,
}

impl Figures {
    /// `namespace` becomes a label.
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "the facade's label"))]
    pub(crate) fn new(namespace: &str) -> Arc<Self> {
        Arc::new(Self {
            counts: [const { AtomicU64::new(0) }; _],
            #[cfg(feature = "metrics")]
            namespace: metrics::SharedString::from_shared(Arc::from(namespace)),
        })
    }

    fn count(&self, figure: Figure) -> u64 {
        self.counts[figure as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, figure: Figure) {
        self.counts[figure as usize].fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.report(figure, true);
    }

    /// Counts one in, and out when the value goes.
    pub(crate) fn hold(self: &Arc<Self>, gauge: Figure) -> Held {
        self.add(gauge);
        Held { figures: Arc::clone(self), gauge }
    }

    /// Counts so many out.
    pub(crate) fn take(&self, gauge: Figure, count: usize) {
        self.counts[gauge as usize].fetch_sub(count as u64, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        for _ in 0..count {
            self.report(gauge, false);
        }
    }

    /// How long something took, for the facade alone: `name` in seconds, by one label.
    #[cfg_attr(
        not(feature = "metrics"),
        expect(unused_variables, clippy::unused_self, reason = "the facade alone keeps durations")
    )]
    pub(crate) fn took(
        &self,
        name: &'static str,
        label: (&'static str, &'static str),
        since: Since,
    ) {
        #[cfg(feature = "metrics")]
        metrics::histogram!(name, self.labels(Some(label))).record(since.0.elapsed());
    }
}

#[cfg(feature = "metrics")]
impl Figures {
    /// Asks for the recorder each time: one may be installed after the client is made.
    fn report(&self, figure: Figure, up: bool) {
        let Metric { kind, name, label, .. } = figure.metric();
        let labels = self.labels(label);
        match kind {
            Kind::Counter => metrics::counter!(name, labels).increment(1),
            Kind::Gauge if up => metrics::gauge!(name, labels).increment(1.0),
            Kind::Gauge => metrics::gauge!(name, labels).decrement(1.0),
        }
    }

    fn labels(&self, label: Option<(&'static str, &'static str)>) -> Vec<metrics::Label> {
        let namespace = metrics::Label::new("namespace", self.namespace.clone());
        let label = label.map(|(name, value)| metrics::Label::from_static_parts(name, value));
        std::iter::once(namespace).chain(label).collect()
    }
}

/// Something that is there now.
pub(crate) struct Held {
    figures: Arc<Figures>,
    gauge: Figure,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.figures.take(self.gauge, 1);
    }
}

#[cfg(test)]
mod tests;
