//! Callers as they are: they lose replies, hang up, hurry, mix up payloads and come back late.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::RngExt as _;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::sleep;

use super::document::Document;
use super::fleet::Addresses;
use super::http::{
    CRASH, HttpClient, INTENT, KEY, Loss, Outgoing, Refusal, Reply, WORK_US, send_and_lose,
};
use super::random::{Purpose, random};
use super::schedule::{Fault, Schedule};
use super::traffic::{Call, Traffic};
use super::witness::Witness;

/// Pauses between attempts: from, to.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(400);
/// Attempts after which a caller gives its intent up. Minutes, with the waits in between.
const ATTEMPTS_MAX: u32 = 120;

/// What all callers of one pass share.
pub(super) struct Town {
    pub(super) seed: u64,
    pub(super) schedule: Arc<Schedule>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) services: Addresses,
    pub(super) http: HttpClient,
    pub(super) witness: Arc<Witness>,
    pub(super) counts: Counts,
    /// Rung when a caller hears that its intent is in doubt.
    pub(super) doubt: Arc<Notify>,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) attempts: AtomicU64,
    pub(super) replays: AtomicU64,
    /// Replies that differ from the first one seen to the same key.
    pub(super) differing: AtomicU64,
    /// Other payloads under a used key that were refused.
    pub(super) mismatches: AtomicU64,
    /// Other payloads under a used key that were answered all the same.
    pub(super) misuses_answered: AtomicU64,
    /// Intents given up without an answer.
    pub(super) unanswered: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The key of an intent. It ends in the intent's number, as a key may that is made from an order
/// number: the reconciler reads it there.
pub(super) fn key(seed: u64, intent: u32) -> String {
    let part: u64 = random(seed, Purpose::Key, intent).random();
    format!("{part:016x}-{intent}")
}

/// The intent that a key was made for.
pub(super) fn intent_of(key: &[u8]) -> Option<u32> {
    let (part, intent) = str::from_utf8(key).ok()?.rsplit_once('-')?;
    if part.len() == 16 { intent.parse().ok() } else { None }
}

/// One caller with one intent.
pub(super) struct Caller {
    town: Arc<Town>,
    intent: u32,
    key: String,
    call: Call,
    /// The first answer it read.
    first: Mutex<Option<Document>>,
    /// The right to be among those served; given back once the intent has to wait out a crash, so
    /// that others are not held up.
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

/// A caller that will come back.
pub(super) struct Late {
    pub(super) after: u32,
    pub(super) caller: Box<Caller>,
}

impl Caller {
    pub(super) fn new(town: Arc<Town>, intent: u32, permit: OwnedSemaphorePermit) -> Self {
        let key = key(town.seed, intent);
        let call = town.traffic.call(intent);
        let (first, permit) = (Mutex::new(None), Mutex::new(Some(permit)));
        Self { town, intent, key, call, first, permit }
    }

    /// Does what the schedule says. Gives itself back if it means to return.
    pub(super) async fn run(self) -> Option<Late> {
        let home = self.town.schedule.home(self.intent);
        let at = |elsewhere: bool| if elsewhere { 1 - home } else { home };
        match self.town.schedule.fault(self.intent) {
            Fault::None | Fault::Crash { .. } => self.insist(home).await,
            Fault::LostReply { elsewhere } => {
                self.lose(home, Loss::UnderWay).await;
                self.insist(at(elsewhere)).await;
            }
            Fault::HangUp { elsewhere, after_ms } => {
                self.lose(home, Loss::HangUp(Duration::from_millis(after_ms))).await;
                self.insist(at(elsewhere)).await;
            }
            Fault::Overlap { elsewhere, after_ms } => {
                let second = async {
                    sleep(Duration::from_millis(after_ms)).await;
                    self.insist(at(elsewhere)).await;
                };
                tokio::join!(self.insist(home), second);
            }
            Fault::OtherPayload => {
                self.insist(home).await;
                self.reuse_key(home).await;
            }
            Fault::ComeBack { after } => {
                self.insist(home).await;
                self.release();
                return Some(Late { after, caller: Box::new(self) });
            }
        }
        None
    }

