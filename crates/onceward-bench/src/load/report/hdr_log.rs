//! Interval logs, as HdrHistogram's own tools read them.

use std::error::Error;
use std::fmt;
use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::block::Unused;
use super::histogram::{HistogramError, histogram};
use super::number::count;
use crate::load::record::{Document, Series};

/// The longest time of an interval is written in milliseconds, as those tools do.
const MAX_DIVISOR: f64 = 1e6;

/// A log cannot be written.
#[derive(Debug)]
#[non_exhaustive]
pub enum HdrLogError {
    /// A distribution of the document is no histogram.
    Histogram {
        /// Name of the log.
        log: String,
        /// Number of the run, from 1, and name of the distribution.
        place: (usize, String),
        /// What is wrong with it.
        error: HistogramError,
    },
    /// The writer of logs failed.
    Write(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for HdrLogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Histogram { log, place: (run, tag), error } => {
                write!(f, "{log}, run {run}, {tag}: {error}")
            }
            Self::Write(error) => write!(f, "an interval log cannot be written: {error}"),
        }
    }
}

impl Error for HdrLogError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Histogram { error, .. } => Some(error),
            Self::Write(error) => Some(error.as_ref()),
        }
    }
}

fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> HdrLogError {
    HdrLogError::Write(error.into())
}

/// One log for each series: the name of its file and its text.
///
/// An interval is one run's times of one operation, the tag names the operation; `send_lag` is how
/// late requests were sent. Runs that enter no figure are comments.
///
/// # Errors
/// A distribution of the document cannot be read.
pub fn hdr_logs(document: &Document) -> Result<Vec<(String, String)>, HdrLogError> {
    let mut logs: Vec<(String, String)> = Vec::new();
    for series in &document.series {
        let stem = file_stem(series);
        let names = (1..).map(|number: usize| match number {
            1 => format!("{stem}.hlog"),
            _ => format!("{stem}-{number}.hlog"),
        });
        let taken = |name: &String| logs.iter().any(|(other, _)| other == name);
        let name = names.into_iter().find(|name| !taken(name)).unwrap_or(stem);
        let text = log(document, series, &name)?;
        logs.push((name, text));
    }
    Ok(logs)
}

fn log(document: &Document, series: &Series, name: &str) -> Result<String, HdrLogError> {
    let began = SystemTime::UNIX_EPOCH + Duration::from_secs(document.started_at_s.min(1 << 36));
    let (mut bytes, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
    let (target, load) = (&series.target, &series.load);
    let mut builder = IntervalLogWriterBuilder::new();
    // What a reader looks for in the first line; comments are written in order.
    builder.add_comment("[Histogram log format version 1.3]");
    let rate = load.offered_rate.map_or("closed loop".to_owned(), |rate| format!("{rate}/s"));
    let loads = format!("{} {}, {} x {}", load.mix, load.mode, load.connections, load.pipeline);
    for line in [
        format!("target: {} {}", target.name, target.version),
        format!("load: {loads}, {rate}, values {}, {} keys", load.values, count(load.keys)),
        "values: ns; runs are placed one after the other, from the beginning of the whole"
            .to_owned(),
    ] {
        builder.add_comment(&line.replace(['\n', '\r'], " "));
    }
    let mut writer = builder
        .with_start_time(began)
        .with_base_time(began)
        .with_max_value_divisor(MAX_DIVISOR)
        .begin_log_with(&mut bytes, &mut serializer)
        .map_err(failed)?;
    let mut at = Duration::ZERO;
    for (number, run) in (1..).zip(&series.runs) {
        let length = Duration::try_from_secs_f64(run.seconds).unwrap_or_default();
        if let Some(reason) = Unused::of(run) {
            let line = format!("run {number} is not used: {reason}").replace(['\n', '\r'], " ");
            writer.write_comment(&line).map_err(failed)?;
        } else {
            let lag = run.send_lag.as_ref().map(|lag| ("send_lag", lag));
            let times = run.latency.iter().map(|(name, latency)| (name.as_str(), latency));
            for (tag, latency) in times.chain(lag) {
                let times = histogram(latency).map_err(|error| HdrLogError::Histogram {
                    log: name.to_owned(),
                    place: (number, tag.to_owned()),
                    error,
                })?;
                let Some(times) = times else { continue };
                let tag: String = tag
                    .chars()
                    .map(|c| if c == ',' || c.is_whitespace() { '_' } else { c })
                    .collect();
                writer.write_histogram(&times, at, length, Tag::new(&tag)).map_err(failed)?;
            }
        }
        at += length;
    }
    String::from_utf8(bytes).map_err(failed)
}

/// Target and load, in letters that every file system takes.
fn file_stem(series: &Series) -> String {
    let load = &series.load;
    let mut stem = format!(
        "{}-{}-{}-{}x{}",
        series.target.name, load.mix, load.mode, load.connections, load.pipeline
    );
    if let Some(rate) = load.offered_rate {
        stem += &format!("-{rate:.0}");
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    stem.chars().map(plain).collect()
}
