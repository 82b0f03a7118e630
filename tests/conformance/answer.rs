//! Answers, as the fields that cases name, and how they are compared.

use std::collections::BTreeMap;
use std::fmt;

use onceward_core::{
    BackendError, BeginOutcome, Body, CheckpointOutcome, CompleteOutcome, Completed, Fence,
    GetOutcome, ListEntry, Metadata, Millis, NotKept, RenewOutcome, Replay, Stats, StoredResult,
};
use serde_json::Value;

use crate::case::Expect;
use crate::value::{Octets, Tokens};

/// An outcome or an error, field by field.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Answer(BTreeMap<&'static str, Field>);

#[derive(Clone, Eq, PartialEq)]
pub(crate) enum Field {
    Null,
    Number(u64),
    Word(String),
    Bytes(Vec<u8>),
    Pairs(Vec<(Vec<u8>, Vec<u8>)>),
    Entries(Vec<Answer>),
}

impl Answer {
    pub(crate) fn outcome(word: &str) -> Self {
        Self::default().with("outcome", Field::Word(word.to_owned()))
    }

    pub(crate) fn error(error: &BackendError) -> Self {
        let code = match error {
            BackendError::BadInput { .. } => "bad_input",
            BackendError::Unavailable { .. } => "unavailable",
            BackendError::Denied => "denied",
            BackendError::NotLeader { .. } => "not_leader",
            BackendError::ResultUnavailable => "result_unavailable",
            _ => "unknown",
        };
        let answer = Self::default().with("error", Field::Word(code.to_owned()));
        match error {
            BackendError::BadInput { field, .. } => {
                answer.with("field", Field::Word(field.clone()))
            }
            _ => answer,
        }
    }

    fn with(mut self, name: &'static str, field: Field) -> Self {
        self.0.insert(name, field);
        self
    }

    fn number(self, name: &'static str, number: impl Into<u64>) -> Self {
        self.with(name, Field::Number(number.into()))
    }

    fn millis(self, name: &'static str, length: Millis) -> Self {
        self.number(name, length.get())
    }

    fn fence(self, fence: Option<Fence>) -> Self {
        self.with("fence", fence.map_or(Field::Null, |fence| Field::Number(fence.get())))
    }

    fn not_kept(self, why: Option<NotKept>) -> Self {
        let word = why.map_or(Field::Null, |why| Field::Word(why.name().to_owned()));
        self.with("not_kept", word)
    }

    fn result<B: AsRef<[u8]>>(self, result: &StoredResult<B>) -> Self {
        let metadata = match Metadata::decode(result.metadata.as_ref()) {
            Ok(metadata) => Field::Pairs(
                metadata.pairs().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
            ),
            Err(why) => Field::Word(format!("undecodable: {why}")),
        };
        let body = match &result.body {
            Body::Kept(body) => Field::Bytes(body.as_ref().to_vec()),
            Body::NotKept(_) => Field::Null,
        };
        self.number("status", result.status)
            .with("metadata", metadata)
            .with("body", body)
            .not_kept(result.not_kept())
    }

    /// The outcome's or error's word.
    pub(crate) fn word(&self) -> &str {
        match self.0.get("outcome").or_else(|| self.0.get("error")) {
            Some(Field::Word(word)) => word,
            _ => "",
        }
    }

    /// A figure of `stats`.
    pub(crate) fn figure(&self, name: &str) -> Option<u64> {
        match self.0.get(name) {
            Some(&Field::Number(number)) => Some(number),
            _ => None,
        }
    }

    /// The first field that is not as expected, and how.
    pub(crate) fn fault(&self, expect: &Expect, tokens: &Tokens) -> Option<String> {
        expect.iter().find_map(|(name, wanted)| {
            let Some(got) = self.0.get(name.as_str()) else {
                return Some(format!("no `{name}` in {self}"));
            };
            match got.is(name, wanted, tokens) {
                Ok(()) => None,
                Err(why) => Some(format!("`{name}`: expected {}, got {why}", short(wanted))),
            }
        })
    }
}

