//! The invariants of the seam, one by one, as no interleaving of threads is sure to show them.

use onceward_core::lifecycle::{self, BeginDecision};
use onceward_core::{Begin, Fence, Fingerprint};

use super::*;
use crate::hash_key::HashKey;
use crate::storage::Charge;

fn storage() -> Plain {
    let budget = Arc::new(Budget::new(1 << 20, 0));
    let namespaces = Arc::new(Namespaces::new(&std::collections::BTreeMap::new()));
    Plain::new(1, HashKey::random(), 100, budget, Arc::default(), namespaces, Timestamp::ZERO)
}

fn identity(key: &[u8]) -> Identity<'_> {
    Identity::new("orders", b"tenant", key).unwrap()
}

fn acquired(fence: u64) -> View {
    let request = Begin::new(Fingerprint::None, AttemptId::from_bytes([fence as u8; 16]));
    let BeginDecision::Acquire(grant) = lifecycle::begin(None, &request, false, Timestamp::ZERO)
    else {
        panic!("the identity is absent")
    };
    grant.with_fence(Fence::new(fence).unwrap()).0
}

fn insert(view: &View) -> Change<'_> {
    Change::Insert { view, charge: Charge::default(), quota: None }
}

const REMOVE: Change<'static> =
    Change::Remove { remembered_until: Timestamp::from_millis(100), now: Timestamp::ZERO };

#[test]
fn a_commit_applies_to_the_version_it_names_and_to_no_other_s2_s4() {
    let storage = storage();
    let id = storage.hashed(identity(b"k"));
    let other = storage.hashed(identity(b"other"));
    let load = || storage.load(&NoPin, &id, None, Timestamp::ZERO);
    let commit =
        |version, change: Change<'_>| storage.commit(&NoPin, &id, version, Access::Free, change);

    let absent = load();
    assert!(absent.entry.is_none());
    assert_eq!(commit(absent.version, insert(&acquired(1))), Ok(()));
    assert_eq!(
        commit(absent.version, insert(&acquired(2))),
        Err(Uncommitted::Stale),
        "S2: it is not absent any more"
    );
    let first = load();
    let view = first.entry.as_ref().unwrap().view;
    assert_eq!(view.version, first.version, "an entry is versioned by its view");
    assert_eq!(commit(first.version, Change::Update { view: &view }), Ok(()));
    assert_eq!(
        commit(first.version, Change::Update { view: &view }),
        Err(Uncommitted::Stale),
        "each has its own"
    );
    let second = load().version;
    assert_eq!(commit(second, REMOVE), Ok(()));
    assert_eq!(commit(second, REMOVE), Err(Uncommitted::Stale), "it is gone");
    assert_eq!(
        commit(absent.version, insert(&acquired(3))),
        Err(Uncommitted::Stale),
        "S4: an absence seen before another acquisition came and went is not the present one"
    );
    assert_eq!(commit(load().version, insert(&acquired(4))), Ok(()));

    let absent = storage.load(&NoPin, &other, None, Timestamp::ZERO).version;
    assert_eq!(
        storage.commit(&NoPin, &other, load().version, Access::Free, insert(&acquired(5))),
        Err(Uncommitted::Stale)
    );
    assert_eq!(storage.commit(&NoPin, &other, absent, Access::Free, insert(&acquired(5))), Ok(()));
}

#[test]
fn what_is_reclaimed_under_a_commit_makes_it_stale_s7() {
    let storage = storage();
    let id = storage.hashed(identity(b"k"));
    let absent = storage.load(&NoPin, &id, None, Timestamp::ZERO).version;
    storage.commit(&NoPin, &id, absent, Access::Free, insert(&acquired(1))).unwrap();
    let seen = storage.load(&NoPin, &id, None, Timestamp::ZERO);
    let expired = seen.entry.as_ref().unwrap().view.expires_at;
    storage.reclaim(expired, &mut 100);
    let anew = storage.commit(&NoPin, &id, seen.version, Access::Free, insert(&acquired(2)));
    assert_eq!(anew, Err(Uncommitted::Stale), "what it was to replace has gone");
    let absent = storage.load(&NoPin, &id, None, expired).version;
    assert_eq!(storage.commit(&NoPin, &id, absent, Access::Free, insert(&acquired(2))), Ok(()));
    let entry = storage.load(&NoPin, &id, None, expired).entry.unwrap();
    assert_eq!(entry.view.fence.get(), 2);
}

#[test]
fn a_watched_identity_changes_under_the_waits_lock_only_s10() {
    let storage = storage();
    let id = storage.hashed(identity(b"k"));
    let load = || storage.load(&NoPin, &id, None, Timestamp::ZERO);
    let commit =
        |version, access, change: Change<'_>| storage.commit(&NoPin, &id, version, access, change);
    let absent = load();
    assert!(!absent.watched);
    assert_eq!(commit(absent.version, Access::Free, insert(&acquired(1))), Ok(()));
    assert_eq!(storage.watch(&NoPin, &id, absent.version), Err(Stale), "it was judged before");
    let seen = load().version;
    assert_eq!(storage.watch(&NoPin, &id, seen), Ok(()));
    assert!(load().watched);
    let free = commit(seen, Access::Free, REMOVE);
    assert_eq!(free, Err(Uncommitted::Stale), "it was looked at before anybody waited");
    let version = load().version;
    assert_eq!(commit(version, Access::Exclusive, REMOVE), Ok(()));
    let absent = load();
    assert!(absent.watched && absent.view().is_none(), "the line is still there");
    assert_eq!(commit(absent.version, Access::Free, insert(&acquired(2))), Err(Uncommitted::Stale));
    assert_eq!(commit(absent.version, Access::Exclusive, insert(&acquired(3))), Ok(()));
    assert!(load().watched);
    storage.unwatch(&id);
    let loaded = load();
    assert!(!loaded.watched);
    assert_eq!(commit(loaded.version, Access::Free, REMOVE), Ok(()));
}
