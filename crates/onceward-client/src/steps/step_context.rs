//! What a step knows while it runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use onceward_claim::Lost;
use onceward_core::{Backend, Fence};

use super::step_key::{compensation_key, step_key};
use crate::client::Client;
use crate::context::Context;

/// Handed to each try of a step or of a compensation. Cheap to clone.
///
/// It cannot save checkpoints: the run's ledger is the checkpoint.
pub struct StepContext<B = Client> {
    context: Context<B>,
    name: Arc<str>,
    compensates: bool,
    try_number: u32,
}

impl<B> Clone for StepContext<B> {
    fn clone(&self) -> Self {
        Self { context: self.context.clone(), name: Arc::clone(&self.name), ..*self }
    }
}

impl<B: Backend<Bytes = Bytes>> fmt::Debug for StepContext<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepContext")
            .field("name", &self.name)
            .field("compensates", &self.compensates)
            .field("try_number", &self.try_number)
            .finish_non_exhaustive()
    }
}

impl<B: Backend<Bytes = Bytes>> StepContext<B> {
    pub(super) fn new(context: Context<B>, name: &str, compensates: bool, try_number: u32) -> Self {
        Self { context, name: name.into(), compensates, try_number }
    }

    /// The key for calls downstream: the same for every try and every attempt. In a step it is
    /// [`step_key`], in a compensation [`compensation_key`].
    ///
    /// Between a side effect and its record a crash leaves no trace, and a successor runs the step
    /// again (S18): downstream must take this key for the same call.
    #[must_use]
    pub fn derived_key(&self) -> String {
        let derive = if self.compensates { compensation_key } else { step_key };
        derive(self.context.identity(), &self.name)
    }

    /// The step's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// 1 for the first try in this run, +1 for each that failed for now.
    #[must_use]
    pub const fn try_number(&self) -> u32 {
        self.try_number
    }

    /// As [`Context::attempt_number`].
    #[must_use]
    pub fn attempt_number(&self) -> u32 {
        self.context.attempt_number()
    }

    /// As [`Context::fence`].
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.context.fence()
    }

    /// As [`Context::is_owner`]. Ask before a side effect that comes late in a step.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.context.is_owner()
    }

    /// As [`Context::lost_ownership`].
    pub async fn lost_ownership(&self) -> Lost {
        self.context.lost_ownership().await
    }

    /// As [`Context::lease_left`].
    #[must_use]
    pub fn lease_left(&self) -> Duration {
        self.context.lease_left()
    }
}
