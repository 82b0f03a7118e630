//! A distribution from its text.

use std::error::Error;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;

use crate::load::record::Latency;

/// A distribution's text is no histogram.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HistogramError {
    reason: String,
}

impl fmt::Display for HistogramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not base64 of HdrHistogram's V2 format: {}", self.reason)
    }
}

impl Error for HistogramError {}

/// The whole histogram of a distribution; `None` if it was written without one.
///
/// # Errors
/// The text is no histogram.
pub fn histogram(latency: &Latency) -> Result<Option<Histogram<u64>>, HistogramError> {
    if latency.histogram.is_empty() {
        return Ok(None);
    }
    let failed = |reason: String| HistogramError { reason };
    let bytes = STANDARD.decode(&latency.histogram).map_err(|error| failed(error.to_string()))?;
    let read = Deserializer::new().deserialize(&mut &bytes[..]);
    read.map(Some).map_err(|error| failed(error.to_string()))
}

/// All of these together; `None` without any that can be read.
pub(super) fn merged<'a>(
    latencies: impl IntoIterator<Item = &'a Latency>,
) -> Option<Histogram<u64>> {
    let mut sum: Option<Histogram<u64>> = None;
    for found in latencies.into_iter().filter_map(|latency| histogram(latency).ok().flatten()) {
        match &mut sum {
            // Of other bounds: left out, as one that cannot be read.
            Some(sum) => drop(sum.add(&found)),
            None => sum = Some(found),
        }
    }
    sum.filter(|sum| !sum.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};

    fn written(times: &[u64]) -> Latency {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 1_000_000, 3).expect("bounds");
        times.iter().for_each(|time| histogram.saturating_record(*time));
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&histogram, &mut bytes).expect("serialized");
        Latency { histogram: STANDARD.encode(bytes), ..Latency::default() }
    }

    #[test]
    fn distributions_are_read_and_added_up() {
        let (a, b) = (written(&[1, 2]), written(&[3]));
        let foreign = Latency { histogram: "AAAA".to_owned(), ..Latency::default() };
        let no_text = Latency { histogram: "é".to_owned(), ..Latency::default() };
        assert_eq!(histogram(&a).expect("read").expect("there").len(), 2);
        assert_eq!(histogram(&Latency::default()), Ok(None));
        for bad in [&foreign, &no_text] {
            let error = histogram(bad).expect_err("no histogram").to_string();
            assert!(error.contains("HdrHistogram"), "{error}");
        }
        let sum = merged([&a, &Latency::default(), &foreign, &b]).expect("two");
        assert_eq!((sum.len(), sum.max()), (3, 3));
        assert_eq!(merged([&foreign]), None);
    }
}
