//! What the client says in logs.
//!
//! In a process of its own, where every thread that logs has a subscriber: one without, the first
//! to come to an event, would switch that event off for all.

#[expect(dead_code, reason = "the suite it comes from scripts more")]
#[path = "../client/fake.rs"]
mod fake;

use std::io;
use std::sync::{Arc, Mutex};

use onceward_client::*;
use tokio::time::Duration;
use tracing_subscriber::fmt::MakeWriter;

use crate::fake::{Fake, down, ok};

/// Everything logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn no_log_holds_a_key_a_body_or_an_attempt_id_s16() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let fake = Fake::new()
        .renew(down())
        .renew(ok(RenewOutcome::Fenced))
        .abandon(down())
        .complete(down().forever());
    let execution = Execution::over(fake.clone());
    let scoped = ScopedKeyBuf::new("secret-tenant", "secret-key").unwrap();
    for fails in [false, true] {
        let work = async |run: Context<Fake>| {
            tokio::time::sleep(Duration::from_secs(25)).await;
            let _ = run.save_checkpoint(1, "secret-checkpoint").await;
            if fails { Err("secret-error") } else { Ok("secret-body") }
        };
        let ended = execution.execute(&scoped, Fingerprint::of("secret"), work).await;
        assert!(ended.is_err());
    }
    let log = log.text();
    assert!(log.contains("execute{key="), "a short hash tells executions apart: {log}");
    for (why, word) in [
        ("a failed renewal", "renewal failed"),
        ("a lost identity", "ownership is lost"),
        ("an abandon that failed", "could not give the identity up"),
    ] {
        assert!(log.contains(word), "{why} is logged: {log}");
    }
    assert!(!log.contains("secret"), "{log}");
    for attempt in fake.attempts() {
        let token = Token { fence: Fence::new(1).unwrap(), attempt_id: attempt }.to_string();
        assert!(!log.contains(&token[2..]), "{log}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_span_tells_how_its_execution_ended() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::CLOSE)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let execution = Execution::over(Fake::new());
    let execute = async |fails: bool| {
        let work = async |_: Context<Fake>| {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if fails { Err("secret-error") } else { Ok("made") }
        };
        let key = ScopedKeyBuf::new("secret-tenant", "secret-key").unwrap();
        let _ = execution.execute(key, Fingerprint::None, work).await;
    };
    tokio::join!(execute(true), execute(false), execute(false));
    let hangs = execute(false);
    let _ = tokio::time::timeout(Duration::from_millis(10), hangs).await;
    // Its keeper, a task that only has to be polled, ends and closes the span.
    for _ in 0..1_000 {
        if log.text().contains("cut_off") {
            break;
        }
        tokio::task::yield_now().await;
    }
    let log = log.text();
    for want in [
        r#"attempt_number=1 outcome="work_error"}"#,
        r#"attempt_number=1 outcome="ran"}"#,
        r#"coalesced=true attempt_number=1 outcome="replayed"}"#,
        r#"attempt_number=1 outcome="cut_off"}"#,
    ] {
        assert_eq!(log.matches(want).count(), 1, "{want}: {log}");
    }
    assert!(!log.contains("secret"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_the_work_that_waits_for_it_shows_in_the_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let execution = Execution::over(Fake::new());
    let scoped = ScopedKeyBuf::new("secret-tenant", "secret-key").unwrap();
    let (inner, same) = (execution.clone(), scoped.clone());
    let work = async |_: Context<Fake>| {
        let unused = async |_: Context<Fake>| Ok::<_, ()>("unused");
        let spawned = tokio::spawn(async move {
            inner.execute(same, Fingerprint::None, unused).await.unwrap().name()
        });
        Ok::<_, ()>(spawned.await.unwrap())
    };
    let hangs = execution.execute(scoped, Fingerprint::None, work);
    assert!(tokio::time::timeout(Duration::from_secs(600), hangs).await.is_err(), "it may not end");
    let log = log.text();
    assert_eq!(log.matches("still following a call of the same key").count(), 1, "{log}");
    assert!(!log.contains("secret"), "{log}");
}