impl<B: AsRef<[u8]>> From<&BeginOutcome<B>> for Answer {
    fn from(outcome: &BeginOutcome<B>) -> Self {
        let answer = Self::outcome(outcome.name());
        match outcome {
            BeginOutcome::Acquired(acquired) => {
                let (ordinal, bytes) = match &acquired.checkpoint {
                    Some(held) => (held.ordinal, Field::Bytes(held.bytes.as_ref().to_vec())),
                    None => (0, Field::Null),
                };
                answer
                    .fence(Some(acquired.token.fence))
                    .number("attempt_number", acquired.attempt_number)
                    .with("checkpoint", bytes)
                    .number("checkpoint_ordinal", ordinal)
                    .millis("lease_left", acquired.lease_left)
                    .millis("retention_left", acquired.retention_left)
            }
            BeginOutcome::Replay(Replay { result, age, attempt_number, retention_left }) => answer
                .result(result)
                .millis("age", *age)
                .number("attempt_number", *attempt_number)
                .millis("retention_left", *retention_left),
            BeginOutcome::InProgress { retry_after, age, attempt_number } => answer
                .millis("retry_after", *retry_after)
                .millis("age", *age)
                .number("attempt_number", *attempt_number),
            BeginOutcome::InDoubt { since } | BeginOutcome::Expired { since } => {
                answer.millis("since", *since)
            }
            BeginOutcome::Refused { reason, retry_after } => answer
                .with("reason", Field::Word(reason.name().to_owned()))
                .with("retry_after", retry_after.map_or(Field::Null, |ms| Field::Number(ms.get()))),
            BeginOutcome::Mismatch | BeginOutcome::NeedFingerprint | BeginOutcome::Gone => answer,
        }
    }
}

impl<B: AsRef<[u8]>> From<&GetOutcome<B>> for Answer {
    fn from(outcome: &GetOutcome<B>) -> Self {
        let answer = Self::outcome(outcome.name());
        match outcome {
            GetOutcome::Absent => answer,
            GetOutcome::Reserved { age, attempt_number, lease_left, fence, doubt_number } => answer
                .millis("age", *age)
                .number("attempt_number", *attempt_number)
                .millis("lease_left", *lease_left)
                .fence(*fence)
                .number("doubt_number", *doubt_number),
            GetOutcome::InDoubt { since, attempt_number, fence, doubt_number } => answer
                .millis("since", *since)
                .number("attempt_number", *attempt_number)
                .fence(*fence)
                .number("doubt_number", *doubt_number),
            GetOutcome::Completed(Completed {
                result,
                age,
                attempt_number,
                retention_left,
                fence,
            }) => answer
                .result(result)
                .millis("age", *age)
                .number("attempt_number", *attempt_number)
                .millis("retention_left", *retention_left)
                .fence(*fence),
            GetOutcome::Expired { since } => answer.millis("since", *since),
        }
    }
}

impl From<&CompleteOutcome> for Answer {
    fn from(outcome: &CompleteOutcome) -> Self {
        let answer = Self::outcome(outcome.name());
        match outcome {
            CompleteOutcome::Completed { not_kept }
            | CompleteOutcome::AlreadyCompleted { not_kept } => answer.not_kept(*not_kept),
            CompleteOutcome::Conflict
            | CompleteOutcome::Mismatch
            | CompleteOutcome::NeedFingerprint
            | CompleteOutcome::Fenced
            | CompleteOutcome::Gone => answer,
        }
    }
}

impl From<&RenewOutcome> for Answer {
    fn from(outcome: &RenewOutcome) -> Self {
        let answer = Self::outcome(outcome.name());
        match outcome {
            RenewOutcome::Renewed { lease_left } => answer.millis("lease_left", *lease_left),
            RenewOutcome::Mismatch
            | RenewOutcome::Conflict
            | RenewOutcome::Fenced
            | RenewOutcome::Gone => answer,
        }
    }
}

impl From<&CheckpointOutcome> for Answer {
    fn from(outcome: &CheckpointOutcome) -> Self {
        let answer = Self::outcome(outcome.name());
        match outcome {
            CheckpointOutcome::Saved { ordinal } => answer.number("ordinal", *ordinal),
            CheckpointOutcome::Refused { reason } => {
                answer.with("reason", Field::Word(reason.name().to_owned()))
            }
            CheckpointOutcome::NeedFingerprint
            | CheckpointOutcome::Conflict
            | CheckpointOutcome::Fenced
            | CheckpointOutcome::Gone => answer,
        }
    }
}

