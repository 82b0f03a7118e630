//! One execution of the command through the client, and what its answer means.

use std::cell::RefCell;
use std::io;

use nix::errno::Errno;
use onceward_client::{
    Abandon, AbandonOutcome, Certainty, Client, ClientError, Context, Done, ExecuteError, Executed,
    ExecutionResult, Fingerprint, Lost, Millis, OnFailure, Policy, ScopedKeyBuf,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::arguments::RunArguments;
use super::ending::Ending;
use super::lookup::{Found, Unusable};
use super::pump::Output;
use super::recording::Stream;
use super::signals::Signals;
use super::supervise::{Conclusion, End, NotStarted, Plan, Ran, conclusion, supervise};
use super::{replay, unusable};
use crate::exit::Exit;
use crate::failure::Failure;

/// What every execution of this call shares.
pub(super) struct Work<'a> {
    pub(super) arguments: &'a RunArguments,
    pub(super) found: &'a Found,
    pub(super) client: &'a Client,
    pub(super) url: &'a str,
    pub(super) json: bool,
    facts: RefCell<Facts>,
}

/// What is known of a run besides its result.
#[derive(Default)]
struct Facts {
    fence: Option<String>,
    attempt_number: Option<u32>,
    /// What readers have not taken yet of the command's output.
    output: Option<Output>,
    listening: Option<Listening>,
}

/// Who hears signals once the command has ended.
enum Listening {
    Nobody(Signals),
    /// A task that ends the call upon one, until it is told that the result is stored.
    WhileStoring(oneshot::Sender<()>, JoinHandle<Signals>),
}

pub(super) type Answer = Result<Executed, ExecuteError<Box<Ending>>>;

impl<'a> Work<'a> {
    pub(super) fn new(
        arguments: &'a RunArguments,
        found: &'a Found,
        client: &'a Client,
        url: &'a str,
        json: bool,
    ) -> Self {
        Self { arguments, found, client, url, json, facts: RefCell::default() }
    }

    /// Asks whose turn it is, waits as long as `wait`, runs the command if it is ours.
    pub(super) async fn execute(
        &self,
        key: &ScopedKeyBuf,
        fingerprint: Fingerprint,
        wait: Millis,
    ) -> Answer {
        let arguments = self.arguments;
        let mut execution = self
            .client
            .execution()
            .lease(arguments.lease.lease())
            .retention(arguments.retention.retention())
            .policy(arguments.policy())
            .wait(wait)
            // The work gives up by itself: only it knows whether anything ran.
            .on_failure(OnFailure::Leave)
            .on_drop(OnFailure::Leave);
        if let Some(hint) = arguments.result_hint {
            // What does not fit memory breaks the limit too, which the store then names.
            execution = execution.result_hint(usize::try_from(hint).unwrap_or(usize::MAX));
        }
        execution.execute(key.clone(), fingerprint, |context| self.run(key, context)).await
    }

