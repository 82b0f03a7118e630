//! How cases write bytes, ids, fingerprints and fences.

use std::collections::HashMap;

use onceward_core::{AttemptId, BadInput, Digest, Fence, Fingerprint, Token};
use serde::Deserialize;

/// Tokens by the label of the begin that acquired them.
pub(crate) type Tokens = HashMap<String, Token>;

/// Bytes: text, hexadecimal, or one text many times.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Octets {
    Text(String),
    Hex(Hex),
    Repeat(Repeat),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hex {
    hex: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Repeat {
    repeat: String,
    count: usize,
}

impl Default for Octets {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl Octets {
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Text(text) => Ok(text.as_bytes().to_vec()),
            Self::Repeat(Repeat { repeat, count }) => Ok(repeat.repeat(*count).into_bytes()),
            Self::Hex(Hex { hex }) => {
                let pairs = hex.as_bytes().chunks(2);
                let byte = |pair: &[u8]| {
                    let digits = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2);
                    digits.and_then(|digits| u8::from_str_radix(digits, 16).ok())
                };
                let bytes: Option<Vec<u8>> = pairs.map(byte).collect();
                bytes.ok_or_else(|| format!("`{hex}` is not hexadecimal"))
            }
        }
    }
}

/// `"none"`, `"later"`, a label, or a digest's bytes.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct FingerprintText(Octets);

impl Default for FingerprintText {
    fn default() -> Self {
        Self(Octets::Text("none".into()))
    }
}

impl FingerprintText {
    /// As a begin states it. The inner error is the product's own check.
    pub(crate) fn fingerprint(&self) -> Result<Result<Fingerprint, BadInput>, String> {
        match &self.0 {
            Octets::Text(word) if word == "none" => Ok(Ok(Fingerprint::None)),
            Octets::Text(word) if word == "later" => Ok(Ok(Fingerprint::Later)),
            Octets::Text(_) | Octets::Hex(_) | Octets::Repeat(_) => {
                Ok(self.digest()?.map(Fingerprint::Digest))
            }
        }
    }

    /// As an owner or a resolver names it.
    pub(crate) fn digest(&self) -> Result<Result<Digest, BadInput>, String> {
        match &self.0 {
            Octets::Text(label) => Ok(Digest::new(&padded::<32>(label)?)),
            Octets::Hex(_) | Octets::Repeat(_) => Ok(Digest::new(&self.0.bytes()?)),
        }
    }
}

/// The attempt id that a label stands for.
pub(crate) fn attempt(label: &str) -> Result<AttemptId, String> {
    padded(label).map(AttemptId::from_bytes)
}

fn padded<const N: usize>(label: &str) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    if label.is_empty() || label.len() > N || !label.is_ascii() {
        return Err(format!("label `{label}` is not 1 to {N} ASCII characters"));
    }
    bytes[..label.len()].copy_from_slice(label.as_bytes());
    Ok(bytes)
}

/// A number, or a label with an offset.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum FenceText {
    Number(u64),
    Relative(String),
}

impl FenceText {
    pub(crate) fn fence(&self, tokens: &Tokens) -> Result<Fence, String> {
        let number = match self {
            Self::Number(number) => Some(*number),
            Self::Relative(text) => {
                let split = text.find(['+', '-']).unwrap_or(text.len());
                let (label, offset) = text.split_at(split);
                let offset: i64 = match offset {
                    "" => 0,
                    offset => offset.parse().map_err(|why| format!("fence `{text}`: {why}"))?,
                };
                let token = tokens.get(label).ok_or_else(|| format!("no token `{label}` yet"))?;
                token.fence.get().checked_add_signed(offset)
            }
        };
        number.and_then(Fence::new).ok_or_else(|| format!("{self:?} is no fence"))
    }
}

/// The token of `label`, with one half or both replaced.
pub(crate) fn token(
    label: &str,
    fence: Option<&FenceText>,
    other_attempt: Option<&str>,
    tokens: &Tokens,
) -> Result<Token, String> {
    let mut token = *tokens.get(label).ok_or_else(|| format!("no token `{label}` yet"))?;
    if let Some(fence) = fence {
        token.fence = fence.fence(tokens)?;
    }
    if let Some(other) = other_attempt {
        token.attempt_id = attempt(other)?;
    }
    Ok(token)
}
