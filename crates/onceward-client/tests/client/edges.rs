//! Edges of concurrent calls: what is true of a key just before and just after something ends.

use std::future::pending;

use onceward_client::*;
use tokio::time::{Duration, sleep};

use crate::execute::{execution, key};
use crate::fake::{Fake, ok};

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
