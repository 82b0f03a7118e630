//! What running work gets from its context, over a scripted backend in paused time.

use bytes::Bytes;
use onceward_client::{
    CheckpointError, ClientError, Context, ExecuteError, Lost, PayloadFingerprint as _,
};
use onceward_core::*;
use tokio::time::{Duration, sleep};

use crate::execute::{Answer, execution, key};
use crate::fake::{Fake, LEASE, denied, grant, ok};

#[tokio::test(start_paused = true)]
async fn the_context_carries_what_the_work_needs() {
    let attempt = AttemptId::from_bytes([7; 16]);
    let BeginOutcome::Acquired(mut acquired) = grant(4, attempt, LEASE) else { unreachable!() };
    acquired.checkpoint = Some(Checkpointed { ordinal: 2, bytes: Bytes::from_static(b"half") });
    let fake = Fake::new().begin(ok(BeginOutcome::Acquired(acquired)));
    let answer: Answer = execution(&fake)
        .execute(key(), Fingerprint::None, |context: Context<Fake>| async move {
            assert_eq!(context.token().attempt_id, attempt);
            assert_eq!((context.fence().get(), context.attempt_number()), (4, 4));
            let checkpoint = context.checkpoint().unwrap();
            assert_eq!((checkpoint.ordinal, &checkpoint.bytes[..]), (2, &b"half"[..]));
            assert_eq!(
                context.derived_key(),
                "70819f8935c9a02dc8701ee83e5fa6c559f4b71ad11be2ddc05debb8647b44a5",
                "as documented, whatever the attempt"
            );
            assert_eq!(context.save_checkpoint(3, "more").await, Ok(3));
            Ok(())
        })
        .await;
    assert_eq!(answer.unwrap().done().unwrap().attempt_number, 4);
    assert_eq!(fake.calls(), ["begin wait 0", "checkpoint 3", "complete 0"]);
}

#[tokio::test(start_paused = true)]
async fn what_checkpoint_answers_s19() {
    let refused = Refusal::Capacity;
    #[rustfmt::skip]
    let cases = [
        (ok(CheckpointOutcome::Saved { ordinal: 9 }), Ok(9), None),
        (ok(CheckpointOutcome::Refused { reason: refused }), Err(CheckpointError::Refused { reason: refused }), None),
        (ok(CheckpointOutcome::NeedFingerprint), Err(CheckpointError::NeedFingerprint), None),
        (ok(CheckpointOutcome::Fenced), Err(CheckpointError::Lost(Lost::Fenced)), Some(Lost::Fenced)),
        (ok(CheckpointOutcome::Gone), Err(CheckpointError::Lost(Lost::Gone)), Some(Lost::Gone)),
        (ok(CheckpointOutcome::Conflict), Err(CheckpointError::Lost(Lost::Conflict)), Some(Lost::Conflict)),
        (denied(), Err(CheckpointError::Client(ClientError::Denied)), None),
    ];
    for (reply, want, lost) in cases {
        let fake = Fake::new().checkpoint(reply);
        let answer: Answer = execution(&fake)
            .execute(key(), Fingerprint::None, |context| async move {
                assert_eq!(context.save_checkpoint(1, "bytes").await, want);
                assert_eq!(context.lost(), lost);
                Ok(())
            })
            .await;
        drop(answer);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fingerprint_to_come_is_bound_once_and_carried_on_s9() {
    let fake = Fake::new();
    let Fingerprint::Digest(digest) = Fingerprint::of("body") else { unreachable!() };
    let answer: Answer = execution(&fake)
        .execute(key(), Fingerprint::Later, |context| async move {
            context.bind_fingerprint(digest).await.unwrap();
            sleep(Duration::from_secs(11)).await;
            Ok(())
        })
        .await;
    assert_eq!(answer.unwrap().name(), "ran");
    assert_eq!(fake.calls(), ["begin wait 0", "renew bound", "renew bound", "complete 0 bound"]);

    let fake = Fake::new().renew(ok(RenewOutcome::Renewed { lease_left: LEASE }).after(5_000));
    let answer: Answer = execution(&fake)
        .execute(key(), Fingerprint::Later, |context| async move {
            sleep(Duration::from_secs(11)).await; // A renewal is under way since a second.
            context.bind_fingerprint(digest).await.unwrap();
            sleep(Duration::from_secs(6)).await;
            Ok(())
        })
        .await;
    assert_eq!(answer.unwrap().name(), "ran");
    let want = ["begin wait 0", "renew", "renew bound", "complete 0 bound"];
    assert_eq!(fake.calls(), want, "an answer that comes late unbinds nothing");

    let fake = Fake::new().complete(ok(CompleteOutcome::NeedFingerprint));
    let answer: Answer =
        execution(&fake).execute(key(), Fingerprint::Later, |_| async { Ok(()) }).await;
    let Err(ExecuteError::NotStored { cause, .. }) = answer else { panic!("{answer:?}") };
    assert!(!cause.is_retryable(), "the work forgot to bind: {cause}");
}
