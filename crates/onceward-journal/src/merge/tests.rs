use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const MEMORY: Millis = Millis::new(100);

/// One frame, as recovery sees it, without its place.
#[derive(Clone, Copy, Debug)]
enum Seen {
    Acquired { identity: u64, expires_at: u64 },
    Completed,
    Other(Other),
}

/// What the naive model keeps of an identity: numbers of frames, not places.
#[derive(Clone, Debug, Default, PartialEq)]
struct Entry {
    fence: u64,
    expires_at: u64,
    completed: bool,
    doubted: Option<u32>,
    lease: u32,
    binds: bool,
    checkpoint: u32,
}

/// Replays a history in order, one entry per identity, as the store itself does it.
fn replay(history: &[(u64, Seen)], now: u64) -> BTreeMap<u64, Entry> {
    let mut entries: BTreeMap<u64, Entry> = BTreeMap::new();
    for (fence, seen) in history {
        if let Seen::Acquired { identity, expires_at } = seen {
            let taken = entries.get(identity).map_or(0, |before| before.checkpoint);
            let entry = Entry {
                fence: *fence,
                expires_at: *expires_at,
                checkpoint: taken,
                ..Entry::default()
            };
            entries.insert(*identity, entry);
            continue;
        }
        if let Seen::Other(Other::Removed { .. }) = seen {
            entries.retain(|_, entry| entry.fence != *fence);
            continue;
        }
        let Some(entry) = entries.values_mut().find(|entry| entry.fence == *fence) else {
            continue; // Its acquisition is not the current one.
        };
        match *seen {
            Seen::Completed => {
                entry.completed = true;
                entry.doubted = None;
                entry.checkpoint = 0;
            }
            Seen::Other(Other::Doubted { doubt_number }) => entry.doubted = Some(doubt_number),
            Seen::Other(Other::Extended { lease, binds, .. }) => {
                entry.doubted = None;
                entry.lease = entry.lease.max(lease);
                entry.binds |= binds;
            }
            Seen::Other(Other::Checkpointed { ordinal }) => {
                entry.checkpoint = entry.checkpoint.max(ordinal);
            }
            Seen::Other(Other::TookOver { .. } | Other::Removed { .. }) | Seen::Acquired { .. } => {
            }
        }
    }
    entries.retain(|_, entry| now < entry.expires_at);
    entries
}

/// What a step of a history does to the identity it falls on, if it can.
#[derive(Clone, Copy, Debug)]
enum Step {
    Begin { takeover: bool },
    Complete,
    Remove,
    Doubt,
    Extend { lease: u32, binds: bool },
    Checkpoint { ordinal: u32 },
}

fn step() -> impl Strategy<Value = (u64, Step)> {
    let step = prop_oneof![
        4 => any::<bool>().prop_map(|takeover| Step::Begin { takeover }),
        2 => Just(Step::Complete),
        2 => Just(Step::Remove),
        2 => Just(Step::Doubt),
        2 => (1..100_u32, any::<bool>()).prop_map(|(lease, binds)| Step::Extend { lease, binds }),
        2 => (1..9_u32).prop_map(|ordinal| Step::Checkpoint { ordinal }),
    ];
    (0..4_u64, step)
}

/// What the store would record for these steps: one fence after the other, and of a fence only
/// what may happen to it.
fn history(steps: &[(u64, Step)]) -> Vec<(u64, Seen)> {
    #[derive(Default)]
    struct Standing {
        fence: u64,
        completed: bool,
        doubts: u32,
        expires_at: u64,
    }
    let mut standing: BTreeMap<u64, Standing> = BTreeMap::new();
    let mut history = Vec::new();
    for (at, (identity, step)) in (1_u64..).zip(steps) {
        let fence = at;
        match (standing.get_mut(identity), *step) {
            (None, Step::Begin { .. }) => {
                let expires_at = if at % 5 == 0 { 10 } else { 10_000 };
                standing.insert(*identity, Standing { fence, expires_at, ..Standing::default() });
                history.push((fence, Seen::Acquired { identity: *identity, expires_at }));
            }
            (Some(held), Step::Begin { takeover: true }) if !held.completed => {
                let previous = std::mem::replace(&mut held.fence, fence);
                held.doubts = 0;
                let expires_at = held.expires_at;
                history.push((fence, Seen::Acquired { identity: *identity, expires_at }));
                history.push((fence, Seen::Other(Other::TookOver { previous })));
            }
            (Some(held), Step::Complete) if !held.completed => {
                held.completed = true;
                history.push((held.fence, Seen::Completed));
            }
            (Some(held), Step::Remove) => {
                let removed = Other::Removed { at: Timestamp::from_millis(at) };
                history.push((held.fence, Seen::Other(removed)));
                standing.remove(identity);
            }
            (Some(held), Step::Doubt) if !held.completed => {
                held.doubts += 1;
                let doubted = Other::Doubted { doubt_number: held.doubts };
                history.push((held.fence, Seen::Other(doubted)));
            }
            (Some(held), Step::Extend { lease, binds }) if !held.completed => {
                let extended = Other::Extended { lease, doubts_over: held.doubts, binds };
                history.push((held.fence, Seen::Other(extended)));
            }
            (Some(held), Step::Checkpoint { ordinal }) if !held.completed => {
                history.push((held.fence, Seen::Other(Other::Checkpointed { ordinal })));
            }
            _ => {}
        }
    }
    history
}

