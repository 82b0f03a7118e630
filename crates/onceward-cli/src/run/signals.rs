//! Signals that a run passes on to its command.

use std::fs;
use std::io;

use nix::sys::signal::{Signal, raise};
use nix::unistd::{getpgrp, tcgetpgrp};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// What is passed on, where the run was not started with it ignored (as `nohup` does to SIGHUP).
const FORWARDED: &[Signal] = &[
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGCONT,
    Signal::SIGTSTP,
];

/// Signals that have arrived and wait to be passed on; more are dropped, as the kernel does.
const PENDING_MAX: usize = 64;

/// Signals caught from [`Signals::listen`] on, in order of arrival.
pub(super) struct Signals {
    arrived: mpsc::Receiver<Signal>,
}

impl Signals {
    /// # Errors
    /// The operating system's.
    pub(super) fn listen() -> io::Result<Self> {
        let (sender, arrived) = mpsc::channel(PENDING_MAX);
        let ignored = ignored();
        for &caught in FORWARDED.iter().filter(|&&caught| ignored & bit(caught) == 0) {
            let mut signals = signal(SignalKind::from_raw(caught as i32))?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    let _ = sender.try_send(caught);
                }
            });
        }
        Ok(Self { arrived })
    }

    /// The next one; never resolves if none is caught any more.
    pub(super) async fn next(&mut self) -> Signal {
        match self.arrived.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }

    /// What has arrived and was not asked for.
    pub(super) fn take_arrived(&mut self) -> Vec<Signal> {
        std::iter::from_fn(|| self.arrived.try_recv().ok()).collect()
    }

    /// The next one that asks the run to end.
    pub(super) async fn next_to_end(&mut self) -> Signal {
        loop {
            let signal = self.next().await;
            if matches!(signal, Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP | Signal::SIGQUIT)
            {
                return signal;
            }
        }
    }
}

/// Signals that this process was started with ignored, as the kernel's mask. Nothing where there
/// is no `/proc`.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_in(&status)
}

fn ignored_in(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

const fn bit(signal: Signal) -> u64 {
    1 << (signal as u64 - 1)
}

/// Whether a terminal sends its signals to this process, and so to a command of the same group.
pub(super) fn at_a_terminal() -> bool {
    let terminal = fs::File::open("/dev/tty").ok();
    terminal.and_then(|terminal| tcgetpgrp(terminal).ok()).is_some_and(|group| group == getpgrp())
}

/// Whether the terminal itself sends `signal` to everybody in its foreground.
pub(super) const fn terminal_sends(signal: Signal) -> bool {
    matches!(signal, Signal::SIGINT | Signal::SIGQUIT | Signal::SIGTSTP)
}

/// Stops this process as an uncaught SIGTSTP would have.
pub(super) fn stop_myself() {
    let _ = raise(Signal::SIGSTOP);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = "Name:\tcat\nSigBlk:\tffff\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        let mask = ignored_in(status);
        assert!(mask & bit(Signal::SIGHUP) != 0 && mask & bit(Signal::SIGPIPE) != 0);
        assert!(mask & bit(Signal::SIGTERM) == 0);
        assert_eq!(ignored_in("SigIgn: x"), 0);
    }
}
