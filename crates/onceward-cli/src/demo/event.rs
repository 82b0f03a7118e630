//! What a service process tells the demonstration, one JSON object a line on its stdout.
//!
//! A pipe keeps what was written when its writer is killed, so nothing that happened before a
//! crash goes uncounted.

use std::io::{self, Write as _};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    /// It serves at this address.
    Ready { address: SocketAddr },
    /// A request has arrived whole.
    Asked { intent: u32 },
    /// The work starts; how long begin took, where that was measured.
    Began { intent: u32, attempt: u32, begin_us: Option<u64> },
    /// The work stands at the point where it is to be killed, and nothing else in this process is
    /// between a repeatable side effect and its complete.
    Parked { intent: u32 },
    /// The work has ended and its result, if any, is stored.
    Ended { intent: u32, attempt: u32, complete_us: Option<u64>, digest: Option<Hex> },
    /// The reply is on its way; how long a replay took that did not wait.
    Answered { intent: u32, replay_us: Option<u64> },
}

/// 128 bits as text, for JSON has no such number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Hex(pub(super) u128);

impl Serialize for Hex {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

impl Event {
    /// Writes it whole. Nobody reads any more once the demonstration has ended, which is no fault.
    pub(super) fn tell(self) {
        let mut line = serde_json::to_vec(&self).expect("numbers and text are JSON");
        line.push(b'\n');
        let mut stdout = io::stdout().lock();
        let _ = stdout.write_all(&line).and_then(|()| stdout.flush());
    }

    pub(super) fn read(line: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_their_line() {
        let digest = Some(Hex(u128::MAX - 5));
        let events = [
            Event::Ready { address: ([127, 0, 0, 1], 80).into() },
            Event::Began { intent: 1, attempt: 2, begin_us: None },
            Event::Ended { intent: 1, attempt: 2, complete_us: Some(9), digest },
            Event::Answered { intent: 1, replay_us: Some(3) },
        ];
        for event in events {
            let line = serde_json::to_string(&event).unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(Event::read(&line).unwrap(), event);
        }
        assert!(Event::read("{\"ready\":{}}").is_err());
    }
}
