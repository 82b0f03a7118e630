//! A queue consumer: the broker delivers at least once, and producers enqueue one intent twice.
//!
//! ```text
//! cargo run -p onceward-client --example queue_consumer
//! ONCEWARD_URL=onceward://127.0.0.1:7977/labels cargo run -p onceward-client --example queue_consumer
//! ```
//!
//! The key is derived from what the message asks for, not from the broker's message id: a message
//! enqueued twice has two ids and one intent. The consumer acknowledges after the answer, never
//! before it.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use onceward_client::{
    Client, Executed, Fingerprint, Key, PayloadFingerprint as _, Schema, TypedError,
};
use serde::{Deserialize, Serialize};

/// "Print the label of this parcel of this order."
#[derive(Clone)]
struct Message {
    /// Which run of this example it belongs to, for a daemon remembers the one before.
    run: String,
    order: &'static str,
    parcel: u32,
    weight_grams: u32,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Label {
    tracking_number: String,
}

impl Schema for Label {
    const TAG: &'static str = "label/1";
}

/// What the consumer tells the broker.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// Done, now or before: never deliver it again.
    Acknowledge(Label),
    /// Deliver it later.
    Requeue,
    /// Put it aside for a person.
    DeadLetter(&'static str),
}

/// The carrier's API, which sells a new label at every call.
#[derive(Clone, Default)]
struct Carrier {
    sold: Arc<AtomicU32>,
    down_for: Arc<AtomicU32>,
}

impl Carrier {
    async fn buy_label(&self, _idempotency_key: &str) -> Result<Label, std::io::Error> {
        let down = self.down_for.load(Ordering::Relaxed);
        if down > 0 {
            self.down_for.store(down - 1, Ordering::Relaxed);
            return Err(std::io::Error::other("the carrier is down"));
        }
        let number = self.sold.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Label { tracking_number: format!("JD{number:04}") })
    }
}

async fn consume(
    client: &Client,
    carrier: &Carrier,
    message: &Message,
) -> Result<Verdict, Box<dyn Error>> {
    let key = Key::derive("label.print/1")
        .field("run", &message.run)
        .field("order", message.order)
        .field("parcel", message.parcel.to_string())
        .finish()?
        .in_scope("warehouse-north")?;
    let fingerprint = Fingerprint::of_fields()
        .field("weight_grams", message.weight_grams.to_string())
        .finish()?;
    // The carrier gets the derived key: should this process die right after the call, its
    // successor asks with the same key.
    let executed = client
        .execute_typed(key, fingerprint, |run| async move {
            carrier.buy_label(&run.derived_key()).await
        })
        .await;
    Ok(match executed {
        Ok(Executed::Ran(label) | Executed::Replayed(label)) => Verdict::Acknowledge(label.value),
        Ok(Executed::Mismatch) => Verdict::DeadLetter("one parcel, two weights"),
        Ok(Executed::InDoubt { .. }) => Verdict::DeadLetter("somebody has to look"),
        // In progress in another consumer; refused for want of room.
        Ok(_) => Verdict::Requeue,
        // Done, and not to be run again; but a later version's label, say.
        Err(TypedError::Unreadable { .. } | TypedError::NotEncoded { .. }) => {
            Verdict::DeadLetter("printed, but this version cannot read the label")
        }
        // The carrier's error released the key; of the store's nothing may be concluded. Either
        // way the next delivery asks again.
        Err(_) => Verdict::Requeue,
    })
}

/// Plays a broker with its faults, and checks what comes of it.
pub(crate) async fn run(client: Client) -> Result<(), Box<dyn Error>> {
    let run = String::from_utf8(Key::ulid().as_bytes().to_vec())?;
    let parcel =
        |parcel, weight_grams| Message { run: run.clone(), order: "A-1001", parcel, weight_grams };
    let carrier = Carrier::default();
    carrier.down_for.store(1, Ordering::Relaxed);
    let mut queue = VecDeque::from([
        parcel(1, 740), // The carrier is down: delivered again at the end.
        parcel(2, 1_200),
        parcel(1, 740), // Enqueued twice by its producer.
        parcel(2, 900), // Another weight for a parcel that has its label.
    ]);
    let mut labels = Vec::new();
    let mut dead = 0;
    while let Some(message) = queue.pop_front() {
        let verdict = consume(&client, &carrier, &message).await?;
        println!("parcel {} of {} g: {verdict:?}", message.parcel, message.weight_grams);
        match verdict {
            Verdict::Acknowledge(label) => labels.push((message.parcel, label)),
            Verdict::Requeue => queue.push_back(message),
            Verdict::DeadLetter(_) => dead += 1,
        }
    }
    println!("labels sold: {}", carrier.sold.load(Ordering::Relaxed));
    assert_eq!(carrier.sold.load(Ordering::Relaxed), 2, "one for each parcel");
    assert_eq!(dead, 1);
    assert_eq!(labels.len(), 3, "the producer's second message got the first one's label");
    let of_first: Vec<_> = labels.iter().filter(|(parcel, _)| *parcel == 1).collect();
    assert_eq!(of_first[0], of_first[1]);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("ONCEWARD_URL").unwrap_or_else(|_| "mem://labels".to_owned());
    run(Client::open(&url)?).await
}
