//! One caller: draws a key and something to ask about it, again and again.

use std::sync::Arc;
use std::time::Duration;

use onceward_client::Client;
use onceward_testkit::SplitMix64;
use tokio::time::{Instant, sleep, sleep_until};

use crate::call::{Asked, Call, Owner, Print, digest_of_bytes};
use crate::load::caller::{Question, ask};
use crate::load::content::{Content, checkpoint_of};
use crate::load::kind::{Kind, other_print, usual_print};
use crate::load::notebook::Page;
use crate::load::{Pace, Shared};

/// Between two questions that are under way at once.
const BESIDE: Duration = Duration::from_millis(1);

/// After a call without an answer, so that callers of a dead daemon do not spin.
const PAUSE: Duration = Duration::from_millis(2);

pub(crate) struct Worker {
    random: SplitMix64,
    client: Client,
    beside: Client,
    shared: Arc<Shared>,
}

impl Worker {
    pub(crate) fn new(seed: u64, number: u32, clients: &[Client], shared: Arc<Shared>) -> Self {
        let of = |number: usize| clients[number % clients.len()].clone();
        let (client, beside) = (of(number as usize), of(number as usize + 1));
        let random = SplitMix64::new(seed ^ u64::from(number) << 32);
        Self { random, client, beside, shared }
    }

    pub(crate) async fn work(mut self, pace: Pace) {
        let first = self.random.within(0..pace.period.as_micros() as u64 + 1);
        let mut next = Instant::now() + Duration::from_micros(first);
        while !self.shared.stops() {
            sleep_until(next).await;
            next = (next + pace.period).max(Instant::now());
            let draw = self.random.next_u64();
            let opened = self.shared.notebook().open(draw);
            let Some((key, page)) = opened else { continue };
            let question = self.question(key, &page);
            let second = match self.random.within(0..100) {
                // A duplicate overtakes its answer, or somebody else looks while it is made: nobody
                // may be told what is not synced yet.
                0..16 => Some(question.clone()),
                16..22 => Some(self.begin(key, &page)),
                22..25 => Some(Question::of(Asked::Get)),
                _ => None,
            };
            let answered = match second {
                None => self.ask(key, question).await,
                Some(second) => {
                    let (first, second) =
                        tokio::join!(self.ask(key, question), self.ask_beside(key, second));
                    first && second
                }
            };
            self.shared.notebook().close(key);
            if !answered {
                sleep(PAUSE).await;
            }
        }
    }

    /// Asks again what got no answer (S3), looks at the key, and sometimes goes on with it.
    pub(crate) async fn look_back(mut self, keys: Vec<u32>) {
        for key in keys {
            let page = self.shared.notebook().look_back(key);
            if page.is_unclear() {
                self.ask(key, Question::of(Asked::Get)).await;
                continue;
            }
            self.look_at(key, &page).await;
        }
    }

    /// Until the first call without an answer: a daemon that is halted is not asked more, for each
    /// such call multiplies what may have happened.
    async fn look_at(&mut self, key: u32, page: &Page) -> Option<()> {
        for asked in &page.unknown {
            if self.random.chance(70) {
                self.ask(key, again(key, asked.clone())).await.then_some(())?;
            }
        }
        self.ask(key, Question::of(Asked::Get)).await.then_some(())?;
        let again = self.random.within(0..10);
        if again < 5 {
            let question = self.begin(key, page);
            self.ask(key, question).await.then_some(())?;
        }
        if again < 3 {
            let question = self.question(key, page);
            self.ask(key, question).await.then_some(())?;
        }
        Some(())
    }

    pub(crate) async fn begin_once(mut self, key: u32) {
        let question = self.begin(key, &Page::default());
        self.ask(key, question).await;
    }

    async fn ask(&self, key: u32, question: Question) -> bool {
        let call = ask(&self.client, key, question).await;
        self.note(call)
    }

    /// Over another connection, just after the first question.
    async fn ask_beside(&self, key: u32, question: Question) -> bool {
        sleep(BESIDE).await;
        let call = ask(&self.beside, key, question).await;
        self.note(call)
    }

