//! What drives `--test-clock`: lines on stdin.

use std::io::{self, BufRead as _, Read as _};
use std::sync::Arc;

use onceward::{Millis, Store};
use tokio::sync::oneshot;

use crate::output;
use crate::serve::clock::ScriptedClock;

/// Due entries handled before others get a turn, as in the server's own ticks.
const TICK_BUDGET: usize = 2_048;
/// Longest line that is read: a peer that writes no line ends must not fill memory.
const LINE_BYTES_MAX: u64 = 1_024;

/// Follows stdin on a thread of its own, because a read of stdin cannot be given up. Resolves at
/// the end of stdin.
pub(crate) fn follow(clock: Arc<ScriptedClock>, store: Store) -> oneshot::Receiver<()> {
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = io::stdin().lock().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            if !matches!(read, Ok(1..)) {
                break;
            }
            let answer = obey(&line, &clock, &store);
            if output::print(answer.as_bytes()).is_err() {
                break;
            }
        }
        // The server may have ended first, by a signal.
        let _ = ended.send(());
    });
    end
}

fn obey(line: &[u8], clock: &ScriptedClock, store: &Store) -> String {
    let Some(by) = advance(line) else {
        return "error: write `advance MS`, a whole number of milliseconds\n".to_owned();
    };
    let now = clock.advance(by);
    while store.tick(now, TICK_BUDGET).is_some_and(|next| next <= now) {}
    format!("now {}\n", now.as_millis())
}

fn advance(line: &[u8]) -> Option<Millis> {
    let number = std::str::from_utf8(line).ok()?.trim().strip_prefix("advance ")?.trim();
    // `parse` would take a sign.
    number.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    number.parse().ok().map(Millis::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_milliseconds_move_the_clock() {
        let cases = [
            ("advance 0\n", Some(0)),
            ("advance 250\r\n", Some(250)),
            (" advance  7", Some(7)),
            ("advance", None),
            ("advance \n", None),
            ("advance -1\n", None),
            ("advance +1\n", None),
            ("advance 1.5\n", None),
            ("advance 18446744073709551616\n", None),
            ("retreat 1\n", None),
            ("\n", None),
        ];
        for (line, want) in cases {
            assert_eq!(advance(line.as_bytes()), want.map(Millis::new), "{line:?}");
        }
        assert_eq!(advance(b"advance \xff\n"), None);
    }
}
