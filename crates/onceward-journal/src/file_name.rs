//! Names of the files in a data directory.

/// Who has the directory.
pub(crate) const LOCK: &str = "lock";
/// What the directory holds.
pub(crate) const MANIFEST: &str = "manifest";
/// The next manifest, while it is written.
pub(crate) const MANIFEST_NEW: &str = "manifest.new";
/// How far facts files are synced.
pub(crate) const PROGRESS: &str = "progress";
/// The next progress file, while it is made.
pub(crate) const PROGRESS_NEW: &str = "progress.new";

const FACTS: &str = "facts-";
const SPARE: &str = "spare-";
const END: &str = ".log";
const DIGITS: usize = 16;

/// The name of the facts file with that number.
pub(crate) fn facts(number: u64) -> String {
    format!("{FACTS}{number:016x}{END}")
}

/// The name of the spare with that number: a file that holds nothing, and keeps its room.
pub(crate) fn spare(number: u64) -> String {
    format!("{SPARE}{number:016x}{END}")
}

/// The number of a facts file's name.
pub(crate) fn facts_number(name: &str) -> Option<u64> {
    number(name, FACTS)
}

/// The number of a spare's name.
pub(crate) fn spare_number(name: &str) -> Option<u64> {
    number(name, SPARE)
}

fn number(name: &str, start: &str) -> Option<u64> {
    let digits = name.strip_prefix(start)?.strip_suffix(END)?;
    // One name per number: neither capitals nor signs.
    let plain = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if digits.len() == DIGITS && plain { u64::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_one_name() {
        for number in [0, 1, 0xabc, u64::MAX] {
            assert_eq!(facts_number(&facts(number)), Some(number));
            assert_eq!(spare_number(&spare(number)), Some(number));
            assert_eq!(facts_number(&spare(number)), None);
        }
        for name in [
            "facts-1.log",
            "facts-000000000000000A.log",
            "facts-+00000000000000a.log",
            "facts-0000000000000001.log.bak",
            "manifest",
            "",
        ] {
            assert_eq!(facts_number(name), None, "{name}");
        }
    }
}
