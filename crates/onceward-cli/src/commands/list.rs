//! `list`: the namespace's entries, page by page.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use onceward_client::{Client, ListEntry, ListQuery, Millis, PageCursor, StateName};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::entry::{COLUMNS, Listed, cells};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::identity::ScopeArguments;
use crate::output;
use crate::quantity::duration;
use crate::render::{self, SCHEMA};

/// Most entries in one JSON object or table, which is built in memory: about 10 MiB. Whoever wants
/// more takes --all, where no more than a page is held.
const LIMIT_MAX: i64 = 10_000;

const EXAMPLES: &str = "\
Shows keys of others, so it needs the operate right. Entries come in no particular order; those
that come or go meanwhile may or may not be shown. --scope filters here, not in the store: the
whole namespace is read.

A terminal gets a table. A pipe gets the same columns with tabs between them and no heads. A key or
scope that is no plain word is shown as hex:DIGITS, which --key-hex takes, and an empty scope as -.
--json gives one object with entries and next, with --all one line of JSON for each entry.

Examples:
  onceward list --state in_doubt --older-than 10m
  onceward list --scope tenant-9 --limit 20
  onceward list --all | awk '$3 == \"in_doubt\" { print $1, $6, $7 }'
  onceward list --all --json | jq -r 'select(.attempt_number > 1) | .key_hex'";

/// Show the entries of a namespace
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListArguments {
    /// Only entries in this state
    #[arg(long, env = "ONCEWARD_STATE", value_enum)]
    state: Option<State>,
    /// Only entries whose AGE is at least this: since completion, else since they were acquired
    #[arg(
        long,
        env = "ONCEWARD_OLDER_THAN",
        value_name = "TIME",
        value_parser = duration,
        allow_hyphen_values = true
    )]
    older_than: Option<Duration>,
    #[command(flatten)]
    scope: ScopeArguments,
    /// Show at most this many entries, 1 to 10000
    #[arg(
        long,
        env = "ONCEWARD_LIMIT",
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=LIMIT_MAX),
        allow_negative_numbers = true,
        default_value_t = 100
    )]
    limit: u16,
    /// Show all entries, however many
    #[arg(long, env = "ONCEWARD_ALL", value_parser = BoolishValueParser::new())]
    all: bool,
    /// Ask the store for this many entries at once, 1 to 1000
    #[arg(
        long,
        env = "ONCEWARD_PAGE_SIZE",
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=1_000),
        allow_negative_numbers = true,
        default_value_t = 1_000
    )]
    page_size: u16,
    /// Go on where an earlier list of the same daemon stopped
    #[arg(long, env = "ONCEWARD_CURSOR", value_name = "N", default_value_t = 0)]
    cursor: u64,
    /// No heads above the columns
    #[arg(long, env = "ONCEWARD_NO_HEADERS", value_parser = BoolishValueParser::new())]
    no_headers: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum State {
    /// Owned, its lease over or not
    Reserved,
    /// Waiting for resolve
    #[value(alias = "in-doubt")]
    InDoubt,
    /// Done
    Completed,
}

impl From<State> for StateName {
    fn from(state: State) -> Self {
        match state {
            State::Reserved => Self::Reserved,
            State::InDoubt => Self::InDoubt,
            State::Completed => Self::Completed,
        }
    }
}

