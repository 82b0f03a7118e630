//! Reads cases: JSON Lines, as the README beside this file lays down. Strict: an argument that
//! no operation has is an error, or a misspelt one would test nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::value::{FenceText, FingerprintText, Octets};

/// One story about one store.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) rules: Vec<String>,
    /// Limits to set, by name.
    pub(crate) config: BTreeMap<String, u64>,
    /// Where it stands, for reports.
    pub(crate) place: String,
    pub(crate) steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// From 1.
    pub(crate) number: usize,
    pub(crate) line: usize,
    pub(crate) action: Action,
}

#[derive(Clone, Debug)]
pub(crate) enum Action {
    Do { target: Target, operation: Operation, expect: Expect },
    Pending { target: Target, operation: Operation, name: String },
    Answered { name: String, expect: Expect },
    Unanswered { name: String },
    Race { target: Target, operation: Operation, callers: usize, counts: BTreeMap<String, usize> },
    Advance { ms: u64 },
    Shutdown,
}

/// Scope and key; bytes that may break every limit.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) scope: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

/// Fields of the answer that must be equal.
pub(crate) type Expect = Map<String, Value>;

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PolicyWord {
    Takeover,
    InDoubt,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CertaintyWord {
    NotDone,
    InDoubt,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VerdictWord {
    Completed,
    NeverDone,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StateWord {
    Reserved,
    InDoubt,
    Completed,
}

/// An operation with its arguments; labels are not looked up yet.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Operation {
    Begin {
        attempt: String,
        #[serde(default)]
        fingerprint: FingerprintText,
        #[serde(default = "lease")]
        lease: u64,
        #[serde(default = "retention")]
        retention: u64,
        #[serde(default = "takeover")]
        policy: PolicyWord,
        #[serde(default)]
        wait: u64,
        result_hint: Option<usize>,
        #[serde(default)]
        checkpoint_hint: usize,
    },
    Complete {
        token: String,
        fence: Option<FenceText>,
        attempt: Option<String>,
        #[serde(default = "status")]
        status: u16,
        #[serde(default)]
        metadata: Vec<(Octets, Octets)>,
        #[serde(default)]
        body: Octets,
        #[serde(default)]
        declined: bool,
        fingerprint: Option<FingerprintText>,
    },
    Abandon {
        token: String,
        fence: Option<FenceText>,
        attempt: Option<String>,
        certainty: CertaintyWord,
    },
    Renew {
        token: String,
        fence: Option<FenceText>,
        attempt: Option<String>,
        #[serde(default = "lease")]
        lease: u64,
        fingerprint: Option<FingerprintText>,
    },
    Checkpoint {
        token: String,
        fence: Option<FenceText>,
        attempt: Option<String>,
        ordinal: u32,
        bytes: Octets,
    },
    Get {
        #[serde(default)]
        wait: u64,
    },
    Resolve {
        fence: FenceText,
        doubt_number: u32,
        verdict: VerdictWord,
        #[serde(default = "status")]
        status: u16,
        #[serde(default)]
        metadata: Vec<(Octets, Octets)>,
        #[serde(default)]
        body: Octets,
        #[serde(default)]
        declined: bool,
        fingerprint: Option<FingerprintText>,
    },
    Forget {
        fence: FenceText,
    },
    List {
        state: Option<StateWord>,
        older_than: Option<u64>,
        #[serde(default = "entries_max")]
        entries_max: u16,
    },
    Stats {},
    Ping {},
}

const fn lease() -> u64 {
    30_000
}

const fn retention() -> u64 {
    86_400_000
}

const fn takeover() -> PolicyWord {
    PolicyWord::Takeover
}

const fn status() -> u16 {
    200
}

const fn entries_max() -> u16 {
    100
}

/// Every case of every file, in the order of file names.
///
/// # Errors
/// The first file or line that does not keep to the format.
pub(crate) fn read_all() -> Result<Vec<Case>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/cases");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .map_err(|why| format!("tests/conformance/cases: {why}"))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).map_err(|why| format!("{name}: {why}"))?;
        cases.extend(parse(&name, &text)?);
    }
    Ok(cases)
}

/// The cases of one file's text.
///
/// # Errors
/// The first line that does not keep to the format, with its number.
pub(crate) fn parse(file: &str, text: &str) -> Result<Vec<Case>, String> {
    let mut cases: Vec<Case> = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = index + 1;
        let at = |why: String| format!("{file}:{number}: {why}");
        let object: Map<String, Value> =
            serde_json::from_str(line).map_err(|why| at(why.to_string()))?;
        if object.contains_key("case") {
            cases.push(head(file, number, object).map_err(at)?);
            continue;
        }
        let Some(case) = cases.last_mut() else { return Err(at("a step before any case".into())) };
        let action = action(object).map_err(at)?;
        case.steps.push(Step { number: case.steps.len() + 1, line: number, action });
    }
    Ok(cases)
}

fn head(file: &str, line: usize, object: Map<String, Value>) -> Result<Case, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Head {
        case: String,
        rules: Vec<String>,
        #[serde(default)]
        config: BTreeMap<String, u64>,
    }
    let Head { case: name, rules, config } = from(Value::Object(object))?;
    Ok(Case { name, rules, config, place: format!("{file}:{line}"), steps: Vec::new() })
}

fn action(mut object: Map<String, Value>) -> Result<Action, String> {
    let action = if object.contains_key("do") {
        return operation(object);
    } else if let Some(ms) = object.remove("advance") {
        Action::Advance { ms: from(ms)? }
    } else if let Some(name) = object.remove("answered") {
        let expect = object.remove("expect").ok_or("an answer without `expect`")?;
        Action::Answered { name: from(name)?, expect: expectation(expect)? }
    } else if let Some(name) = object.remove("unanswered") {
        Action::Unanswered { name: from(name)? }
    } else if object.remove("shutdown") == Some(Value::Bool(true)) {
        Action::Shutdown
    } else {
        return Err("no step of any kind".into());
    };
    match object.keys().next() {
        Some(unknown) => Err(format!("unknown field `{unknown}`")),
        None => Ok(action),
    }
}

fn operation(mut object: Map<String, Value>) -> Result<Action, String> {
    let expect = object.remove("expect");
    let pending = object.remove("pending");
    let race = object.remove("race");
    let octets = |value: Option<Value>, default: &str| match value {
        Some(value) => from::<Octets>(value)?.bytes(),
        None => Ok(default.as_bytes().to_vec()),
    };
    let target = Target {
        scope: octets(object.remove("scope"), "")?,
        key: octets(object.remove("key"), "k")?,
    };
    if race.is_some() {
        object.insert("attempt".into(), Value::String("race".into()));
    }
    let operation: Operation = from(Value::Object(object))?;
    match (expect, pending, race) {
        (Some(expect), None, None) => {
            Ok(Action::Do { target, operation, expect: expectation(expect)? })
        }
        (None, Some(name), None) => Ok(Action::Pending { target, operation, name: from(name)? }),
        (Some(counts), None, Some(callers)) => {
            Ok(Action::Race { target, operation, callers: from(callers)?, counts: from(counts)? })
        }
        _ => Err("one of `expect`, `pending`, `race` with `expect`".into()),
    }
}

fn expectation(value: Value) -> Result<Expect, String> {
    match value {
        Value::String(word) => Ok(Map::from_iter([("outcome".to_owned(), Value::String(word))])),
        Value::Object(fields) => Ok(fields),
        other => Err(format!("`expect` is {other}: write a word or an object")),
    }
}

fn from<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|why| why.to_string())
}
