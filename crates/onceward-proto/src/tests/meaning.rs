//! What the document's examples say, field by field. An encoder and a decoder that swap the same
//! two fields agree with each other; they do not agree with the remarks beside the bytes.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use onceward_core::{
    Abandon, Acquired, AttemptId, Begin, BeginOutcome, Body, Certainty, CheckpointOutcome,
    Checkpointed, Complete, CompleteOutcome, Completed, Digest, Fence, Forget, Get, GetOutcome,
    ListEntry, ListPage, ListQuery, NotKept, PageCursor, Policy, Refusal, Renew, RenewOutcome,
    Replay, Resolve, ResultRef, SaveCheckpoint, ScopedKeyBuf, StateName, StoredResult, Token,
    Verdict,
};

use super::document::{document, examples};
use super::samples::key;
use super::{Message, decode_reply, hello, millis, only_frame};
use crate::frame::{BODY_BYTES_MAX_DEFAULT, Direction};
use crate::{ErrorCode, ErrorReply, Hello, Opcode, Reply, Request, Rights, ServerLimits, Welcome};

const DIGEST: [u8; 16] = [
    0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,
];
const ATTEMPT: [u8; 16] = [
    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
];
const ECHO: u64 = 0x1122_3344_5566_7788;
const RESULT: ResultRef<'static> = StoredResult {
    status: 201,
    metadata: b"\x04\0\x04\0etag\"v1\"",
    body: Body::Kept(br#"{"id":7}"#),
};

fn fence() -> Fence {
    Fence::new(7001).unwrap()
}

fn token() -> Token {
    Token { fence: fence(), attempt_id: AttemptId::from_bytes(ATTEMPT) }
}

fn digest() -> Digest {
    Digest::new(&DIGEST).unwrap()
}

fn requests() -> Vec<(&'static str, Message<'static>)> {
    let (key, token) = (key(), token());
    let resolve = |verdict| Request::Resolve {
        key,
        resolve: Resolve { fence: fence(), doubt_number: 1, verdict },
    };
    let begin = Begin {
        fingerprint: digest().into(),
        attempt_id: token.attempt_id,
        lease: millis(30_000),
        retention: millis(86_400_000),
        policy: Policy::Takeover,
        wait: millis(2_000),
        result_hint: Some(8_192),
        checkpoint_hint: 1_024,
    };
    let complete = Complete { token, result: RESULT, fingerprint: Some(digest()) };
    let renew = Renew { token, lease: millis(30_000), fingerprint: Some(digest()) };
    let list = ListQuery {
        state: Some(StateName::InDoubt),
        older_than: Some(millis(60_000)),
        cursor: PageCursor(0),
        entries_max: 100,
    };
    let hello = Hello {
        version_min: 1,
        version_max: 1,
        features: 0,
        body_bytes_max: BODY_BYTES_MAX_DEFAULT,
        credential: b"s3cr3t",
        ..hello("default")
    };
    #[rustfmt::skip]
    let operations = [
        ("PING", Request::Ping { echo: ECHO }),
        ("BEGIN", Request::Begin { key, begin }),
        ("COMPLETE", Request::Complete { key, complete }),
        ("ABANDON", Request::Abandon { key, abandon: Abandon { token, certainty: Certainty::NotDone } }),
        ("RENEW", Request::Renew { key, renew }),
        ("CHECKPOINT", Request::Checkpoint { key, checkpoint: SaveCheckpoint { token, ordinal: 1, bytes: b"step=2" } }),
        ("GET", Request::Get { key, get: Get { wait: millis(0) } }),
        ("RESOLVE completed", resolve(Verdict::Completed { result: RESULT, fingerprint: None })),
        ("RESOLVE never done", resolve(Verdict::NeverDone)),
        ("FORGET", Request::Forget { key, forget: Forget { fence: fence() } }),
        ("LIST", Request::List(list)),
        ("STATS", Request::Stats),
    ];
    let mut all = vec![("HELLO", Message::Hello(hello)), ("CANCEL", Message::Cancel(3))];
    all.extend(operations.map(|(title, request)| (title, Message::Operation(request))));
    all
}

