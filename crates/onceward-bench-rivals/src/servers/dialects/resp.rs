//! As much of RESP 2 as the targets answer with: five kinds of reply, none of them nested.
//!
//! Own code rather than a library: what there is allocates a frame for each reply or parses by
//! combinators, and here a reply is a look at its first byte.

use onceward_bench::engine::Fault;

use super::{error_word, line, number};

/// One reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reply<'a> {
    Simple(&'a [u8]),
    /// Its first word.
    Error(&'a str),
    Integer(i64),
    Bulk(&'a [u8]),
    Nil,
}

/// Reads one reply from the front of `input`, and its size; `None` means "more bytes first".
pub(super) fn reply(input: &[u8]) -> Result<Option<(Reply<'_>, usize)>, Fault> {
    let Some((&kind, _)) = input.split_first() else { return Ok(None) };
    if !b"+-:$".contains(&kind) {
        return Err(format!("a reply begins with byte {kind:#04x}").into());
    }
    let Some((line, start)) = line(input) else { return Ok(None) };
    let rest = &line[1..];
    let whole = match kind {
        b'+' => Reply::Simple(rest),
        b'-' => Reply::Error(error_word(rest)),
        b':' => Reply::Integer(number(rest).ok_or("an integer reply is no number")?),
        _ if rest == b"-1" => Reply::Nil,
        _ => {
            let size = number(rest).and_then(|size| usize::try_from(size).ok());
            let end = start + size.ok_or("a bulk reply has no size")?;
            let Some(after) = input.get(end..end + 2) else { return Ok(None) };
            if after != b"\r\n" {
                return Err("a bulk reply is longer than it says".into());
            }
            return Ok(Some((Reply::Bulk(&input[start..end]), end + 2)));
        }
    };
    Ok(Some((whole, start)))
}

/// Appends one argument.
pub(super) fn push_bulk(argument: &[u8], out: &mut Vec<u8>) {
    out.push(b'$');
    super::push_number(argument.len() as u64, out);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(argument);
    out.extend_from_slice(b"\r\n");
}

/// The head of a command of so many words, and those of its words that are known.
pub(super) fn head(words: usize, known: &[&[u8]]) -> Vec<u8> {
    let mut head = format!("*{words}\r\n").into_bytes();
    for word in known {
        push_bulk(word, &mut head);
    }
    head
}

/// Words of a command, as they follow others.
pub(super) fn tail(words: &[&[u8]]) -> Vec<u8> {
    let mut tail = Vec::new();
    for word in words {
        push_bulk(word, &mut tail);
    }
    tail
}
