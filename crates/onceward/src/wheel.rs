//! The TTL wheel: which entries are due, without sorting them.
//!
//! Six levels of 64 slots. A slot of level `n` spans `64^n` ms, so the wheel reaches 2^36 ms
//! (2.2 years) ahead; what lies further is held in the outermost level and looked at again.
//! Nodes are named by the caller's small indices and linked by index, so there is no allocation
//! per entry beyond one link, and removal is O(1).
//!
//! Invariants:
//! 1. A node is in at most one list: the one its link names.
//! 2. A slot's bit is set exactly when its list has a node.
//! 3. No node in a level lies before `elapsed`, except in a slot whose span has begun and which
//!    is being drained. [`Wheel::pop_due`] moves one node per step, so work is bounded by the
//!    caller's budget, whatever a slot holds.

const LEVELS: usize = 6;
const SLOT_BITS: usize = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// How far ahead a node can be told apart, in ms.
const SPAN_MS: u64 = 1 << (LEVELS * SLOT_BITS);
const NIL: u32 = u32::MAX;

#[derive(Clone, Copy)]
enum Place {
    Nowhere,
    Due,
    Slot { level: u8, slot: u8 },
}

#[derive(Clone, Copy)]
struct Link {
    prev: u32,
    next: u32,
    when: u64,
    place: Place,
}

const UNLINKED: Link = Link { prev: NIL, next: NIL, when: 0, place: Place::Nowhere };

struct Level {
    occupied: u64,
    heads: [u32; SLOTS],
    /// By occupied slot: no node in it is due earlier. Exact unless that node has been removed.
    earliest: [u64; SLOTS],
}

impl Level {
    const EMPTY: Self = Self { occupied: 0, heads: [NIL; SLOTS], earliest: [0; SLOTS] };

    /// How many slots ahead of the one for `elapsed` the first occupied one lies.
    fn first_ahead(&self, index: usize, elapsed: u64) -> Option<(usize, u64)> {
        if self.occupied == 0 {
            return None;
        }
        let here = ((elapsed >> (index * SLOT_BITS)) as usize & (SLOTS - 1)) as u32;
        let ahead = self.occupied.rotate_right(here).trailing_zeros();
        Some((((here + ahead) as usize) & (SLOTS - 1), u64::from(ahead)))
    }
}

pub(crate) struct Wheel {
    /// All nodes before this instant have been moved to `due`.
    elapsed: u64,
    levels: [Level; LEVELS],
    due: u32,
    links: Vec<Link>,
}

impl Wheel {
    pub(crate) fn new(now: u64) -> Self {
        Self {
            elapsed: now,
            levels: std::array::from_fn(|_| Level::EMPTY),
            due: NIL,
            links: Vec::new(),
        }
    }

    /// Arms `node`, which must not be armed, for `when`.
    pub(crate) fn insert(&mut self, node: u32, when: u64) {
        let index = node as usize;
        if index >= self.links.len() {
            self.links.resize(index + 1, UNLINKED);
        }
        debug_assert!(matches!(self.links[index].place, Place::Nowhere), "invariant 1");
        self.links[index].when = when;
        self.push(node);
    }

    /// Disarms `node`; nothing happens if it is not armed.
    pub(crate) fn remove(&mut self, node: u32) {
        let Some(&link) = self.links.get(node as usize) else { return };
        match link.prev {
            NIL => match link.place {
                Place::Nowhere => return,
                Place::Due => self.due = link.next,
                Place::Slot { level, slot } => {
                    let level = &mut self.levels[usize::from(level)];
                    level.heads[usize::from(slot)] = link.next;
                    if link.next == NIL {
                        level.occupied &= !(1 << slot); // Invariant 2.
                    }
                }
            },
            prev => self.links[prev as usize].next = link.next,
        }
        if link.next != NIL {
            self.links[link.next as usize].prev = link.prev;
        }
        self.links[node as usize] = UNLINKED;
    }

