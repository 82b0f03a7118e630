//! One settings file: read, judged, and handed to the parser as its defaults.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::{Arg, Args as _, Command, FromArgMatches as _};
use onceward::NamespaceConfig;
use onceward_client::Namespace;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::catalogue::{self, NAMESPACES, Section};
use super::problem::Problem;
use crate::secret::read_file;
use crate::serve::NamespaceArguments;

/// Longest file; whatever is longer holds something else.
const BYTES_MAX: u64 = 1024 * 1024;

/// What a file says, as far as it can be used.
#[derive(Debug, Default)]
pub(crate) struct SettingsFile {
    pub(crate) path: PathBuf,
    pub(crate) settings: Vec<Setting>,
    pub(crate) namespaces: BTreeMap<String, NamespaceConfig>,
}

/// One key and what it says, in the words of the command line.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) section: Option<&'static str>,
    /// The long option.
    pub(crate) option: String,
    /// The parser's name of it.
    pub(crate) id: String,
    pub(crate) values: Vec<String>,
    /// From 1.
    pub(crate) line: usize,
}

impl SettingsFile {
    /// Reads a file; what cannot be used is told and left out.
    pub(crate) fn read(path: &Path) -> (Self, Vec<Problem>) {
        let mut file = Self { path: path.to_owned(), ..Self::default() };
        let unreadable = |message| Problem { file: Some(path.to_owned()), ..Problem::new(message) };
        let bytes = match read_file("config", path, BYTES_MAX) {
            Ok(bytes) if bytes.len() as u64 > BYTES_MAX => {
                return (file, vec![unreadable(format!("it is longer than {BYTES_MAX} bytes"))]);
            }
            Ok(bytes) => bytes,
            Err(failure) => return (file, vec![Problem::new(failure.message)]),
        };
        let Ok(text) = String::from_utf8(bytes) else {
            return (file, vec![unreadable("it is no UTF-8".to_owned())]);
        };
        let problems = Reading { file: &mut file, text: &text, problems: Vec::new() }.read();
        (file, problems)
    }

    pub(crate) fn setting(&self, section: Option<&str>, option: &str) -> Option<&Setting> {
        self.settings.iter().find(|set| set.section == section && set.option == option)
    }

    /// The command line with what the file says as its defaults.
    pub(crate) fn apply(&self, command: Command) -> Command {
        self.settings.iter().fold(command, |command, setting| {
            let id = setting.id.clone();
            let set = |option: Arg| option.default_values(setting.values.clone());
            match setting.section {
                None => command.mut_arg(id, set),
                Some(name) => command.mut_subcommand(name, |own| own.mut_arg(id, set)),
            }
        })
    }
}

/// A file on its way from text to settings.
struct Reading<'a> {
    file: &'a mut SettingsFile,
    text: &'a str,
    problems: Vec<Problem>,
}

type Key<'a> = Spanned<Cow<'a, str>>;

