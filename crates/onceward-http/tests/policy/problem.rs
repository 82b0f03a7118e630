//! Problem documents: stable types, members for programs, nothing of the request (H3).

use http::HeaderValue;
use onceward_core::{
    AbandonOutcome, AttemptId, BackendError, BeginOutcome, Certainty, CompleteOutcome, Millis,
    NotKept, Refusal, RenewOutcome, ScopedKey,
};
use onceward_http::{
    HttpPolicy, JsonProblem, KeyHeaderError, Outcome, PROBLEMS, Problem, ProblemTypes, Scope, Step,
    after_abandon, after_complete, after_renew, retry_after,
};
use serde_json::json;

use crate::service::{problem, status};

const SECOND: Millis = Millis::new(1_000);

const fn too_long() -> Problem {
    Problem::KeyMalformed(KeyHeaderError::TooLong { got: 300 })
}

const fn in_progress() -> Problem {
    Problem::InProgress {
        retry_after: Millis::new(1_001),
        age: Millis::new(250),
        attempt_number: 2,
    }
}

fn all() -> Vec<Problem> {
    vec![
        Problem::KeyMissing,
        too_long(),
        Problem::ScopeMissing,
        Problem::ScopeTooLong { got: 256 },
        Problem::BodyNotJson(JsonProblem::Syntax),
        Problem::BodyUnreadable,
        Problem::BodyTooLarge { max: 1_048_576 },
        in_progress(),
        Problem::InDoubt { since: Millis::new(7) },
        Problem::Mismatch,
        Problem::Unavailable { retry_after: SECOND },
        Problem::Full { retry_after: SECOND },
        Problem::ResultNotStored { retry_after: SECOND },
        Problem::ResultNotKept {
            status: status(201),
            reason: NotKept::TooLarge,
            age: SECOND,
            attempt_number: 1,
        },
        Problem::ResultUnavailable { retry_after: SECOND },
        Problem::Expired { since: SECOND },
        Problem::HandlerFailed,
        Problem::HandlerTimedOut,
        Problem::ResponseTruncated,
        Problem::Misconfigured,
    ]
}

#[test]
fn every_problem_is_a_document_with_a_stable_type_h3() {
    let want = [
        ("key-missing", 400),
        ("key-malformed", 400),
        ("scope-missing", 401),
        ("scope-too-long", 400),
        ("body-not-json", 400),
        ("body-unreadable", 400),
        ("body-too-large", 413),
        ("in-progress", 409),
        ("in-doubt", 409),
        ("mismatch", 422),
        ("unavailable", 503),
        ("full", 503),
        ("result-not-stored", 503),
        ("result-not-kept", 201),
        ("result-unavailable", 503),
        ("expired", 409),
        ("handler-failed", 500),
        ("handler-timed-out", 504),
        ("response-truncated", 502),
        ("misconfigured", 500),
    ];
    assert_eq!(all().len(), want.len());
    assert_eq!(PROBLEMS.len(), want.len(), "the document has one row for each");
    for ((given, (name, code)), row) in all().iter().zip(want).zip(PROBLEMS) {
        assert_eq!((given.name(), given.status().as_u16(), row.name), (name, code, name));
        let response = given.to_response(&ProblemTypes::default());
        assert_eq!(problem(&response).as_deref(), Some(name));
        assert_eq!(response.status(), code);
        let document: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        let members = document.as_object().unwrap();
        for member in ["type", "title", "status", "detail"] {
            assert!(members.contains_key(member), "{name}: {member}");
        }
        // What the document says of members is what is sent, and the other way round.
        let said: Vec<_> = row.members.split('`').skip(1).step_by(2).collect();
        let common = ["type", "title", "status", "detail", "retry_after_ms"];
        let sent = members.keys().map(String::as_str);
        let sent: Vec<_> = sent.filter(|member| !common.contains(member)).collect();
        assert_eq!(said.len(), sent.len(), "{name}: {said:?} {sent:?}");
        assert!(sent.iter().all(|member| said.contains(member)), "{name}: {said:?} {sent:?}");
        let waits = response.headers().get("retry-after").is_some();
        assert_eq!(waits, members.contains_key("retry_after_ms"), "{name}");
    }
    assert_eq!(Problem::LostOwnership.name(), "in-doubt");
}

