//! What the store logs: unfinished work whose retention ended (S7), and nothing secret (S16).
//!
//! In a process of its own: a thread without a subscriber that is the first to come to an event
//! while there is one elsewhere switches that event off for all.

#[expect(dead_code, reason = "the suite it comes from waits for more")]
#[path = "../store/bell.rs"]
mod bell;
#[expect(dead_code, reason = "the suite it comes from asks for more")]
#[path = "../store/scene.rs"]
mod scene;

use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use onceward::{Certainty, Identity, Policy, Store};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::bell::PATIENCE;
use crate::scene::{Scene, acquired, ask, begin};

/// Writes events down, and calls the store from inside each, as a subscriber might that answers
/// for figures.
struct Scribe {
    lines: Arc<Mutex<Vec<String>>>,
    store: Store,
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!("{}={value:?} ", field.name());
    }
}

impl Subscriber for Scribe {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.lines.lock().unwrap().push(line.0);
        for key in [UNFINISHED, DOUBTED] {
            self.store.get(identity(key), |_| ()).unwrap();
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

const UNFINISHED: &str = "card-4242";
const DOUBTED: &str = "card-1881";

fn identity(key: &str) -> Identity<'_> {
    Identity::new("orders", b"tenant-77", key.as_bytes()).unwrap()
}

#[test]
fn unfinished_work_is_logged_without_its_key_and_without_a_lock_s7_s16() {
    let (done, finished) = mpsc::channel();
    // On a thread of its own: a lock held while an event is told would stop it for good.
    let run = thread::spawn(move || {
        let scene = Scene::new();
        let lines = Arc::default();
        let scribe = Scribe { lines: Arc::clone(&lines), store: scene.store.clone() };
        tracing::subscriber::with_default(scribe, || {
            acquired(begin(&scene.store, identity(UNFINISHED), &ask(1)));
            let doubtful = onceward::Begin { policy: Policy::InDoubt, ..ask(2) };
            let doubted = acquired(begin(&scene.store, identity(DOUBTED), &doubtful)).token;
            let abandon = onceward::Abandon { token: doubted, certainty: Certainty::InDoubt };
            scene.store.abandon(identity(DOUBTED), &abandon).unwrap();
            let completed = scene.own("completed", &ask(3));
            scene.finish("completed", completed, b"secret-body");
            scene.clock.advance(onceward::Millis::new(10_000));
            // One is noticed by who comes next, the other by a tick.
            acquired(begin(&scene.store, identity(DOUBTED), &ask(4)));
            scene.advance(0);
        });
        let lines: Vec<String> = lines.lock().unwrap().clone();
        let _ = done.send((lines, scene.store.stats().expired_unfinished));
    });
    let (lines, unfinished) = finished.recv_timeout(PATIENCE).expect("a lock was held, or a panic");
    run.join().unwrap();
    assert_eq!(unfinished, 2, "counted");
    assert_eq!(lines.len(), 2, "what is done ends in silence: {lines:?}");
    let text = lines.concat();
    for part in ["orders", "reserved", "in_doubt", "S7"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    for secret in ["4242", "1881", "tenant-77", "secret-body", "card"] {
        assert!(!text.contains(secret), "S16: {secret} in {text}");
    }
}
