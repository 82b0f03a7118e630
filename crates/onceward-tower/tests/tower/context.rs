//! What a handler gets from the layer (H9).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use onceward_client::testing::{Operation, Outage, TestStore};
use onceward_client::{Checkpointed, Client, Key};
use onceward_tower::{Context, IdempotencyLayer, Scope};

use crate::call::{Handling, answer, call, guard, handler, post, send};

#[tokio::test]
async fn the_derived_key_is_the_clients_and_differs_by_scope() {
    let client = Client::open("mem://orders").expect("a store");
    let layer = IdempotencyLayer::new(client.clone())
        .scope(Scope::header(http::HeaderName::from_static("x-account")));
    let service = guard(
        &layer,
        handler(|request: Handling| async move {
            let run = request.extensions().get::<Context>().expect("guarded");
            assert!(run.is_owner() && run.lost().is_none() && run.checkpoint().is_none());
            assert!(run.lease_left() > Duration::from_secs(20));
            let shown = format!("{run:?}");
            Ok(answer(201, format!("{} {} {shown}", run.attempt_number(), run.derived_key())))
        }),
    );
    for account in ["7", "8"] {
        let mut request = post("k", "1");
        request.headers_mut().insert("x-account", account.parse().unwrap());
        let reply = send(&service, request).await;
        let key = Key::new("k").unwrap().in_scope(account).unwrap();
        let (_, body) = reply.shown();
        assert!(body.starts_with(&format!("1 {} ", client.derived_key(&key))), "{body}");
        assert!(body.contains("Token(") && !body.contains("AttemptId"), "S16: {body}");
    }
    let nobody = send(&service, post("k", "1")).await;
    assert_eq!(nobody.shown(), (401, "scope-missing".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_successor_gets_the_checkpoint_s19() {
    let store = TestStore::new();
    let client = store.client_with("orders", |options| options.retries_max(0));
    let layer = IdempotencyLayer::new(client).global().with_checkpoint_hint(64);
    let left: Arc<Mutex<Vec<Option<Checkpointed<bytes::Bytes>>>>> = Arc::default();
    let service = {
        let left = Arc::clone(&left);
        guard(
            &layer,
            handler(move |request: Handling| {
                let run = request.extensions().get::<Context>().expect("guarded").clone();
                left.lock().unwrap().push(run.checkpoint().cloned());
                async move {
                    if run.checkpoint().is_none() {
                        run.save_checkpoint(1, "charged").await.map_err(|_| "no checkpoint")?;
                        std::future::pending::<()>().await; // It hangs, and loses its lease.
                    }
                    Ok(answer(201, format!("attempt {}", run.attempt_number())))
                }
            }),
        )
    };
    let hanging = tokio::spawn(call(&service, post("k", "1")));
    while left.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    store.fail_until_healed(Operation::Renew, Outage::Unavailable);
    store.clock().advance(Duration::from_secs(31)).await;
    let second = send(&service, post("k", "1")).await;
    assert_eq!(second.shown(), (201, "attempt 2".to_owned()));
    let handed = left.lock().unwrap()[1].clone().expect("the checkpoint");
    assert_eq!((handed.ordinal, &handed.bytes[..]), (1, &b"charged"[..]));
    hanging.abort();
}
