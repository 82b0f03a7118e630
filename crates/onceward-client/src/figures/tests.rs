//! The figures, their document, and with the feature `metrics` what a recorder gets.

use super::*;

const DOCUMENT: &str = include_str!("../../../../docs/observability.md");

/// The cells of the document's rows about metrics, without their backticks.
fn rows() -> Vec<Vec<String>> {
    DOCUMENT
        .lines()
        .filter(|line| line.starts_with("| `onceward_client_"))
        .map(|line| line.split('|').map(|cell| cell.trim().replace('`', "")).collect())
        .collect()
}

#[test]
fn the_document_names_every_figure_and_no_other() {
    let mut documented = rows();
    let fields = format!("{:?}", ClientStats::default());
    for figure in Figure::ALL {
        let Metric { kind, name, label } = figure.metric();
        let kind = format!("{kind:?}").to_lowercase();
        let label = label.map(|(label, value)| format!("{label}=\"{value}\"")).unwrap_or_default();
        let found = documented.iter().position(|cells| cells[1..4] == [name, &*kind, &*label]);
        let cells = documented.remove(found.unwrap_or_else(|| panic!("{name} {kind} {label}")));
        assert!(fields.contains(&format!("{}: 0", cells[4])), "{name}: no figure {}", cells[4]);
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
    }
    let rest: Vec<_> = documented.iter().map(|cells| &*cells[1]).collect();
    assert_eq!(rest, [EXECUTION_SECONDS, OPERATION_SECONDS], "documented and not there");
}

#[test]
fn a_gauge_falls_when_what_it_counts_goes() {
    let figures = Figures::new("orders");
    let held = [figures.hold(Figure::ExecutionsRunning), figures.hold(Figure::ExecutionsRunning)];
    assert_eq!(figures.stats().executions_running, 2);
    drop(held);
    assert_eq!(figures.stats(), ClientStats::default());
}

#[cfg(feature = "metrics")]
mod facade {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use metrics::{
        Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata,
        Recorder, SharedString, Unit,
    };

    use super::*;
    use crate::{Client, Execution, Fingerprint, ScopedKeyBuf};

    /// Sums of everything recorded, by name and labels; a histogram's by how often.
    #[derive(Clone, Default)]
    struct Sums(Arc<Mutex<BTreeMap<String, f64>>>);

    /// One metric of them.
    struct Sum(Sums, String);

    impl Sum {
        fn add(&self, value: f64) {
            *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += value;
        }
    }

    impl CounterFn for Sum {
        fn increment(&self, value: u64) {
            self.add(value as f64);
        }

        fn absolute(&self, _: u64) {
            unreachable!("counters count up")
        }
    }

    impl GaugeFn for Sum {
        fn increment(&self, value: f64) {
            self.add(value);
        }

        fn decrement(&self, value: f64) {
            self.add(-value);
        }

        fn set(&self, _: f64) {
            unreachable!("gauges move by steps")
        }
    }

    impl HistogramFn for Sum {
        fn record(&self, seconds: f64) {
            assert!((0.0..600.0).contains(&seconds), "{seconds} s");
            self.add(1.0);
        }
    }

    impl Sums {
        fn of(&self, key: &Key) -> Arc<Sum> {
            let labels = key.labels().map(|label| format!("{}={}", label.key(), label.value()));
            let labels = labels.collect::<Vec<_>>().join(",");
            Arc::new(Sum(self.clone(), format!("{} {labels}", key.name())))
        }
    }

    impl Recorder for Sums {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.of(key))
        }

        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(self.of(key))
        }

        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::from_arc(self.of(key))
        }
    }

    /// Executions of every kind that a `mem://` store gives, one of them coalesced.
    async fn some_of_everything(client: &Client) {
        let execution: Execution = client.execution();
        let key = |name: &str| ScopedKeyBuf::new("secret-tenant", name).unwrap();
        let run = async |name: &str, payload: &str, fails: bool| {
            let work = async |_| {
                tokio::task::yield_now().await;
                if fails { Err("secret-error") } else { Ok("secret-body") }
            };
            let fingerprint = Fingerprint::Digest(crate::Digest::new(payload.as_bytes()).unwrap());
            let _ = execution.execute(key(name), fingerprint, work).await;
        };
        let (payload, other) = ("secret-payload-1", "secret-payload-2");
        let both = (run("secret-1", payload, false), run("secret-1", payload, false));
        tokio::join!(both.0, both.1);
        run("secret-1", payload, false).await;
        run("secret-1", other, false).await;
        run("secret-2", payload, true).await;
        let hangs = execution.execute(key("secret-3"), Fingerprint::None, |_| async {
            std::future::pending::<Result<(), ()>>().await
        });
        let cut_off = tokio::time::timeout(std::time::Duration::from_millis(5), hangs).await;
        assert!(cut_off.is_err());
        run("secret-3", payload, false).await;
        client.ping().await.unwrap();
        client.store_stats().await.unwrap();
    }

    #[test]
    fn a_recorder_and_the_stats_say_the_same_and_no_secret_s16() {
        let sums = Sums::default();
        let client = metrics::with_local_recorder(&sums, || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let client = Client::open("mem://orders").unwrap();
                some_of_everything(&client).await;
                client
            })
        });
        let stats = client.stats();
        assert_eq!((stats.ran, stats.replayed, stats.coalesced), (1, 2, 1));
        assert_eq!((stats.mismatch, stats.work_errors, stats.cut_off), (2, 1, 1));
        assert_eq!((stats.begins, stats.completes, stats.executions_running), (6, 1, 0));
        let recorded = std::mem::take(&mut *sums.0.lock().unwrap());
        let execution = client.execution();
        for figure in Figure::ALL {
            let Metric { name, label, .. } = figure.metric();
            let label = label.map(|(name, value)| format!(",{name}={value}")).unwrap_or_default();
            let metric = format!("{name} namespace=orders{label}");
            let sum = recorded.get(&metric).copied().unwrap_or_default();
            assert_eq!(sum, execution.figures.count(*figure) as f64, "{metric}");
        }
        let timed = |name: &str| -> f64 {
            recorded.iter().filter(|(metric, _)| metric.starts_with(name)).map(|(_, sum)| sum).sum()
        };
        assert_eq!(timed(EXECUTION_SECONDS), 7.0);
        assert_eq!(timed(OPERATION_SECONDS), timed("onceward_client_operations_total"));
        let shown = format!("{recorded:?}");
        assert!(!shown.contains("secret"), "{shown}");
        for metric in recorded.keys() {
            let name = metric.split(' ').next().unwrap();
            assert!(rows().iter().any(|cells| cells[1] == name), "{name} is not documented");
        }
    }
}