impl Reading<'_> {
    fn read(mut self) -> Vec<Problem> {
        // A byte order mark is no part of the text.
        let text = self.text.trim_start_matches('\u{feff}');
        self.text = text;
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let span = error.span().unwrap_or_default();
            self.complain(span, None, None, format!("no TOML: {}", error.message()));
        }
        let sections = catalogue::sections();
        for (key, value) in table.into_inner() {
            match value.get_ref() {
                DeValue::Table(tables) if key.get_ref() == NAMESPACES => {
                    for (name, options) in tables {
                        self.namespace(name, options);
                    }
                }
                DeValue::Table(options) => self.section(&sections, &key, options),
                _ => self.option(&sections, &sections[0], &key, &value),
            }
        }
        // Tables come in the order of their names.
        self.problems.sort_by_key(|problem| problem.line);
        self.problems.dedup_by_key(|problem| (problem.line, problem.message.clone()));
        self.problems
    }

    fn section(&mut self, sections: &[Section], key: &Key<'_>, options: &DeTable<'_>) {
        let name = key.get_ref();
        if let Some(section) = sections.iter().find(|section| section.name == Some(name)) {
            for (key, value) in options {
                self.option(sections, section, key, value);
            }
            return;
        }
        let known = || sections.iter().filter_map(|section| section.name).chain([NAMESPACES]);
        let message = match catalogue::nearest(known(), name) {
            Some(near) => format!("there is no such section: did you mean [{near}]?"),
            None => format!(
                "there is no such section; there are [{}]",
                known().collect::<Vec<_>>().join("], [")
            ),
        };
        self.complain(key.span(), Some(name), None, message);
    }

    fn option(
        &mut self,
        sections: &[Section],
        section: &Section,
        key: &Key<'_>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let name = key.get_ref().as_ref();
        let Some(option) = section.option(name) else {
            let message = stranger(sections, section, name);
            return self.complain(key.span(), section.name, Some(name), message);
        };
        match judged(option, value.get_ref()) {
            Ok(values) => {
                let line = self.line(key.span().start);
                self.file.settings.push(Setting {
                    section: section.name,
                    option: name.to_owned(),
                    id: option.get_id().to_string(),
                    values,
                    line,
                });
            }
            Err(message) => self.complain(key.span(), section.name, Some(name), message),
        }
    }

    fn namespace(&mut self, key: &Key<'_>, options: &Spanned<DeValue<'_>>) {
        let name = key.get_ref().as_ref();
        let section = format!("{NAMESPACES}.{name}");
        if let Err(why) = Namespace::new(name) {
            return self.complain(key.span(), Some(&section), None, why.to_string());
        }
        let DeValue::Table(options) = options.get_ref() else {
            let message = format!("write [{section}] and its settings below it");
            return self.complain(key.span(), Some(&section), None, message);
        };
        let known = catalogue::namespace_options();
        let known = Section { name: Some(NAMESPACES), options: known, of_one_call: Vec::new() };
        let mut typed = Vec::new();
        for (key, value) in options {
            let name = key.get_ref().as_ref();
            let Some(option) = known.option(name) else {
                let message = unknown(&known, name);
                self.complain(key.span(), Some(&section), Some(name), message);
                continue;
            };
            match judged(option, value.get_ref()) {
                Ok(values) => typed.extend(values.iter().map(|value| format!("--{name}={value}"))),
                Err(message) => self.complain(key.span(), Some(&section), Some(name), message),
            }
        }
        let parser =
            NamespaceArguments::augment_args(Command::new(NAMESPACES)).no_binary_name(true);
        let matches = parser.try_get_matches_from(typed);
        // Each value has been judged already.
        if let Ok(arguments) =
            matches.and_then(|found| NamespaceArguments::from_arg_matches(&found))
        {
            self.file.namespaces.insert(name.to_owned(), arguments.config());
        }
    }

    fn complain(
        &mut self,
        span: Range<usize>,
        section: Option<&str>,
        key: Option<&str>,
        message: String,
    ) {
        self.problems.push(Problem {
            file: Some(self.file.path.clone()),
            line: Some(self.line(span.start)),
            section: section.map(str::to_owned),
            key: key.map(str::to_owned),
            message,
        });
    }

    fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }
}

/// What is known of a key that its section does not have.
fn stranger(sections: &[Section], section: &Section, name: &str) -> String {
    if name.replace('_', "-") == "credential" {
        return "a secret stands in no settings file: name a file of its own with credential-file, or set ONCEWARD_CREDENTIAL".to_owned();
    }
    if section.of_one_call.iter().any(|option| catalogue::long(option) == name) {
        return format!("it belongs to one call and stands in no file: give it as --{name}");
    }
    let others = sections.iter().filter(|other| other.name != section.name);
    match others.into_iter().find(|other| other.option(name).is_some()) {
        Some(Section { name: None, .. }) => {
            "it is for every command: write it at the top, before the first [section]".to_owned()
        }
        Some(Section { name: Some(other), .. }) => format!("it belongs to [{other}]"),
        None => unknown(section, name),
    }
}

fn unknown(section: &Section, name: &str) -> String {
    match catalogue::nearest(section.names(), name) {
        Some(near) => format!("there is no such setting: did you mean {near}?"),
        None => "there is no such setting here; onceward config --default lists all".to_owned(),
    }
}

/// The values in the words of the command line.
fn judged(option: &Arg, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let wrong = || {
        let form = catalogue::accepted(option);
        Err(format!("it is {}: write {form}", article(value.type_str())))
    };
    let values = match value {
        DeValue::Boolean(yes) if catalogue::is_flag(option) => vec![yes.to_string()],
        _ if catalogue::is_flag(option) => return wrong(),
        DeValue::Array(values) if catalogue::takes_several(option) => {
            let texts = values.iter().map(|value| text(value.get_ref()));
            match texts.collect::<Option<Vec<_>>>() {
                Some(texts) if !texts.is_empty() => texts,
                _ => return wrong(),
            }
        }
        value => match text(value) {
            Some(text) => vec![text],
            None => return wrong(),
        },
    };
    catalogue::judge(option, &values).map(|()| values)
}

fn text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Integer(number) => {
            i128::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n.to_string())
        }
        _ => None,
    }
}

fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if vowel { "an" } else { "a" })
}