pub(crate) async fn run(
    client: &Client,
    arguments: &ListArguments,
    json: bool,
) -> Result<Exit, Failure> {
    let scope = arguments.scope.bytes()?;
    let mut shown = Shown::new(arguments, json);
    let mut left = if arguments.all { usize::MAX } else { usize::from(arguments.limit) };
    let mut cursor = PageCursor(arguments.cursor);
    let next = loop {
        let page_size = usize::from(arguments.page_size).min(left);
        let query = ListQuery {
            state: arguments.state.map(StateName::from),
            older_than: arguments.older_than.map(Millis::covering),
            cursor,
            // No more than may be shown, so that the store's next cursor is where this one stops.
            entries_max: u16::try_from(page_size).unwrap_or(arguments.page_size),
        };
        let mut page = client.list(&query).await?;
        if let Some(scope) = &scope {
            page.entries.retain(|entry| entry.scoped_key.as_ref().scope() == scope);
        }
        left -= page.entries.len();
        shown.add(page.entries)?;
        match page.next {
            Some(next) if left > 0 && shown.heard => cursor = next,
            next => break next,
        }
    };
    shown.end(next)?;
    Ok(Exit::Ok)
}

/// What becomes of the entries: shown page by page, or gathered up to the limit for one object.
struct Shown {
    form: Form,
    page_size: usize,
    heads: bool,
    gathered: Vec<ListEntry>,
    any: bool,
    /// Whether anybody still reads.
    heard: bool,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Form {
    Table,
    Tabs,
    Object,
    Lines,
}

impl Shown {
    fn new(arguments: &ListArguments, json: bool) -> Self {
        let form = match (json, arguments.all) {
            (true, true) => Form::Lines,
            (true, false) => Form::Object,
            (false, _) if io::stdout().is_terminal() => Form::Table,
            (false, _) => Form::Tabs,
        };
        let heads = form == Form::Table && !arguments.no_headers;
        let page_size = usize::from(arguments.page_size);
        Self { form, page_size, heads, gathered: Vec::new(), any: false, heard: true }
    }

    fn add(&mut self, entries: Vec<ListEntry>) -> Result<(), Failure> {
        self.any |= !entries.is_empty();
        // The store's pages may be short where few entries match; those shown are not.
        self.gathered.extend(entries);
        if self.form == Form::Object || self.gathered.len() < self.page_size {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let bytes = match self.form {
            Form::Table => table(&self.gathered, self.heads),
            Form::Tabs => tabs(&self.gathered),
            Form::Lines | Form::Object => self
                .gathered
                .iter()
                .flat_map(|entry| render::json(&Listed { entry, alone: true }))
                .collect(),
        };
        self.gathered.clear();
        self.heard = output::offer(&bytes)?;
        Ok(())
    }

    fn end(mut self, next: Option<PageCursor>) -> Result<(), Failure> {
        if self.form == Form::Object {
            return output::print(&render::json(&Page { entries: &self.gathered, next }));
        }
        self.flush()?;
        if !self.heard || self.form == Form::Lines {
            return Ok(());
        }
        match next {
            // On stderr, for in a pipe it is no entry.
            Some(PageCursor(next)) => output::complain(&format!(
                "there may be more: repeat with --cursor {next}, or with --all"
            )),
            None if !self.any && self.form == Form::Table => output::complain("no entries"),
            None => {}
        }
        Ok(())
    }
}

/// Columns as wide as the page needs them.
fn table(entries: &[ListEntry], heads: bool) -> Vec<u8> {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if heads {
        table.set_header(COLUMNS);
    }
    table.add_rows(entries.iter().map(cells));
    // Left-aligned under their heads, with no blanks at the ends of lines.
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    text.into_bytes()
}

fn tabs(entries: &[ListEntry]) -> Vec<u8> {
    let rows = entries.iter().map(|entry| format!("{}\n", cells(entry).join("\t")));
    rows.collect::<String>().into_bytes()
}

/// Entries in one object.
struct Page<'a> {
    entries: &'a [ListEntry],
    next: Option<PageCursor>,
}

impl Serialize for Page<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let listed = self.entries.iter().map(|entry| Listed { entry, alone: false });
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema", SCHEMA)?;
        map.serialize_entry("outcome", "listed")?;
        map.serialize_entry("entries", &listed.collect::<Vec<_>>())?;
        map.serialize_entry("next", &self.next.map(|PageCursor(next)| next.to_string()))?;
        map.end()
    }
}
