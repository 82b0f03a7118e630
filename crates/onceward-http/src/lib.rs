//! Idempotency for HTTP, without a framework: pure functions from heads of requests and outcomes of
//! a store to what a service does (rules H1–H9 of `docs/http.md`).
//!
//! ```text
//! head ─ HttpPolicy::admit ─▶ Bypass | Reject | Guard ─ FingerprintPolicy::of, HttpPolicy::begin ─▶ store
//! store ─ HttpPolicy::answer ─▶ Run | Respond | …
//! handler ─ HttpPolicy::disposition, HttpPolicy::keep ─▶ complete or abandon ─ after_complete, after_abandon ─▶ caller
//! ```
//!
//! A layer for a framework moves bytes between these, and decides nothing. What a caller may see is
//! in two tables that code and documents share: [`PROBLEMS`], and [`ROWS`] for what is kept.
//!
//! Nothing here waits, reads a clock or knows a runtime. The [`Audit`] counts and logs; it holds
//! hashes of keys, never keys (S16).

mod answer;
pub mod audit;
mod fingerprint;
mod key;
mod outcome;
mod policy;
mod preset;
mod problem;
mod response;
mod scope;

pub use answer::{Step, after_abandon, after_complete, after_renew};
pub use audit::Audit;
pub use fingerprint::{
    FingerprintForm, FingerprintPolicy, JsonFields, PointerError, StreamedFingerprint,
};
pub use key::{IDEMPOTENCY_KEY, KeyHeaderError, key_of};
pub use outcome::{Outcome, StoredAnswer};
pub use policy::{
    Admission, HttpPolicy, REQUEST_BODY_BYTES_MAX, RESULT_BODY_BYTES_MAX, RETRY_AFTER_MAX,
    UNAVAILABLE_RETRY_AFTER,
};
pub use preset::{
    Ambiguous, Cell, Disposition, Ending, EndingKind, Preset, REFUSALS, ROWS, Row, disposition,
    table as preset_table,
};
pub use problem::{
    JsonProblem, PROBLEM_JSON, PROBLEMS, Problem, ProblemRow, ProblemTypes, TYPE_BASE_DEFAULT,
    retry_after, table as problem_table,
};
pub use response::{
    HeaderPolicy, IDEMPOTENCY_REPLAYED, KEPT, KeptHead, NEVER_KEPT, NeverKept, replay,
};
pub use scope::Scope;