    async fn run(
        &self,
        key: &ScopedKeyBuf,
        context: Context,
    ) -> Result<ExecutionResult, Box<Ending>> {
        *self.facts.borrow_mut() = Facts {
            fence: Some(context.fence().to_string()),
            attempt_number: Some(context.attempt_number()),
            ..Facts::default()
        };
        let plan = Plan {
            policy: self.arguments.policy(),
            kill_after: self.arguments.kill_after,
            output_max: self.arguments.output_max,
        };
        let ran = match Signals::listen() {
            Ok(mut signals) => {
                supervise(self.found, plan, &context, &mut signals).await.map(|ran| (ran, signals))
            }
            Err(error) => Err(NotStarted::Spawn(error)),
        };
        let (Ran { end, pumped }, signals) = match ran {
            Ok(ran) => ran,
            Err(why) => return Err(self.not_started(why, key, &context).await.into()),
        };
        if pumped.cut_off {
            tracing::info!("processes that the command left behind hold its output: not read on");
        }
        let mut ending = ended(end);
        ending.stdout_bytes = Some(pumped.recording.written(Stream::Stdout));
        ending.stderr_bytes = Some(pumped.recording.written(Stream::Stderr));
        self.facts.borrow_mut().output = Some(pumped.output);
        let conclusion = conclusion(end, self.arguments.on_failure);
        self.facts.borrow_mut().listening = Some(match conclusion {
            Conclusion::Store(_) => self.end_on_signal(signals),
            Conclusion::GiveUp(_) | Conclusion::Leave => Listening::Nobody(signals),
        });
        match conclusion {
            Conclusion::Store(status) => {
                let metadata = replay::metadata(&pumped.recording);
                let result = match pumped.recording.into_body() {
                    Some(body) => ExecutionResult::new(status.into(), body),
                    None => ExecutionResult::declined(status.into()),
                };
                return Ok(result.with_metadata(metadata));
            }
            Conclusion::GiveUp(certainty) => {
                self.give_up(&mut ending, certainty, key, &context).await;
            }
            Conclusion::Leave => leave(&mut ending, end, self.arguments.policy()),
        }
        Err(ending.into())
    }

    /// Nothing ran, and the key is free again where that is certain: after a takeover a predecessor
    /// may have run some of the work, so its lease decides then.
    async fn not_started(&self, why: NotStarted, key: &ScopedKeyBuf, context: &Context) -> Ending {
        let name = self.found.typed.to_string_lossy();
        let cannot_execute = |errno: Errno| {
            let gone = errno == Errno::ENOENT && !self.found.path.exists();
            let why = if gone { Unusable::NotFound } else { Unusable::NotExecutable };
            let mut ending = unusable(why, &name);
            let message = ending.message.take().unwrap_or_default();
            ending.message = Some(format!("{message} ({})", errno.desc()));
            ending
        };
        let mut ending = match why {
            NotStarted::Exec(errno) => cannot_execute(errno),
            NotStarted::Spawn(error) if error.raw_os_error() == Some(Errno::E2BIG as i32) => {
                cannot_execute(Errno::E2BIG)
            }
            NotStarted::Spawn(error) => Ending::own(
                Exit::Failure,
                format!("no process can be started: {error}; nothing ran, call again"),
            ),
        };
        if context.attempt_number() == 1 {
            self.give_up(&mut ending, Certainty::NotDone, key, context).await;
        } else {
            ending.key = Some("reserved");
        }
        ending.ran = false;
        ending
    }

    async fn give_up(
        &self,
        ending: &mut Ending,
        certainty: Certainty,
        key: &ScopedKeyBuf,
        context: &Context,
    ) {
        let request = Abandon { token: context.token(), certainty };
        let policy = self.arguments.policy();
        match (self.client.abandon(key.as_ref(), &request).await, certainty) {
            (Ok(AbandonOutcome::Abandoned), Certainty::NotDone)
            // What a repeat after a lost reply is told (S3).
            | (Ok(AbandonOutcome::Gone), _) => ending.key = Some("absent"),
            (Ok(AbandonOutcome::Abandoned), Certainty::InDoubt) => {
                ending.key = Some("in_doubt");
                ending.remark(
                    Exit::InDoubt.word(),
                    format!(
                        "the command failed and may have done some of its work: nobody runs it again until onceward resolve says what is true (fence {})",
                        context.fence()
                    ),
                );
            }
            (Ok(AbandonOutcome::Fenced), _) => ending.remark(
                Exit::Fenced.word(),
                "another call owns the key by now, and may be running the command",
            ),
            (Ok(AbandonOutcome::Conflict), _) => {
                ending.key = Some("completed");
                ending.remark(Exit::Conflict.word(), "the key was completed by another meanwhile");
            }
            (Err(error), _) => {
                ending.key = None;
                ending.remark(
                    Exit::Unavailable.word(),
                    format!(
                        "the key could not be given up ({}): its lease ends by itself, then {}",
                        reason(&error),
                        then(policy)
                    ),
                );
            }
        }
    }

