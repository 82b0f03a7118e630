//! One of everything that travels, with and without its optional fields.

use alloc::vec;
use alloc::vec::Vec;

use onceward_core::{
    Abandon, AbandonOutcome, Acquired, AttemptId, Begin, BeginOutcome, Body, Certainty,
    CheckpointOutcome, Checkpointed, Complete, CompleteOutcome, Completed, Digest, Fence,
    Fingerprint, Forget, ForgetOutcome, Get, GetOutcome, ListEntry, ListPage, ListQuery, NotKept,
    PageCursor, Policy, Refusal, Renew, RenewOutcome, Replay, Resolve, ResolveOutcome, ResultRef,
    SaveCheckpoint, ScopedKey, ScopedKeyBuf, StateName, StoredResult, Token, Verdict,
};

use super::{Message, ORDERS, hello, millis};
use crate::{ErrorCode, ErrorReply, Hello, Opcode, Reply, Request, Rights, ServerLimits, Welcome};

const LONG: [u8; 255] = [0xff; 255];
/// One pair, `etag` = `"v1"`.
const METADATA: &[u8] = b"\x04\0\x04\0etag\"v1\"";

pub(super) fn fence() -> Fence {
    Fence::new(Fence::MAX).unwrap()
}

fn token() -> Token {
    Token { fence: fence(), attempt_id: AttemptId::from_bytes([0xa5; 16]) }
}

fn digest(size: usize) -> Digest {
    Digest::new(&[0x3c; 32][..size]).unwrap()
}

pub(super) fn key() -> ScopedKey<'static> {
    ScopedKey::new(b"tenant-7", b"order-1042").unwrap()
}

fn longest_key() -> ScopedKey<'static> {
    ScopedKey::new(&LONG, &LONG).unwrap()
}

const fn kept(metadata: &'static [u8], body: &'static [u8]) -> ResultRef<'static> {
    StoredResult { status: 201, metadata, body: Body::Kept(body) }
}

const fn not_kept(why: NotKept) -> ResultRef<'static> {
    StoredResult { status: 500, metadata: METADATA, body: Body::NotKept(why) }
}

fn results() -> [ResultRef<'static>; 6] {
    [
        kept(METADATA, b"body"),
        kept(b"", b""),
        kept(b"", &[7; 70_000]),
        not_kept(NotKept::TooLarge),
        not_kept(NotKept::Declined),
        not_kept(NotKept::Capacity),
    ]
}

pub(super) fn begin() -> Begin {
    Begin::new(Fingerprint::None, token().attempt_id)
}

fn operations() -> Vec<Request<'static>> {
    let key = key();
    let begin = begin();
    let token = token();
    let mut all = vec![
        Request::Ping { echo: 0 },
        Request::Ping { echo: u64::MAX },
        Request::Begin { key, begin },
        Request::Begin {
            key: longest_key(),
            begin: Begin {
                fingerprint: digest(32).into(),
                lease: millis(u64::MAX),
                retention: millis(u64::MAX),
                policy: Policy::InDoubt,
                wait: millis(u64::MAX),
                result_hint: Some(0),
                checkpoint_hint: 65_536,
                ..begin
            },
        },
        Request::Begin {
            key: ScopedKey::new(b"", b"k").unwrap(),
            begin: Begin { fingerprint: Fingerprint::Later, checkpoint_hint: 1, ..begin },
        },
        Request::Begin {
            key,
            begin: Begin { fingerprint: digest(16).into(), result_hint: Some(9), ..begin },
        },
        Request::Abandon { key, abandon: Abandon { token, certainty: Certainty::NotDone } },
        Request::Abandon { key, abandon: Abandon { token, certainty: Certainty::InDoubt } },
        Request::Renew { key, renew: Renew { token, lease: millis(100), fingerprint: None } },
        Request::Renew {
            key: longest_key(),
            renew: Renew { token, lease: millis(1), fingerprint: Some(digest(20)) },
        },
        Request::Get { key, get: Get { wait: millis(0) } },
        Request::Get { key: longest_key(), get: Get { wait: millis(60_000) } },
        Request::Resolve {
            key,
            resolve: Resolve { fence: fence(), doubt_number: 1, verdict: Verdict::NeverDone },
        },
        Request::Forget { key, forget: Forget { fence: fence() } },
        Request::List(ListQuery::default()),
        Request::List(ListQuery {
            state: Some(StateName::InDoubt),
            older_than: Some(millis(0)),
            cursor: PageCursor(u64::MAX),
            entries_max: u16::MAX,
        }),
        Request::Stats,
    ];
    for bytes in [&[][..], b"step", &[9; 65_536]] {
        all.push(Request::Checkpoint {
            key,
            checkpoint: SaveCheckpoint { token, ordinal: u32::MAX, bytes },
        });
    }
    for result in results() {
        for fingerprint in [None, Some(digest(32))] {
            all.push(Request::Complete { key, complete: Complete { token, result, fingerprint } });
            let verdict = Verdict::Completed { result, fingerprint };
            let resolve = Resolve { fence: fence(), doubt_number: u32::MAX, verdict };
            all.push(Request::Resolve { key, resolve });
        }
    }
    all
}