#[test]
fn a_document_is_what_a_program_reads_h3() {
    let response =
        in_progress().to_response(&ProblemTypes::new("https://api.example.com/problems#"));
    assert_eq!(
        std::str::from_utf8(response.body()).unwrap(),
        r#"{"type":"https://api.example.com/problems#in-progress","title":"Request is in progress","status":409,"detail":"A request with this key began 250 ms ago and has not ended.","retry_after_ms":1001,"age_ms":250,"attempt_number":2}"#
    );
    assert_eq!(response.headers()["retry-after"], "2");
    let document: serde_json::Value =
        serde_json::from_slice(&too_long().body(&ProblemTypes::default())).unwrap();
    assert_eq!((&document["field"], &document["limit"]), (&json!("Idempotency-Key"), &json!(255)));
}

#[test]
fn retry_after_is_in_whole_seconds_rounded_up_h3() {
    for (wait, want) in
        [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2"), (59_999, "60"), (60_000, "60")]
    {
        assert_eq!(retry_after(Millis::new(wait)), want, "{wait} ms");
    }
    assert_eq!(retry_after(Millis::new(u64::MAX)), "18446744073709552");
}

#[test]
fn every_outcome_of_begin_has_its_answer_h3() {
    let policy = HttpPolicy::new(Scope::global());
    let key = ScopedKey::new(b"", b"k").unwrap();
    let long = Millis::from_secs(30);
    let in_progress =
        |retry_after| BeginOutcome::InProgress { retry_after, age: SECOND, attempt_number: 1 };
    let refused = |retry_after| BeginOutcome::Refused { reason: Refusal::Quota, retry_after };
    let cases = [
        ("in progress", in_progress(Millis::new(1_200)), 409, "in-progress", Some("2")),
        ("its lease may be long", in_progress(long), 409, "in-progress", Some("5")),
        ("another payload", BeginOutcome::Mismatch, 422, "mismatch", None),
        ("in doubt", BeginOutcome::InDoubt { since: SECOND }, 409, "in-doubt", None),
        ("full, nobody knows how long", refused(None), 503, "full", Some("1")),
        ("full for a while", refused(Some(long)), 503, "full", Some("30")),
        ("expired", BeginOutcome::Expired { since: SECOND }, 409, "expired", None),
    ];
    for (why, outcome, code, name, wait) in cases {
        let Step::Respond(response, outcome) = policy.answer(key, outcome) else {
            panic!("{why}: not answered")
        };
        assert_eq!(outcome, Outcome::Rejected(name), "{why}");
        assert_eq!(problem(&response).as_deref(), Some(name), "{why}");
        assert_eq!(response.status(), code, "{why}");
        let got = response.headers().get("retry-after");
        assert_eq!(got.map(HeaderValue::as_bytes), wait.map(str::as_bytes), "{why}");
    }
    assert!(matches!(policy.answer(key, BeginOutcome::Gone), Step::BeginAnew));
    assert!(matches!(policy.answer(key, BeginOutcome::NeedFingerprint), Step::NeedFingerprint));
    assert_eq!(policy.audit().counts().other_payload, 1);
}

fn errors() -> [(BackendError, &'static str, u16); 5] {
    let message = String::from("connection refused by 10.0.0.7, key k");
    [
        (BackendError::Unavailable { message: message.clone() }, "unavailable", 503),
        (BackendError::NotLeader { address: message.clone(), epoch: 7 }, "unavailable", 503),
        (BackendError::ResultUnavailable, "result-unavailable", 503),
        (BackendError::Denied, "misconfigured", 500),
        (BackendError::BadInput { field: "lease".into(), message }, "misconfigured", 500),
    ]
}

#[test]
fn a_store_out_of_reach_is_503_unless_it_is_chosen_to_run_without_h3() {
    let closed = HttpPolicy::new(Scope::global());
    let open = HttpPolicy::new(Scope::global()).failing_open();
    let key = ScopedKey::new(b"", b"k").unwrap();
    for (error, name, code) in errors() {
        let Step::Respond(response, _) = closed.answer_error(&error) else { panic!("{error}") };
        assert_eq!((problem(&response).as_deref(), response.status().as_u16()), (Some(name), code));
        assert_eq!(response.headers().contains_key("retry-after"), code == 503, "{error}");
        let body = std::str::from_utf8(response.body()).unwrap();
        assert!(!body.contains("10.0.0.7"), "the store's message is for the log: {body}");

        let runs = matches!(open.answer_error(&error), Step::RunUnguarded);
        assert_eq!(runs, name == "unavailable", "{error}: what is known of the key holds");
    }
    let refused = || BeginOutcome::Refused { reason: Refusal::Capacity, retry_after: None };
    assert!(matches!(open.answer(key, refused()), Step::RunUnguarded));
    assert!(matches!(closed.answer(key, refused()), Step::Respond(..)));
    for outcome in [BeginOutcome::Mismatch, BeginOutcome::InDoubt { since: SECOND }] {
        assert!(matches!(open.answer(key, outcome), Step::Respond(..)));
    }
    assert_eq!(open.audit().counts().failed_open, 3, "counted");
    assert_eq!(closed.audit().counts().failed_open, 0);
}

#[test]
fn an_answer_leaves_only_while_its_request_owns_the_key_h6() {
    use CompleteOutcome::{AlreadyCompleted, Completed, Conflict, Fenced, Gone};
    let lost = Err(Problem::LostOwnership);
    for (outcome, want) in [
        (Completed { not_kept: None }, Ok(())),
        (Completed { not_kept: Some(NotKept::Capacity) }, Ok(())),
        (AlreadyCompleted { not_kept: None }, Ok(())),
        (Conflict, lost),
        (Fenced, lost),
        (Gone, lost),
        (CompleteOutcome::Mismatch, Err(Problem::Mismatch)),
        (CompleteOutcome::NeedFingerprint, lost),
    ] {
        assert_eq!(after_complete(&outcome), want, "{outcome:?}");
    }
    for (outcome, not_done, in_doubt) in [
        (AbandonOutcome::Abandoned, Ok(()), Ok(())),
        (AbandonOutcome::Gone, Ok(()), lost),
        (AbandonOutcome::Fenced, Ok(()), lost),
        (AbandonOutcome::Conflict, lost, lost),
    ] {
        assert_eq!(after_abandon(&outcome, Certainty::NotDone), not_done, "{outcome:?}");
        assert_eq!(after_abandon(&outcome, Certainty::InDoubt), in_doubt, "{outcome:?}");
    }
    for (outcome, want) in [
        (RenewOutcome::Renewed { lease_left: SECOND }, Ok(SECOND)),
        (RenewOutcome::Mismatch, Err(Problem::Mismatch)),
        (RenewOutcome::Conflict, Err(Problem::LostOwnership)),
        (RenewOutcome::Fenced, Err(Problem::LostOwnership)),
        (RenewOutcome::Gone, Err(Problem::LostOwnership)),
    ] {
        assert_eq!(after_renew(&outcome), want, "{outcome:?}");
    }
}

#[test]
fn a_401_carries_the_services_challenge_h3() {
    let plain = HttpPolicy::new(Scope::global());
    let (response, outcome) = plain.respond(&Problem::ScopeMissing);
    assert!(!response.headers().contains_key("www-authenticate"));
    assert_eq!((outcome, outcome.name()), (Outcome::Rejected("scope-missing"), "rejected"));
    let challenged = plain.with_challenge(HeaderValue::from_static("Bearer"));
    assert_eq!(
        challenged.respond(&Problem::ScopeMissing).0.headers()["www-authenticate"],
        "Bearer"
    );
    let (other, _) = challenged.respond(&Problem::KeyMissing);
    assert!(!other.headers().contains_key("www-authenticate"));
}

#[test]
fn a_begin_asks_for_what_is_set_and_settings_are_checked_s6() {
    let policy = HttpPolicy::new(Scope::global())
        .with_lease(Millis::from_secs(10))
        .with_retention(Millis::from_secs(20))
        .with_wait(SECOND);
    let attempt_id = AttemptId::from_bytes([7; 16]);
    let begin = policy.begin(onceward_core::Fingerprint::Later, attempt_id);
    assert_eq!(begin.lease, Millis::from_secs(10));
    assert_eq!(begin.retention, Millis::from_secs(20));
    assert_eq!((begin.wait, begin.attempt_id), (SECOND, attempt_id));
    assert_eq!(policy.check(), Ok(()));
    assert!(policy.clone().with_lease(Millis::from_secs(30)).check().is_err(), "over retention");
    assert!(policy.with_lease(Millis::new(99)).check().is_err(), "too short");
}
