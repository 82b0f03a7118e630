//! The exit codes: one table, printed by `--help` and in `docs/operations.md`.

use std::fmt::Write as _;
use std::process::ExitCode;

/// How a command ended, for scripts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Exit {
    Ok = 0,
    Failure = 1,
    BadInput = 2,
    InProgress = 10,
    Mismatch = 11,
    Absent = 12,
    Fenced = 13,
    Gone = 14,
    InDoubt = 15,
    Conflict = 16,
    Refused = 17,
    NeedFingerprint = 18,
    Expired = 19,
    Unavailable = 20,
    Denied = 21,
    NotLeader = 22,
    ResultUnavailable = 23,
    Protocol = 24,
    NotKept = 25,
    Damaged = 26,
}

/// One row of the table.
pub(crate) struct Row {
    pub(crate) exit: Exit,
    /// The word that `--json` uses, as `outcome` or as the `code` of an error.
    pub(crate) word: &'static str,
    pub(crate) meaning: &'static str,
}

const fn row(exit: Exit, word: &'static str, meaning: &'static str) -> Row {
    Row { exit, word, meaning }
}

/// Every exit code, in order. 125 to 127 are left to a command that runs other commands.
pub(crate) const TABLE: &[Row] = &[
    row(
        Exit::Ok,
        "ok",
        "done: acquired, replay, (already) completed, abandoned, renewed, resolved, forgotten, pong, …",
    ),
    row(
        Exit::Failure,
        "failure",
        "something else failed, or you were asked and did not say yes; stderr says what",
    ),
    row(Exit::BadInput, "bad_input", "wrong usage, or a value beyond its limit; nothing changed"),
    row(
        Exit::InProgress,
        "in_progress",
        "another owner's lease runs; get, wait: reserved; forget --all-keys: on some keys",
    ),
    row(Exit::Mismatch, "mismatch", "the key belongs to another payload"),
    row(Exit::Absent, "absent", "nothing is known of the key"),
    row(
        Exit::Fenced,
        "fenced",
        "another acquisition owns the key now: stop the work; resolve: or another doubt is there",
    ),
    row(Exit::Gone, "gone", "the acquisition has ended and the key is absent: stop the work"),
    row(Exit::InDoubt, "in_doubt", "the work may have happened; an operator must resolve it"),
    row(Exit::Conflict, "conflict", "already completed otherwise; the stored result stands"),
    row(Exit::Refused, "refused", "no room or no quota; try again later"),
    row(Exit::NeedFingerprint, "need_fingerprint", "name the payload's fingerprint and repeat"),
    row(Exit::Expired, "expired", "the key's retention has ended and a tombstone says so"),
    row(
        Exit::Unavailable,
        "unavailable",
        "no answer, so conclude nothing: repeat with the same attempt or token",
    ),
    row(Exit::Denied, "denied", "the credential lacks the right"),
    row(Exit::NotLeader, "not_leader", "another node leads; the message says which"),
    row(
        Exit::ResultUnavailable,
        "result_unavailable",
        "the work is done, but its result cannot be read now: ask again",
    ),
    row(Exit::Protocol, "protocol", "what answers at the address is no onceward daemon"),
    row(
        Exit::NotKept,
        "not_kept",
        "get, wait --body-only: the work is done, but its body is not kept",
    ),
    row(
        Exit::Damaged,
        "damaged",
        "serve, journal: the data directory cannot be used as it is; nothing was changed, and starting again does not help",
    ),
];

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// The word of the table.
    pub(crate) fn word(self) -> &'static str {
        let row = TABLE.iter().find(|row| row.exit == self);
        row.map_or("failure", |row| row.word)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The table as `--help` prints it.
pub(crate) fn help() -> String {
    let mut text = "Exit codes:\n".to_owned();
    for row in TABLE {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {:>3}  {:<18}  {}", row.exit.code(), row.word, row.meaning);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_exit_codes_are_those_of_the_code() {
        let mut want = "| code | word | meaning |\n|---|---|---|\n".to_owned();
        for row in TABLE {
            want += &format!("| {} | `{}` | {} |\n", row.exit.code(), row.word, row.meaning);
        }
        let text = include_str!("../../../docs/operations.md");
        assert!(text.contains(&want), "docs/operations.md must hold this table:\n{want}");
    }

    #[test]
    fn codes_and_words_are_unique_and_in_order() {
        for pair in TABLE.windows(2) {
            assert!(pair[0].exit.code() < pair[1].exit.code(), "{}", pair[1].word);
        }
        for row in TABLE {
            assert_eq!(TABLE.iter().filter(|other| other.word == row.word).count(), 1);
            assert!(row.exit.code() < 125, "{}: 125 to 127 are another command's", row.word);
            assert_eq!(row.exit.word(), row.word);
        }
    }
}
