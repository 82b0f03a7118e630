//! Memory (S11, S12, S19) and quotas: what is set aside, what is refused, what comes back.

use std::collections::BTreeMap;

use onceward::{
    BeginOutcome, Body, Certainty, CheckpointOutcome, Complete, CompleteOutcome, Forget, Limits,
    MetadataBuf, Millis, NamespaceConfig, NotKept, Policy, Refusal, Resolve, ResolveOutcome,
    ResultRef, SaveCheckpoint, StoreConfig, StoredResult, Token, Verdict,
};

use crate::scene::{IS_PLAIN, Scene, acquired, ask, begin, id, within};

/// Fills the store with keys `0`, `1`, … whose retentions end one millisecond apart, from 10 s
/// on; the tokens, and when room is due.
fn fill(scene: &Scene, hint: Option<usize>) -> (Vec<Token>, Millis) {
    let mut tokens = Vec::new();
    loop {
        let number = tokens.len() as u64;
        let request = onceward::Begin {
            retention: Millis::new(10_000 + number),
            result_hint: hint,
            ..ask(number)
        };
        match scene.begin(&number.to_string(), &request) {
            BeginOutcome::Acquired(acquired) => tokens.push(acquired.token),
            BeginOutcome::Refused { reason: Refusal::Capacity, retry_after } => {
                return (tokens, retry_after.expect("somebody's retention ends"));
            }
            other => panic!("neither room nor none: {other:?}"),
        }
        assert!(number < 10_000, "1 MiB does not hold that many");
    }
}

fn save(scene: &Scene, key: &str, token: Token, ordinal: u32, size: usize) -> CheckpointOutcome {
    let bytes = vec![9; size];
    let request = SaveCheckpoint { token, ordinal, bytes: &bytes };
    scene.store.checkpoint(id(key), &request).expect("within the limits").value
}

/// Everything ends by itself, and every byte comes back.
fn expect_no_leak(scene: &Scene, why: &str) {
    scene.advance(10_000 + 10_000);
    scene.advance(Limits::DEFAULT.attempt_memory.get());
    let stats = scene.store.stats();
    assert_eq!((stats.entries, stats.attempts_remembered), (0, 0), "{why}");
    assert_eq!(stats.memory_used_bytes, 0, "{why}");
    assert_eq!(
        (stats.entries_reserved, stats.entries_in_doubt, stats.entries_completed),
        (0, 0, 0),
        "{why}"
    );
}

#[test]
fn a_full_store_names_when_room_is_due_and_has_it_then_s11_s7() {
    // The second fill crowds hundreds of entries into one slot of one wheel.
    for (shards, hint) in [(64, None), (1, Some(0)), (4, Some(0))] {
        let memory_bytes = onceward::MEMORY_BYTES_MIN;
        let scene = Scene::with(StoreConfig { shards, memory_bytes, ..StoreConfig::default() });
        let (tokens, retry_after) = fill(&scene, hint);
        assert!(tokens.len() > 100, "{} entries in 1 MiB", tokens.len());
        assert_eq!(retry_after, Millis::new(10_000), "the first retention's end");
        scene.clock.advance(Millis::new(9_999));
        let newcomer = onceward::Begin { result_hint: hint, ..ask(9_999) };
        match scene.begin("new", &newcomer) {
            BeginOutcome::Refused { retry_after: Some(left), .. } => {
                assert_eq!(left, Millis::new(1));
            }
            other => panic!("one millisecond too early: {other:?}"),
        }
        scene.clock.advance(Millis::new(1));
        acquired(scene.begin("new", &newcomer)); // No tick has come by.
        assert_eq!(scene.store.stats().expired, 1, "nothing live was dropped (S7)");
        expect_no_leak(&scene, "a full store that expired");
    }
}

