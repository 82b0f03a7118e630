//! Every status, and every ending without one, under every preset and setting, as seen by the first
//! caller, one beside it, a retry, and another request under the same key (H3, H4, H5).

use bytes::Bytes;
use http::Response;
use onceward_core::{Millis, Policy};
use onceward_http::{Ambiguous, Disposition, Ending, HttpPolicy, Preset, Scope};

use crate::service::{Service, order, problem, status};

/// H5 in its own words, not by the table that the code decides by.
fn expected(preset: Preset, ambiguous: Ambiguous, ending: &Ending) -> Disposition {
    let code = match ending {
        Ending::Response { no_side_effect: true, .. } => return Disposition::NotDone,
        Ending::Response { status, .. } => Some(status.as_u16()),
        _ => None,
    };
    let as_set = match (ambiguous, preset) {
        (Ambiguous::Keep, _) => Disposition::Keep,
        (Ambiguous::Release, Preset::AtMostOnce) | (Ambiguous::InDoubt, _) => Disposition::InDoubt,
        _ => Disposition::NotDone,
    };
    match (preset, code) {
        (_, Some(101 | 200..=399)) | (Preset::AtMostOnce, Some(400..=499)) => Disposition::Keep,
        (Preset::SuccessOnly, Some(400..=499))
        | (_, Some(401 | 403 | 405 | 407 | 408 | 413 | 415 | 421 | 425 | 429)) => {
            Disposition::NotDone
        }
        (_, Some(400..=499)) | (Preset::Stripe, _) => Disposition::Keep,
        _ => as_set,
    }
}

/// The mark goes before the status, so a few statuses stand for all.
const MARKED: [u16; 12] = [100, 101, 200, 204, 302, 400, 401, 404, 429, 500, 503, 999];

fn endings() -> Vec<Ending> {
    let response = |code, no_side_effect| Ending::Response { status: status(code), no_side_effect };
    [Ending::Panicked, Ending::TimedOut, Ending::Failed, Ending::Truncated]
        .into_iter()
        .chain((100..=999).map(|code| response(code, false)))
        .chain(MARKED.map(|code| response(code, true)))
        .collect()
}

/// What the handler answers.
fn handlers_answer(ending: &Ending) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"{\"order\":1}"));
    if let Ending::Response { status, .. } = ending {
        *response.status_mut() = *status;
    }
    let headers = response.headers_mut();
    headers.insert("content-type", "application/json".parse().unwrap());
    headers.insert("location", "/orders/1".parse().unwrap());
    headers.append("link", "</a>; rel=next".parse().unwrap());
    headers.append("link", "</b>; rel=last".parse().unwrap());
    headers.insert("set-cookie", "session=1".parse().unwrap());
    response
}

fn check(preset: Preset, ambiguous: Option<Ambiguous>, ending: &Ending) -> Disposition {
    let place = format!("{} {ambiguous:?} {ending:?}", preset.name());
    let mut policy = HttpPolicy::new(Scope::global()).with_preset(preset);
    if let Some(ambiguous) = ambiguous {
        policy = policy.with_ambiguous(ambiguous);
    }
    let effective = ambiguous.unwrap_or(match preset {
        Preset::SuccessOnly | Preset::AtMostOnce => Ambiguous::InDoubt,
        _ => Ambiguous::Keep,
    });
    let mut service = Service::new(policy);
    let first = order("k", "{}");
    let other = order("k", "{ }");

    // Fresh, and while it runs.
    let running = service.begin(&first).unwrap_or_else(|answer| panic!("{place}: {answer:?}"));
    let beside = service.begin(&first).err().unwrap_or_else(|| panic!("{place}: ran twice"));
    assert_eq!(problem(&beside).as_deref(), Some("in-progress"), "{place}");
    assert_eq!((beside.status().as_u16(), &beside.headers()["retry-after"]), (409, &5.into()));
    let mismatch = service.begin(&other).err().unwrap_or_else(|| panic!("{place}: ran twice"));
    assert_eq!(problem(&mismatch).as_deref(), Some("mismatch"), "{place}");
    assert_eq!(mismatch.status(), 422, "{place}");

    // It ends: the caller gets the handler's own answer, or the problem for none.
    let (answer, disposition) = service.end(&running, ending, handlers_answer(ending));
    assert_eq!(disposition, expected(preset, effective, ending), "{place}");
    match ending {
        Ending::Response { .. } => assert_eq!(answer.body(), handlers_answer(ending).body()),
        Ending::TimedOut => assert_eq!((answer.status().as_u16()), 504, "{place}"),
        Ending::Truncated => assert_eq!((answer.status().as_u16()), 502, "{place}"),
        _ => assert_eq!((answer.status().as_u16()), 500, "{place}"),
    }

    // A retry, and another request under the same key.
    service.pass(Millis::new(10));
    match disposition {
        Disposition::Keep => {
            let replay = service.begin(&first).err().unwrap_or_else(|| panic!("{place}: again"));
            assert_replays(&replay, &answer, &place);
            let mismatch = service.begin(&other).err().unwrap_or_else(|| panic!("{place}: again"));
            assert_eq!(problem(&mismatch).as_deref(), Some("mismatch"), "{place}");
        }
        Disposition::InDoubt => {
            let doubt = service.begin(&first).err().unwrap_or_else(|| panic!("{place}: again"));
            assert_eq!(problem(&doubt).as_deref(), Some("in-doubt"), "{place}");
            assert_eq!(doubt.status(), 409, "{place}");
            assert!(!doubt.headers().contains_key("retry-after"), "{place}: waiting helps nobody");
            let mismatch = service.begin(&other).err().unwrap_or_else(|| panic!("{place}: again"));
            assert_eq!(problem(&mismatch).as_deref(), Some("mismatch"), "{place}");
        }
        // The key is free, for a request that was put right as well.
        Disposition::NotDone => {
            let running = service.begin(&other).unwrap_or_else(|got| panic!("{place}: {got:?}"));
            let mismatch = service.begin(&first).err().unwrap_or_else(|| panic!("{place}: again"));
            assert_eq!(problem(&mismatch).as_deref(), Some("mismatch"), "{place}");
            let ok = Ending::Response { status: status(200), no_side_effect: false };
            let (second, _) = service.end(&running, &ok, handlers_answer(&ok));
            let replay = service.begin(&other).err().unwrap_or_else(|| panic!("{place}: again"));
            assert_replays(&replay, &second, &place);
        }
    }
    let released = service.policy.audit().counts().released;
    let is_ambiguous = !matches!(ending, Ending::Response { status, no_side_effect }
        if *no_side_effect || *status == 101 || (200..500).contains(&status.as_u16()));
    assert_eq!(
        released,
        u64::from(is_ambiguous && disposition == Disposition::NotDone),
        "{place}: what is ambiguous and released is counted"
    );
    disposition
}