/// Every request, opcode by opcode.
pub(super) fn requests() -> Vec<(Opcode, Message<'static>)> {
    let mut all = vec![
        (Opcode::Hello, Message::Hello(hello(ORDERS))),
        (
            Opcode::Hello,
            Message::Hello(Hello {
                version_min: 0,
                version_max: u16::MAX,
                features: u64::MAX,
                credential: b"",
                ..hello("n")
            }),
        ),
        (Opcode::Cancel, Message::Cancel(u64::MAX)),
    ];
    all.extend(operations().into_iter().map(|it| (it.opcode(), Message::Operation(it))));
    all
}

fn begin_outcomes() -> Vec<BeginOutcome<&'static [u8]>> {
    let acquired = Acquired {
        token: token(),
        attempt_number: 1,
        checkpoint: None,
        lease_left: millis(30_000),
        retention_left: millis(86_400_000),
    };
    let checkpoint = |bytes| Some(Checkpointed { ordinal: u32::MAX, bytes });
    let mut all = vec![
        BeginOutcome::Acquired(acquired),
        BeginOutcome::Acquired(Acquired { checkpoint: checkpoint(&[][..]), ..acquired }),
        BeginOutcome::Acquired(Acquired { checkpoint: checkpoint(&[1; 65_536][..]), ..acquired }),
        BeginOutcome::InProgress {
            retry_after: millis(1),
            age: millis(u64::MAX),
            attempt_number: u32::MAX,
        },
        BeginOutcome::Mismatch,
        BeginOutcome::NeedFingerprint,
        BeginOutcome::InDoubt { since: millis(5) },
        BeginOutcome::Refused { reason: Refusal::Capacity, retry_after: None },
        BeginOutcome::Refused { reason: Refusal::Quota, retry_after: Some(millis(7)) },
        BeginOutcome::Gone,
        BeginOutcome::Expired { since: millis(9) },
    ];
    for result in results() {
        let (age, retention_left) = (millis(1), millis(2));
        all.push(BeginOutcome::Replay(Replay { result, age, attempt_number: 3, retention_left }));
    }
    all
}

fn get_outcomes() -> Vec<GetOutcome<&'static [u8]>> {
    let mut all = vec![GetOutcome::Absent, GetOutcome::Expired { since: millis(9) }];
    for fence in [None, Some(fence())] {
        all.push(GetOutcome::Reserved {
            age: millis(1),
            attempt_number: 2,
            lease_left: millis(0),
            fence,
            doubt_number: 4,
        });
        all.push(GetOutcome::InDoubt {
            since: millis(1),
            attempt_number: 2,
            fence,
            doubt_number: 3,
        });
        for result in results() {
            let (age, retention_left) = (millis(1), millis(2));
            let completed = Completed { result, age, attempt_number: 3, retention_left, fence };
            all.push(GetOutcome::Completed(completed));
        }
    }
    all
}

fn entry(key: ScopedKey<'_>, state: StateName) -> ListEntry {
    ListEntry {
        scoped_key: ScopedKeyBuf::new(key.scope(), key.key()).unwrap(),
        state,
        age: millis(1),
        attempt_number: 2,
        fence: fence(),
        doubt_number: 3,
        retention_left: millis(4),
    }
}

fn welcome() -> Welcome {
    Welcome {
        version: 1,
        features: u64::MAX,
        body_bytes_max: 131_072,
        server_time_ms: 1_767_225_600_000,
        boot_epoch: u64::MAX,
        rights: Rights::ALL,
        limits: ServerLimits::default(),
    }
}

/// One error of each code, with the details that belong to it.
pub(super) fn errors() -> Vec<ErrorReply<'static>> {
    let mut all = vec![
        ErrorReply::unavailable("shutting down").retry_after(millis(5)),
        ErrorReply::not_leader("localhost:7977", u64::MAX),
        ErrorReply::not_leader("", 0),
        ErrorReply::bad_input("key", "key has 0 bytes: send 1 to 255"),
        ErrorReply::too_many_connections(16_384),
        ErrorReply::timed_out(millis(10)),
        ErrorReply {
            got: Some(9),
            min: Some(1),
            max: Some(2),
            ..ErrorReply::new(ErrorCode::Version, "")
        },
        ErrorReply::new(ErrorCode::Other(0xff), "of a later version"),
    ];
    let detailed = [ErrorCode::NotLeader, ErrorCode::BadInput];
    let plain = ErrorCode::ALL.into_iter().filter(|code| !detailed.contains(code));
    all.extend(plain.map(|code| ErrorReply::new(code, "why")));
    all
}

