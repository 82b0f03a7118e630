//! Typed executions: what the first caller and every replay get, and what a reader is told that
//! cannot read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use onceward_client::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codecs::CODECS;
use crate::execute::execution;
use crate::fake::{Fake, down, ok};
use crate::remote::Server;

fn key(name: &str) -> ScopedKeyBuf {
    ScopedKeyBuf::new("tenant-9", name).unwrap()
}

fn payload() -> Fingerprint {
    Fingerprint::of("payload")
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Order {
    id: u64,
    note: String,
}

impl Schema for Order {
    const TAG: &'static str = "order/1";
}

fn order() -> Order {
    Order { id: 7, note: "fragile".to_owned() }
}

type Answer<T> = Result<Executed<TypedDone<T>>, TypedError<T, &'static str>>;

/// A retry whose work must not run.
async fn retry<T, B, C>(execution: &TypedExecution<B, C>, key: ScopedKeyBuf) -> Answer<T>
where
    T: Schema + Serialize + DeserializeOwned,
    B: Backend<Bytes = Bytes> + Clone + 'static,
    C: Codec,
{
    execution.execute_typed(key, payload(), |_| async { Err::<T, _>("this is not run") }).await
}

fn replayed<T: std::fmt::Debug>(answer: Answer<T>) -> TypedDone<T> {
    match answer {
        Ok(Executed::Replayed(done)) => done,
        other => panic!("{other:?}"),
    }
}

fn unreadable<T>(answer: Answer<T>) -> (ReadError, Done) {
    match answer {
        Err(TypedError::Unreadable { why, done }) => (why, *done),
        other => panic!("{other:?}"),
    }
}

fn labels(done: &Done) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| str::from_utf8(bytes).unwrap().to_owned();
    done.metadata().unwrap().pairs().map(|(name, value)| (text(name), text(value))).collect()
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// The reading that a stored value needs is found with it, whatever is written today.
async fn every_codec_reads_every_other(client: &Client) {
    async fn write<C: Codec>(client: &Client, codec: C) {
        let execution = client.execution().codec(codec);
        let made = TypedResult::new(201, order());
        let answer: Answer<Order> =
            execution.execute_typed(key(C::ID), payload(), |_| async { Ok(made) }).await;
        let Ok(Executed::Ran(done)) = answer else { panic!("{answer:?}") };
        assert_eq!((done.value, done.done.result.status), (order(), 201));
        let want = [pair(CODEC_METADATA, C::ID), pair(SCHEMA_METADATA, "order/1")];
        assert_eq!(labels(&done.done), want);
    }
    async fn read<C: Codec>(client: &Client, codec: C) {
        let execution = client.execution().codec(codec);
        for written in CODECS {
            let done = replayed(retry::<Order, _, _>(&execution, key(written)).await);
            assert_eq!(done.value, order(), "{written} read by a writer of {}", C::ID);
            assert!(done.done.replayed);
        }
    }
    write(client, Json).await;
    #[cfg(feature = "messagepack")]
    write(client, MessagePack).await;
    #[cfg(feature = "bincode")]
    write(client, Bincode).await;
    read(client, Json).await;
    #[cfg(feature = "messagepack")]
    read(client, MessagePack).await;
    #[cfg(feature = "bincode")]
    read(client, Bincode).await;

    for written in CODECS {
        let got = client.get(key(written).as_ref(), &Get::default()).await.unwrap();
        let GetOutcome::Completed(completed) = got else { panic!("{got:?}") };
        assert_eq!(Done::from(completed).decode(), Ok(order()), "{written}, by get");
    }
}

#[tokio::test]
async fn values_come_back_embedded() {
    every_codec_reads_every_other(&Client::open("mem://orders").unwrap()).await;
}

#[tokio::test]
async fn values_come_back_from_a_server() {
    let server = Server::start();
    every_codec_reads_every_other(&server.client()).await;
}

#[tokio::test]
async fn the_body_is_plain_json_and_the_future_moves_between_threads() {
    let client = Client::open("mem://orders").unwrap();
    let running = tokio::spawn({
        let client = client.clone();
        async move {
            client
                .execute_typed(key("k"), payload(), |run| async move {
                    assert!(run.is_owner());
                    Ok::<_, ()>((201, order()))
                })
                .await
        }
    });
    let done = running.await.unwrap().unwrap().into_done().unwrap();
    assert_eq!(done.done.body().unwrap(), r#"{"id":7,"note":"fragile"}"#);

    // An untyped caller is given the same bytes.
    let untyped = client.execute(key("k"), payload(), |_| async { Err::<(), _>("not run") }).await;
    assert_eq!(untyped.unwrap().into_done().unwrap().result, done.done.result);
}

#[tokio::test]
async fn callers_at_once_get_equal_values_s2() {
    let server = Server::start();
    let execution = server.client().execution().wait(Millis::from_secs(20)).codec(Json);
    let runs = Arc::new(AtomicU32::new(0));
    let calls: Vec<_> = (0..100)
        .map(|caller| {
            let (execution, runs) = (execution.clone(), Arc::clone(&runs));
            tokio::spawn(async move {
                let work = async |_: Context| {
                    runs.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    Ok::<_, ()>(Order { id: caller, ..order() })
                };
                let executed = execution.execute_typed(key("shared"), payload(), work).await;
                executed.unwrap().into_done().unwrap().value
            })
        })
        .collect();
    let mut values = Vec::new();
    for call in calls {
        values.push(call.await.unwrap());
    }
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
}

/// Encodes to less than it is.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Lossy {
    id: u64,
    #[serde(skip)]
    cached: Option<String>,
}

impl Schema for Lossy {
    const TAG: &'static str = "lossy/1";
}

#[tokio::test]
async fn what_an_encoding_drops_the_first_caller_does_not_get_either() {
    let client = Client::open("mem://orders").unwrap();
    let execution = client.execution().codec(Json);
    let made = Lossy { id: 7, cached: Some("here only".to_owned()) };
    let first: Answer<Lossy> =
        execution.execute_typed(key("k"), payload(), |_| async { Ok(made) }).await;
    let again = replayed(retry::<Lossy, _, _>(&execution, key("k")).await);
    assert_eq!(first.unwrap().into_done().unwrap().value, again.value);
    assert_eq!(again.value.cached, None);
}

/// Encodes to what does not read back: JSON has no NaN.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Ratio(f64);

impl Schema for Ratio {
    const TAG: &'static str = "ratio/1";
}

#[tokio::test]
async fn a_value_that_does_not_read_back_shows_at_once_and_is_not_run_again() {
    let client = Client::open("mem://orders").unwrap();
    let execution = client.execution().codec(Json);
    let first: Answer<Ratio> =
        execution.execute_typed(key("k"), payload(), |_| async { Ok(Ratio(f64::NAN)) }).await;
    let (why, done) = unreadable(first);
    assert!(matches!(why, ReadError::Malformed { .. }), "{why}");
    assert_eq!((done.replayed, done.body().unwrap().as_ref()), (false, &b"null"[..]));
    let (again, done) = unreadable(retry::<Ratio, _, _>(&execution, key("k")).await);
    assert_eq!(again, why, "a retry is told the same");
    assert!(done.replayed);
}

/// Has no form in JSON, whose maps have text for keys.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Grid(BTreeMap<(u8, u8), String>);

impl Schema for Grid {
    const TAG: &'static str = "grid/1";
}

#[tokio::test]
async fn a_value_that_does_not_encode_is_done_and_declined_s12_s18() {
    let client = Client::open("mem://orders").unwrap();
    let execution = client.execution().codec(Json);
    let runs = AtomicU32::new(0);
    let grid = || Grid(BTreeMap::from([((1, 2), "secret".to_owned())]));
    let first: Answer<Grid> = execution
        .execute_typed(key("k"), payload(), |_| async {
            runs.fetch_add(1, Ordering::Relaxed);
            Ok((201, grid()))
        })
        .await;
    let error = first.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the work is done, but its value does not encode (the value has no form in JSON): it is \
         stored without a body. Do not run it again; mend the type"
    );
    assert!(!error.is_retryable() && !format!("{error:?}").contains("secret"), "{error:?}");
    let TypedError::NotEncoded { value, done, .. } = error else { panic!("{error:?}") };
    assert_eq!(value, grid(), "whoever ran has what it made");
    assert_eq!((done.not_kept, done.replayed), (Some(NotKept::Declined), false));

    let (why, done) = unreadable(retry::<Grid, _, _>(&execution, key("k")).await);
    assert_eq!(why, ReadError::NotKept(NotKept::Declined));
    assert_eq!(done.result.status, 201);
    let want = [pair(CODEC_METADATA, "json"), pair(SCHEMA_METADATA, "grid/1")];
    assert_eq!(labels(&done), want);
    assert_eq!(runs.into_inner(), 1);
}

