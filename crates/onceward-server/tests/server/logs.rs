//! What a log may hold (S16).

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, OnceLock};

use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

use crate::peer::{Peer, begin};
use crate::running::Running;

/// Keeps every event, whatever its level, as text.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<String>>);

impl Visit for Everything {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = self.0.lock().expect("no panic");
        writeln!(text, "{}={value:?}", field.name()).expect("a string");
    }
}

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        attributes.record(&mut self.clone());
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// The log of every server of this process, whichever test started it: a logger of one thread is
/// not told of places in the code that another thread reached first.
pub(crate) fn of_this_process() -> Arc<Mutex<String>> {
    static LOG: OnceLock<Everything> = OnceLock::new();
    let log = LOG.get_or_init(|| {
        let log = Everything::default();
        tracing::subscriber::set_global_default(log.clone()).expect("the only one");
        log
    });
    Arc::clone(&log.0)
}

#[tokio::test]
async fn no_log_holds_a_key_a_body_a_credential_or_an_attempt_id_s16() {
    let server = Running::start();
    let mut peer = Peer::connect(server.address).await;
    let token = peer.begin("SECRET-KEY", b'A', 0).await.token();
    peer.complete("SECRET-KEY", token, b"SECRET-BODY").await;
    peer.begin("SECRET-KEY", b'B', 0).await.body();
    let mut malformed = Vec::new();
    begin("SECRET-KEY", b'A', 0).encode(77, u32::MAX, &mut malformed).expect("it fits");
    malformed.pop();
    let length = (malformed.len() - 16) as u32;
    malformed[..4].copy_from_slice(&length.to_le_bytes());
    peer.send_raw(&malformed).await;
    peer.raw_frame().await;
    peer.expect_end().await;
    drop(peer);
    server.stop().await;
    let log = of_this_process();
    let log = log.lock().expect("no panic");
    for what in ["connection opened", "the peer broke the protocol", "connection closed"] {
        assert!(log.contains(what), "the log is looked at: {what} in\n{log}");
    }
    for secret in ["SECRET", "tenant", "a credential", "AAAA", "65, 65", "41414141"] {
        assert!(!log.contains(secret), "{secret} in\n{log}");
    }
}
