//! Many retentions at once: memory is kept by when it ends, and must not be stranded by that.

use onceward::{Begin, Millis, StoreConfig};
use onceward_testkit::SplitMix64;

use crate::scene::{Scene, ask};

/// 1 s to 30 days, spread over the orders of magnitude.
fn retention(random: &mut SplitMix64, number: u64) -> Millis {
    const LONGEST: u64 = 30 * 24 * 3_600_000;
    let magnitude = random.within(10..32);
    let retention = (1_000 + random.within(0..1 << magnitude)).min(LONGEST - number);
    Millis::new(retention)
}

const BODY: usize = 200;
/// Families of entries that end about together: levels of the wheel, slots of each.
const FAMILIES_MAX: u64 = 17 * 42;
/// What a family may hold and not use.
const SLACK_BYTES: u64 = 4_096;
/// What one entry of this test takes beside its body: header, key, and rounding.
const ENTRY_BYTES: u64 = 400;

#[test]
fn a_thousand_retentions_strand_no_memory_s11() {
    for entries in [1_000, 10_000] {
        let scene = Scene::with(StoreConfig::with_memory(256 << 20));
        let mut random = SplitMix64::new(entries);
        let empty = scene.memory_used();
        for number in 0..entries {
            let retention = retention(&mut random, number);
            let key = format!("key-{number}");
            let begin = Begin { retention, ..ask(number) };
            let token = scene.own(&key, &begin);
            scene.finish(&key, token, &[number as u8; BODY]);
        }
        let used = scene.memory_used() - empty;
        let needed = entries * (BODY as u64 + ENTRY_BYTES);
        let bound = needed + FAMILIES_MAX.min(entries) * SLACK_BYTES;
        assert!(used <= bound, "{entries} entries take {used} B, {bound} at most");
        // As they end, one after the other, what is left stays in proportion.
        let mut left = entries;
        for _ in 0..31 {
            scene.advance(24 * 3_600_000);
            left = left.min(scene.store.stats().entries);
            let bound = left * (BODY as u64 + ENTRY_BYTES) + FAMILIES_MAX.min(left) * SLACK_BYTES;
            let used = scene.memory_used() - empty;
            assert!(used <= bound, "{left} of {entries} entries take {used} B, {bound} at most");
        }
        assert_eq!((left, scene.memory_used()), (0, empty));
    }
}