/// Merges the frames of `history` that `order` names, each in one of three files.
fn merged(history: &[(u64, Seen)], order: &[usize], parts: u64, now: u64) -> BTreeMap<u64, Entry> {
    let mut rows: Vec<Rows> = (0..parts).map(|_| Rows::default()).collect();
    let mut offsets = [0; 3];
    let mut frames = BTreeMap::new();
    for (turn, &number) in order.iter().enumerate() {
        let (fence, seen) = history[number];
        let file = (turn * 7 + number) % 3;
        let place = Place::new(file as u32, offsets[file]);
        offsets[file] += 8;
        frames.insert(place, number);
        let rows = &mut rows[(fence % parts) as usize];
        match seen {
            Seen::Acquired { identity, expires_at } => rows.acquired.push(AcquiredRow {
                fence,
                identity: [identity, 5],
                expires_at: Timestamp::from_millis(expires_at),
                place,
            }),
            Seen::Completed => rows.completed.push(CompletedRow { fence, place }),
            Seen::Other(other) => rows.others.push(OtherRow { fence, place, other }),
        }
    }
    let mut extras = Vec::new();
    let mut lives: Vec<Life> =
        rows.into_iter().flat_map(|rows| join(rows, &mut extras, |_, _| {})).collect();
    let mut decided = Decided::default();
    decide(&mut lives, &extras, Timestamp::from_millis(now), MEMORY, &mut decided);
    decided
        .winners
        .iter()
        .map(|winner| {
            let (fence, acquired) = history[frames[&winner.acquired]];
            let Seen::Acquired { identity, expires_at } = acquired else {
                panic!("a winner's grant is one")
            };
            let extra = decided.extras.get(winner.extra as usize).copied().unwrap_or(Extra::EMPTY);
            let completed = winner.completed.is_some();
            if completed {
                assert_eq!(history[frames[&winner.completed]].0, fence, "S4: its own result");
            }
            let entry = Entry {
                fence,
                expires_at,
                completed,
                doubted: (extra.is_in_doubt() && !completed).then_some(extra.doubted.0),
                lease: extra.lease,
                binds: extra.bound.is_some(),
                checkpoint: if completed { 0 } else { extra.checkpoint.0 },
            };
            (identity, entry)
        })
        .collect()
}

proptest! {
    /// S13: what the files say together is what the store had, however facts lie in them.
    #[test]
    fn any_order_and_any_split_says_what_a_replay_in_order_says(
        steps in proptest::collection::vec(step(), 0..40),
        swaps in proptest::collection::vec((any::<Index>(), any::<Index>()), 0..60),
        twice in proptest::collection::vec(any::<Index>(), 0..8),
        parts in 1..5_u64,
    ) {
        let history = history(&steps);
        let want = replay(&history, 50);
        let mut order: Vec<usize> = (0..history.len()).collect();
        if !order.is_empty() {
            // What was written again after a fault is there twice.
            order.extend(twice.iter().map(|number| number.index(history.len())));
            for (one, other) in &swaps {
                let len = order.len();
                order.swap(one.index(len), other.index(len));
            }
        }
        prop_assert_eq!(merged(&history, &order, parts, 50), want);
    }

    /// A row whose acquisition is not there changes nothing (S4).
    #[test]
    fn rows_of_unknown_fences_change_nothing(
        steps in proptest::collection::vec(step(), 0..30),
        strays in proptest::collection::vec((1_000..1_004_u64, 0..4_usize), 1..10),
    ) {
        let mut history = history(&steps);
        let order: Vec<usize> = (0..history.len()).collect();
        let want = merged(&history, &order, 2, 50);
        for (fence, kind) in strays {
            let stray = [
                Seen::Completed,
                Seen::Other(Other::Removed { at: Timestamp::ZERO }),
                Seen::Other(Other::Doubted { doubt_number: 1 }),
                Seen::Other(Other::Checkpointed { ordinal: 99 }),
            ][kind];
            history.push((fence, stray));
        }
        let order: Vec<usize> = (0..history.len()).rev().collect();
        prop_assert_eq!(merged(&history, &order, 2, 50), want);
    }
}

#[test]
fn ended_attempts_are_remembered_from_their_end_s3() {
    let at = Timestamp::from_millis;
    let rows = Rows {
        acquired: [1, 2]
            .map(|fence| AcquiredRow {
                fence,
                identity: [7, 7],
                expires_at: at(1_000),
                place: Place::new(0, 64 * fence),
            })
            .to_vec(),
        completed: Vec::new(),
        others: vec![OtherRow {
            fence: 1,
            place: Place::new(0, 900),
            other: Other::Removed { at: at(50) },
        }],
    };
    for (now, remembered) in [(149, true), (150, false)] {
        let (mut extras, mut decided) = (Vec::new(), Decided::default());
        let mut lives = join(rows.clone(), &mut extras, |_, _| {});
        decide(&mut lives, &extras, at(now), MEMORY, &mut decided);
        let ended = Ended { acquired: Place::new(0, 64), ended_at: at(50) };
        assert_eq!(decided.ended, if remembered { vec![ended] } else { Vec::new() });
        assert_eq!(decided.winners.len(), 1, "the later acquisition stands");
    }
}

#[test]
fn a_frame_counts_towards_the_end_of_its_file() {
    let at = Timestamp::from_millis;
    let place = |file| Place::new(file, 64);
    let rows = Rows {
        acquired: vec![AcquiredRow {
            fence: 4,
            identity: [1, 1],
            expires_at: at(77),
            place: place(0),
        }],
        completed: vec![
            CompletedRow { fence: 3, place: place(1) },
            CompletedRow { fence: 4, place: place(2) },
        ],
        others: vec![OtherRow {
            fence: 4,
            place: place(3),
            other: Other::Doubted { doubt_number: 1 },
        }],
    };
    let mut used = Vec::new();
    join(rows, &mut Vec::new(), |place, expires_at| used.push((place.file(), expires_at)));
    assert_eq!(used, [(2, at(77)), (3, at(77))], "what belongs to nobody keeps no file");
}