/// Every reply to every opcode that has one. STATS rows borrow, so they have a test of their own.
pub(super) fn replies() -> Vec<(Opcode, Reply<'static>)> {
    let mut all = vec![
        (Opcode::Hello, Reply::Welcome(welcome())),
        (Opcode::Ping, Reply::Pong { echo: u64::MAX }),
        (Opcode::List, Reply::List(ListPage::default())),
        (
            Opcode::List,
            Reply::List(ListPage {
                entries: vec![
                    entry(key(), StateName::Reserved),
                    entry(longest_key(), StateName::InDoubt),
                    entry(ScopedKey::new(b"", b"k").unwrap(), StateName::Completed),
                ],
                next: Some(PageCursor(u64::MAX)),
            }),
        ),
    ];
    all.extend(begin_outcomes().into_iter().map(|it| (Opcode::Begin, Reply::Begin(it))));
    all.extend(get_outcomes().into_iter().map(|it| (Opcode::Get, Reply::Get(it))));
    let reasons = [None, Some(NotKept::TooLarge), Some(NotKept::Declined), Some(NotKept::Capacity)];
    for not_kept in reasons {
        let stored = CompleteOutcome::Completed { not_kept };
        let again = CompleteOutcome::AlreadyCompleted { not_kept };
        all.extend([stored, again].map(|it| (Opcode::Complete, Reply::Complete(it))));
    }
    let complete = [
        CompleteOutcome::Conflict,
        CompleteOutcome::Mismatch,
        CompleteOutcome::NeedFingerprint,
        CompleteOutcome::Fenced,
        CompleteOutcome::Gone,
    ];
    all.extend(complete.map(|it| (Opcode::Complete, Reply::Complete(it))));
    let abandon = [
        AbandonOutcome::Abandoned,
        AbandonOutcome::Conflict,
        AbandonOutcome::Fenced,
        AbandonOutcome::Gone,
    ];
    all.extend(abandon.map(|it| (Opcode::Abandon, Reply::Abandon(it))));
    let renew = [
        RenewOutcome::Renewed { lease_left: millis(u64::MAX) },
        RenewOutcome::Mismatch,
        RenewOutcome::Conflict,
        RenewOutcome::Fenced,
        RenewOutcome::Gone,
    ];
    all.extend(renew.map(|it| (Opcode::Renew, Reply::Renew(it))));
    let checkpoint = [
        CheckpointOutcome::Saved { ordinal: u32::MAX },
        CheckpointOutcome::Refused { reason: Refusal::Capacity },
        CheckpointOutcome::Refused { reason: Refusal::Quota },
        CheckpointOutcome::NeedFingerprint,
        CheckpointOutcome::Conflict,
        CheckpointOutcome::Fenced,
        CheckpointOutcome::Gone,
    ];
    all.extend(checkpoint.map(|it| (Opcode::Checkpoint, Reply::Checkpoint(it))));
    let resolve = [
        ResolveOutcome::Resolved,
        ResolveOutcome::InProgress,
        ResolveOutcome::Mismatch,
        ResolveOutcome::NeedFingerprint,
        ResolveOutcome::Conflict,
        ResolveOutcome::Fenced,
        ResolveOutcome::Gone,
    ];
    all.extend(resolve.map(|it| (Opcode::Resolve, Reply::Resolve(it))));
    let forget = [
        ForgetOutcome::Forgotten,
        ForgetOutcome::InProgress,
        ForgetOutcome::Fenced,
        ForgetOutcome::Gone,
    ];
    all.extend(forget.map(|it| (Opcode::Forget, Reply::Forget(it))));
    for opcode in Opcode::ALL.into_iter().filter(|opcode| *opcode != Opcode::Cancel) {
        // S23: reserved outcomes may answer everything.
        all.extend(errors().into_iter().map(|error| (opcode, Reply::Error(error))));
        all.push((opcode, Reply::Unknown { code: 0x7f }));
        let of_token = [
            Opcode::Complete,
            Opcode::Abandon,
            Opcode::Renew,
            Opcode::Checkpoint,
            Opcode::Resolve,
            Opcode::Forget,
        ];
        if of_token.contains(&opcode) {
            all.push((opcode, Reply::Expired { since: millis(1) }));
        }
    }
    all
}
