//! Asking the person at the terminal before something ends that cannot be brought back.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use crate::answer::Answer;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{output, render};

/// Longest answer that is read; whoever types more has not said yes.
const ANSWER_BYTES_MAX: u64 = 1_024;

/// Shows an entry and asks about it, unless the caller said yes beforehand.
///
/// # Errors
/// Any answer but yes. Where nobody can be asked, bad input that says `instead`: what to name.
pub(crate) async fn about(
    shown: &Answer,
    yes: bool,
    json: bool,
    instead: &str,
    question: String,
) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !can_ask(json) {
        return Err(Failure::bad_input("fence", format!("nobody can be asked here: {instead}")));
    }
    output::complain(String::from_utf8_lossy(&render::lines(shown)).trim_end());
    ask(question).await
}

/// Whether somebody can be asked: both ends are a terminal, and no program reads the answer.
pub(crate) fn can_ask(json: bool) -> bool {
    !json && io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks, and goes on only after `y` or `yes`.
///
/// # Errors
/// Any other answer, and the end of stdin.
pub(crate) async fn ask(question: String) -> Result<(), Failure> {
    // On a thread of its own, for a read of stdin cannot be given up and would hold up the
    // connection.
    let answer = tokio::task::spawn_blocking(move || {
        let _ = write!(io::stderr().lock(), "{question} [y/N] ");
        let mut answer = Vec::new();
        let read = io::stdin().lock().take(ANSWER_BYTES_MAX).read_until(b'\n', &mut answer);
        read.map(|_| answer)
    });
    match answer.await {
        Ok(Ok(answer)) if says_yes(&answer) => Ok(()),
        _ => Err(Failure::new(Exit::Failure, "not confirmed: nothing was changed")),
    }
}

fn says_yes(answer: &[u8]) -> bool {
    let answer = answer.trim_ascii();
    answer.eq_ignore_ascii_case(b"y") || answer.eq_ignore_ascii_case(b"yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for (answer, want) in [
            ("y\n", true),
            ("YES\r\n", true),
            (" yes ", true),
            ("\n", false),
            ("", false),
            ("n\n", false),
            ("yes, but\n", false),
        ] {
            assert_eq!(says_yes(answer.as_bytes()), want, "{answer:?}");
        }
    }
}