    /// From here on the command has ended, and a signal is for us.
    fn end_on_signal(&self, mut signals: Signals) -> Listening {
        let (json, policy) = (self.json, self.arguments.policy());
        let (stored, is_stored) = oneshot::channel();
        let task = tokio::spawn(async move {
            let signal = tokio::select! {
                biased;
                _ = is_stored => return signals,
                signal = signals.next_to_end() => signal,
            };
            let mut ending = Ending::own(
                Exit::Unavailable,
                format!(
                    "{signal} came while the result was being stored: the command ran to its end, but its result may not be stored; once the lease has ended, {}",
                    then(policy)
                ),
            );
            ending.ran = true;
            ending.tell(json);
            std::process::exit(ending.exit_code.into());
        });
        Listening::WhileStoring(stored, task)
    }

    /// Shows what readers have not taken yet, now that the key needs nothing more. A signal ends
    /// that.
    async fn show_rest(facts: &mut Facts) -> Option<io::Error> {
        let output = facts.output.take()?;
        let mut signals = match facts.listening.take()? {
            Listening::Nobody(signals) => signals,
            Listening::WhileStoring(stored, task) => {
                let _ = stored.send(());
                task.await.expect("nobody aborts it")
            }
        };
        tokio::select! {
            biased;
            shown = output.finish() => shown.err(),
            signal = signals.next_to_end() => {
                Some(io::Error::other(format!("{signal} came before its reader took it all")))
            }
        }
    }

    /// What the answer means for whoever called.
    pub(super) async fn ending(&self, answer: Answer) -> Ending {
        let mut facts = self.facts.take();
        let write_error = Self::show_rest(&mut facts).await;
        let Facts { fence, attempt_number, .. } = facts;
        let policy = self.arguments.policy();
        let mut ending = match answer {
            Ok(Executed::Ran(done)) => ran(&done, write_error),
            Ok(Executed::Replayed(done)) => {
                return replay::replay(&done, self.arguments.accept_missing_output);
            }
            Ok(other) => return answered(&other),
            Err(ExecuteError::Work(mut ending)) => {
                if let Some(error) = write_error {
                    let message = format!("the output cannot be written: {error}");
                    ending.remark(Exit::Failure.word(), message);
                }
                *ending
            }
            Err(ExecuteError::NotRun(error)) => return self.not_run(error),
            Err(ExecuteError::LostOwnership { why, .. }) => ended(End::Lost(why)),
            Err(ExecuteError::NotStored { cause, .. }) => {
                let exit = Failure::from(cause.clone()).exit;
                let mut ending = Ending::own(
                    exit,
                    format!(
                        "the command ran to its end and its output was shown, but its result may not be stored ({}); once the lease has ended, {}",
                        reason(&cause),
                        then(policy)
                    ),
                );
                ending.ran = true;
                ending
            }
            // A word of a later client.
            Err(_) => Ending::own(
                Exit::Failure,
                "the execution ended without an answer; call again to learn what stands",
            ),
        };
        ending.fence = fence;
        ending.attempt_number = attempt_number;
        ending
    }

    fn not_run(&self, error: ClientError) -> Ending {
        if !matches!(error, ClientError::Unavailable { .. }) {
            return Failure::from(error).at(self.url).into();
        }
        let message = format!(
            "no answer from the store at {} ({}): the command was not run; call again",
            self.url,
            reason(&error)
        );
        Ending::own(Exit::Unavailable, message)
    }
}

/// A run whose result is stored.
fn ran(done: &Done, write_error: Option<io::Error>) -> Ending {
    // Made from an exit status just now.
    let mut ending = Ending::new("ran", u8::try_from(done.result.status).unwrap_or(u8::MAX));
    if let Some(error) = write_error {
        ending = Ending::own(
            Exit::Failure,
            format!(
                "the output cannot be written: {error}; the result is stored, call again for it"
            ),
        );
    }
    replay::describe(&mut ending, done);
    ending.ran = true;
    if done.not_kept.is_some() {
        let missing = replay::missing(done);
        ending.remark(
            Exit::NotKept.word(),
            format!("the output {missing}; later calls exit 125, or with --accept-missing-output as this one"),
        );
    }
    ending
}