fn replies() -> Vec<(&'static str, Reply<'static>)> {
    let welcome = Welcome {
        version: 1,
        features: 0,
        body_bytes_max: BODY_BYTES_MAX_DEFAULT,
        server_time_ms: 1_767_225_600_000,
        boot_epoch: 42,
        rights: Rights::ALL,
        limits: ServerLimits {
            lease_min: millis(100),
            lease_max: millis(86_400_000),
            retention_max: millis(2_592_000_000),
            wait_max: millis(60_000),
            result_bytes_max: 1_048_576,
            in_flight_max: 1_024,
            idle_timeout: millis(300_000),
        },
    };
    let acquired = Acquired {
        token: token(),
        attempt_number: 2,
        checkpoint: Some(Checkpointed { ordinal: 1, bytes: &b"step=2"[..] }),
        lease_left: millis(30_000),
        retention_left: millis(86_400_000),
    };
    let (age, attempt_number, retention_left) = (millis(1_500), 2, millis(86_398_500));
    let replay =
        |result| BeginOutcome::Replay(Replay { result, age, attempt_number, retention_left });
    let too_large = StoredResult { body: Body::NotKept(NotKept::TooLarge), ..RESULT };
    let in_progress =
        BeginOutcome::InProgress { retry_after: millis(28_500), age, attempt_number: 1 };
    let refused =
        BeginOutcome::Refused { reason: Refusal::Capacity, retry_after: Some(millis(250)) };
    let reserved = GetOutcome::Reserved {
        age,
        attempt_number: 1,
        lease_left: millis(28_500),
        fence: Some(fence()),
        doubt_number: 1,
    };
    let in_doubt = GetOutcome::InDoubt {
        since: millis(45_000),
        attempt_number: 1,
        fence: Some(fence()),
        doubt_number: 1,
    };
    let completed =
        Completed { result: RESULT, age, attempt_number, retention_left, fence: Some(fence()) };
    let entry = ListEntry {
        scoped_key: ScopedKeyBuf::new(key().scope(), key().key()).unwrap(),
        state: StateName::InDoubt,
        age: millis(90_000),
        attempt_number: 1,
        fence: fence(),
        doubt_number: 1,
        retention_left: millis(86_310_000),
    };
    let page = ListPage { entries: vec![entry], next: Some(PageCursor(65)) };
    let hour = millis(3_600_000);
    #[rustfmt::skip]
    let all = vec![
        ("HELLO ok", Reply::Welcome(welcome)),
        ("PING ok", Reply::Pong { echo: ECHO }),
        ("BEGIN acquired", Reply::Begin(BeginOutcome::Acquired(acquired))),
        ("BEGIN replay", Reply::Begin(replay(RESULT))),
        ("BEGIN replay, not kept", Reply::Begin(replay(too_large))),
        ("BEGIN in_progress", Reply::Begin(in_progress)),
        ("BEGIN in_doubt", Reply::Begin(BeginOutcome::InDoubt { since: millis(45_000) })),
        ("BEGIN refused", Reply::Begin(refused)),
        ("BEGIN expired", Reply::Begin(BeginOutcome::Expired { since: hour })),
        ("COMPLETE completed", Reply::Complete(CompleteOutcome::Completed { not_kept: None })),
        ("COMPLETE already_completed", Reply::Complete(CompleteOutcome::AlreadyCompleted { not_kept: Some(NotKept::Declined) })),
        ("COMPLETE expired", Reply::Expired { since: hour }),
        ("RENEW renewed", Reply::Renew(RenewOutcome::Renewed { lease_left: millis(30_000) })),
        ("CHECKPOINT saved", Reply::Checkpoint(CheckpointOutcome::Saved { ordinal: 1 })),
        ("CHECKPOINT refused", Reply::Checkpoint(CheckpointOutcome::Refused { reason: Refusal::Capacity })),
        ("GET reserved", Reply::Get(reserved)),
        ("GET in_doubt", Reply::Get(in_doubt)),
        ("GET completed", Reply::Get(GetOutcome::Completed(completed))),
        ("GET expired", Reply::Get(GetOutcome::Expired { since: hour })),
        ("LIST ok", Reply::List(page)),
    ];
    all
}

fn errors() -> Vec<(&'static str, ErrorReply<'static>)> {
    let of = ErrorReply::new;
    #[rustfmt::skip]
    let all = vec![
        ("BEGIN unavailable", ErrorReply::unavailable("shutting down").retry_after(millis(1_000))),
        ("BEGIN not_leader", ErrorReply { epoch: Some(5), address: Some("10.0.0.2:7977".into()), ..of(ErrorCode::NotLeader, "ask the leader") }),
        ("BEGIN bad_input", ErrorReply::bad_input("key", "key has 0 bytes: send 1 to 255")),
        ("COMPLETE frame_too_large", ErrorReply { got: Some(u32::MAX.into()), max: Some(1_114_112), ..of(ErrorCode::FrameTooLarge, "too large") }),
        ("HELLO version", ErrorReply { min: Some(1), max: Some(1), ..of(ErrorCode::Version, "speak version 1") }),
    ];
    all
}

#[test]
fn every_field_means_what_the_document_says() {
    let examples = examples(&document());
    let find = |direction: Direction| -> BTreeMap<String, Vec<u8>> {
        let of = examples.iter().filter(|it| it.direction == direction);
        of.map(|it| (it.title.clone(), it.bytes.clone())).collect()
    };
    let asked = find(Direction::Request);
    let expected = requests();
    assert_eq!(asked.len(), expected.len(), "every request is read here");
    for (title, message) in expected {
        let frame = only_frame(&asked[title], Direction::Request);
        let opcode = Opcode::from_u8(frame.opcode).unwrap();
        assert_eq!(Message::decode(opcode, frame.body), Ok(message), "{title}");
    }
    let answered = find(Direction::Reply);
    let errors = errors().into_iter().map(|(title, error)| (title, Reply::Error(error)));
    for (title, reply) in replies().into_iter().chain(errors) {
        let frame = only_frame(&answered[title], Direction::Reply);
        let opcode = Opcode::from_u8(frame.opcode).unwrap();
        assert_eq!(decode_reply(opcode, frame.body), Ok(reply), "{title}");
    }
}
