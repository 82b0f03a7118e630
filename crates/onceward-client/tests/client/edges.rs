//! Edges of concurrent calls: what is true of a key just before and just after something ends.

use std::future::{pending, poll_fn};
use std::task::Poll;

use onceward_client::*;
use tokio::time::{Duration, sleep, timeout};

use crate::execute::{execution, key};
use crate::fake::{Fake, LEASE, down, grant, ok};

async fn errs_after_a_second(_: Context<Fake>) -> Result<&'static str, &'static str> {
    sleep(Duration::from_secs(1)).await;
    Err("scripted error")
}

async fn hangs(_: Context<Fake>) -> Result<&'static str, &'static str> {
    pending().await
}

/// The answer to another payload that comes while the owner's abandon is under way.
async fn other_payload_while(fake: &Fake, execution: &Execution<Fake>, dropped: bool) -> Executed {
    let leader = tokio::spawn({
        let execution = execution.clone();
        async move {
            let payload = Fingerprint::of("payload");
            match dropped {
                true => execution.execute(key(), payload, hangs).await,
                false => execution.execute(key(), payload, errs_after_a_second).await,
            }
        }
    });
    sleep(Duration::from_secs(1)).await;
    if dropped {
        leader.abort();
    }
    fake.until_calls(2).await;
    let made = async |_: Context<Fake>| Ok::<_, &'static str>("made");
    execution.execute(key(), Fingerprint::of("other"), made).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_key_being_given_back_proves_no_mismatch_s1() {
    for dropped in [false, true] {
        // The store does it at once, and its reply comes late: absent, but nobody here knows.
        let fake = Fake::new().abandon(ok(AbandonOutcome::Abandoned).after(400));
        let execution = execution(&fake).on_drop(OnFailure::Release);
        let other = other_payload_while(&fake, &execution, dropped).await;
        assert_eq!(other.name(), "ran", "dropped {dropped}: it asked the store");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_put_in_doubt_stays_bound_s8() {
    let fake = Fake::new().abandon(ok(AbandonOutcome::Abandoned).after(400));
    let execution = execution(&fake).policy(Policy::InDoubt);
    let other = other_payload_while(&fake, &execution, false).await;
    assert_eq!(other, Executed::Mismatch);
}

/// Polls as often, at most; whether it ended before.
async fn polled<F: Future>(future: F, times: u32) -> bool {
    let mut future = Box::pin(future);
    let mut left = times;
    poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        future.as_mut().poll(context).map(|_| true)
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_leader_dropped_at_any_of_its_awaits_leaves_nobody_waiting() {
    let mut ended = 0;
    for (fails, on_drop) in [
        (false, OnFailure::Leave),
        (false, OnFailure::Release),
        (true, OnFailure::Release),
        (true, OnFailure::InDoubt),
    ] {
        for times in 1..30 {
            let granted = || grant(1, AttemptId::from_bytes([1; 16]), LEASE);
            // Asked out of a wait, so that it renews first; no reply comes at once.
            let fake = Fake::new()
                .begin(ok(granted()).after(50))
                .renew(ok(RenewOutcome::Renewed { lease_left: LEASE }).after(50))
                .abandon(ok(AbandonOutcome::Abandoned).after(50))
                .complete(down().after(50));
            let execution = execution(&fake).wait(Millis::new(100)).on_drop(on_drop);
            let call = |name: &'static str| {
                let execution = execution.clone();
                async move {
                    let work = async |_: Context<Fake>| {
                        for _ in 0..3 {
                            sleep(Duration::from_secs(1)).await;
                        }
                        if fails && name == "leader" { Err("scripted error") } else { Ok(name) }
                    };
                    execution.execute(key(), Fingerprint::of("payload"), work).await
                }
            };
            let leader = tokio::spawn(polled(call("leader"), times));
            tokio::task::yield_now().await;
            let followers: Vec<_> = (0..3).map(|_| tokio::spawn(call("follower"))).collect();
            ended += u32::from(leader.await.unwrap());
            for follower in followers {
                let why = format!("dropped at poll {times}, fails {fails}, {on_drop:?}");
                let answer = timeout(Duration::from_secs(100), follower).await.expect(&why);
                let name = answer.unwrap().unwrap().name();
                assert!(["ran", "replayed"].contains(&name), "{why}: {name}");
            }
            let after = timeout(Duration::from_secs(100), call("after")).await;
            assert!(after.expect("no flight is left").is_ok());
        }
    }
    assert!((4..116).contains(&ended), "{ended}: some are dropped, some come to their end");
}

#[test]
fn a_runtime_that_ends_takes_no_caller_of_another_with_it() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    };
    let (ends, stays) = (runtime(), runtime());
    let client = Client::open("mem://orders").unwrap();
    let (starts, started) = std::sync::mpsc::channel();
    let leader = client.clone();
    ends.spawn(async move {
        let work = async |_: Context| {
            starts.send(()).unwrap();
            pending::<Result<&str, ()>>().await
        };
        leader.execute(key(), Fingerprint::None, work).await
    });
    started.recv().unwrap();
    let follower = stays.spawn(async move {
        let unused = async |_: Context| Ok::<_, ()>("unused");
        client.execute(key(), Fingerprint::None, unused).await.unwrap().name()
    });
    ends.shutdown_background();
    let answer = async { timeout(Duration::from_secs(20), follower).await };
    assert_eq!(stays.block_on(answer).expect("it hangs").unwrap(), "in_progress", "the lease runs");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_has_to_begin_anew_still_leads() {
    let granted = || grant(1, AttemptId::from_bytes([1; 16]), LEASE);
    // Granted out of a wait, and gone before it could start (S10).
    let fake = Fake::new()
        .begin(ok(granted()).after(50))
        .renew(ok(RenewOutcome::Gone))
        .begin(ok(granted()));
    let execution = execution(&fake).wait(Millis::new(100));
    let call = |execution: &Execution<Fake>| {
        let execution = execution.clone();
        tokio::spawn(async move {
            let work = async |_: Context<Fake>| {
                sleep(Duration::from_secs(1)).await;
                Ok::<_, ()>("made")
            };
            execution.execute(key(), Fingerprint::of("payload"), work).await.unwrap().name()
        })
    };
    let leader = call(&execution);
    sleep(Duration::from_millis(1)).await;
    let follower = call(&execution);
    assert_eq!((leader.await.unwrap(), follower.await.unwrap()), ("ran", "replayed"));
    assert_eq!(fake.calls(), ["begin wait 100", "renew", "begin wait 50", "complete 0"]);
}
