//! Recorded calls: one JSON object a line.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use bytes::Bytes;
use onceward_http::REFUSALS;
use serde::Deserialize;

use super::document::Document;
use super::traffic::{Call, Repeatable};

/// Largest file read. Far beyond what one run replays.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Largest answer: more is not kept by a store with default limits (S12), so no replay could be
/// equal to it.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Largest request that the service reads.
pub(super) const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Names of resources whose calls only register data: repeating one after a crash is harmless.
/// Everything else books, buys, pays or sends.
const REGISTRIES: [&str; 8] = [
    "addresses",
    "carrier_accounts",
    "customs_infos",
    "customs_items",
    "end_shippers",
    "inventory",
    "parcels",
    "trackers",
];

/// A line of the file. Fields it does not know are ignored.
#[derive(Debug, Deserialize)]
struct Line {
    method: String,
    path: String,
    request_content_type: Option<String>,
    request_body: Option<String>,
    status: u16,
    response_headers: Vec<(String, String)>,
    response_body: String,
    /// Overrides what the path suggests.
    policy: Option<PolicyName>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PolicyName {
    Takeover,
    InDoubt,
}

/// One recorded call, checked: HTTP can carry it, and a store can keep its answer.
#[derive(Debug)]
pub(super) struct Record {
    call: Call,
    answer: Document,
    repeatable: Repeatable,
}

impl Record {
    pub(super) fn call(&self) -> Call {
        self.call.clone()
    }

    pub(super) fn answer(&self) -> Document {
        self.answer.clone()
    }

    pub(super) const fn repeatable(&self) -> Repeatable {
        self.repeatable
    }

    fn check(line: Line) -> Result<Self, String> {
        let method = Method::from_bytes(line.method.as_bytes())
            .map_err(|_| format!("method has {} bytes and is none", line.method.len()))?;
        if !line.path.starts_with('/') || line.path.parse::<Uri>().is_err() {
            return Err("path must start with / and be a valid request target".to_owned());
        }
        if let Some(content_type) = &line.request_content_type
            && HeaderValue::from_str(content_type).is_err()
        {
            return Err("request_content_type is no header value".to_owned());
        }
        // A played call has a side effect, and these are not guarded (H8).
        if method.is_safe() || method == Method::CONNECT {
            return Err(format!("method {method} asks for no side effect: leave the call out"));
        }
        // 1xx is no final answer, 204 and 304 have no body that could be compared.
        if StatusCode::from_u16(line.status).is_err() || !(200..=599).contains(&line.status) {
            return Err(format!("status {} is no final answer: give 200 to 599", line.status));
        }
        if REFUSALS.iter().any(|refusal| refusal.as_u16() == line.status) {
            let status = line.status;
            return Err(format!(
                "status {status} says that nothing was done (H5): leave the call out"
            ));
        }
        if matches!(line.status, 204 | 304) && !line.response_body.is_empty() {
            return Err(format!("status {} cannot have a body", line.status));
        }
        for (name, value) in &line.response_headers {
            let valid = HeaderName::from_bytes(name.as_bytes()).is_ok()
                && HeaderValue::from_str(value).is_ok();
            if !valid {
                return Err("response_headers holds a pair that is no header".to_owned());
            }
        }
        let request = line.request_body.unwrap_or_default();
        // The same payload with a little more must fit as well.
        if request.len() > REQUEST_BYTES_MAX / 2 {
            let most = REQUEST_BYTES_MAX / 2;
            return Err(format!("request_body has {} bytes: at most {most}", request.len()));
        }
        if line.response_body.len() > BODY_BYTES_MAX {
            let got = line.response_body.len();
            return Err(format!(
                "response_body has {got} bytes: at most {BODY_BYTES_MAX} are kept"
            ));
        }
        let repeatable = match line.policy {
            Some(PolicyName::Takeover) => Repeatable::Yes,
            Some(PolicyName::InDoubt) => Repeatable::No,
            None => suggested_by(&line.path),
        };
        let answer = Document::new(line.status, line.response_headers, line.response_body.into());
        answer.kept_head().map_err(|bad| format!("response_headers: {bad}"))?;
        let call = Call {
            method,
            path: line.path,
            content_type: line.request_content_type,
            body: Bytes::from(request),
        };
        Ok(Self { call, answer, repeatable })
    }
}

fn suggested_by(path: &str) -> Repeatable {
    let resource = path.split(['/', '?']).find(|part| !part.is_empty() && !is_version(part));
    match resource {
        Some(name) if REGISTRIES.contains(&name) => Repeatable::Yes,
        Some(_) | None => Repeatable::No,
    }
}

/// `v2`, say.
fn is_version(part: &str) -> bool {
    part.strip_prefix('v').is_some_and(|rest| rest.parse::<u32>().is_ok())
}

/// Reads every record of `path`.
pub(super) fn load(path: &Path) -> Result<Vec<Record>, TrafficError> {
    let unreadable = |error| TrafficError::Unreadable { path: path.to_owned(), error };
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX {
        return Err(TrafficError::TooLarge { path: path.to_owned(), got: size });
    }
    let text = fs::read(path).map_err(unreadable)?;
    parse(&text, path)
}

fn parse(text: &[u8], path: &Path) -> Result<Vec<Record>, TrafficError> {
    let mut records = Vec::new();
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let record = serde_json::from_slice(line).map_err(|error| error.to_string());
        let record = record.and_then(Record::check).map_err(|message| TrafficError::Line {
            path: path.to_owned(),
            line: index + 1,
            message,
        })?;
        records.push(record);
    }
    if records.is_empty() {
        return Err(TrafficError::Empty { path: path.to_owned() });
    }
    Ok(records)
}

