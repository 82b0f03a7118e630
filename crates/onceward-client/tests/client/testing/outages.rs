//! Each outage in each operation: what the caller gets, and what the store did.

use onceward_client::testing::{Operation, Outage, TestStore};
use onceward_client::*;
use tokio::time::{Duration, Instant};

const SLOW: Duration = Duration::from_millis(100);
/// Longer than the client's request timeout.
const TOO_SLOW: Duration = Duration::from_millis(700);

fn key() -> ScopedKeyBuf {
    ScopedKeyBuf::new("tenant-9", "order-1").unwrap()
}

/// An identity in the state that `operation` acts upon.
struct Prepared {
    store: TestStore,
    begin: Begin,
    fence: Fence,
}

impl Prepared {
    async fn for_operation(operation: Operation) -> Self {
        let store = TestStore::new();
        let mut begin = Begin::new(Fingerprint::None, attempt_id());
        begin.checkpoint_hint = 64;
        let mut prepared = Self { store, begin, fence: Fence::new(1).unwrap() };
        let client = prepared.store.client("orders");
        if operation != Operation::Begin {
            let begun = client.begin(key().as_ref(), &prepared.begin).await.unwrap();
            let BeginOutcome::Acquired(acquired) = begun else { panic!("{begun:?}") };
            prepared.fence = acquired.token.fence;
        }
        if matches!(operation, Operation::Resolve | Operation::Forget) {
            let doubt = Abandon { token: prepared.token(), certainty: Certainty::InDoubt };
            client.abandon(key().as_ref(), &doubt).await.unwrap();
        }
        prepared
    }

    fn token(&self) -> Token {
        Token { fence: self.fence, attempt_id: self.begin.attempt_id }
    }

    /// The outcome's word.
    async fn ask(
        &self,
        client: &Client,
        operation: Operation,
    ) -> Result<&'static str, ClientError> {
        let scoped = key();
        let key = scoped.as_ref();
        let (token, fence) = (self.token(), self.fence);
        Ok(match operation {
            Operation::Begin => client.begin(key, &self.begin).await?.name(),
            Operation::Complete => {
                let result = ResultRef::of(201, b"made");
                let complete = Complete { token, result, fingerprint: None };
                client.complete(key, &complete).await?.name()
            }
            Operation::Abandon => {
                let abandon = Abandon { token, certainty: Certainty::NotDone };
                client.abandon(key, &abandon).await?.name()
            }
            Operation::Renew => {
                let renew = Renew { token, lease: Millis::from_secs(60), fingerprint: None };
                client.renew(key, &renew).await?.name()
            }
            Operation::Checkpoint => {
                let save = SaveCheckpoint { token, ordinal: 1, bytes: b"half" };
                client.checkpoint(key, &save).await?.name()
            }
            Operation::Get => client.get(key, &Get::default()).await?.name(),
            Operation::Resolve => {
                let verdict = Verdict::NeverDone;
                let resolve = Resolve { fence, doubt_number: 1, verdict };
                client.resolve(key, &resolve).await?.name()
            }
            Operation::Forget => client.forget(key, &Forget { fence }).await?.name(),
            Operation::List => {
                client.list(&ListQuery::default()).await?;
                "listed"
            }
            Operation::Stats => {
                client.store_stats().await?;
                "told"
            }
            Operation::Ping => {
                client.ping().await?;
                "pong"
            }
            other => panic!("{other} has no row here"),
        })
    }

    /// How the calls of `operation` read, oldest first.
    fn calls(&self, operation: Operation) -> String {
        let calls = self.store.calls().of(operation);
        let lines: Vec<_> = calls.iter().map(ToString::to_string).collect();
        lines.join("; ")
    }
}

/// Operation, its outcome, and that of its repeat once it is done (S3).
const OPERATIONS: [(Operation, &str, &str); 11] = [
    (Operation::Begin, "acquired", "acquired"),
    (Operation::Complete, "completed", "already_completed"),
    (Operation::Abandon, "abandoned", "gone"),
    (Operation::Renew, "renewed", "renewed"),
    (Operation::Checkpoint, "saved", "saved"),
    (Operation::Get, "reserved", "reserved"),
    (Operation::Resolve, "resolved", "gone"),
    (Operation::Forget, "forgotten", "gone"),
    (Operation::List, "listed", "listed"),
    (Operation::Stats, "told", "told"),
    (Operation::Ping, "pong", "pong"),
];

