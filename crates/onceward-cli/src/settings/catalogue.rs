//! What a settings file may say: sections, and the options in each, taken from the command line.

use std::error::Error as _;

use clap::builder::Str;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Args as _, Command};

use crate::arguments;
use crate::serve::NamespaceArguments;

/// The table of tables for namespaces.
pub(crate) const NAMESPACES: &str = "namespaces";

/// Commands with a section of their own, and the options that belong there: what an installation
/// decides once. Keys, tokens, bodies and whatever else belongs to one call is given with it.
/// An empty list takes every option that has a variable.
const COMMANDS: &[(&str, &[&str])] = &[
    ("serve", &[]),
    ("begin", &["lease", "retention", "policy", "wait", "result-hint", "checkpoint-hint"]),
    ("renew", &["lease"]),
    (
        "run",
        &[
            "on-failure",
            "policy",
            "lease",
            "retention",
            "wait",
            "output-max",
            "result-hint",
            "kill-after",
        ],
    ),
    ("get", &["wait"]),
    ("wait", &["within"]),
    ("list", &["limit", "page-size", "no-headers"]),
];

/// A table of the file.
pub(crate) struct Section {
    /// `None` for the top, whose keys every command reads.
    pub(crate) name: Option<&'static str>,
    pub(crate) options: Vec<Arg>,
    /// Options of the command that no file may set.
    pub(crate) of_one_call: Vec<Arg>,
}

impl Section {
    fn new(name: Option<&'static str>, command: &Command, ours: impl Fn(&Arg) -> bool) -> Self {
        // Shared options stand at the top alone, also where a command has its own copy to hide.
        let own = command.get_arguments().filter(|option| option.get_long().is_some());
        let own = own.filter(|option| name.is_none() || !option.is_global_set());
        // An option without a variable is typed on purpose.
        let (options, of_one_call) =
            own.cloned().partition(|option| option.get_env().is_some() && ours(option));
        Self { name, options, of_one_call }
    }

    /// The option of this name.
    pub(crate) fn option(&self, name: &str) -> Option<&Arg> {
        self.options.iter().find(|option| long(option) == name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.options.iter().map(long)
    }
}

/// Every section, the top first.
pub(crate) fn sections() -> Vec<Section> {
    let command = arguments::command();
    let own = COMMANDS.iter().filter_map(|(name, options)| {
        let command = command.find_subcommand(name)?;
        Some(Section::new(Some(name), command, |option| {
            options.is_empty() || options.contains(&long(option))
        }))
    });
    // What names the file cannot stand in it.
    let shared = Section::new(None, &command, |option| option.get_id() != "config");
    [shared].into_iter().chain(own).collect()
}

/// What `[namespaces.NAME]` may say.
pub(crate) fn namespace_options() -> Vec<Arg> {
    let command = NamespaceArguments::augment_args(Command::new(NAMESPACES));
    command.get_arguments().cloned().collect()
}

/// The option's name as typed after `--`.
pub(crate) fn long(option: &Arg) -> &str {
    option.get_long().unwrap_or_default()
}

pub(crate) fn is_flag(option: &Arg) -> bool {
    matches!(option.get_action(), ArgAction::SetTrue)
}

pub(crate) fn takes_several(option: &Arg) -> bool {
    matches!(option.get_action(), ArgAction::Append)
}

/// What to write, as a part of a sentence.
pub(crate) fn accepted(option: &Arg) -> String {
    if is_flag(option) {
        return "true or false".to_owned();
    }
    let one = match value_name(option) {
        Some("TIME") => r#"a length of time such as "500ms", "30s" or "24h""#.to_owned(),
        Some("SIZE") => r#"a size such as "64KiB" or "512MiB", or a number of bytes"#.to_owned(),
        Some("N") => "a whole number".to_owned(),
        Some("ADDRESS:PORT") => r#"an address such as "127.0.0.1:7977""#.to_owned(),
        _ => {
            let values = option.get_possible_values();
            let values: Vec<_> =
                values.iter().map(|value| format!("{:?}", value.get_name())).collect();
            if values.is_empty() { "a text in quotes".to_owned() } else { values.join(" or ") }
        }
    };
    if takes_several(option) { format!("{one}, or a list of such") } else { one }
}

/// Has the option's own parser judge `values`.
///
/// # Errors
/// What it says, without the option's name.
pub(crate) fn judge(option: &Arg, values: &[String]) -> Result<(), String> {
    if is_flag(option) {
        return Ok(()); // The file's own type has been looked at.
    }
    // The bare option: what it requires or excludes is another's to judge.
    let bare = Arg::new("value")
        .long("value")
        .allow_hyphen_values(true)
        .action(ArgAction::Append)
        .value_parser(option.get_value_parser().clone());
    let parser = Command::new("onceward").no_binary_name(true).arg(bare);
    let typed = values.iter().map(|value| format!("--value={value}"));
    parser.try_get_matches_from(typed).map(drop).map_err(|error| complaint(option, &error))
}

/// What the parser has against a value, and what to write instead; without the option's name.
pub(crate) fn complaint(option: &Arg, error: &clap::Error) -> String {
    let said = match (error.source(), error.get(ContextKind::InvalidValue)) {
        (Some(why), Some(ContextValue::String(value))) => format!("{value:?}: {why}"),
        (None, Some(ContextValue::String(value))) => format!("{value:?} is no such value"),
        (Some(why), _) => why.to_string(),
        (None, _) => "it is empty".to_owned(),
    };
    // Parsers of our own say what to write.
    if said.contains("write ") { said } else { format!("{said}: write {}", accepted(option)) }
}

/// What help says of the default where the parser has none.
pub(crate) fn default_in_words(option: &Arg) -> Option<String> {
    let help = option.get_long_help().or_else(|| option.get_help())?.to_string();
    let (_, rest) = help.split_once("[default: ")?;
    let (words, _) = rest.split_once(']')?;
    Some(words.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// A value of the right form, where there is no default to show.
pub(crate) fn sample(option: &Arg) -> &'static str {
    match value_name(option) {
        Some("TIME") => "30s",
        Some("SIZE") => "64KiB",
        Some("N") => "1000000",
        Some("PATH") => "/run/onceward/onceward.sock",
        Some("DIR") => "/var/lib/onceward",
        Some("LEVEL") => "always",
        Some("FILE") => "/etc/onceward/credential",
        _ => "",
    }
}

fn value_name(option: &Arg) -> Option<&str> {
    option.get_value_names().unwrap_or_default().first().map(Str::as_str)
}

/// The one of `known` that `typed` was probably meant to be, as the parser of the command line
/// suggests it.
pub(crate) fn nearest<'a>(known: impl Iterator<Item = &'a str>, typed: &str) -> Option<String> {
    let typed = typed.to_lowercase().replace('_', "-");
    let mut parser = Command::new("onceward").no_binary_name(true).disable_help_flag(true);
    for name in known {
        if name == typed {
            return Some(typed);
        }
        parser = parser.arg(Arg::new(name.to_owned()).long(name.to_owned()));
    }
    if typed.is_empty() || typed.contains('=') {
        return None;
    }
    let error = parser.try_get_matches_from([format!("--{typed}")]).err()?;
    match error.get(ContextKind::SuggestedArg)? {
        ContextValue::String(name) => Some(name.trim_start_matches("--").to_owned()),
        _ => None,
    }
}