#[test]
fn every_open_reservation_completes_in_a_full_store_s11_s12() {
    let scene = Scene::small();
    let (tokens, _) = fill(&scene, None);
    let set_aside = Limits::DEFAULT.set_aside_bytes;
    let kept = |not_kept| CompleteOutcome::Completed { not_kept };

    let beyond = vec![1; set_aside + 10_000];
    assert_eq!(scene.complete("0", tokens[0], &beyond), kept(None), "drawn from the headroom");

    let mut metadata = MetadataBuf::new();
    for name in ["first", "second", "third"] {
        metadata.push(name, [b'v'; 400]).unwrap();
    }
    let far_beyond = vec![2; set_aside + 20_000];
    let result = StoredResult {
        status: 201,
        metadata: metadata.as_ref().encoded(),
        body: Body::Kept(&far_beyond[..]),
    };
    let request = Complete { token: tokens[1], result, fingerprint: None };
    let complete = || scene.store.complete(id("1"), &request).unwrap().value;
    assert_eq!(complete(), kept(Some(NotKept::Capacity)));
    assert_eq!(
        complete(),
        CompleteOutcome::AlreadyCompleted { not_kept: Some(NotKept::Capacity) },
        "the same result, by its digest (S3)"
    );
    match scene.begin("1", &ask(900)) {
        BeginOutcome::Replay(replay) => {
            assert_eq!(replay.result.status, 201);
            assert_eq!(replay.result.body, Body::NotKept(NotKept::Capacity));
            let mut whole_pairs = MetadataBuf::new();
            whole_pairs.push("first", [b'v'; 400]).unwrap();
            whole_pairs.push("second", [b'v'; 400]).unwrap();
            assert_eq!(
                replay.result.metadata,
                whole_pairs.as_ref().encoded(),
                "while they fit 1 KiB"
            );
        }
        other => panic!("the work is done: {other:?}"),
    }

    let exact = vec![3; set_aside];
    for (number, token) in tokens.iter().enumerate().skip(2) {
        assert_eq!(scene.complete(&number.to_string(), *token, &exact), kept(None), "its share");
    }
    let stats = scene.store.stats();
    assert!(stats.memory_high_water_bytes <= stats.memory_limit_bytes, "the limit holds");
    assert_eq!(stats.complete_not_kept, 1);
    match scene.begin("2", &ask(901)) {
        BeginOutcome::Replay(replay) => assert_eq!(replay.result.body, Body::Kept(exact)),
        other => panic!("{other:?}"),
    }
    expect_no_leak(&scene, "all completed");
}

#[test]
fn a_checkpoint_within_its_share_is_saved_while_the_headroom_is_drawn_on_s19() {
    let scene = Scene::small();
    let hint = 1_000;
    let owner = scene.own("owner", &onceward::Begin { checkpoint_hint: hint, ..ask(7_000) });
    let (tokens, _) = fill(&scene, None);
    let beyond = vec![1; Limits::DEFAULT.set_aside_bytes + 12_000];
    scene.finish("0", tokens[0], &beyond);
    let refused = CheckpointOutcome::Refused { reason: Refusal::Capacity };
    assert_eq!(save(&scene, "owner", owner, 1, hint + 1), refused, "one byte beyond its share");
    assert_eq!(save(&scene, "owner", owner, 1, hint), CheckpointOutcome::Saved { ordinal: 1 });
    match scene.get("owner") {
        onceward::GetOutcome::Reserved { .. } => {}
        other => panic!("{other:?}"),
    }
    expect_no_leak(&scene, "a checkpoint in a full store");
}

#[test]
fn a_checkpoint_beyond_its_share_is_saved_while_there_is_room_s19() {
    let scene = Scene::small();
    let owner = scene.own("k", &ask(1));
    let before = scene.memory_used();
    assert_eq!(save(&scene, "k", owner, 1, 5_000), CheckpointOutcome::Saved { ordinal: 1 });
    // A storage that writes a new block for each change keeps some of them at hand.
    let about = |want: u64, why: &str| {
        let (used, spare) = (scene.memory_used(), if IS_PLAIN { 0 } else { 512 });
        assert!((want..=want + spare).contains(&used), "{why}: {used} rather than {want}");
    };
    about(before + 5_000, "beyond its share");
    assert_eq!(save(&scene, "k", owner, 1, 60_000), CheckpointOutcome::Saved { ordinal: 1 });
    about(before + 5_000, "a duplicate changes nothing");
    assert_eq!(save(&scene, "k", owner, 2, 10), CheckpointOutcome::Saved { ordinal: 2 });
    about(before + 5_000, "what was set aside stays");
    scene.clock.advance(Millis::new(1_000));
    let taken = acquired(scene.begin("k", &ask(2)));
    let handed_over = taken.checkpoint.expect("it survives the takeover");
    assert_eq!((handed_over.ordinal, handed_over.bytes), (2, vec![9; 10]));
    scene.finish("k", taken.token, b"done");
    let after = scene.memory_used();
    let exact = before - Limits::DEFAULT.set_aside_bytes as u64 + 4;
    let right = if IS_PLAIN { after == exact } else { after < exact + 512 };
    assert!(right, "it ends with complete, and what was set aside comes back: {after}");
    expect_no_leak(&scene, "checkpoints");
}