fn assert_replays(replay: &Response<Bytes>, first: &Response<Bytes>, place: &str) {
    let headers = replay.headers();
    assert_eq!(headers["idempotency-replayed"], "true", "{place}");
    assert!(!headers.contains_key("set-cookie"), "{place}");
    assert_eq!(headers.get("location"), first.headers().get("location"), "{place}");
    let links = |response: &Response<Bytes>| -> Vec<_> {
        response.headers().get_all("link").iter().cloned().collect()
    };
    assert_eq!(links(replay), links(first), "{place}");
    match first.status().as_u16() {
        100..=199 => assert_eq!(replay.status(), 409, "{place}: an upgrade is over"),
        204 | 304 => {
            assert_eq!(replay.status(), first.status(), "{place}");
            assert!(replay.body().is_empty() && !headers.contains_key("content-length"), "{place}");
            return;
        }
        _ => assert_eq!(replay.status(), first.status(), "{place}"),
    }
    assert_eq!(replay.body(), first.body(), "{place}");
    assert_eq!(headers["content-length"], first.body().len().to_string(), "{place}");
    assert_eq!(headers.get("content-type"), first.headers().get("content-type"), "{place}");
}

#[test]
fn every_cell_of_status_preset_and_request_h3_h4_h5() {
    let settings = Ambiguous::ALL.map(Some).into_iter().chain([None]);
    let mut seen = [0_u32; 3];
    let mut cells = 0;
    for (preset, ambiguous) in
        Preset::ALL.into_iter().flat_map(|preset| settings.clone().map(move |set| (preset, set)))
    {
        for ending in endings() {
            seen[check(preset, ambiguous, &ending) as usize] += 1;
            cells += 1;
        }
    }
    assert_eq!(cells, 4 * 4 * (4 + 900 + MARKED.len()));
    assert!(seen.iter().all(|times| *times > 100), "each disposition is met: {seen:?}");
}

#[test]
fn a_lease_that_ends_is_as_ambiguous_as_the_preset_has_it_s8_h5() {
    use Policy::{InDoubt, Takeover};
    let keep = Some(Ambiguous::Keep);
    let cases = [
        ("default keeps: its successor takes over", Preset::Default, None, None, Takeover),
        ("stripe too", Preset::Stripe, None, None, Takeover),
        ("success-only is in doubt", Preset::SuccessOnly, None, None, InDoubt),
        ("at-most-once as well", Preset::AtMostOnce, None, None, InDoubt),
        ("whatever is set", Preset::AtMostOnce, keep, Some(Takeover), InDoubt),
        ("it follows the setting", Preset::Default, Some(Ambiguous::InDoubt), None, InDoubt),
        ("and takes over with release", Preset::Default, Some(Ambiguous::Release), None, Takeover),
        ("unless it is set itself", Preset::Default, keep, Some(InDoubt), InDoubt),
        ("either way", Preset::SuccessOnly, None, Some(Takeover), Takeover),
    ];
    for (why, preset, ambiguous, begin_policy, want) in cases {
        let mut policy = HttpPolicy::new(Scope::global()).with_preset(preset);
        if let Some(ambiguous) = ambiguous {
            policy = policy.with_ambiguous(ambiguous);
        }
        if let Some(begin_policy) = begin_policy {
            policy = policy.with_begin_policy(begin_policy);
        }
        assert_eq!(policy.begin_policy(), want, "{why}");
        let lease = policy.lease();
        let mut service = Service::new(policy);
        let late = service.begin(&order("k", "{}")).expect("fresh");
        service.pass(lease);
        let successor = service.begin(&order("k", "{}"));
        let ok = Ending::Response { status: status(201), no_side_effect: false };
        match (want, successor) {
            (Takeover, Ok(_)) => {
                // The older owner's answer does not leave (H6).
                let (answer, _) = service.end(&late, &ok, handlers_answer(&ok));
                assert_eq!(problem(&answer).as_deref(), Some("in-doubt"), "{why}");
            }
            (InDoubt, Err(answer)) => {
                assert_eq!(problem(&answer).as_deref(), Some("in-doubt"), "{why}");
                // It may still end it.
                let (answer, _) = service.end(&late, &ok, handlers_answer(&ok));
                assert_eq!(answer.status(), 201, "{why}");
            }
            (want, got) => panic!("{why}: want {want:?}, got an answer: {}", got.is_err()),
        }
    }
}
