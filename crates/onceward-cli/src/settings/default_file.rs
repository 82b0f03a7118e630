//! A settings file that holds every setting, commented out, written from the command line itself
//! so that it cannot lag behind.

use std::fmt::Write as _;

use clap::Arg;

use super::catalogue::{self, NAMESPACES};

/// Columns of a comment.
const WIDTH: usize = 96;

const HEAD: &str = "\
Settings of onceward, with their defaults. Take the # off a line to set it.

Flags go before the environment, the environment before this file, this file before the defaults. \
The keys are the long options, and --KEY and ONCEWARD_KEY set the same. The file is the one that \
--config or ONCEWARD_CONFIG names, else $XDG_CONFIG_HOME/onceward/config.toml (or ~/.config/...), \
else /etc/onceward/onceward.toml; one alone is read. `onceward check-config` judges it.

Secrets do not belong here: see credential-file.";

/// The text of the file.
pub(crate) fn default_file() -> String {
    let mut text = String::new();
    for paragraph in HEAD.split("\n\n") {
        comment(&mut text, paragraph);
        text.push_str("#\n");
    }
    for section in catalogue::sections() {
        if let Some(name) = section.name {
            let _ = writeln!(text, "\n[{name}]"); // A string takes every write.
        }
        for option in &section.options {
            entry(&mut text, option);
        }
    }
    text.push_str("\n# One table for each namespace that differs.\n");
    let _ = writeln!(text, "#[{NAMESPACES}.orders]");
    for option in &catalogue::namespace_options() {
        entry(&mut text, option);
    }
    text
}

fn entry(text: &mut String, option: &Arg) {
    text.push('\n');
    let help = option.get_long_help().or_else(|| option.get_help());
    let mut help = help.map(ToString::to_string).unwrap_or_default();
    let defaults: Vec<_> =
        option.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && !help.contains("[default: ") {
        let _ = write!(help, " [default: {}]", defaults.join(", "));
    }
    comment(text, &help);
    comment(text, &format!("Write {}.", catalogue::accepted(option)));
    let _ = writeln!(text, "#{} = {}", catalogue::long(option), example(option));
}

fn comment(text: &mut String, words: &str) {
    let mut column = usize::MAX;
    for word in words.split_whitespace() {
        if column.saturating_add(word.len() + 1) > WIDTH {
            if column != usize::MAX {
                text.push('\n');
            }
            text.push('#');
            column = 1;
        }
        text.push(' ');
        text.push_str(word);
        column += word.len() + 1;
    }
    text.push('\n');
}

/// The default as TOML; where there is none, something of the right form.
fn example(option: &Arg) -> String {
    if catalogue::is_flag(option) {
        return "false".to_owned();
    }
    let default = option.get_default_values().first().map(|value| value.to_string_lossy());
    let value = match default {
        Some(value) => value.into_owned(),
        None => documented(option).unwrap_or_else(|| catalogue::sample(option).to_owned()),
    };
    let number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let value = if number { value } else { toml::Value::String(value).to_string() };
    if catalogue::takes_several(option) { format!("[{value}]") } else { value }
}

/// The first word of the default that help names, if it is a value.
fn documented(option: &Arg) -> Option<String> {
    let words = catalogue::default_in_words(option)?;
    let word = words.split([',', ';', ' ']).next()?.to_owned();
    // A text takes anything: then only a whole default is one.
    let whole = option.get_value_parser().type_id()
        != clap::builder::ValueParser::string().type_id()
        || word.contains("://")
        || words.starts_with(&format!("{word} for "));
    (whole && catalogue::judge(option, std::slice::from_ref(&word)).is_ok()).then_some(word)
}