#[test]
fn every_way_to_end_gives_its_memory_back_s11() {
    let in_doubt = |number| onceward::Begin { policy: Policy::InDoubt, ..ask(number) };
    let resolve = |scene: &Scene, key: &str, token: Token, verdict: Verdict<'_>| {
        let doubt_number = 1;
        let request = Resolve { fence: token.fence, doubt_number, verdict };
        let outcome = scene.store.resolve(id(key), &request).unwrap().value;
        assert_eq!(outcome, ResolveOutcome::Resolved);
    };
    type Way<'a> = (&'a str, &'a dyn Fn(&Scene));
    let ways: &[Way<'_>] = &[
        ("reserved until the retention ends", &|scene| {
            scene.own("k", &ask(1));
        }),
        ("abandoned as not done", &|scene| {
            let token = scene.own("k", &ask(1));
            scene.abandon("k", token, Certainty::NotDone);
        }),
        ("abandoned as in doubt, resolved as done", &|scene| {
            let token = scene.own("k", &ask(1));
            scene.abandon("k", token, Certainty::InDoubt);
            let result = ResultRef::of(200, &[4; 9_000]);
            resolve(scene, "k", token, Verdict::Completed { result, fingerprint: None });
        }),
        ("in doubt by lapse, resolved as never done", &|scene| {
            let token = scene.own("k", &in_doubt(1));
            scene.advance(1_000);
            resolve(scene, "k", token, Verdict::NeverDone);
        }),
        ("in doubt until the retention ends", &|scene| {
            scene.own("k", &in_doubt(1));
            scene.advance(1_000);
        }),
        ("forgotten", &|scene| {
            let token = scene.own("k", &ask(1));
            scene.finish("k", token, &[5; 20_000]);
            scene.store.forget(id("k"), &Forget { fence: token.fence }).unwrap();
        }),
        ("taken over twice and completed", &|scene| {
            scene.own("k", &onceward::Begin { checkpoint_hint: 3_000, ..ask(1) });
            scene.advance(1_000);
            let second = scene.own("k", &onceward::Begin { result_hint: Some(50_000), ..ask(2) });
            assert_eq!(save(scene, "k", second, 1, 4_000).name(), "saved");
            scene.advance(1_000);
            let third = scene.own("k", &ask(3));
            scene.finish("k", third, &[6; 5_000]);
        }),
        ("a result too large to keep", &|scene| {
            let token = scene.own("k", &ask(1));
            scene.finish("k", token, &vec![7; Limits::DEFAULT.result_bytes_max + 1]);
        }),
        ("expired without a tick, and begun again", &|scene| {
            scene.own("k", &ask(1));
            scene.clock.advance(Millis::new(10_000));
            scene.own("k", &ask(2));
        }),
        ("refused, begun again in vain", &|scene| {
            fill(scene, Some(100_000));
            let hungry = onceward::Begin { result_hint: Some(200_000), ..ask(77) };
            assert_eq!(scene.begin("k", &hungry).name(), "refused");
        }),
    ];
    for (why, end) in ways {
        let scene = Scene::small();
        end(&scene);
        expect_no_leak(&scene, why);
    }
}

#[test]
fn a_quota_counts_what_is_live_and_gives_places_back_s1_s7() {
    let quota = NamespaceConfig { entries_max: Some(2), ..NamespaceConfig::default() };
    let namespaces = BTreeMap::from([("orders".to_owned(), quota)]);
    let scene = Scene::with(StoreConfig { namespaces, ..StoreConfig::default() });
    let refused = BeginOutcome::Refused { reason: Refusal::Quota, retry_after: None };
    let first = scene.own("a", &ask(1));
    let second = scene.own("b", &ask(2));
    assert_eq!(scene.begin("c", &ask(3)), refused);
    acquired(begin(&scene.store, within("labels", "c"), &ask(4)));
    assert_eq!(scene.own("a", &ask(1)), first, "a repeat needs no place");

    scene.abandon("a", first, Certainty::NotDone);
    let third = scene.own("c", &ask(3));
    assert_eq!(scene.begin("d", &ask(5)), refused, "abandon gave one place back, not two");
    scene.finish("c", third, b"done");
    assert_eq!(scene.begin("d", &ask(5)), refused, "a completed identity has its place");
    scene.store.forget(id("c"), &Forget { fence: third.fence }).unwrap();
    scene.clock.advance(Millis::new(1_000));
    scene.own("d", &ask(5));
    let taken = scene.own("b", &ask(6));
    assert!(taken.fence > second.fence);
    assert_eq!(scene.begin("e", &ask(7)), refused, "a takeover keeps the place it found");

    // Both identities are absent now, though nobody has ticked.
    scene.clock.advance(Millis::new(10_000));
    scene.own("d", &ask(8));
    scene.own("f", &ask(9));
    assert_eq!(scene.begin("g", &ask(10)), refused);
}

#[test]
fn a_begin_without_room_takes_no_place_in_its_quota_s1_s11() {
    let quota = NamespaceConfig { entries_max: Some(3), ..NamespaceConfig::default() };
    let namespaces = BTreeMap::from([("orders".to_owned(), quota)]);
    let memory_bytes = onceward::MEMORY_BYTES_MIN;
    let scene = Scene::with(StoreConfig { namespaces, memory_bytes, ..StoreConfig::default() });
    let large = |number| onceward::Begin { result_hint: Some(900_000), ..ask(number) };
    scene.own("0", &large(0));
    for number in 1..10 {
        match scene.begin("1", &large(number)) {
            BeginOutcome::Refused { reason: Refusal::Capacity, .. } => {}
            other => panic!("there is a place and no room: {other:?}"),
        }
    }
    scene.own("1", &ask(1));
    scene.own("2", &ask(2));
    match scene.begin("3", &large(3)) {
        BeginOutcome::Refused { reason, .. } => {
            assert_eq!(reason, Refusal::Quota, "S1: quota first")
        }
        other => panic!("neither place nor room: {other:?}"),
    }
}
