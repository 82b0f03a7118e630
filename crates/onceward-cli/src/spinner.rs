//! A line on stderr that says what goes on, where somebody watches.

use std::time::Duration;

use indicatif::ProgressBar;

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

    pub(crate) fn say(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