    /// The next node due at `now`, disarmed; at most `steps` nodes are moved in the search, and
    /// `steps` is lowered by the work done. `None` with steps left means that nothing is due.
    pub(crate) fn pop_due(&mut self, now: u64, steps: &mut usize) -> Option<u32> {
        while *steps > 0 {
            if self.due != NIL {
                let node = self.due;
                *steps -= 1;
                self.remove(node);
                return Some(node);
            }
            let Some(next) = self.next_slot() else {
                self.elapsed = self.elapsed.max(now);
                return None;
            };
            if next.start > now {
                self.elapsed = self.elapsed.max(now);
                return None;
            }
            self.elapsed = self.elapsed.max(next.start);
            let node = self.levels[next.level].heads[next.slot];
            *steps -= 1;
            let when = self.links[node as usize].when; // `remove` clears the link.
            self.remove(node);
            self.links[node as usize].when = when;
            self.push(node);
        }
        None
    }

    /// No node is due before this instant; `None` if none is armed. A lower bound: nodes far
    /// ahead share a slot and are told apart when it begins.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        if self.due != NIL {
            return Some(self.elapsed);
        }
        self.next_slot().map(|next| next.start)
    }

    /// The earliest instant of any node, or a lower bound if the node it belonged to was removed.
    pub(crate) fn first_instant(&self) -> Option<u64> {
        if self.due != NIL {
            return Some(self.elapsed);
        }
        // Of one level the first slot has the earliest node; a slot that is being drained may
        // overlap finer ones, so each level has its say.
        let firsts = self.levels.iter().enumerate().filter_map(|(index, level)| {
            level.first_ahead(index, self.elapsed).map(|(slot, _)| level.earliest[slot])
        });
        firsts.min()
    }

    fn push(&mut self, node: u32) {
        let when = self.links[node as usize].when;
        let place = place_of(self.elapsed, when);
        let head = match place {
            Place::Slot { level, slot } => {
                let level = &mut self.levels[usize::from(level)];
                let earliest = &mut level.earliest[usize::from(slot)];
                // A node beyond the span is looked at again no later than what it stands for here.
                let known = within_span(self.elapsed, when);
                let empty = level.occupied & (1 << slot) == 0;
                *earliest = if empty { known } else { known.min(*earliest) };
                level.occupied |= 1 << slot; // Invariant 2.
                &mut level.heads[usize::from(slot)]
            }
            Place::Due | Place::Nowhere => &mut self.due,
        };
        let next = std::mem::replace(head, node);
        if next != NIL {
            self.links[next as usize].prev = node;
        }
        self.links[node as usize] = Link { prev: NIL, next, when, place };
    }

    /// The occupied slot that begins first. Of two that begin together the coarser one, whose
    /// nodes may be due before the finer one's.
    fn next_slot(&self) -> Option<NextSlot> {
        let mut first: Option<NextSlot> = None;
        for (index, level) in self.levels.iter().enumerate() {
            let Some((slot, ahead)) = level.first_ahead(index, self.elapsed) else { continue };
            let shift = index * SLOT_BITS;
            let start = ((self.elapsed >> shift) + ahead) << shift;
            if first.as_ref().is_none_or(|first| start <= first.start) {
                first = Some(NextSlot { level: index, slot, start });
            }
        }
        first
    }
}

struct NextSlot {
    level: usize,
    slot: usize,
    start: u64,
}

/// Where an instant belongs, seen from `elapsed`: the level whose digit, in base 64, is the
/// highest in which the two differ.
fn place_of(elapsed: u64, when: u64) -> Place {
    if when <= elapsed {
        return Place::Due;
    }
    let when = within_span(elapsed, when);
    let highest_bit = 63 - ((elapsed ^ when) | (SLOTS as u64 - 1)).leading_zeros();
    let level = (highest_bit as usize / SLOT_BITS).min(LEVELS - 1);
    let slot = (when >> (level * SLOT_BITS)) as usize & (SLOTS - 1);
    Place::Slot { level: level as u8, slot: slot as u8 }
}