impl From<&[ListEntry]> for Answer {
    fn from(entries: &[ListEntry]) -> Self {
        let entry = |entry: &ListEntry| {
            let key = entry.scoped_key.as_ref();
            Self::default()
                .with("scope", Field::Bytes(key.scope().to_vec()))
                .with("key", Field::Bytes(key.key().to_vec()))
                .with("state", Field::Word(entry.state.name().to_owned()))
                .millis("age", entry.age)
                .number("attempt_number", entry.attempt_number)
                .fence(Some(entry.fence))
                .number("doubt_number", entry.doubt_number)
                .millis("retention_left", entry.retention_left)
        };
        Self::default().with("entries", Field::Entries(entries.iter().map(entry).collect()))
    }
}

impl From<&Stats> for Answer {
    fn from(stats: &Stats) -> Self {
        let number = |row: onceward_core::StatsRow| (row.name, Field::Number(row.value));
        Self(stats.rows().into_iter().map(number).collect())
    }
}

impl Field {
    /// Whether it is what a case wants under `name`; `Err` says what it is.
    fn is(&self, name: &str, wanted: &Value, tokens: &Tokens) -> Result<(), String> {
        let as_bytes = |value: &Value| {
            serde_json::from_value::<Octets>(value.clone()).ok().and_then(|it| it.bytes().ok())
        };
        let equal = match (self, wanted) {
            (Self::Null, Value::Null) => true,
            (Self::Number(fence), Value::String(label)) if name == "fence" => {
                let (above, label) = match label.strip_prefix('>') {
                    Some(label) => (true, label),
                    None => (false, label.as_str()),
                };
                let Some(token) = tokens.get(label) else {
                    return Err(format!("no token `{label}` yet to compare with"));
                };
                if above { *fence > token.fence.get() } else { *fence == token.fence.get() }
            }
            (Self::Number(number), Value::Number(wanted)) => wanted.as_u64() == Some(*number),
            (Self::Word(word), Value::String(wanted)) => word == wanted,
            (Self::Bytes(bytes), wanted) => as_bytes(wanted).as_ref() == Some(bytes),
            (Self::Pairs(pairs), Value::Array(wanted)) => {
                pairs.len() == wanted.len()
                    && pairs.iter().zip(wanted).all(|((name, value), wanted)| {
                        wanted.as_array().is_some_and(|pair| {
                            pair.len() == 2
                                && as_bytes(&pair[0]).as_ref() == Some(name)
                                && as_bytes(&pair[1]).as_ref() == Some(value)
                        })
                    })
            }
            (Self::Entries(entries), Value::Array(wanted)) => {
                return entries_are(entries, wanted, tokens);
            }
            _ => false,
        };
        if equal { Ok(()) } else { Err(format!("{self:?}")) }
    }
}

/// Order means nothing; scope and key say which entry is which.
fn entries_are(entries: &[Answer], wanted: &[Value], tokens: &Tokens) -> Result<(), String> {
    let all = || format!("{entries:?}");
    if entries.len() != wanted.len() {
        return Err(all());
    }
    for wanted in wanted {
        let Value::Object(wanted) = wanted else { return Err("an entry that is no object".into()) };
        let identity: Expect = ["scope", "key"]
            .iter()
            .filter_map(|&name| wanted.get_key_value(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let mut same = entries.iter().filter(|entry| entry.fault(&identity, tokens).is_none());
        let Some(entry) = same.next() else { return Err(all()) };
        if let Some(fault) = entry.fault(wanted, tokens) {
            return Err(fault);
        }
    }
    Ok(())
}

const SHOWN_CHARACTERS_MAX: usize = 200;

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Word(word) => write!(f, "{word:?}"),
            Self::Bytes(bytes) if bytes.len() > 64 => {
                write!(f, "{} bytes from {:?}…", bytes.len(), bytes[..8].escape_ascii().to_string())
            }
            Self::Bytes(bytes) => write!(f, "b\"{}\"", bytes.escape_ascii()),
            Self::Pairs(pairs) => {
                let sizes: Vec<_> =
                    pairs.iter().map(|(name, value)| (name.len(), value.len())).collect();
                write!(f, "{} pairs of sizes {sizes:?}", pairs.len())
            }
            Self::Entries(entries) => f.debug_list().entries(entries).finish(),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.0).finish()
    }
}