/// Panics when it is encoded.
#[derive(Deserialize)]
struct Panics;

impl Serialize for Panics {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("planted")
    }
}

impl Schema for Panics {
    const TAG: &'static str = "panics/1";
}

#[tokio::test(start_paused = true)]
async fn a_value_whose_encoding_panics_is_not_abandoned_as_not_done_s18() {
    let fake = Fake::new();
    let execution = execution(&fake).codec(Json);
    let answer: Answer<Panics> =
        execution.execute_typed(key("k"), payload(), |_| async { Ok((201, Panics)) }).await;
    let Err(TypedError::NotEncoded { why, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(why.reason(), "its encoding panicked");
    assert_eq!(fake.calls(), ["begin wait 0", "complete 201"]);
}

#[tokio::test]
async fn labels_come_first_and_outlive_a_body_that_is_not_kept_s12() {
    let client = Client::open("mem://orders").unwrap();
    let execution = client.execution().codec(Json);
    let mut metadata = MetadataBuf::new();
    metadata.push("location", "/orders/7").unwrap();
    metadata.push("large", "x".repeat(1_000)).unwrap();
    let huge = Order { note: "x".repeat(2 << 20), ..order() };
    let made = TypedResult::new(201, huge.clone()).with_metadata(metadata).unwrap();
    let first: Answer<Order> =
        execution.execute_typed(key("k"), payload(), |_| async { Ok(made) }).await;
    let first = first.unwrap().into_done().unwrap();
    assert_eq!(first.value, huge, "whoever ran has it whole");
    assert_eq!(first.done.not_kept, Some(NotKept::TooLarge));
    assert_eq!(labels(&first.done).len(), 4);

    let (why, done) = unreadable(retry::<Order, _, _>(&execution, key("k")).await);
    assert_eq!(why, ReadError::NotKept(NotKept::TooLarge));
    let want = [
        pair(CODEC_METADATA, "json"),
        pair(SCHEMA_METADATA, "order/1"),
        pair("location", "/orders/7"),
    ];
    assert_eq!(labels(&done), want);
}

#[test]
fn a_users_metadata_leaves_room_for_the_labels_s20() {
    let with = |pairs: usize, bytes: usize| {
        let mut metadata = MetadataBuf::new();
        metadata.push("", vec![0; bytes]).unwrap();
        for _ in 1..pairs {
            metadata.push("", "").unwrap();
        }
        TypedResult::new(0, ()).with_metadata(metadata).map(|_| ())
    };
    let labels_bytes_max = "onceward-codec".len() + 64 + "onceward-schema".len() + 128;
    assert_eq!(labels_bytes_max, 221, "what the documentation says");
    let room = 16 * 1024 - labels_bytes_max;
    let over = BadInput::MetadataBytes { got: 16 * 1024 + 1 };
    assert_eq!(with(62, room), Ok(()));
    assert_eq!(with(63, room), Err(BadInput::MetadataPairs { got: 65 }));
    assert_eq!(with(62, room + 1), Err(over));
}

/// JSON under an id of its own.
#[derive(Clone, Copy)]
struct Own;

impl Codec for Own {
    const ID: &'static str = "example.own";

    fn encode<T: Serialize + ?Sized>(&self, value: &T) -> Result<Vec<u8>, CodecError> {
        Json.encode(value)
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, CodecError> {
        Json.decode(bytes)
    }
}

#[tokio::test]
async fn a_codec_of_ones_own_is_read_where_it_is_handed_in() {
    let client = Client::open("mem://orders").unwrap();
    let own = client.execution().codec(Own);
    let first: Answer<Order> =
        own.execute_typed(key("own"), payload(), |_| async { Ok(order()) }).await;
    assert_eq!(first.unwrap().into_done().unwrap().value, order());
    assert_eq!(replayed(retry::<Order, _, _>(&own, key("own")).await).value, order());

    let json = client.execution().codec(Json);
    let (why, done) = unreadable(retry::<Order, _, _>(&json, key("own")).await);
    assert_eq!(why, ReadError::UnknownCodec { stored: "example.own".to_owned() });
    assert_eq!(done.decode_with(&Own), Ok(order()), "and the raw result is at hand");

    let first: Answer<Order> =
        json.execute_typed(key("json"), payload(), |_| async { Ok(order()) }).await;
    assert!(first.is_ok());
    assert_eq!(replayed(retry::<Order, _, _>(&own, key("json")).await).value, order());
}

#[tokio::test]
async fn an_untyped_result_and_another_type_are_errors_that_hold_the_raw_result() {
    #[derive(Debug, Deserialize, Serialize)]
    struct Invoice {
        id: u64,
    }
    impl Schema for Invoice {
        const TAG: &'static str = "invoice/1";
    }

    let client = Client::open("mem://orders").unwrap();
    let execution = client.execution().codec(Json);
    let raw = client
        .execute(key("raw"), payload(), |_| async { Ok::<_, ()>(r#"{"id":7,"note":""}"#) })
        .await
        .unwrap();
    assert_eq!(raw.name(), "ran");
    let (why, done) = unreadable(retry::<Order, _, _>(&execution, key("raw")).await);
    assert_eq!(why, ReadError::Untyped);
    assert_eq!(done.body().unwrap(), r#"{"id":7,"note":""}"#);

    let first: Answer<Order> =
        execution.execute_typed(key("k"), payload(), |_| async { Ok(order()) }).await;
    assert!(first.is_ok());
    let (why, done) = unreadable(retry::<Invoice, _, _>(&execution, key("k")).await);
    let stored = "order/1".to_owned();
    assert_eq!(why, ReadError::OtherSchema { stored, expected: "invoice/1" });
    assert_eq!(done.decode(), Ok(order()));
}

#[tokio::test(start_paused = true)]
async fn other_answers_and_errors_are_those_of_an_execution() {
    let ms = Millis::new(5);
    let answers = [
        BeginOutcome::InProgress { retry_after: ms, age: ms, attempt_number: 2 },
        BeginOutcome::Mismatch,
        BeginOutcome::NeedFingerprint,
        BeginOutcome::InDoubt { since: ms },
        BeginOutcome::Refused { reason: Refusal::Capacity, retry_after: Some(ms) },
        BeginOutcome::Expired { since: ms },
    ];
    for answer in answers {
        let untyped = execution(&Fake::new().begin(ok(answer.clone())));
        let untyped = untyped.execute(key("k"), payload(), |_| async { Ok::<_, ()>(()) }).await;
        let typed = execution(&Fake::new().begin(ok(answer))).codec(Json);
        let typed = retry::<Order, _, _>(&typed, key("k")).await.unwrap();
        assert_eq!(format!("{typed:?}"), format!("{:?}", untyped.unwrap()));
        assert!(typed.done().is_none());
    }

    let fake = Fake::new();
    let error = retry::<Order, _, _>(&execution(&fake).codec(Json), key("k")).await.unwrap_err();
    assert!(matches!(error, TypedError::Execute(ExecuteError::Work("this is not run"))));
    assert_eq!(fake.calls(), ["begin wait 0", "abandon NotDone"]);

    let fake = Fake::new().begin(down());
    let error = retry::<Order, _, _>(&execution(&fake).codec(Json), key("k")).await.unwrap_err();
    assert!(error.is_retryable() && error.done().is_none());
    assert!(matches!(error, TypedError::Execute(ExecuteError::NotRun(_))), "{error}");

    // An owner that lost the identity is told so, whether or not its value encodes.
    for value in [Grid(BTreeMap::new()), Grid(BTreeMap::from([((1, 2), String::new())]))] {
        let fake = Fake::new().complete(ok(CompleteOutcome::Fenced));
        let execution = execution(&fake).codec(Json);
        let answer: Answer<Grid> =
            execution.execute_typed(key("k"), payload(), |_| async { Ok((201, value)) }).await;
        let Err(TypedError::Execute(error)) = answer else { panic!("{answer:?}") };
        assert!(matches!(error, ExecuteError::LostOwnership { why: Lost::Fenced, .. }), "{error}");
    }
}

#[tokio::test]
async fn debug_shows_no_value_s16() {
    let secret = Order { note: "secret".to_owned(), ..order() };
    let result = TypedResult::new(201, secret.clone());
    let client = Client::open("mem://orders").unwrap();
    let execution = client.execution().codec(Json);
    let shown = format!("{result:?} {execution:?}");
    assert!(shown.contains("order/1") && shown.contains("json"), "{shown}");
    let answer: Answer<Order> =
        execution.execute_typed(key("k"), payload(), |_| async { Ok(result) }).await;
    let shown = format!("{shown} {answer:?}");
    assert!(!shown.contains("secret"), "{shown}");
}