    /// Comes back for the answer it once had.
    pub(super) async fn come_back(self, permit: OwnedSemaphorePermit) {
        *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
        let home = self.town.schedule.home(self.intent);
        self.insist(1 - home).await;
    }

    fn release(&self) {
        *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Tries until it has an answer, and compares that with the first one.
    async fn insist(&self, process: usize) {
        let answer = self.persist(process, &self.call).await;
        let Some(Answer::Document { document, replayed }) = answer else {
            return count(&self.town.counts.unanswered);
        };
        if replayed {
            count(&self.town.counts.replays);
        }
        self.town.witness.answer(self.intent, document.digest());
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if *first.get_or_insert_with(|| document.clone()) != document {
            count(&self.town.counts.differing);
        }
    }

    /// Sends another payload under the same key.
    async fn reuse_key(&self, process: usize) {
        let call = self.town.traffic.other_call(self.intent);
        match self.persist(process, &call).await {
            Some(Answer::Mismatch) => count(&self.town.counts.mismatches),
            Some(Answer::Document { .. }) => count(&self.town.counts.misuses_answered),
            None => count(&self.town.counts.unanswered),
        }
    }

    /// Sends a call again and again until there is an answer; `None` once it gives up.
    async fn persist(&self, process: usize, call: &Call) -> Option<Answer> {
        let mut pauses = random(self.town.seed, Purpose::Pause, self.intent);
        let mut pause = PAUSE_MIN;
        for attempt in 0..ATTEMPTS_MAX {
            // A caller whose process is down has a second one to go to.
            let process = if attempt % 4 == 3 { 1 - process } else { process };
            match self.attempt(process, call).await {
                Some(Reply { refusal: None, document, replayed }) => {
                    return Some(Answer::Document { document, replayed });
                }
                Some(Reply { refusal: Some(Refusal::Mismatch), .. }) => {
                    return Some(Answer::Mismatch);
                }
                Some(Reply { refusal: Some(Refusal::InDoubt), .. }) => {
                    self.town.doubt.notify_one();
                }
                Some(Reply {
                    refusal: Some(Refusal::InProgress | Refusal::Unavailable), ..
                })
                | None => {}
            }
            self.release();
            sleep(pause.mul_f64(pauses.random_range(0.5..1.0))).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        None
    }

    async fn attempt(&self, process: usize, call: &Call) -> Option<Reply> {
        count(&self.town.counts.attempts);
        let address = self.town.services.of(process).await;
        let headers = self.headers(call);
        let sent = self.town.http.send(address, &outgoing(call, &headers)).await;
        sent.ok() // Whatever went wrong, a caller can only try again.
    }

    async fn lose(&self, process: usize, loss: Loss) {
        count(&self.town.counts.attempts);
        let address = self.town.services.of(process).await;
        let headers = self.headers(&self.call);
        // Lost either way.
        let _ = send_and_lose(address, &outgoing(&self.call, &headers), loss).await;
    }

    fn headers(&self, call: &Call) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            (KEY, format!("\"{}\"", self.key)),
            (INTENT, self.intent.to_string()),
            (WORK_US, self.town.schedule.work_us(self.intent).to_string()),
        ];
        if let Some(content_type) = &call.content_type {
            headers.push(("content-type", content_type.clone()));
        }
        if let Fault::Crash { moment } = self.town.schedule.fault(self.intent)
            && self.town.witness.crash_due(self.intent)
        {
            headers.push((CRASH, moment.name().to_owned()));
        }
        headers
    }
}

fn outgoing<'a>(call: &'a Call, headers: &'a [(&'static str, String)]) -> Outgoing<'a> {
    Outgoing { method: call.method.as_str(), path: &call.path, headers, body: call.body.clone() }
}

enum Answer {
    Document { document: Document, replayed: bool },
    Mismatch,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_intent_and_nothing_else_does() {
        for intent in [0, 17, 999_999] {
            let key = key(7, intent);
            assert_eq!(intent_of(key.as_bytes()), Some(intent));
            let broken = format!("{key}-123");
            assert_eq!(intent_of(broken.as_bytes()), None, "a key of the service's own");
        }
        assert_ne!(key(7, 1), key(8, 1));
        for other in [&b""[..], b"\xff", b"order-17", b"0123456789abcdef-x"] {
            assert_eq!(intent_of(other), None);
        }
    }
}
