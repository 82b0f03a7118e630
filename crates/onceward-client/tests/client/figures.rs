//! What a client counts of its connection.

use onceward_client::*;
use tokio::net::TcpListener;
use tokio::time::Duration;

use crate::peer::Peer;

#[tokio::test]
async fn a_lost_connection_is_counted_with_what_it_cost() {
    let peer = Peer::bind().await;
    let client = peer.builder().open().unwrap();
    let (pong, _visitor) = tokio::join!(client.ping(), async {
        let mut visitor = peer.welcome().await;
        visitor.ping().await;
        let stats = client.stats();
        assert_eq!((stats.pings, stats.requests, stats.requests_in_flight), (1, 1, 1));
        assert_eq!((stats.connections_made, stats.connections_lost), (1, 0));
        drop(visitor);
        let mut visitor = peer.welcome().await;
        let correlation = visitor.ping().await;
        visitor.pong(correlation).await;
        visitor
    });
    pong.unwrap();
    let stats = client.stats();
    assert_eq!((stats.pings, stats.requests, stats.requests_in_flight), (1, 2, 0));
    assert_eq!((stats.retries, stats.timeouts, stats.operation_errors), (1, 0, 0));
    assert_eq!((stats.connections_made, stats.connections_lost), (2, 1));
    assert_eq!(stats.connections_failed, 0);
}

#[tokio::test]
async fn silence_is_a_timeout_and_ends_the_connection() {
    let peer = Peer::bind().await;
    let client =
        peer.builder().request_timeout(Duration::from_millis(50)).retries_max(0).open().unwrap();
    let (pong, _visitor) = tokio::join!(client.ping(), async {
        let mut visitor = peer.welcome().await;
        let correlation = visitor.ping().await;
        visitor.pong(correlation).await;
        visitor
    });
    pong.unwrap();
    let error = client.ping().await;
    let error = error.unwrap_err();
    let stats = client.stats();
    assert_eq!((stats.timeouts, stats.operation_errors, stats.retries), (1, 1, 0), "{error}");
    assert_eq!((stats.connections_lost, stats.requests_in_flight), (1, 0));
}

#[tokio::test]
async fn connections_that_cannot_be_made_are_counted() {
    let port = {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        gone.local_addr().unwrap().port()
    };
    let url = format!("onceward://127.0.0.1:{port}");
    let client = Client::builder(&url)
        .retries_max(2)
        .connect_timeout(Duration::from_secs(10))
        .back_off(Duration::from_millis(1), Duration::from_millis(2))
        .open()
        .unwrap();
    client.ping().await.unwrap_err();
    let stats = client.stats();
    assert_eq!((stats.connections_failed, stats.retries, stats.requests), (3, 2, 0));
    assert_eq!((stats.operation_errors, stats.connections_made), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_complete_made_anew_is_counted() {
    let fake = crate::fake::Fake::new().complete(crate::fake::down());
    let execution = crate::execute::execution(&fake);
    let work = async |_: Context<_>| Ok::<_, ()>("made");
    let ran = execution.execute(crate::execute::key(), Fingerprint::None, work).await.unwrap();
    assert_eq!(ran.name(), "ran");
    let stats = execution.clone().stats();
    assert_eq!((stats.completes_repeated, stats.ran, stats.executions_running), (1, 1, 0));
}
