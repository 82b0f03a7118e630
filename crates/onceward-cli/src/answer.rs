//! What a command tells: an outcome's word, its fields, perhaps a body. One list of fields makes
//! both the lines for people and the JSON for programs, so that neither can lack what the other has.

use bytes::Bytes;
use onceward_client::{Body, Metadata, Millis, StoredResult};

use crate::exit::Exit;

/// One answer to one command.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) exit: Exit,
    /// The outcome in the words of the protocol, snake case.
    pub(crate) outcome: &'static str,
    pub(crate) fields: Vec<Field>,
    /// What a person does now, where the outcome alone does not say it. No program needs it.
    pub(crate) advice: Option<&'static str>,
}

/// A named value. In JSON the name gets its unit: `_ms`, `_us`, `_base64`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) value: Value,
}

/// A value in the form in which it was told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Value {
    /// `null` in JSON; no line for people.
    Nothing,
    Number(u64),
    Text(String),
    /// `NAME_ms` in JSON, `null` if it is not known.
    Millis(Option<Millis>),
    /// `NAME_us` in JSON.
    Micros(u64),
    /// `NAME` if it is UTF-8, else `NAME_base64`.
    Bytes(Bytes),
    /// `NAME`, pairs of strings, if all are UTF-8, else `NAME_base64`.
    Pairs(Vec<(Bytes, Bytes)>),
}

impl Answer {
    pub(crate) const fn new(exit: Exit, outcome: &'static str) -> Self {
        Self { exit, outcome, fields: Vec::new(), advice: None }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push(Field { name, value: value.into() });
        self
    }

    pub(crate) const fn advise(mut self, advice: &'static str) -> Self {
        self.advice = Some(advice);
        self
    }

    /// Status, metadata and body of a result, in the same words wherever one is told.
    pub(crate) fn with_result(self, result: &StoredResult<Bytes>) -> Self {
        // A store hands out what it has checked; an encoding that breaks off reads as its whole pairs.
        let metadata = Metadata::decode(&result.metadata).unwrap_or_default();
        let pairs = metadata
            .pairs()
            .map(|(name, value)| (Bytes::copy_from_slice(name), Bytes::copy_from_slice(value)));
        let (body, not_kept) = match &result.body {
            Body::Kept(body) => (Value::Bytes(body.clone()), Value::Nothing),
            Body::NotKept(why) => (Value::Nothing, why.name().into()),
        };
        self.with("status", u64::from(result.status))
            .with("metadata", Value::Pairs(pairs.collect()))
            .with("not_kept", not_kept)
            .with("body", body)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<Millis> for Value {
    fn from(length: Millis) -> Self {
        Self::Millis(Some(length))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nothing, Into::into)
    }
}
