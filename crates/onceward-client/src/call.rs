//! One execution as it is seen from outside: its span and its figures.

use std::sync::Arc;

use tracing::Span;

use crate::figures::{EXECUTION_SECONDS, Figure, Figures, Held, Since};
use crate::outcome::{ExecuteError, Executed};

/// Counts as cut off unless it is told how it ended.
pub(crate) struct Call {
    figures: Arc<Figures>,
    span: Span,
    started: Since,
    ended: bool,
    _running: Held,
}

impl Call {
    /// `span` has the fields that the macro [`execution_span`] gives it.
    pub(crate) fn start(figures: &Arc<Figures>, span: Span) -> Self {
        Self {
            figures: Arc::clone(figures),
            span,
            started: Since::now(),
            ended: false,
            _running: figures.hold(Figure::ExecutionsRunning),
        }
    }

    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// It got the answer of a concurrent call.
    pub(crate) fn coalesced(&self) {
        self.figures.add(Figure::Coalesced);
        self.span.record("coalesced", true);
    }

    /// Its work starts.
    pub(crate) fn runs(&self, attempt_number: u32) {
        self.span.record("attempt_number", attempt_number);
    }

    pub(crate) fn ended<E>(self, how: &Result<Executed, ExecuteError<E>>) {
        match how {
            Ok(executed) => self.answered(executed),
            Err(error) => self.failed(error),
        }
    }

    pub(crate) fn answered(mut self, executed: &Executed) {
        self.end(match executed {
            Executed::Ran(_) => Figure::Ran,
            Executed::Replayed(done) => {
                self.span.record("attempt_number", done.attempt_number);
                Figure::Replayed
            }
            Executed::InProgress { .. } => Figure::InProgress,
            Executed::Mismatch => Figure::Mismatch,
            Executed::NeedFingerprint => Figure::NeedFingerprint,
            Executed::InDoubt { .. } => Figure::InDoubt,
            Executed::Refused { .. } => Figure::Refused,
            Executed::Expired { .. } => Figure::Expired,
        });
    }

    pub(crate) fn failed<E>(mut self, error: &ExecuteError<E>) {
        self.end(match error {
            ExecuteError::Work(_) => Figure::WorkErrors,
            ExecuteError::LostOwnership { .. } => Figure::LostOwnership,
            ExecuteError::NotStored { .. } => Figure::NotStored,
            ExecuteError::NotRun(_) => Figure::NotRun,
        });
    }

    fn end(&mut self, figure: Figure) {
        self.ended = true;
        let Some((label, outcome)) = figure.metric().label else { return };
        self.figures.add(figure);
        self.figures.took(EXECUTION_SECONDS, (label, outcome), self.started);
        self.span.record("outcome", outcome);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Figure::CutOff);
        }
    }
}

/// The span of an execution: the key as a short hash (S16); how it ended, as in `ClientStats`; the
/// number of the attempt that ran or whose result this is; whether a concurrent call asked for it.
macro_rules! execution_span {
    ($name:literal, $key:expr) => {
        tracing::debug_span!(
            $name,
            key = %onceward_keys::ShortHash($key.as_ref()),
            outcome = tracing::field::Empty,
            attempt_number = tracing::field::Empty,
            coalesced = tracing::field::Empty,
        )
    };
}

pub(crate) use execution_span;
