//! A webhook receiver: the carrier sends each event at least once, sometimes twice at a time.
//!
//! ```text
//! cargo run -p onceward-client --example webhook_receiver
//! ONCEWARD_URL=onceward://127.0.0.1:7977/hooks cargo run -p onceward-client --example webhook_receiver
//! ```
//!
//! The key is the sender's own event id, the scope the sender. The retention outlives the sender's
//! last retry. An error of the work releases the key, so that the sender's next delivery runs; its
//! status tells the sender to come again.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use onceward_client::{Client, ExecuteError, Executed, Fingerprint, Key, PayloadFingerprint as _};

/// The carrier goes on for three days; keys live longer than that.
const RETENTION: Duration = Duration::from_secs(7 * 24 * 3_600);

/// What arrived, once its signature was checked: before that nothing may touch a key.
struct Delivery<'a> {
    sender: &'a str,
    event_id: &'a str,
    body: &'a [u8],
}

/// Takes one delivery; returns the HTTP status for the sender.
async fn receive<F, E>(client: &Client, delivery: Delivery<'_>, apply: F) -> u16
where
    F: AsyncFnOnce(&[u8]) -> Result<(), E>,
    E: std::fmt::Display,
{
    let key = Key::new(delivery.event_id).and_then(|key| key.in_scope(delivery.sender));
    let Ok(key) = key else { return 400 };
    let fingerprint = Fingerprint::of(delivery.body);
    let executed = client
        .execution()
        .retention(RETENTION)
        .execute(key, fingerprint, |_run| async move { apply(delivery.body).await })
        .await;
    match executed {
        Ok(Executed::Ran(_) | Executed::Replayed(_)) => 204,
        // One event id with two bodies is the sender's defect: its retries cannot mend it, and
        // somebody should look.
        Ok(Executed::Mismatch) => 422,
        Ok(Executed::InProgress { .. }) => 409,
        Ok(_) => 503,
        Err(ExecuteError::Work(error)) => {
            eprintln!("event not applied: {error}");
            500
        }
        Err(_) => 503,
    }
}

/// Plays the carrier against the receiver over `client`, and checks what it gets.
pub(crate) async fn run(client: Client) -> Result<(), Box<dyn Error>> {
    let event = Key::ulid(); // New for each run, for a daemon remembers.
    let event_id = std::str::from_utf8(event.as_bytes())?;
    let body = br#"{"parcel":"JD0002","status":"delivered"}"#;
    let delivery = || Delivery { sender: "carrier-9", event_id, body };
    let applied = Arc::new(AtomicU32::new(0));
    let apply = async |_: &[u8]| {
        applied.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::io::Error>(())
    };

    let down = async |_: &[u8]| Err(std::io::Error::other("the database is down"));
    let failed = receive(&client, delivery(), down).await;
    println!("delivered while our database is down   {failed}");
    assert_eq!(failed, 500);
    let second = receive(&client, delivery(), apply).await;
    println!("delivered again                        {second}");
    assert_eq!(second, 204);
    let third = receive(&client, delivery(), apply).await;
    println!("delivered once more, its reply lost    {third}");
    assert_eq!(third, 204);
    let forged = Delivery { body: b"{}", ..delivery() };
    let forged = receive(&client, forged, apply).await;
    println!("same event id, other body              {forged}");
    assert_eq!(forged, 422);
    println!("applied                                {}", applied.load(Ordering::Relaxed));
    assert_eq!(applied.load(Ordering::Relaxed), 1);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("ONCEWARD_URL").unwrap_or_else(|_| "mem://hooks".to_owned());
    run(Client::open(&url)?).await
}