#[tokio::test(start_paused = true)]
async fn every_operation_has_a_row() {
    let rows: Vec<_> = OPERATIONS.iter().map(|row| row.0).collect();
    assert_eq!(rows, Operation::ALL);
}

#[tokio::test(start_paused = true)]
async fn without_retries_each_outage_reaches_the_caller_s3() {
    for (operation, done, _) in OPERATIONS {
        let cases = [
            (Outage::RequestLost, None, "request lost"),
            (Outage::Unavailable, None, "unavailable"),
            (Outage::ReplyLost, Some(done), "reply lost"),
            (Outage::Slow(TOO_SLOW), Some(done), "no answer within 500 ms"),
        ];
        for (outage, applied, why) in cases {
            let case = format!("{operation}, {outage}");
            let prepared = Prepared::for_operation(operation).await;
            let client = prepared.store.client_with("orders", |options| options.retries_max(0));
            prepared.store.fail(operation, outage);
            let answer = prepared.ask(&client, operation).await;
            let Err(error @ ClientError::Unavailable { .. }) = answer else {
                panic!("{case}: {answer:?}")
            };
            assert!(error.to_string().contains(why), "{case}: {error}");
            let calls = prepared.store.calls();
            let met = calls.iter().last().expect("one call");
            assert_eq!((met.operation(), met.outcome()), (operation, applied), "{case}");
            assert_eq!(met.outage(), Some(outage), "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_client_repeats_what_got_no_answer_and_the_store_knows_it_s3() {
    for (operation, done, repeated) in OPERATIONS {
        let cases = [
            (Outage::RequestLost, done, format!("{operation}: request lost; {operation}: {done}")),
            (Outage::Unavailable, done, format!("{operation}: unavailable; {operation}: {done}")),
            (
                Outage::ReplyLost,
                repeated,
                format!("{operation}: {done}, reply lost; {operation}: {repeated}"),
            ),
            (
                Outage::Slow(TOO_SLOW),
                repeated,
                format!("{operation}: {done}, slow by 700 ms; {operation}: {repeated}"),
            ),
            (Outage::Slow(SLOW), done, format!("{operation}: {done}, slow by 100 ms")),
        ];
        for (outage, want, calls) in cases {
            let case = format!("{operation}, {outage}");
            let prepared = Prepared::for_operation(operation).await;
            prepared.store.fail(operation, outage);
            let asked = Instant::now();
            let answer = prepared.ask(&prepared.store.client("orders"), operation).await;
            assert_eq!(answer, Ok(want), "{case}");
            assert!(outage != Outage::Slow(SLOW) || asked.elapsed() == SLOW, "{case}");
            assert_eq!(prepared.calls(operation), calls, "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn only_begin_and_checkpoint_are_refused_s11() {
    for (operation, ..) in OPERATIONS {
        let prepared = Prepared::for_operation(operation).await;
        let refused = Outage::Refused { retry_after: Some(Millis::new(40)) };
        let store = prepared.store.clone();
        let scripting = std::panic::AssertUnwindSafe(|| store.fail(operation, refused));
        let scripted = std::panic::catch_unwind(scripting);
        if matches!(operation, Operation::Begin | Operation::Checkpoint) {
            scripted.expect("they have that outcome");
            let answer = prepared.ask(&store.client("orders"), operation).await;
            assert_eq!(answer, Ok("refused"), "an outcome, so nothing is repeated");
            assert_eq!(prepared.calls(operation), format!("{operation}: refused"));
        } else {
            let why = scripted.expect_err("they have not");
            let why = why.downcast_ref::<String>().expect("a text");
            assert!(why.contains(operation.name()) && why.contains("S11"), "{why}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_execution_tells_each_refusal() {
    let store = TestStore::new();
    let client = store.client("orders");
    store.fail(Operation::Begin, Outage::Refused { retry_after: Some(Millis::new(40)) });
    let work = async |_: Context| -> Result<(), ()> { unreachable!("there is no room") };
    let answer = client.execute(key(), Fingerprint::None, work).await.unwrap();
    let retry_after = Some(Millis::new(40));
    assert_eq!(answer, Executed::Refused { reason: Refusal::Capacity, retry_after });

    store.fail(Operation::Checkpoint, Outage::Refused { retry_after: None });
    let work = async |run: Context| run.save_checkpoint(1, "half").await.map(|_| ());
    let answer = client.execute(key(), Fingerprint::None, work).await;
    let refused = CheckpointError::Refused { reason: Refusal::Capacity };
    assert_eq!(answer, Err(ExecuteError::Work(refused)));
}
