//! What each target speaks. Requests come out of templates made once, replies are read in place:
//! the generator may share a core with the server, and must cost every target about the same.

mod echo;
mod memcached;
mod redis_lua;
mod redis_plain;
mod resp;

pub use echo::EchoDialect;
pub use memcached::MemcachedDialect;
pub use redis_lua::RedisLuaDialect;
pub use redis_plain::RedisPlainDialect;

use std::collections::VecDeque;

use onceward_bench::engine::Fault;

/// What stands for a result that is not there yet, where a target has no other mark for it.
const PENDING: &[u8] = b"pending";

/// Requests in the order in which their replies come, each with its slot.
#[derive(Debug)]
struct InOrder<T>(VecDeque<(u32, T)>);

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self(VecDeque::with_capacity(64))
    }
}

impl<T: Copy> InOrder<T> {
    fn asked(&mut self, slot: u32, what: T) {
        self.0.push_back((slot, what));
    }

    /// Which request the next reply answers.
    fn next(&self) -> Result<(u32, T), Fault> {
        self.0.front().copied().ok_or_else(|| "the server answered what was not asked".into())
    }

    fn answered(&mut self) {
        self.0.pop_front();
    }
}

/// Where the line at the front of `input` ends, and where the next one begins.
fn line(input: &[u8]) -> Option<(&[u8], usize)> {
    let end = input.iter().position(|&byte| byte == b'\n')?;
    let line = &input[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1))
}

/// A decimal number, digits only but for a sign.
fn number(digits: &[u8]) -> Option<i64> {
    let (negative, digits) = match digits {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0_i64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(i64::from(digit))
    })?;
    Some(if negative { -value } else { value })
}

/// Appends a decimal number.
fn push_number(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The first word of an error: what follows may quote what was sent.
fn error_word(line: &[u8]) -> &str {
    let word = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    std::str::from_utf8(word).unwrap_or("an error")
}

#[cfg(test)]
mod tests;