    fn note(&self, call: Call) -> bool {
        let answered = call.told.is_some();
        self.shared.notebook().write(&call);
        self.shared.record(call);
        answered
    }

    fn question(&mut self, key: u32, page: &Page) -> Question {
        let Some(owner) = self.owner(page) else { return self.begin(key, page) };
        let kind = Kind::of(key);
        match self.random.within(0..100) {
            0..36 => self.begin(key, page),
            36..64 => self.complete(key, owner),
            64..72 => {
                let lease = kind.lease * if self.random.chance(35) { 6 } else { 1 };
                Question::of(Asked::Renew { owner, lease, print: self.named(key, 50) })
            }
            72..79 => {
                let ordinal = page.ordinal + self.random.within(0..3) as u32;
                let bytes = checkpoint_of(owner.attempt, ordinal.max(1));
                let digest = digest_of_bytes(&bytes);
                let asked = Asked::Checkpoint { owner, ordinal: ordinal.max(1), bytes: digest };
                Question { bytes, ..Question::of(asked) }
            }
            79..85 => Question::of(Asked::Abandon { owner, in_doubt: self.random.chance(30) }),
            85..94 => Question::of(Asked::Get),
            94..97 => self.resolve(key, page, owner),
            _ => Question::of(Asked::Forget { fence: page.shown_fence.unwrap_or(owner.fence) }),
        }
    }

    /// The latest owner, seldom an older one.
    fn owner(&mut self, page: &Page) -> Option<Owner> {
        if self.random.chance(12) {
            return self.random.pick(&page.owners).copied();
        }
        page.owners.last().copied()
    }

    fn begin(&mut self, key: u32, page: &Page) -> Question {
        let kind = Kind::of(key);
        let repeated = self.random.chance(18).then(|| page.attempts.last().copied()).flatten();
        let attempt = repeated.unwrap_or_else(|| self.shared.notebook().new_attempt());
        let print = match self.random.within(0..100) {
            0..4 => Print::Digest(other_print(key)),
            4..14 if kind.later => Print::Digest(other_print(key)),
            14..30 if kind.later => Print::Digest(usual_print(key)),
            _ => kind.print(key),
        };
        let Kind { lease, retention, in_doubt, .. } = kind;
        let asked = Asked::Begin { attempt, print, lease, retention, in_doubt };
        let wait = if self.random.chance(10) { 40 } else { 0 };
        Question { wait: Duration::from_millis(wait), ..Question::of(asked) }
    }

    fn complete(&mut self, key: u32, owner: Owner) -> Question {
        let variant = u8::from(self.random.chance(8));
        let content = Content::of(key, owner.attempt, variant);
        let print = self.named(key, if Kind::of(key).later { 80 } else { 20 });
        let asked = Asked::Complete { owner, result: content.digest(), print };
        Question { content, ..Question::of(asked) }
    }

    fn resolve(&mut self, key: u32, page: &Page, owner: Owner) -> Question {
        let (fence, doubt) = page.doubt.unwrap_or((owner.fence, 1));
        if self.random.chance(50) {
            return Question::of(Asked::Resolve { fence, doubt, result: None, print: None });
        }
        let content = Content::of(key, u128::from(fence), 2);
        let print = self.named(key, 70);
        let asked = Asked::Resolve { fence, doubt, result: Some(content.digest()), print };
        Question { content, ..Question::of(asked) }
    }

    fn named(&mut self, key: u32, percent: u64) -> Option<u64> {
        self.random.chance(percent).then(|| usual_print(key))
    }
}

/// The same question once more, to the byte.
fn again(key: u32, asked: Asked) -> Question {
    let mut question = Question::of(asked);
    match question.asked {
        Asked::Complete { owner, result, .. } => {
            question.content = Content::found(key, owner.attempt, result);
        }
        Asked::Resolve { fence, result: Some(result), .. } => {
            question.content = Content::found(key, u128::from(fence), result);
        }
        Asked::Checkpoint { owner, ordinal, .. } => {
            question.bytes = checkpoint_of(owner.attempt, ordinal);
        }
        _ => {}
    }
    question
}
