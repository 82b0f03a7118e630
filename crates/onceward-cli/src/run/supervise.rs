//! One run of the command, from its start to a result or to the reason why there is none.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use onceward_client::{Certainty, Context, Lost, Policy};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::arguments::OnFailure;
use super::command::Running;
use super::lookup::Found;
use super::pump::{Pumped, pump};
use super::recording::Recording;
use super::signals::Signals;

/// How often a command that goes on without a lease looks whether it lost more than that.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What a run needs to know of its options.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) policy: Policy,
    pub(super) kill_after: Duration,
    pub(super) output_max: usize,
}

/// How a started command ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    Status(u8),
    Signal(i32),
    /// Stopped by us, for it owned the key no longer.
    Lost(Lost),
}

/// A command that ran, with all that came out of it.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) end: End,
    pub(super) pumped: Pumped,
}

/// Why no command ran. The key was acquired for nothing.
#[derive(Debug)]
pub(super) enum NotStarted {
    /// Found, but the system would not execute it.
    Exec(Errno),
    /// No process could be made.
    Spawn(io::Error),
}

/// Runs `found` until it ends, passing on output and signals, and stops it if ownership is lost.
///
/// # Errors
/// The command was surely not started.
pub(super) async fn supervise(
    found: &Found,
    plan: Plan,
    context: &Context,
    signals: &mut Signals,
) -> Result<Ran, NotStarted> {
    let mut running = Running::start(found, context).map_err(NotStarted::Spawn)?;
    let (Some(stdout), Some(stderr)) = (running.stdout.take(), running.stderr.take()) else {
        return Err(NotStarted::Spawn(io::Error::other("the command has no pipes")));
    };
    let (tell_end, ended) = watch::channel(None);
    let recording = Recording::new(plan.output_max);
    let pumping = tokio::spawn(pump(stdout, stderr, running.mark.clone(), recording, ended));

    let mut sent = BTreeSet::new();
    let mut lost = None;
    let status = loop {
        let kill_at = lost.map(|(_, at)| at);
        tokio::select! {
            biased;
            signal = signals.next() => {
                running.pass_on(signal);
                sent.insert(signal as i32);
            }
            status = running.ended() => break status,
            why = must_stop(context, plan.policy), if lost.is_none() => {
                tracing::info!(%why, "the command is asked to stop");
                lost = Some((why, Instant::now() + plan.kill_after));
                running.send(Signal::SIGTERM);
                running.send(Signal::SIGCONT); // A stopped process takes no SIGTERM.
            }
            () = until(kill_at) => {
                running.send(Signal::SIGKILL);
                lost = lost.map(|(why, _)| (why, Instant::now() + plan.kill_after));
            }
        }
    };
    tell_end.send_replace(Some(Instant::now()));
    let pumped = pumping.await.expect("nobody aborts the pump");
    if lost.is_some() {
        running.kill_rest();
    }
    running.release().await;
    // A terminal's signal reached the command as early as us; it is not for what comes next.
    sent.extend(signals.take_arrived().into_iter().map(|signal| signal as i32));
    if let Some(errno) = pumped.not_started {
        return Err(NotStarted::Exec(errno));
    }
    let end = match (lost, status) {
        (Some((why, _)), _) => End::Lost(why),
        (None, Ok(status)) => end_of(status, &sent),
        // The system does not say how it ended, so nothing may be concluded.
        (None, Err(_)) => End::Signal(Signal::SIGKILL as i32),
    };
    Ok(Ran { end, pumped })
}

/// A command that we passed a signal on to, and that exits with 128 and its number, says that the
/// signal ended it (as Java does, and shells do for their commands).
fn end_of(status: ExitStatus, sent: &BTreeSet<i32>) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => match sent.iter().find(|&&signal| 128 + signal == code) {
            Some(&signal) => End::Signal(signal),
            None => End::Status(u8::try_from(code).unwrap_or(u8::MAX)),
        },
        (None, signal) => End::Signal(signal.unwrap_or(Signal::SIGKILL as i32)),
    }
}

/// Resolves once another may run. Under policy in-doubt a lapsed lease alone lets nobody run (S8),
/// so the command goes on and its result is offered.
async fn must_stop(context: &Context, policy: Policy) -> Lost {
    loop {
        match context.lost_ownership().await {
            Lost::LeaseEnded if policy == Policy::InDoubt => sleep(LOOK_AGAIN).await,
            why => return why,
        }
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// What becomes of the key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Conclusion {
    /// Its result is stored, with this status.
    Store(u8),
    /// It is given up.
    GiveUp(Certainty),
    /// The end of its lease decides, by its policy.
    Leave,
}

pub(super) fn conclusion(end: End, on_failure: OnFailure) -> Conclusion {
    match (end, on_failure) {
        (End::Lost(Lost::LeaseEnded), OnFailure::Abandon) => Conclusion::GiveUp(Certainty::NotDone),
        (End::Lost(Lost::LeaseEnded), OnFailure::InDoubt) => Conclusion::GiveUp(Certainty::InDoubt),
        (End::Lost(_), _) | (End::Signal(_), OnFailure::Keep) => Conclusion::Leave,
        (End::Status(0), _) => Conclusion::Store(0),
        (End::Status(status), OnFailure::Keep) => Conclusion::Store(status),
        (End::Status(_) | End::Signal(_), OnFailure::Abandon) => {
            Conclusion::GiveUp(Certainty::NotDone)
        }
        (End::Status(_) | End::Signal(_), OnFailure::InDoubt) => {
            Conclusion::GiveUp(Certainty::InDoubt)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_conclusion() {
        use Conclusion::{GiveUp, Leave, Store};
        use OnFailure::{Abandon, InDoubt, Keep};
        let not_done = GiveUp(Certainty::NotDone);
        let in_doubt = GiveUp(Certainty::InDoubt);
        #[rustfmt::skip]
        let cases = [
            ("done is done",                      End::Status(0),              [Store(0), Store(0), Store(0)]),
            ("a failure that was reported",       End::Status(7),              [not_done, Store(7), in_doubt]),
            ("a death reports nothing",           End::Signal(9),              [not_done, Leave, in_doubt]),
            ("the lease ended by our count (S8)", End::Lost(Lost::LeaseEnded), [not_done, Leave, in_doubt]),
            ("another owns it (S4)",              End::Lost(Lost::Fenced),     [Leave, Leave, Leave]),
            ("it is absent",                      End::Lost(Lost::Gone),       [Leave, Leave, Leave]),
        ];
        for (why, end, want) in cases {
            let got = [Abandon, Keep, InDoubt].map(|on_failure| conclusion(end, on_failure));
            assert_eq!(got, want, "{why}");
        }
    }

    #[test]
    fn ends_as_the_system_tells_them() {
        let exited = |code: i32| ExitStatus::from_raw(code << 8);
        let term = Signal::SIGTERM as i32;
        let cases = [
            ("success", exited(0), vec![], End::Status(0)),
            ("the largest status", exited(255), vec![], End::Status(255)),
            ("killed", ExitStatus::from_raw(9), vec![], End::Signal(9)),
            ("143 of its own", exited(143), vec![], End::Status(143)),
            ("143 upon our SIGTERM", exited(143), vec![1, term], End::Signal(term)),
            ("another status upon our SIGTERM", exited(3), vec![term], End::Status(3)),
        ];
        for (why, status, sent, want) in cases {
            assert_eq!(end_of(status, &BTreeSet::from_iter(sent)), want, "{why}");
        }
    }
}
