//! Pages of entries, while entries come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;

use onceward::{
    BadInput, Certainty, Forget, ListPage, ListQuery, Millis, Namespace, PageCursor, Policy,
    StateName, Store, StoreError,
};
use onceward_testkit::{SplitMix64, seeds};

use crate::scene::{Scene, acquired, ask, begin, id, within};

fn namespace(name: &str) -> Namespace<'_> {
    Namespace::new(name).unwrap()
}

/// All keys of a listing, page by page, with how often each was seen.
fn list(store: &Store, query: ListQuery, mut between: impl FnMut()) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    let mut query = query;
    loop {
        let ListPage { entries, next } = store.list(namespace("orders"), &query).unwrap();
        assert!(entries.len() <= usize::from(query.entries_max), "the page's bound");
        for entry in entries {
            let key = String::from_utf8(entry.scoped_key.as_ref().key().to_vec()).unwrap();
            *seen.entry(key).or_default() += 1;
        }
        let Some(next) = next else { return seen };
        assert_ne!(next, query.cursor, "every page gets further");
        query.cursor = next;
        between();
    }
}

#[test]
fn what_is_there_throughout_is_seen_once_while_others_come_and_go() {
    for seed in seeds(20) {
        println!("seed {seed} (replay with ONCEWARD_SEED={seed})");
        let scene = Scene::new();
        let mut random = SplitMix64::new(seed);
        let staying: BTreeSet<String> = (0..300).map(|number| format!("stays-{number}")).collect();
        let mut coming = 0;
        let mut going = Vec::new();
        for key in &staying {
            scene.own(key, &ask(1));
            coming += 1;
            let key = format!("goes-{coming}");
            let token = scene.own(&key, &ask(1));
            going.push((key, token));
        }
        let entries_max = random.within(1..40) as u16;
        let seen = list(&scene.store, ListQuery { entries_max, ..ListQuery::default() }, || {
            for _ in 0..random.within(0..10) {
                if random.chance(50) && !going.is_empty() {
                    let at = random.within(0..going.len() as u64) as usize;
                    let (key, token) = going.swap_remove(at);
                    scene.abandon(&key, token, Certainty::NotDone);
                } else {
                    coming += 1;
                    let key = format!("goes-{coming}");
                    let token = scene.own(&key, &ask(1));
                    going.push((key, token));
                }
            }
        });
        for key in &staying {
            assert_eq!(seen.get(key), Some(&1), "seed {seed}: {key}");
        }
        assert!(seen.values().all(|&times| times == 1), "seed {seed}: each life is seen once");
    }
}

#[test]
fn pages_are_read_while_threads_write() {
    let scene = Arc::new(Scene::new());
    for number in 0..2_000 {
        scene.own(&format!("stays-{number}"), &ask(1));
    }
    let writer = {
        let scene = Arc::clone(&scene);
        thread::spawn(move || {
            for number in 0..5_000 {
                let key = format!("goes-{number}");
                let token = scene.own(&key, &ask(number));
                scene.finish(&key, token, b"done");
                if number % 2 == 0 {
                    scene.store.forget(id(&key), &Forget { fence: token.fence }).unwrap();
                }
            }
        })
    };
    while !writer.is_finished() {
        let seen = list(&scene.store, ListQuery::default(), || {});
        let stayed = seen.iter().filter(|(key, _)| key.starts_with("stays"));
        assert_eq!(stayed.map(|(_, &times)| times).collect::<Vec<_>>(), vec![1; 2_000]);
    }
    writer.join().unwrap();
    assert_eq!(list(&scene.store, ListQuery::default(), || {}).len(), 4_500);
}

#[test]
fn filters_judge_entries_as_they_stand_now_s7_s8() {
    let scene = Scene::new();
    let in_doubt = onceward::Begin { policy: Policy::InDoubt, ..ask(1) };
    scene.own("early", &ask(1));
    scene.own("lapsing", &in_doubt);
    let done = scene.own("done", &ask(1));
    acquired(begin(&scene.store, within("labels", "of another namespace"), &ask(1)));
    scene.clock.advance(Millis::new(600));
    scene.finish("done", done, b"x");
    scene.own("late", &ask(1));
    scene.clock.advance(Millis::new(400)); // The leases of the early ones end; nobody ticks.
    let keys = |state, older_than: Option<u64>| {
        let older_than = older_than.map(Millis::new);
        let seen =
            list(&scene.store, ListQuery { state, older_than, ..ListQuery::default() }, || {});
        seen.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(keys(None, None), ["done", "early", "lapsing", "late"], "this namespace only");
    assert_eq!(keys(Some(StateName::Reserved), None), ["early", "late"]);
    assert_eq!(keys(Some(StateName::InDoubt), None), ["lapsing"], "a lapse unnoticed so far");
    assert_eq!(keys(Some(StateName::Completed), None), ["done"]);
    assert_eq!(keys(None, Some(401)), ["early", "lapsing"]);
    assert_eq!(keys(None, Some(400)), ["done", "early", "lapsing", "late"], "since completion");
    assert_eq!(keys(Some(StateName::Reserved), Some(1_000)), ["early"]);
    assert_eq!(keys(None, Some(1_001)), Vec::<String>::new());

    let query = ListQuery { state: Some(StateName::InDoubt), ..ListQuery::default() };
    let mut pages = scene.store.list(namespace("orders"), &query).unwrap();
    while let ([], Some(cursor)) = (pages.entries.as_slice(), pages.next) {
        pages = scene.store.list(namespace("orders"), &ListQuery { cursor, ..query }).unwrap();
    }
    let [entry] = pages.entries.as_slice() else { panic!("{pages:?}") };
    assert_eq!((entry.age, entry.retention_left), (Millis::new(1_000), Millis::new(9_000)));
    assert_eq!((entry.attempt_number, entry.doubt_number), (1, 1), "what a resolver names");
    scene.clock.advance(Millis::new(9_000));
    assert_eq!(keys(None, None), ["late"], "absent, though not reclaimed (S7)");
}

#[test]
fn a_page_has_its_bounds_and_may_be_short_s20() {
    let scene = Scene::new();
    scene.own("k", &ask(1));
    for (entries_max, good) in [(0, false), (1, true), (1_000, true), (1_001, false)] {
        let query = ListQuery { entries_max, ..ListQuery::default() };
        let listed = scene.store.list(namespace("orders"), &query);
        let bad = StoreError::BadInput(BadInput::PageEntries { got: entries_max });
        assert_eq!(listed.err(), (!good).then_some(bad), "{entries_max}");
    }
    // A cursor is the store's to read: any other finds the end.
    for cursor in [1, u64::from(u32::MAX), 1 << 32, 77 << 32, u64::MAX] {
        let query = ListQuery { cursor: PageCursor(cursor), ..ListQuery::default() };
        let page = scene.store.list(namespace("orders"), &query).unwrap();
        assert!(page.entries.len() <= 1, "{cursor}");
    }
    // More of another namespace than one page looks at: short pages that still go on.
    for number in 0..30_000 {
        acquired(begin(&scene.store, within("labels", &number.to_string()), &ask(number)));
    }
    let mut pages = 0;
    let seen = list(&scene.store, ListQuery::default(), || pages += 1);
    assert_eq!(seen, BTreeMap::from([("k".to_owned(), 1)]));
    assert!(pages >= 2, "{pages}: no page looks at all there is");
}
