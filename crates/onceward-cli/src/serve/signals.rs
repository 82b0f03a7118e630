//! Signals that end the daemon (S17): the first one drains, the second aborts.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::exit::Exit;

/// SIGTERM and SIGINT, caught from [`Signals::listen`] on.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// # Errors
    /// The operating system's.
    pub(crate) fn listen() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Resolves at the first signal, or once `end` does. From then on a further signal ends the
    /// process at once, drained or not.
    pub(crate) async fn shutdown(mut self, end: Option<oneshot::Receiver<()>>) {
        let ended = async {
            match end {
                Some(end) => drop(end.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            name = self.next() => tracing::info!("{name} received; a second signal aborts"),
            () = ended => tracing::info!("stdin has ended"),
        }
        tokio::spawn(async move {
            let name = self.next().await;
            tracing::error!("{name} again: aborted before the drain was done");
            std::process::exit(Exit::Failure.code().into());
        });
    }
}
