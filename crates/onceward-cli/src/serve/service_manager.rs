//! What systemd is told, where it asks (`Type=notify`); elsewhere nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;

/// Requests are answered from now on.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// Nothing is accepted any more.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// It works towards being ready, and needs at least `more` until it tells again.
pub(crate) fn recovering(status: &str, more: Duration) {
    let more = u32::try_from(more.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Status(status), NotifyState::ExtendTimeoutUsec(more)]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}
