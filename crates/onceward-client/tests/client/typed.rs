//! Typed executions: what the first caller and every replay get, and what a reader is told that
//! cannot read.

use onceward_client::*;
use serde::{Deserialize, Serialize};

pub(crate) fn key(name: &str) -> ScopedKeyBuf {
    ScopedKeyBuf::new("tenant-9", name).unwrap()
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Order {
    pub(crate) id: u64,
    pub(crate) note: String,
}

impl Schema for Order {
    const TAG: &'static str = "order/1";
}

pub(crate) fn order() -> Order {
    Order { id: 7, note: "fragile".to_owned() }
}

pub(crate) type Answer<T> = Result<Executed<TypedDone<T>>, TypedError<T, &'static str>>;

#[tokio::test]
async fn the_first_caller_and_a_replay_get_equal_values() {
    let client = Client::open("mem://orders").unwrap();
    // Spawned, for the future must be `Send`.
    let running = {
        let client = client.clone();
        tokio::spawn(async move {
            client
                .execute_typed(key("k"), Fingerprint::of("p"), |_| async { Ok((201, order())) })
                .await
        })
    };
    let first: Answer<Order> = running.await.unwrap();
    let Ok(Executed::Ran(first)) = first else { panic!("{first:?}") };
    let again: Answer<Order> = client
        .execute_typed(key("k"), Fingerprint::of("p"), |_| async { Err::<Order, _>("not run") })
        .await;
    let Ok(Executed::Replayed(again)) = again else { panic!("{again:?}") };
    assert_eq!((&first.value, &again.value), (&order(), &order()));
    assert_eq!(first.done.result, again.done.result);
    assert_eq!(again.done.result.status, 201);
    assert_eq!(again.done.body().unwrap(), r#"{"id":7,"note":"fragile"}"#, "plain JSON");
    let pairs: Vec<_> = again.done.metadata().unwrap().pairs().collect();
    assert_eq!(pairs, [(&b"onceward-codec"[..], &b"json"[..]), (b"onceward-schema", b"order/1")]);
}
