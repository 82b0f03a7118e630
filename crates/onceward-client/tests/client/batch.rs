//! Many operations in one call.

use onceward_client::*;
use onceward_proto::ServerLimits;
use tokio::time::Duration;

use crate::peer::{Asked, Peer};
use crate::remote::Server;

fn keys(count: u32) -> Vec<ScopedKeyBuf> {
    (0..count).map(|number| ScopedKeyBuf::new("t", number.to_le_bytes()).unwrap()).collect()
}

fn attempt(number: u32) -> AttemptId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    AttemptId::from_bytes(bytes)
}

fn begin(number: u32) -> Begin {
    Begin::new(Fingerprint::None, attempt(number))
}

fn names<T>(
    each: &[Result<T, ClientError>],
    name: impl Fn(&T) -> &'static str,
) -> Vec<&'static str> {
    each.iter().map(|answer| answer.as_ref().map_or("bad input", &name)).collect()
}

async fn each_item_has_its_own_answer(client: &Client) {
    let keys = keys(4);
    let of = |index: usize| keys[index].as_ref();
    let other = Begin { fingerprint: Fingerprint::of("other"), ..begin(4) };
    let bad = Begin { lease: Millis::ZERO, ..begin(2) };
    let begins = [
        (of(0), begin(0)),
        (of(0), begin(1)),
        (of(1), bad),
        (of(2), begin(3)),
        (of(0), other),
        (of(0), begin(0)),
    ];
    let begun = client.begin_many(&begins).await.unwrap();
    let want = ["acquired", "in_progress", "bad input", "acquired", "mismatch", "acquired"];
    assert_eq!(names(&begun, BeginOutcome::name), want, "in order; one key one after the other");
    let token = |index: usize| match &begun[index] {
        Ok(BeginOutcome::Acquired(acquired)) => acquired.token,
        other => panic!("{other:?}"),
    };
    assert_eq!(token(0), token(5), "the same attempt (S3)");
    let complete =
        |token, body| Complete { token, result: ResultRef::of(0, body), fingerprint: None };
    let completes = [
        (of(0), complete(token(3), b"a")),
        (of(0), complete(token(0), b"a")),
        (of(0), complete(token(0), b"b")),
        (of(3), complete(token(0), b"a")),
        (of(2), complete(token(3), b"c")),
    ];
    let completed = client.complete_many(&completes).await.unwrap();
    let want = ["fenced", "completed", "conflict", "gone", "completed"];
    assert_eq!(names(&completed, |outcome| outcome.name()), want);
    assert!(client.begin_many(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn each_item_has_its_own_answer_embedded() {
    each_item_has_its_own_answer(&Client::open("mem://orders").unwrap()).await;
}

#[tokio::test]
async fn each_item_has_its_own_answer_over_tcp() {
    each_item_has_its_own_answer(&Server::start().client()).await;
}

#[tokio::test]
async fn ten_thousand_begins_and_completes() {
    let server = Server::start();
    let client = server.client();
    let keys = keys(10_000);
    let begins: Vec<_> =
        (0..).zip(&keys).map(|(number, key)| (key.as_ref(), begin(number))).collect();
    let begun = client.begin_many(&begins).await.unwrap();
    let completes: Vec<_> = keys
        .iter()
        .zip(&begun)
        .map(|(key, begun)| {
            let Ok(BeginOutcome::Acquired(Acquired { token, .. })) = begun else {
                panic!("{begun:?}")
            };
            let result = ResultRef::of(0, key.as_ref().key());
            (key.as_ref(), Complete { token: *token, result, fingerprint: None })
        })
        .collect();
    let completed = client.complete_many(&completes).await.unwrap();
    assert!(completed.iter().all(|one| *one == Ok(CompleteOutcome::Completed { not_kept: None })));
    let replayed = client.begin_many(&begins).await.unwrap();
    for (key, replayed) in keys.iter().zip(&replayed) {
        let Ok(BeginOutcome::Replay(replay)) = replayed else { panic!("{replayed:?}") };
        assert_eq!(replay.result.body.kept().unwrap()[..], *key.as_ref().key(), "in order");
    }
}

/// Answers nothing until as many begins are there as may be in flight; then all, last one first.
async fn round_trips(limits: ServerLimits, in_flight: usize, items: u32) -> usize {
    let peer = Peer::bind().await;
    let client = peer.builder().open().unwrap();
    let keys = keys(items);
    let begins: Vec<_> =
        (0..).zip(&keys).map(|(number, key)| (key.as_ref(), begin(number))).collect();
    let (begun, rounds) = tokio::join!(client.begin_many(&begins), async {
        let mut visitor = peer.welcome_with(limits).await;
        let (mut left, mut rounds) = (items as usize, 0);
        while left > 0 {
            let mut asked = Vec::new();
            while asked.len() < in_flight.min(left) {
                match visitor.next().await {
                    Some(Asked::Begin { correlation, begin }) => asked.push((correlation, begin)),
                    other => panic!("{other:?}, not a begin"),
                }
            }
            left -= asked.len();
            rounds += 1;
            for (correlation, begin) in asked.into_iter().rev() {
                let number =
                    u32::from_le_bytes(begin.attempt_id.as_bytes()[..4].try_into().unwrap());
                let outcome = BeginOutcome::<&[u8]>::InDoubt { since: Millis::new(number.into()) };
                visitor.answer(|replies, out| replies.begin(correlation, &outcome, out)).await;
            }
        }
        rounds
    });
    for (number, begun) in (0..).zip(begun.unwrap()) {
        assert_eq!(begun, Ok(BeginOutcome::InDoubt { since: Millis::new(number) }), "in order");
    }
    assert_eq!(client.stats().requests, u64::from(items), "each was sent once");
    rounds
}

#[tokio::test]
async fn a_batch_is_one_write() {
    let server = Server::start();
    let client = server.client();
    client.ping().await.unwrap();
    let before = client.stats();
    assert_eq!((before.requests, before.writes), (1, 1));
    let keys = keys(500);
    let begins: Vec<_> =
        (0..).zip(&keys).map(|(number, key)| (key.as_ref(), begin(number))).collect();
    client.begin_many(&begins).await.unwrap();
    let after = client.stats();
    assert_eq!((after.requests, after.writes), (501, 2));
    client.ping().await.unwrap();
    assert_eq!(client.stats().writes, 3);
}

#[tokio::test]
async fn a_batch_takes_few_round_trips() {
    assert_eq!(round_trips(ServerLimits::default(), 1_024, 10_000).await, 10);
    let narrow = ServerLimits { in_flight_max: 16, ..ServerLimits::default() };
    assert_eq!(round_trips(narrow, 16, 160).await, 10, "no more in flight than the server allows");
}

#[tokio::test]
async fn a_batch_over_its_limit_asks_nothing_s20() {
    let client = Client::open("mem://orders").unwrap();
    let key = ScopedKeyBuf::new("t", "k").unwrap();
    let begins = vec![(key.as_ref(), begin(0)); BATCH_ITEMS_MAX + 1];
    let error = client.begin_many(&begins).await.unwrap_err();
    assert!(matches!(&error, ClientError::BadInput { field, .. } if field == "batch"), "{error}");
    assert_eq!(client.stats().begins, 0);
}

#[tokio::test]
async fn an_outage_is_each_items_own_error() {
    let peer = Peer::bind().await;
    let client =
        peer.builder().retries_max(0).request_timeout(Duration::from_millis(200)).open().unwrap();
    let keys = keys(3);
    let begins: Vec<_> =
        (0..).zip(&keys).map(|(number, key)| (key.as_ref(), begin(number))).collect();
    let (begun, _visitor) = tokio::join!(client.begin_many(&begins), async {
        let mut visitor = peer.welcome().await;
        let (_, _) = visitor.begin().await;
        let (second, _) = visitor.begin().await;
        visitor.mismatch(second).await;
        visitor
    });
    let begun = begun.unwrap();
    assert_eq!(begun[1], Ok(BeginOutcome::Mismatch));
    for lost in [&begun[0], &begun[2]] {
        assert!(lost.as_ref().is_err_and(ClientError::is_retryable), "{lost:?}");
    }
}
