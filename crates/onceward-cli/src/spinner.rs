//! A line on stderr that says what goes on, where somebody watches.

use std::fmt;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// Between two turns of the spinner, which also shows that the command still lives.
const TURN: Duration = Duration::from_millis(200);

/// Silent where stderr is no terminal, and where the output is for a program. Leaves no trace.
pub(crate) struct Spinner(ProgressBar);

impl Spinner {
    pub(crate) fn start(silent: bool) -> Self {
        if silent {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new_spinner(); // Hidden by itself where stderr is no terminal.
        if !bar.is_hidden() {
            bar.enable_steady_tick(TURN);
        }
        Self(bar)
    }

    /// A bar from now on, for work that takes so long; it goes on with the time by itself.
    pub(crate) fn lasts(&self, length: Duration) {
        let style = ProgressStyle::with_template("{spinner} {timeline} {msg}");
        self.0.set_style(style.expect("the template is written out").with_key(
            "timeline",
            |state: &ProgressState, out: &mut dyn fmt::Write| {
                let length = Duration::from_millis(state.len().unwrap_or_default());
                // Where the line cannot be written there is nobody to tell.
                let _ = out.write_str(&timeline(state.elapsed(), length));
            },
        ));
        self.0.set_length(length.as_millis() as u64);
        self.0.reset_elapsed();
    }

    pub(crate) fn say(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// How much of the time is over, drawn and told.
fn timeline(elapsed: Duration, length: Duration) -> String {
    const WIDTH: usize = 24;
    let part = (elapsed.as_secs_f64() / length.as_secs_f64().max(0.001)).min(1.0);
    let full = (part * WIDTH as f64) as usize;
    let (done, left) = ("━".repeat(full), "┄".repeat(WIDTH - full));
    format!("{done}{left} {} of {} s", elapsed.as_secs(), length.as_secs_f64().ceil())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_fills_with_the_time_and_not_beyond() {
        let seconds = Duration::from_secs;
        for (elapsed, length, full, told) in [
            (0, 10, 0, "0 of 10 s"),
            (5, 10, 12, "5 of 10 s"),
            (10, 10, 24, "10 of 10 s"),
            (13, 10, 24, "13 of 10 s"),
            (1, 0, 24, "1 of 0 s"),
        ] {
            let line = timeline(seconds(elapsed), seconds(length));
            assert_eq!((line.matches('━').count(), line.chars().count() - 25), (full, told.len()));
            assert!(line.ends_with(told), "{line}");
        }
    }
}
