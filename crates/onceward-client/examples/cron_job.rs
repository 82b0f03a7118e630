//! A nightly job that two hosts start at the same time, one of them to be there if the other is
//! not.
//!
//! ```text
//! cargo run -p onceward-client --example cron_job
//! ONCEWARD_URL=onceward://127.0.0.1:7977/jobs cargo run -p onceward-client --example cron_job
//! ```
//!
//! The key is the job and the night it is for, not the moment at which cron fired. The job moves
//! money, so its policy is in-doubt: if a host dies in the middle, nobody runs it again until
//! somebody has looked. For a job that is a program rather than a function see `onceward run`.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use onceward_client::{
    Client, ExecuteError, Executed, Fingerprint, Get, GetOutcome, Key, Policy, Resolve,
    ScopedKeyBuf, Verdict,
};

/// How a host's night went.
#[derive(Debug, PartialEq)]
enum Night {
    Settled(String),
    SettledElsewhere(String),
    RunningElsewhere,
    /// An operator has to look: `onceward list --state in_doubt`, then `onceward resolve`.
    InDoubt,
}

async fn settle_once<F>(
    client: &Client,
    night: ScopedKeyBuf,
    settle: F,
) -> Result<Night, ExecuteError<std::io::Error>>
where
    F: AsyncFnOnce() -> Result<String, std::io::Error>,
{
    let executed = client
        .execution()
        .policy(Policy::InDoubt)
        .retention(Duration::from_secs(7 * 24 * 3_600)) // A job started by hand days later, too.
        // There is no payload beside the night itself.
        .execute(night, Fingerprint::None, |_run| async move { settle().await })
        .await?;
    Ok(match executed {
        Executed::Ran(done) => Night::Settled(text(done.body())),
        Executed::Replayed(done) => Night::SettledElsewhere(text(done.body())),
        Executed::InDoubt { .. } => Night::InDoubt,
        // In progress elsewhere; refused for want of room, which the next firing tries again.
        _ => Night::RunningElsewhere,
    })
}

fn text(body: Option<&impl AsRef<[u8]>>) -> String {
    body.map(|body| String::from_utf8_lossy(body.as_ref()).into_owned()).unwrap_or_default()
}

/// Plays two hosts, then a night in which the host dies, and checks what comes of it.
pub(crate) async fn run(client: Client) -> Result<(), Box<dyn Error>> {
    let run_id = Key::generate(); // New for each run, for a daemon remembers.
    let night = |date: &str| {
        Key::derive("settlement/1").field("run", run_id.as_bytes()).field("night", date).finish()
    };
    let transfers = Arc::new(AtomicU64::new(0));
    let settle = async || {
        tokio::task::yield_now().await;
        transfers.fetch_add(1, Ordering::Relaxed);
        Ok("412 transfers".to_owned())
    };

    let monday = night("2026-11-23")?.in_scope("")?; // One firm, no tenants: an empty scope.
    let hosts = tokio::join!(
        settle_once(&client, monday.clone(), settle),
        settle_once(&client, monday.clone(), settle),
    );
    println!("two hosts at once   {:?} and {:?}", hosts.0.as_ref().ok(), hosts.1.as_ref().ok());
    assert_eq!(transfers.load(Ordering::Relaxed), 1);
    let by_hand = settle_once(&client, monday, settle).await?;
    println!("started by hand     {by_hand:?}");
    assert_eq!(by_hand, Night::SettledElsewhere("412 transfers".to_owned()));

    // The next night the bank's answer is lost. The job fails, and what happened is not known.
    let tuesday = night("2026-11-24")?.in_scope("")?;
    let lost = async || Err(std::io::Error::other("no answer from the bank"));
    let failed = settle_once(&client, tuesday.clone(), lost).await;
    println!("answer lost         {}", failed.err().ok_or("the job failed")?);
    let next = settle_once(&client, tuesday.clone(), settle).await?;
    println!("the other host      {next:?}");
    assert_eq!(next, Night::InDoubt);

    // An operator looks at the bank's side: nothing arrived there. `onceward resolve` does this.
    let GetOutcome::InDoubt { fence: Some(fence), doubt_number, .. } =
        client.get(tuesday.as_ref(), &Get::default()).await?
    else {
        return Err("in doubt, and shown with its fence to whoever may operate".into());
    };
    let verdict = Resolve { fence, doubt_number, verdict: Verdict::NeverDone };
    println!("resolved            {}", client.resolve(tuesday.as_ref(), &verdict).await?.name());
    let again = settle_once(&client, tuesday, settle).await?;
    println!("fired again         {again:?}");
    assert_eq!(again, Night::Settled("412 transfers".to_owned()));
    assert_eq!(transfers.load(Ordering::Relaxed), 2, "once a night");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("ONCEWARD_URL").unwrap_or_else(|_| "mem://jobs".to_owned());
    run(Client::open(&url)?).await
}
