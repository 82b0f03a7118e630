//! Requests and replies, one by one and pipelined.

use crate::peer::{Got, Peer};
use crate::running::Running;

#[tokio::test]
async fn a_key_is_executed_once_over_the_wire_s2_s5() {
    let server = Running::start();
    let mut owner = Peer::connect(server.address).await;
    let mut other = Peer::connect(server.address).await;
    let token = owner.begin("order-1", 1, 0).await.token();
    assert_eq!(other.begin("order-1", 2, 0).await.name(), "in_progress");
    let done = owner.complete("order-1", token, b"shipped").await;
    assert_eq!(done, Got::Other("Complete(Completed { not_kept: None })".to_owned()));
    assert_eq!(other.begin("order-1", 2, 0).await.body(), b"shipped");
    drop((owner, other));
    let report = server.stop().await;
    assert_eq!((report.connections, report.requests, report.answered), (2, 6, 6), "{report:?}");
}
