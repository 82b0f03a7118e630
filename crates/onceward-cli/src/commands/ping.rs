//! `ping`: is the store there, and how far away?

use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;
use hdrhistogram::Histogram;
use onceward_client::Client;

use crate::answer::{Answer, Value};
use crate::exit::Exit;
use crate::failure::Failure;

/// A day: no request is given longer.
const TRIP_US_MAX: u64 = 24 * 3_600 * 1_000_000;

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
    let mut trips = Trips::new()?;
    let mut boot_epoch = first.boot_epoch;
    for _ in 0..arguments.count.get() {
        let pong = client.ping().await?;
        boot_epoch = pong.boot_epoch;
        trips.add(pong.round_trip);
    }
    let at = |quantile: f64| Value::Micros(trips.0.value_at_quantile(quantile));
    Ok(Answer::new(Exit::Ok, "pong")
        .with("count", arguments.count.get())
        .with("connect", Value::Micros(micros(first.round_trip)))
        .with("round_trip_min", Value::Micros(trips.0.min()))
        .with("round_trip_p50", at(0.5))
        .with("round_trip_p99", at(0.99))
        .with("round_trip_max", Value::Micros(trips.0.max()))
        .with("boot_epoch", boot_epoch.to_string()))
}

/// Round trips, in microseconds.
struct Trips(Histogram<u64>);

impl Trips {
    fn new() -> Result<Self, Failure> {
        // Bounds are stated: beyond what it spans a histogram records its bound, which by default
        // starts at 2, so that a slow trip would read as the fastest of all.
        Histogram::new_with_bounds(1, TRIP_US_MAX, 3)
            .map(Self)
            .map_err(|error| Failure::new(Exit::Failure, error.to_string()))
    }

    fn add(&mut self, trip: Duration) {
        self.0.saturating_record(micros(trip).clamp(1, TRIP_US_MAX));
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_trips_read_as_slow() {
        for (why, millis) in
            [("below the histogram's first span", 1), ("beyond it", 3), ("a second", 1_000)]
        {
            let mut trips = Trips::new().unwrap();
            trips.add(Duration::from_millis(millis));
            let (min, max) = (trips.0.min(), trips.0.max());
            assert!(min.abs_diff(millis * 1_000) <= millis, "{why}: {min} us");
            assert!(max.abs_diff(millis * 1_000) <= millis, "{why}: {max} us");
        }
    }
}
