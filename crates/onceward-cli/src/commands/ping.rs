//! `ping`: is the store there, and how far away?

use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;
use onceward_client::Client;

use crate::answer::{Answer, Value};
use crate::exit::Exit;
use crate::failure::Failure;

/// Ask whether the store is there, and how long an answer takes
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  onceward ping\n  onceward ping --count 1000 --json")]
pub(crate) struct PingArguments {
    /// How many round trips to measure, one after the other, once the connection stands
    #[arg(long, env = "ONCEWARD_COUNT", value_name = "N", default_value = "1")]
    count: NonZeroU32,
}

pub(crate) async fn run(client: &Client, arguments: &PingArguments) -> Result<Answer, Failure> {
    // The first one makes the connection, so its time is told apart.
    let first = client.ping().await?;
    let mut histogram = hdrhistogram::Histogram::<u64>::new(3)
        .map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
    let mut boot_epoch = first.boot_epoch;
    for _ in 0..arguments.count.get() {
        let pong = client.ping().await?;
        boot_epoch = pong.boot_epoch;
        histogram.saturating_record(micros(pong.round_trip));
    }
    let at = |quantile: f64| Value::Micros(histogram.value_at_quantile(quantile));
    Ok(Answer::new(Exit::Ok, "pong")
        .with("count", arguments.count.get())
        .with("connect", Value::Micros(micros(first.round_trip)))
        .with("round_trip_min", Value::Micros(histogram.min()))
        .with("round_trip_p50", at(0.5))
        .with("round_trip_p99", at(0.99))
        .with("round_trip_max", Value::Micros(histogram.max()))
        .with("boot_epoch", boot_epoch.to_string()))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
