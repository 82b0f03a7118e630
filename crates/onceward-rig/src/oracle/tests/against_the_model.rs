//! The oracle takes whatever the naive model answers: no false alarms, as far as the model goes.

use std::collections::BTreeMap;

use onceward_core::{
    Body, Certainty, Digest, Fingerprint, Limits, Policy, StoredResult, Timestamp, Token,
};
use onceward_testkit::{Finding, Generator, Model, Operation, Outcome, Step, seeds};

use super::*;
use crate::call::{Owner, Print, digest_of_bytes, digest_of_result};
use crate::oracle::search::{Searched, search};

#[test]
fn it_takes_every_answer_of_the_naive_model() {
    let mut seen: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for seed in seeds(60) {
        let limits = Limits { result_bytes_max: 64, ..Limits::DEFAULT };
        let mut model = Model::new(limits, Timestamp::from_millis(1_000));
        let mut generator = Generator::new(seed, 4, 1, limits);
        let mut standing = vec![Standing::default()];
        let (level, death) = (Level::Always, Moment::NEVER);
        let fences = Fences::default();
        let life = Life { level, death, fences: &fences, may_boot: false };
        let mut history = Vec::new();
        for _ in 0..400 {
            let (identity, operation) = match generator.next(&model) {
                Step::MoveClock(now) => {
                    model.move_clock(now);
                    continue;
                }
                Step::Ask { identity, operation, .. } => (identity, operation),
            };
            let Some(asked) = asked(&operation) else { continue };
            let outcome = model.apply(identity, &operation);
            generator.observe(identity, &outcome);
            let Some(told) = told(&outcome) else { continue };
            *seen.entry((asked.name(), told.name())).or_default() += 1;
            let now = Moment::from_millis(model.now().as_millis());
            let call = Call { key: 1, began: now, ended: now, asked, told: Some(told) };
            history.push(format!("{call:?}"));
            match search(&standing, &[call], &life, PAIRS_MAX) {
                Searched::Explained { standing: next, .. } => standing = next,
                other => panic!("seed {seed}: {other:?}\n{}", history.join("\n")),
            }
        }
    }
    for outcome in [
        ("begin", "acquired"),
        ("begin", "need_fingerprint"),
        ("begin", "in_doubt"),
        ("begin", "gone"),
        ("complete", "need_fingerprint"),
        ("complete", "conflict"),
        ("renew", "renewed"),
        ("renew", "conflict"),
        ("checkpoint", "saved"),
        ("resolve", "resolved"),
        ("resolve", "fenced"),
        ("forget", "forgotten"),
        ("get", "in_doubt"),
    ] {
        assert!(seen.contains_key(&outcome), "never seen: {outcome:?} in {seen:?}");
    }
}

fn owner(token: Token) -> Owner {
    let attempt = u128::from_le_bytes(*token.attempt_id.as_bytes());
    Owner { fence: token.fence.get(), attempt }
}

fn named(digest: Digest) -> u64 {
    u64::from(digest.padded()[0])
}

/// `None` for what the rig never stores.
fn small(result: &StoredResult<Vec<u8>>) -> Option<u64> {
    match &result.body {
        Body::Kept(body) if body.len() <= 64 => {
            Some(digest_of_result(result.status, &result.metadata, body))
        }
        Body::Kept(_) | Body::NotKept(_) => None,
    }
}

/// `None` for what the rig never asks.
fn asked(operation: &Operation) -> Option<Asked> {
    Some(match operation {
        Operation::Begin(begin) => Asked::Begin {
            attempt: u128::from_le_bytes(*begin.attempt_id.as_bytes()),
            print: match begin.fingerprint {
                Fingerprint::None => return None,
                Fingerprint::Later => Print::Later,
                Fingerprint::Digest(digest) => Print::Digest(named(digest)),
            },
            lease: Duration::from_millis(begin.lease.get()),
            retention: Duration::from_millis(begin.retention.get()),
            in_doubt: begin.policy == Policy::InDoubt,
        },
        Operation::Complete { token, result, fingerprint } => Asked::Complete {
            owner: owner(*token),
            result: small(result)?,
            print: fingerprint.map(named),
        },
        Operation::Renew(renew) => Asked::Renew {
            owner: owner(renew.token),
            lease: Duration::from_millis(renew.lease.get()),
            print: renew.fingerprint.map(named),
        },
        Operation::Abandon(abandon) => Asked::Abandon {
            owner: owner(abandon.token),
            in_doubt: abandon.certainty == Certainty::InDoubt,
        },
        Operation::Checkpoint { token, ordinal, bytes } => Asked::Checkpoint {
            owner: owner(*token),
            ordinal: *ordinal,
            bytes: digest_of_bytes(bytes),
        },
        Operation::Get => Asked::Get,
        Operation::Resolve { fence, doubt_number, finding } => {
            let (result, print) = match finding {
                Finding::NeverDone => (None, None),
                Finding::Completed { result, fingerprint } => {
                    (Some(small(result)?), fingerprint.map(named))
                }
            };
            Asked::Resolve { fence: fence.get(), doubt: *doubt_number, result, print }
        }
        Operation::Forget(forget) => Asked::Forget { fence: forget.fence.get() },
    })
}

/// `None` for bad input, which changes nothing, and for what the rig never stores.
fn told(outcome: &Outcome) -> Option<Told> {
    let told = match outcome {
        Outcome::Begin(outcome) => Told::of_begin(outcome, small),
        Outcome::Get(outcome) => Told::of_get(outcome, small),
        Outcome::Complete(outcome) => (*outcome).into(),
        Outcome::Renew(outcome) => (*outcome).into(),
        Outcome::Abandon(outcome) => (*outcome).into(),
        Outcome::Checkpoint(outcome) => (*outcome).into(),
        Outcome::Resolve(outcome) => (*outcome).into(),
        Outcome::Forget(outcome) => (*outcome).into(),
        Outcome::BadInput(_) => return None,
    };
    (told != Told::Strange).then_some(told)
}
