//! Interval logs.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use onceward_bench::load::report;

use crate::sample;

#[test]
fn the_log_of_a_series_is_read_back_interval_by_interval() {
    let document = sample::small();
    let logs = report::hdr_logs(&document).expect("logs");
    let names: Vec<_> = logs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "onceward-first-same-50x1.hlog",
            "echo-first-same-50x1.hlog",
            "redis-first-same-50x1.hlog"
        ]
    );
    let text = &logs[0].1;
    assert!(text.starts_with("#[Histogram log format version 1.3]\n"), "{text}");
    assert!(text.contains("#run 2 is not used: invalid: the generator lagged\n"), "{text}");

    let mut found = Vec::new();
    let mut times = Vec::new();
    for entry in IntervalLogIterator::new(text.as_bytes()) {
        match entry.expect("an entry") {
            LogEntry::StartTime(at) | LogEntry::BaseTime(at) => {
                times.push(at);
            }
            LogEntry::Interval(interval) => {
                let bytes = STANDARD.decode(interval.encoded_histogram()).expect("base64");
                let read: Histogram<u64> =
                    Deserializer::new().deserialize(&mut &bytes[..]).expect("a histogram");
                assert!((interval.max() - read.max() as f64 / 1e6).abs() < 0.001);
                assert_eq!(interval.duration(), Duration::from_secs(2));
                let tag = interval.tag().expect("a tag").as_str().to_owned();
                found.push((tag, interval.start_timestamp().as_secs(), read.len()));
            }
        }
    }
    assert_eq!(times, [Duration::from_secs(document.started_at_s); 2]);
    let want = [0, 4].map(|at| {
        [("all", 8_000), ("begin", 4_000), ("complete", 4_000)]
            .map(|(tag, count)| (tag.to_owned(), at, count))
    });
    assert_eq!(found, want.concat());
}

#[test]
fn two_series_of_one_name_do_not_share_a_file() {
    let mut document = sample::small();
    document.series[1].target.name = "../One ward\n".to_owned();
    document.series[2].target.name = "../one,ward#".to_owned();
    let logs = report::hdr_logs(&document).expect("logs");
    assert_eq!(logs[1].0, "---one-ward--first-same-50x1.hlog");
    assert_eq!(logs[2].0, "---one-ward--first-same-50x1-2.hlog");
}

#[test]
fn what_is_no_histogram_is_named() {
    let mut document = sample::small();
    document.series[1].runs[2].latency.get_mut("begin").expect("there").histogram = "!".to_owned();
    let error = report::hdr_logs(&document).expect_err("no histogram").to_string();
    assert!(error.contains("echo-first-same-50x1.hlog, run 3, begin: "), "{error}");
}
