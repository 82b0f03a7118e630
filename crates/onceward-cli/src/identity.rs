//! Which key, and whose.

use std::fmt;

use clap::{ArgGroup, Args};
use onceward_client::ScopedKeyBuf;

use crate::failure::Failure;
use crate::hex;

/// One key of one scope. The namespace is the URL's.
#[derive(Args, Debug)]
#[group(skip)]
#[command(group = ArgGroup::new("named_key").required(true).args(["key", "key_hex"]))]
pub(crate) struct IdentityArguments {
    #[command(flatten)]
    key: KeyArguments,
    #[command(flatten)]
    scope: ScopeArguments,
}

impl IdentityArguments {
    /// # Errors
    /// Digits that are none, or a length beyond its limit.
    pub(crate) fn scoped_key(&self) -> Result<ScopedKeyBuf, Failure> {
        self.key.within(&self.scope)
    }
}

/// A key, which commands that can do without one flatten by itself.
#[derive(Args)]
#[group(skip)]
pub(crate) struct KeyArguments {
    /// The idempotency key, 1 to 255 bytes
    #[arg(
        long,
        env = "ONCEWARD_KEY",
        hide_env_values = true,
        allow_hyphen_values = true,
        conflicts_with = "key_hex"
    )]
    key: Option<String>,
    /// The key as hexadecimal digits, for bytes that are no text
    #[arg(long, env = "ONCEWARD_KEY_HEX", hide_env_values = true, value_name = "HEX")]
    key_hex: Option<String>,
}

impl KeyArguments {
    /// # Errors
    /// As [`IdentityArguments::scoped_key`].
    pub(crate) fn within(&self, scope: &ScopeArguments) -> Result<ScopedKeyBuf, Failure> {
        let key = bytes("key", self.key.as_deref(), self.key_hex.as_deref())?;
        let scope = scope.bytes()?;
        Ok(ScopedKeyBuf::new(scope.unwrap_or_default(), key.unwrap_or_default())?)
    }
}

/// A scope. None is the empty one where a key is named.
#[derive(Args)]
#[group(skip)]
pub(crate) struct ScopeArguments {
    /// Who the key belongs to (tenant, principal, endpoint), at most 255 bytes
    #[arg(
        long,
        env = "ONCEWARD_SCOPE",
        hide_env_values = true,
        allow_hyphen_values = true,
        conflicts_with = "scope_hex"
    )]
    scope: Option<String>,
    /// The scope as hexadecimal digits
    #[arg(long, env = "ONCEWARD_SCOPE_HEX", hide_env_values = true, value_name = "HEX")]
    scope_hex: Option<String>,
}

impl ScopeArguments {
    /// `None` if no scope was named, not even the empty one.
    ///
    /// # Errors
    /// Digits that are none.
    pub(crate) fn bytes(&self) -> Result<Option<Vec<u8>>, Failure> {
        bytes("scope", self.scope.as_deref(), self.scope_hex.as_deref())
    }
}

fn bytes(
    field: &str,
    text: Option<&str>,
    digits: Option<&str>,
) -> Result<Option<Vec<u8>>, Failure> {
    let Some(digits) = digits else { return Ok(text.map(|text| text.as_bytes().to_vec())) };
    let bytes = hex::decode(digits).ok_or_else(|| {
        Failure::bad_input(
            field,
            format!("--{field}-hex holds something other than pairs of digits 0-9 and a-f"),
        )
    })?;
    Ok(Some(bytes))
}

// S16: no key in any log.
impl fmt::Debug for KeyArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyArguments(…)")
    }
}

impl fmt::Debug for ScopeArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScopeArguments(…)")
    }
}
