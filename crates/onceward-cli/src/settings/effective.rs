//! Which settings count, and which layer each comes from.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use serde::Serialize;

use super::catalogue::{self, Section};
use super::file::SettingsFile;
use super::problem::Problem;
use crate::credential;
use crate::quantity::spelt_size;
use crate::serve;

/// The layer that a value comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    Default,
    File,
    Environment,
    Flag,
}

impl Origin {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
            Self::Flag => "flag",
        }
    }
}

/// One setting as it counts.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Effective {
    /// `null` for what every command reads.
    pub(crate) section: Option<&'static str>,
    pub(crate) name: String,
    /// In the form in which it can be written; empty if it is not set.
    pub(crate) values: Vec<String>,
    pub(crate) origin: Origin,
    /// In the file, from 1.
    pub(crate) line: Option<usize>,
    /// The variable that would set it.
    pub(crate) variable: String,
    /// What not being set means, in words.
    pub(crate) unset: Option<String>,
}

impl Effective {
    pub(crate) fn shown(&self) -> String {
        match (&self.values[..], &self.unset) {
            ([], Some(unset)) => format!("({unset})"),
            ([], None) => "(not set)".to_owned(),
            (values, _) => values.join(", "),
        }
    }
}

/// Every setting, with the flags of `matches`; and the variables whose values cannot be used.
pub(crate) fn effective(
    file: Option<&SettingsFile>,
    matches: Option<&ArgMatches>,
) -> (Vec<Effective>, Vec<Problem>) {
    let mut settings = Vec::new();
    let mut problems = Vec::new();
    for section in catalogue::sections() {
        for option in &section.options {
            let typed = matches.filter(|matches| {
                let id = option.get_id().as_str();
                section.name.is_none() && matches.value_source(id) == Some(ValueSource::CommandLine)
            });
            match one(&section, option, file, typed) {
                Ok(effective) => settings.push(effective),
                Err(problem) => problems.push(problem),
            }
        }
    }
    settings.extend(std::env::var_os(credential::VARIABLE).map(|_| Effective {
        section: None,
        name: "credential".to_owned(),
        values: vec!["(not shown)".to_owned()],
        origin: Origin::Environment,
        line: None,
        variable: credential::VARIABLE.to_owned(),
        unset: None,
    }));
    settings.sort_by_key(|set| set.section.is_some()); // Stable: the credential joins the shared ones.
    (settings, problems)
}

fn one(
    section: &Section,
    option: &Arg,
    file: Option<&SettingsFile>,
    typed: Option<&ArgMatches>,
) -> Result<Effective, Problem> {
    let name = catalogue::long(option).to_owned();
    let variable = option.get_env().unwrap_or_default().to_owned();
    let in_file = file.and_then(|file| file.setting(section.name, &name));
    let variable_name = variable.to_string_lossy().into_owned();
    let (values, origin) = if let Some(matches) = typed {
        let values = raw(matches, option.get_id().as_str());
        (values, Origin::Flag)
    } else {
        // The bare option: what it requires or excludes does not count here.
        let mut bare = Arg::new("value")
            .long("value")
            .env(variable)
            .action(option.get_action().clone())
            .value_parser(option.get_value_parser().clone())
            .value_delimiter(option.get_value_delimiter());
        bare = match in_file {
            Some(setting) => bare.default_values(setting.values.clone()),
            None => bare.default_values(option.get_default_values().to_vec()),
        };
        let parser = Command::new("onceward").no_binary_name(true).arg(bare);
        let matches = parser.try_get_matches_from(std::iter::empty::<OsString>());
        let matches = matches.map_err(|error| Problem {
            section: section.name.map(str::to_owned),
            key: Some(name.clone()),
            ..Problem::new(format!("{variable_name}: {}", catalogue::complaint(option, &error)))
        })?;
        let origin = match (matches.value_source("value"), in_file) {
            (Some(ValueSource::EnvVariable), _) => Origin::Environment,
            (_, Some(_)) => Origin::File,
            _ => Origin::Default,
        };
        (raw(&matches, "value"), origin)
    };
    let mut effective = Effective {
        section: section.name,
        line: in_file.filter(|_| origin == Origin::File).map(|setting| setting.line),
        variable: variable_name,
        unset: catalogue::default_in_words(option),
        values,
        origin,
        name,
    };
    if effective.name == "url" {
        effective.values = effective.values.iter().map(|url| without_user(url)).collect();
    }
    if effective.name == "memory" && effective.values.is_empty() {
        effective.values.push(spelt_size(serve::memory_default()));
    }
    if catalogue::is_flag(option) && effective.values.is_empty() {
        effective.values.push("false".to_owned());
    }
    Ok(effective)
}

fn raw(matches: &ArgMatches, id: &str) -> Vec<String> {
    let values = matches.get_raw(id).into_iter().flatten();
    values.map(|value| value.to_string_lossy().into_owned()).collect()
}

/// A client refuses a URL with a user or a password, and it is not shown either (S16).
fn without_user(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        (None, Some((_, rest))) => format!("…@{rest}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_not_shown_s16() {
        for (url, want) in [
            ("onceward://u:hunter2@h:1/ns", "onceward://…@h:1/ns"),
            ("onceward://a@hunter2@h", "onceward://…@h"),
            ("hunter2@h", "…@h"),
            ("onceward://h/ns", "onceward://h/ns"),
        ] {
            assert_eq!(without_user(url), want);
        }
    }
}
