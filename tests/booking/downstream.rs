//! The carriers' API: takes a key with each call, and does what it is asked once per key. It is a
//! folder, so that it knows nothing of the store and outlives every process.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Does `what` unless it was done under `key`, and returns the reference of the one that was done.
///
/// A process may be killed at any instant of this: an effect is there whole or not at all.
pub(super) fn call(folder: &Path, what: &str, key: &str) -> io::Result<String> {
    let unique = format!("{}-{:?}", std::process::id(), std::time::Instant::now());
    let unique: String = unique.chars().filter(char::is_ascii_alphanumeric).collect();
    let reference = format!("{what} {unique}");
    for name in ["calls", "effects", "drafts"] {
        fs::create_dir_all(folder.join(name))?;
    }
    let draft = folder.join("drafts").join(&unique);
    fs::write(&draft, &reference)?;
    fs::hard_link(&draft, folder.join("calls").join(format!("{key}.{unique}")))?;
    let effect = folder.join("effects").join(key);
    match fs::hard_link(&draft, &effect) {
        Ok(()) => Ok(reference),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => fs::read_to_string(effect),
        Err(error) => Err(error),
    }
}

/// What was done, by key.
pub(super) fn effects(folder: &Path) -> io::Result<BTreeMap<String, String>> {
    names(&folder.join("effects"))?
        .into_iter()
        .map(|key| Ok((key.clone(), fs::read_to_string(folder.join("effects").join(key))?)))
        .collect()
}

/// How often it was asked, by key.
pub(super) fn calls(folder: &Path) -> io::Result<BTreeMap<String, u64>> {
    let mut calls = BTreeMap::new();
    for name in names(&folder.join("calls"))? {
        let key = name.split('.').next().unwrap_or_default().to_owned();
        *calls.entry(key).or_default() += 1;
    }
    Ok(calls)
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