/// Beyond the span: the last slot that is not the current one, to be looked at again.
fn within_span(elapsed: u64, when: u64) -> u64 {
    when.min(elapsed.saturating_add(SPAN_MS - (SPAN_MS >> SLOT_BITS) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn drain(wheel: &mut Wheel, now: u64) -> BTreeSet<u32> {
        let mut steps = usize::MAX;
        std::iter::from_fn(|| wheel.pop_due(now, &mut steps)).collect()
    }

    #[test]
    fn a_node_is_due_at_its_instant_and_not_before_s7() {
        let day = 24 * 3_600_000;
        for start in [0, 63, 64, 4_095, 4_096, day - 1, 1 << 35, (1 << 36) - 1, 1 << 41] {
            for ahead in [1, 63, 64, 65, 4_096, 100_000, day, 30 * day, 400 * day, 4_000 * day] {
                let mut wheel = Wheel::new(start);
                wheel.insert(7, start + ahead);
                assert_eq!(
                    drain(&mut wheel, start + ahead - 1),
                    BTreeSet::new(),
                    "{start}+{ahead}"
                );
                assert!(wheel.next_deadline().is_some_and(|next| next <= start + ahead));
                assert_eq!(
                    drain(&mut wheel, start + ahead),
                    BTreeSet::from([7]),
                    "{start}+{ahead}"
                );
                assert_eq!(wheel.next_deadline(), None);
            }
        }
    }

    #[test]
    fn a_full_slot_is_drained_in_bounded_steps() {
        let mut wheel = Wheel::new(0);
        for node in 0..10_000 {
            wheel.insert(node, 5_000 + u64::from(node % 7));
        }
        let (mut popped, mut rounds) = (0, 0);
        while popped < 10_000 {
            let mut steps = 100;
            while wheel.pop_due(6_000, &mut steps).is_some() {
                popped += 1;
            }
            rounds += 1;
            assert!(rounds <= 1_000, "each node moves at most once per level");
        }
        assert!(rounds >= 100, "no round pops more than its steps");
    }

    #[test]
    fn the_earliest_instant_is_exact_in_crowded_slots_and_while_one_is_drained_s11() {
        let mut wheel = Wheel::new(10_000);
        for node in (0..1_000).rev() {
            wheel.insert(node, 20_000 + u64::from(node));
        }
        assert_eq!(wheel.first_instant(), Some(20_000));
        assert_eq!(wheel.pop_due(16_384, &mut 100), None, "its slot begins: some nodes move down");
        assert_eq!(wheel.first_instant(), Some(20_000));
        assert_eq!(drain(&mut wheel, 20_000), BTreeSet::from([0]));
        assert_eq!(wheel.first_instant(), Some(20_001));
        wheel.remove(1);
        assert!(wheel.first_instant().is_some_and(|first| first <= 20_002), "a lower bound");
        assert_eq!(drain(&mut wheel, 20_001), BTreeSet::new());
        assert_eq!(wheel.first_instant(), Some(20_002), "exact again once looked at");
    }

    proptest! {
        #[test]
        fn the_wheel_agrees_with_a_sorted_map(
            start in prop_oneof![0..1_000_u64, (1_u64 << 36) - 500..(1_u64 << 36) + 500, 0..1_u64 << 41],
            steps in prop::collection::vec(
                (0..40_u32, 0..4_u8, prop_oneof![0..200_u64, 0..10_000_u64, 0..1_u64 << 37], 1..64_usize),
                1..200,
            ),
        ) {
            let mut wheel = Wheel::new(start);
            let mut model = BTreeMap::new();
            let mut now = start;
            for (node, action, amount, budget) in steps {
                match action {
                    0 | 1 => {
                        wheel.remove(node);
                        wheel.insert(node, now.saturating_add(amount));
                        model.insert(node, now.saturating_add(amount));
                    }
                    2 => {
                        wheel.remove(node);
                        model.remove(&node);
                    }
                    _ => {
                        now += amount;
                        let first = model.values().min().copied();
                        prop_assert_eq!(wheel.next_deadline().is_some(), first.is_some());
                        if let (Some(bound), Some(first)) = (wheel.next_deadline(), first) {
                            prop_assert!(bound <= first.max(now), "a deadline is missed");
                            let earliest = wheel.first_instant();
                            prop_assert!(earliest.is_some_and(|at| at <= first.max(now)));
                        }
                        let mut left = budget;
                        let mut got: BTreeSet<u32> =
                            std::iter::from_fn(|| wheel.pop_due(now, &mut left)).collect();
                        if budget % 2 == 0 {
                            got.extend(drain(&mut wheel, now));
                        }
                        for node in got {
                            let when = model.remove(&node);
                            prop_assert!(when.is_some_and(|when| when <= now), "early, or twice");
                        }
                        if budget % 2 == 0 {
                            prop_assert!(model.values().all(|&when| when > now), "late");
                        }
                    }
                }
            }
        }
    }
}