/// A run without a result.
fn ended(end: End) -> Ending {
    let mut ending = match end {
        End::Status(status) => Ending { status: Some(status.into()), ..Ending::new("ran", status) },
        End::Signal(signal) => {
            let exit_code = u8::try_from(128 + signal).unwrap_or(u8::MAX);
            Ending { signal: Some(signal), ..Ending::new("ran", exit_code) }
        }
        End::Lost(why) => {
            let exit = match why {
                Lost::LeaseEnded => Exit::Unavailable,
                Lost::Fenced => Exit::Fenced,
                Lost::Gone => Exit::Gone,
                Lost::Conflict => Exit::Conflict,
                Lost::Mismatch => Exit::Mismatch,
                _ => Exit::Failure,
            };
            let message = format!(
                "ownership was lost while the command ran ({why}): it has ended, its result is not stored, and another call may run it too; call again to learn what stands"
            );
            Ending::own(exit, message)
        }
    };
    ending.ran = true;
    ending
}

fn leave(ending: &mut Ending, end: End, policy: Policy) {
    if let End::Signal(signal) = end {
        ending.key = Some("reserved");
        let message = format!(
            "signal {signal} ended the command, which says nothing of its work: nothing is stored, and once the lease has ended, {}",
            then(policy)
        );
        ending.remark("ended", message);
    }
}

/// What the end of the lease brings (S8).
const fn then(policy: Policy) -> &'static str {
    match policy {
        Policy::Takeover => "the next call runs the command again",
        Policy::InDoubt => "nobody runs it again until the key is resolved",
    }
}

/// The words for a store that gave no answer, without advice that is for other commands.
fn reason(error: &ClientError) -> String {
    match error {
        ClientError::Unavailable { message } => message.clone(),
        other => other.to_string(),
    }
}

/// The answers without a result: nothing ran here.
fn answered(answer: &Executed) -> Ending {
    let after = |length: &Millis| humantime::format_duration(length.as_duration()).to_string();
    match answer {
        Executed::InProgress { retry_after, age, attempt_number } => {
            let message = format!(
                "another call has been running the command for {}, and its lease ends in {} unless it is renewed: call again later, or with --wait",
                after(age),
                after(retry_after)
            );
            let attempt_number = Some(*attempt_number);
            let age_ms = Some(age.get());
            let key = Some("reserved");
            Ending { attempt_number, age_ms, key, ..Ending::own(Exit::InProgress, message) }
        }
        Executed::Mismatch => Ending::own(
            Exit::Mismatch,
            "the key belongs to another command line or fingerprint: take another key for other work",
        ),
        Executed::NeedFingerprint => Ending::own(
            Exit::NeedFingerprint,
            "the key is bound to a fingerprint: name it with --fingerprint",
        ),
        Executed::InDoubt { since } => {
            let message = format!(
                "an earlier call ended without a result {} ago and may have done the work: find out, and say so with onceward resolve",
                after(since)
            );
            let key = Some("in_doubt");
            Ending { age_ms: Some(since.get()), key, ..Ending::own(Exit::InDoubt, message) }
        }
        Executed::Refused { reason, retry_after } => {
            let when = retry_after.as_ref().map_or_else(
                || "call again later".to_owned(),
                |length| format!("call again in {}", after(length)),
            );
            let message = format!(
                "the store has no room for the key ({}): nothing ran, {when}",
                reason.name()
            );
            Ending::own(Exit::Refused, message)
        }
        Executed::Expired { since } => Ending::own(
            Exit::Expired,
            format!("the key's retention ended {} ago: take another key", after(since)),
        ),
        Executed::Ran(_) | Executed::Replayed(_) => {
            unreachable!("these have a result, and the caller took them")
        }
    }
}
