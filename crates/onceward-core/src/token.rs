//! The right to end an acquisition: fence and attempt id.

use core::fmt;
use core::num::NonZeroU64;
use core::str::FromStr;

use crate::hex;

/// 128 random bits that the caller chooses for one begin. Secret: whoever knows it owns the
/// acquisition (S3), so it appears in no log; its `Debug` form shows none of it (S16).
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct AttemptId([u8; 16]);

impl AttemptId {
    /// Wraps 16 bytes from a cryptographic random source.
    #[must_use]
    #[inline]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes, for the wire.
    #[must_use]
    #[inline]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AttemptId(…)")
    }
}

/// The number of an acquisition: strictly increasing per identity, never reused, below 2^63 so
/// that it fits an SQL BIGINT.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fence(NonZeroU64);

impl Fence {
    /// The largest fence there is.
    pub const MAX: u64 = (1 << 63) - 1;
    /// The fence with that number.
    pub const LARGEST: Self = match NonZeroU64::new(Self::MAX) {
        Some(number) => Self(number),
        None => panic!("2^63 - 1 is not zero"),
    };

    /// `None` for 0 and from 2^63 on.
    #[must_use]
    #[inline]
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(fence) if number <= Self::MAX => Some(Self(fence)),
            Some(_) | None => None,
        }
    }

    /// The number itself.
    #[must_use]
    #[inline]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fence({})", self.0)
    }
}

/// The right to complete, renew, checkpoint or abandon one acquisition.
///
/// Its text form, `<fence>-<attempt id in hex>`, is what the command line prints and takes. It is
/// as secret as the attempt id; `Debug` shows the fence alone.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Token {
    /// Which acquisition.
    pub fence: Fence,
    /// Proof of being its owner.
    pub attempt_id: AttemptId,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}-…)", self.fence)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.fence)?;
        hex::write(f, self.attempt_id.as_bytes())
    }
}

/// The text is no token. Says nothing of the text itself, which may hold most of a secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TokenParseError;

impl fmt::Display for TokenParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("token is not of the form FENCE-HEX: pass the `token` that begin printed, whole (a decimal fence, a dash, 32 hexadecimal digits)")
    }
}

impl core::error::Error for TokenParseError {}

impl FromStr for Token {
    type Err = TokenParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (fence, attempt) = text.split_once('-').ok_or(TokenParseError)?;
        if !fence.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(TokenParseError); // `u64::from_str` would take a leading `+`.
        }
        let fence = fence.parse().ok().and_then(Fence::new).ok_or(TokenParseError)?;
        let mut bytes = [0; 16];
        hex::parse(attempt.as_bytes(), &mut bytes).ok_or(TokenParseError)?;
        Ok(Self { fence, attempt_id: AttemptId(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    #[test]
    fn a_token_survives_its_text_and_shows_no_secret() {
        let token = Token { fence: Fence::new(9).unwrap(), attempt_id: AttemptId([0xab; 16]) };
        let text = token.to_string();
        assert_eq!(text, "9-abababababababababababababababab");
        assert_eq!(text.parse(), Ok(token));
        assert!(!format!("{token:?} {:?}", token.attempt_id).contains("ab"), "S16");
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let hex = "00".repeat(16);
        for text in [
            "",
            "-",
            "1",
            "0-",
            &hex,
            &format!("0-{hex}"),
            &format!("+1-{hex}"),
            &format!("9223372036854775808-{hex}"),
            &format!("1-{hex}0"),
            &format!("1-{}g", &hex[1..]),
        ] {
            assert_eq!(text.parse::<Token>(), Err(TokenParseError), "{text}");
        }
        assert!(format!("9223372036854775807-{hex}").parse::<Token>().is_ok());
    }
}