/// Why recorded traffic cannot be played.
#[derive(Debug)]
pub(crate) enum TrafficError {
    /// The file cannot be read.
    Unreadable { path: PathBuf, error: io::Error },
    /// The file is larger than is read.
    TooLarge { path: PathBuf, got: u64 },
    /// No line holds a record.
    Empty { path: PathBuf },
    /// A line is no record, or one that cannot be played.
    Line { path: PathBuf, line: usize, message: String },
}

impl fmt::Display for TrafficError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } => {
                write!(f, "traffic file {} cannot be read: {error}", path.display())
            }
            Self::TooLarge { path, got } => write!(
                f,
                "traffic file {} has {got} bytes: give one of at most {FILE_BYTES_MAX}",
                path.display()
            ),
            Self::Empty { path } => write!(
                f,
                "traffic file {} holds no call: give one JSON object a line",
                path.display()
            ),
            Self::Line { path, line, message } => {
                write!(f, "traffic file {}, line {line}: {message}", path.display())
            }
        }
    }
}

impl std::error::Error for TrafficError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { error, .. } => Some(error),
            Self::TooLarge { .. } | Self::Empty { .. } | Self::Line { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"name":"n","method":"POST","path":"/v2/parcels","request_content_type":"application/json","request_body":"{}","status":201,"response_headers":[["content-length","5"],["X-Node","a"]],"response_body":"made"}"#;

    fn parse_text(text: &str) -> Result<Vec<Record>, TrafficError> {
        parse(text.as_bytes(), Path::new("calls.jsonl"))
    }

    #[test]
    fn a_record_becomes_a_call_and_an_answer_without_its_framing() {
        let records = parse_text(&format!("\n{GOOD}\r\n\n{GOOD}")).unwrap();
        assert_eq!(records.len(), 2, "blank lines hold nothing");
        let record = &records[0];
        assert_eq!(record.call().path, "/v2/parcels");
        assert_eq!(record.repeatable(), Repeatable::Yes);
        let headers = [("x-node", "a")];
        assert_eq!(record.answer(), Document::new(201, headers, "made".into()));
    }

    #[test]
    fn paths_suggest_whether_work_may_run_again_and_a_record_may_say_so() {
        #[rustfmt::skip]
        let cases = [
            ("registers data",         "/v2/addresses/create_and_verify", "", Repeatable::Yes),
            ("no version in the path", "/trackers?page=1",                "", Repeatable::Yes),
            ("buys",                   "/v2/shipments/shp_1/buy",         "", Repeatable::No),
            ("nothing to go by",       "/",                               "", Repeatable::No),
            ("the record says so",     "/v2/parcels",  r#""policy":"in_doubt","#, Repeatable::No),
            ("the record says so",     "/v2/orders",   r#""policy":"takeover","#, Repeatable::Yes),
        ];
        for (why, path, policy, want) in cases {
            let line = GOOD.replace("/v2/parcels", path).replacen('{', &format!("{{{policy}"), 1);
            assert_eq!(parse_text(&line).unwrap()[0].repeatable(), want, "{why}: {path}");
        }
    }

    #[test]
    fn a_bad_line_is_named_with_its_number() {
        let many: Vec<_> = (0..65).map(|_| r#"["link","b"]"#).collect();
        let pairs = r#"["content-length","5"],["X-Node","a"]"#;
        let big = "b".repeat(BODY_BYTES_MAX + 1);
        #[rustfmt::skip]
        let cases = [
            ("not JSON",                 "{".to_owned(),                                  "EOF"),
            ("not an object",            "17".to_owned(),                                 "invalid type"),
            ("a field is missing",       GOOD.replace("\"status\":201,", ""),             "status"),
            ("no method",                GOOD.replace("POST", "P O"),                     "method"),
            ("a safe method",            GOOD.replace("POST", "GET"),                     "method GET"),
            ("no path",                  GOOD.replace("/v2/parcels", "parcels"),          "path"),
            ("a path with a space",      GOOD.replace("/v2/parcels", "/a b"),             "path"),
            ("an interim status",        GOOD.replace("201", "101"),                      "status 101"),
            ("a status out of range",    GOOD.replace("201", "600"),                      "status 600"),
            ("a refusal",                GOOD.replace("201", "403"),                      "status 403"),
            ("no status at all",         GOOD.replace("201", "70000"),                    "70000"),
            ("no header name",           GOOD.replace("X-Node", "X Node"),                "header"),
            ("too many kept headers",    GOOD.replace(pairs, &many.join(",")),            "headers more"),
            ("an answer too large",      GOOD.replace("made", &big),                      "1048577"),
            ("an unknown policy",        GOOD.replacen('{', r#"{"policy":"maybe","#, 1),  "maybe"),
        ];
        for (why, line, says) in cases {
            let error = parse_text(&format!("{GOOD}\n{line}\n")).unwrap_err().to_string();
            assert!(error.contains("calls.jsonl, line 2: "), "{why}: {error}");
            assert!(error.contains(says), "{why}: {error}");
        }
    }

    #[test]
    fn files_without_a_record_are_refused() {
        for text in ["", "\n\n", "  \r\n"] {
            let error = parse_text(text).unwrap_err();
            assert!(matches!(error, TrafficError::Empty { .. }), "{error}");
        }
        let error = load(Path::new("no/such/file.jsonl")).unwrap_err();
        assert!(error.to_string().contains("no/such/file.jsonl cannot be read"), "{error}");
        let folder = load(Path::new(".")).unwrap_err();
        assert!(matches!(folder, TrafficError::Unreadable { .. }), "{folder}");
    }

    #[test]
    fn shared_recorded_calls_can_be_played() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/carrier-api.jsonl");
        if !Path::new(path).exists() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs the shared data");
            println!("skipped: the shared data is not beside the repository");
            return;
        }
        let records = load(Path::new(path)).unwrap();
        assert_eq!(records.len(), 95);
        let repeatable = records.iter().filter(|r| r.repeatable() == Repeatable::Yes).count();
        assert!((20..60).contains(&repeatable), "both policies are met: {repeatable}");
        let largest = records.iter().map(|r| r.answer().body.len()).max();
        assert!(largest > Some(64 * 1024), "{largest:?}");
    }
}
