//! The settings file: which one is read, what it may say, and how it reaches the parser. Its keys
//! are the long options; its values become the parser's defaults, so that one parser judges every
//! value and flags go before `ONCEWARD_*`, which goes before the file.

mod catalogue;
mod default_file;
mod effective;
mod file;
mod judgement;
mod problem;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::parser::ValueSource;

pub(crate) use self::default_file::default_file;
pub(crate) use self::effective::{Effective, Origin, effective};
pub(crate) use self::file::SettingsFile;
pub(crate) use self::judgement::{Judgement, judge};
pub(crate) use self::problem::Problem;
use crate::exit::Exit;
use crate::failure::Failure;

/// The system's file, the last place that is looked at.
pub(crate) const SYSTEM_FILE: &str = "/etc/onceward/onceward.toml";
/// The user's file, below `$XDG_CONFIG_HOME` or `$HOME/.config`.
const USER_FILE: &str = "onceward/config.toml";

/// Where a file is looked for if none is named, in order; the first one found is read.
pub(crate) fn places(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    // The XDG rules: a relative path there is to be passed over.
    let set = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let user = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    user.map(|folder| folder.join(USER_FILE)).into_iter().chain([SYSTEM_FILE.into()]).collect()
}

/// The file to read: `named`, or else the first place that holds one. An empty name is none.
pub(crate) fn find(named: Option<&Path>) -> Option<PathBuf> {
    match named {
        Some(path) => (!path.as_os_str().is_empty()).then(|| path.to_owned()),
        // One that is there and cannot be read is not passed over: it may hold what matters.
        None => places(|name| std::env::var_os(name)).into_iter().find(|path| path.exists()),
    }
}

/// Reads the file that counts, if there is one.
///
/// # Errors
/// Everything in it that cannot be used, in one message.
pub(crate) fn load(named: Option<&Path>) -> Result<Option<SettingsFile>, Failure> {
    let Some(path) = find(named) else { return Ok(None) };
    let (file, problems) = SettingsFile::read(&path);
    if problems.is_empty() { Ok(Some(file)) } else { Err(refusal(&problems)) }
}

/// All problems as one failure.
pub(crate) fn refusal(problems: &[Problem]) -> Failure {
    let lines: Vec<_> = problems.iter().map(Problem::to_string).collect();
    let field = problems.iter().find_map(|problem| problem.key.clone());
    Failure { field, ..Failure::new(Exit::BadInput, lines.join("\n")) }
}

/// Adds to a failure where the setting at fault was made, if that was in the file and counts.
pub(crate) fn blame(
    file: Option<&SettingsFile>,
    matches: &ArgMatches,
    mut failure: Failure,
) -> Failure {
    let option = failure.field.as_deref().map(|field| field.replace('_', "-"));
    let section = matches.subcommand();
    let set = file.zip(option).and_then(|(file, option)| {
        let own = section.and_then(|(name, own)| Some((file.setting(Some(name), &option)?, own)));
        let (set, matches) = own.or_else(|| Some((file.setting(None, &option)?, matches)))?;
        let counts = matches.value_source(&set.id) == Some(ValueSource::DefaultValue);
        counts.then(|| format!(" ({}:{})", file.path.display(), set.line))
    });
    if let Some(place) = set.filter(|place| !failure.message.contains(place)) {
        failure.message += &place;
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_file_comes_before_the_systems() {
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);
        let cases: [Case<'_>; 5] = [
            ("no home", &[], &[SYSTEM_FILE]),
            ("home", &[("HOME", "/h")], &["/h/.config/onceward/config.toml", SYSTEM_FILE]),
            (
                "XDG",
                &[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")],
                &["/x/onceward/config.toml", SYSTEM_FILE],
            ),
            (
                "XDG empty",
                &[("HOME", "/h"), ("XDG_CONFIG_HOME", "")],
                &["/h/.config/onceward/config.toml", SYSTEM_FILE],
            ),
            ("XDG relative", &[("XDG_CONFIG_HOME", "x")], &[SYSTEM_FILE]),
        ];
        for (why, variables, want) in cases {
            let variable = |name: &str| {
                let found = variables.iter().find(|(variable, _)| *variable == name);
                found.map(|(_, value)| OsString::from(value))
            };
            let want: Vec<_> = want.iter().map(PathBuf::from).collect();
            assert_eq!(places(variable), want, "{why}");
        }
    }

    #[test]
    fn an_empty_name_is_no_file() {
        assert_eq!(find(Some(Path::new(""))), None);
        assert_eq!(find(Some(Path::new("/a"))), Some("/a".into()));
    }
}
