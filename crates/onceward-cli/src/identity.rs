//! Which key, and whose.

use clap::Args;
use onceward_client::ScopedKeyBuf;

use crate::failure::Failure;
use crate::hex;

/// Scope and key. The namespace is the URL's.
#[derive(Args)]
#[group(skip)]
pub(crate) struct IdentityArguments {
    /// The idempotency key, 1 to 255 bytes
    #[arg(
        long,
        env = "ONCEWARD_KEY",
        hide_env_values = true,
        allow_hyphen_values = true,
        required_unless_present = "key_hex",
        conflicts_with = "key_hex"
    )]
    key: Option<String>,
    /// The key as hexadecimal digits, for bytes that are no text
    #[arg(long, env = "ONCEWARD_KEY_HEX", hide_env_values = true, value_name = "HEX")]
    key_hex: Option<String>,
    /// Who the key belongs to (tenant, principal, endpoint), at most 255 bytes
    #[arg(
        long,
        env = "ONCEWARD_SCOPE",
        hide_env_values = true,
        allow_hyphen_values = true,
        default_value = "",
        hide_default_value = true,
        conflicts_with = "scope_hex"
    )]
    scope: String,
    /// The scope as hexadecimal digits
    #[arg(long, env = "ONCEWARD_SCOPE_HEX", hide_env_values = true, value_name = "HEX")]
    scope_hex: Option<String>,
}

impl IdentityArguments {
    /// # Errors
    /// Digits that are none, or a length beyond its limit.
    pub(crate) fn scoped_key(&self) -> Result<ScopedKeyBuf, Failure> {
        let key = bytes("key", self.key.as_deref().unwrap_or_default(), self.key_hex.as_deref())?;
        let scope = bytes("scope", &self.scope, self.scope_hex.as_deref())?;
        Ok(ScopedKeyBuf::new(scope, key)?)
    }
}

fn bytes(field: &str, text: &str, digits: Option<&str>) -> Result<Vec<u8>, Failure> {
    let Some(digits) = digits else { return Ok(text.as_bytes().to_vec()) };
    hex::decode(digits).ok_or_else(|| {
        Failure::bad_input(
            field,
            format!("--{field}-hex holds something other than pairs of digits 0-9 and a-f"),
        )
    })
}

impl std::fmt::Debug for IdentityArguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdentityArguments(…)") // S16: no key in any log.
    }
}
