//! How far the run is, on stderr: a bar where somebody watches, a line now and then elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::complain;

/// Between two lines.
const EVERY: Duration = Duration::from_secs(5);

/// Progress of one pass.
pub(super) enum Progress {
    Silent,
    Bar(ProgressBar),
    Lines { title: &'static str, intents: u32, done: u32, said: Instant },
}

impl Progress {
    /// Silent where the output is for a program.
    pub(super) fn start(silent: bool, title: &'static str, intents: u32) -> Self {
        if silent {
            return Self::Silent;
        }
        if !std::io::stderr().is_terminal() {
            complain(&format!("{title}: {intents} intents"));
            return Self::Lines { title, intents, done: 0, said: Instant::now() };
        }
        let bar = ProgressBar::new(u64::from(intents));
        let style = ProgressStyle::with_template("{prefix:18} {wide_bar} {pos}/{len} {eta}");
        bar.set_style(style.expect("the template is written out"));
        bar.set_prefix(title);
        Self::Bar(bar)
    }

    /// Another intent has its answer.
    pub(super) fn advance(&mut self) {
        match self {
            Self::Silent => {}
            Self::Bar(bar) => bar.inc(1),
            Self::Lines { title, intents, done, said } => {
                *done += 1;
                if said.elapsed() >= EVERY {
                    *said = Instant::now();
                    complain(&format!("{title}: {done} of {intents} intents answered"));
                }
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
