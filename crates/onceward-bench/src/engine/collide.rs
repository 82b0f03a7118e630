//! Keys that collide under hashes without a secret: a stranger could send them, and they must cost
//! no more than any others.

use std::sync::Arc;
use std::time::Instant;

use onceward::{BootClock, Store, StoreConfig};
use onceward_core::{
    AttemptId, Begin, BeginOutcome, Body, Complete, CompleteOutcome, Fingerprint, Identity,
    ResultRef,
};

use super::findings::Findings;
use super::own::with_max_entries;
use super::system::Fault;
use crate::workload::mix;

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
const FX_FACTOR: u64 = 0x517c_c1b7_2722_0a95;
/// Low bits in which keys collide under FNV-1a: more than any table of this size looks at.
const FNV_BITS: u32 = 32;
/// Pairs of blocks, each of which leaves the hash as the other does: 2^17 keys.
const FNV_PAIRS: u32 = 17;
/// What is stored under each key.
const BODY: &[u8; 64] = &[b'v'; 64];

/// A family of keys, all of one length.
#[derive(Clone, Debug)]
pub struct Family {
    /// What they do.
    pub name: &'static str,
    /// The keys: different from each other.
    pub keys: Vec<Vec<u8>>,
}

/// At most so many keys of each family; there are at most 2^17.
#[must_use]
pub fn families(most: usize) -> Vec<Family> {
    let most = most.min(1 << FNV_PAIRS);
    vec![
        Family { name: "FNV-1a, equal in 32 low bits", keys: fnv_collisions(most) },
        Family { name: "FxHash, equal in all bits", keys: fx_collisions(most) },
        Family { name: "UUIDs that differ in 4 high bytes", keys: counted_uuids(most) },
    ]
}

/// Measures begin, complete and replay of every family, and of random keys of the same lengths.
///
/// # Errors
/// The store does not start, or an answer is wrong.
pub fn run(most: usize, runs: usize) -> Result<Findings, Fault> {
    let mut findings = Findings::default();
    findings.report.setting("keys of each family", most.min(1 << FNV_PAIRS));
    for family in families(most) {
        let bytes = family.keys.first().map_or(0, Vec::len);
        let random: Vec<_> = (0..family.keys.len() as u64).map(|n| random_key(n, bytes)).collect();
        // The first of each warms up: pages, code, allocator.
        measure(&family.keys)?;
        measure(&random)?;
        let mut ratios = Vec::new();
        for _ in 0..runs {
            let (built, other) = (measure(&family.keys)?, measure(&random)?);
            ratios.push(other / built);
            findings.note(format!("{}: per key", family.name), "ns", built);
            findings.note(format!("random keys of {bytes} bytes beside them"), "ns", other);
        }
        for ratio in ratios {
            findings.note(format!("{}: rate / random", family.name), "", ratio);
        }
    }
    Ok(findings)
}

/// Nanoseconds of begin, complete and replay for each key, in a new store.
fn measure(keys: &[Vec<u8>]) -> Result<f64, Fault> {
    let count = keys.len() as u64;
    let config = StoreConfig::with_memory(count * 8_192 + (64 << 20));
    let store = Store::new(with_max_entries(config, Some(count)), Arc::new(BootClock::new()))?;
    let mut tokens = Vec::with_capacity(keys.len());
    let begin = |number: u64, attempt: u64| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&mix(number).to_le_bytes());
        id[8..].copy_from_slice(&attempt.to_le_bytes());
        let mut begin = Begin::new(Fingerprint::None, AttemptId::from_bytes(id));
        begin.result_hint = Some(BODY.len());
        begin
    };
    let started = Instant::now();
    for (number, key) in (0..).zip(keys) {
        let identity = Identity::new("default", b"", key)?;
        let answer = store.begin(identity, &begin(number, 0), |outcome| match outcome {
            BeginOutcome::Acquired(acquired) => Ok(acquired.token),
            other => Err(format!("a begin of a new key was answered {}", other.name())),
        })?;
        tokens.push(answer.value?);
    }
    for (key, token) in keys.iter().zip(tokens) {
        let identity = Identity::new("default", b"", key)?;
        let complete = Complete { token, result: ResultRef::of(201, BODY), fingerprint: None };
        match store.complete(identity, &complete)?.value {
            CompleteOutcome::Completed { not_kept: None } => {}
            other => return Err(format!("a complete was answered {}", other.name()).into()),
        }
    }
    for (number, key) in (0..).zip(keys) {
        let identity = Identity::new("default", b"", key)?;
        let answer = store.begin(identity, &begin(number, 1), |outcome| match outcome {
            BeginOutcome::Replay(replay) => {
                matches!(replay.result.body, Body::Kept(body) if body == BODY)
            }
            _ => false,
        })?;
        if !answer.value {
            return Err("a replay differs from what was stored".into());
        }
    }
    Ok(started.elapsed().as_nanos() as f64 / count.max(1) as f64)
}

fn random_key(number: u64, bytes: usize) -> Vec<u8> {
    let words = (0..bytes.div_ceil(8) as u64).map(|at| mix(mix(number + 1).wrapping_add(at)));
    let mut key: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    key.truncate(bytes);
    key
}

fn fnv(from: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(from, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}

/// Keys of [`FNV_PAIRS`] blocks. Each block is one of two that take the low bits of the hash from
/// the same state to the same state, so every choice of blocks collides. The low bits of a product
/// depend on low bits only, so a birthday search of 2^16 or so finds each pair.
fn fnv_collisions(most: usize) -> Vec<Vec<u8>> {
    let mask = (1 << FNV_BITS) - 1;
    let mut state = FNV_OFFSET & mask;
    let mut pairs = Vec::new();
    for pair in 0..u64::from(FNV_PAIRS) {
        let mut seen = std::collections::HashMap::new();
        let found = (0_u64..).find_map(|nth| {
            let block = mix((pair << 40) + nth).to_le_bytes();
            let after = fnv(state, &block) & mask;
            seen.insert(after, block).map(|other| (after, [other, block]))
        });
        let Some((after, blocks)) = found else { break };
        state = after;
        pairs.push(blocks);
    }
    let key = |choice: usize| {
        let blocks = pairs.iter().enumerate().map(|(at, pair)| pair[(choice >> at) & 1]);
        blocks.flatten().collect()
    };
    (0..most).map(key).collect()
}

/// Two words each: the second takes back what the first did.
fn fx_collisions(most: usize) -> Vec<Vec<u8>> {
    let key = |number: u64| {
        let first = mix(number);
        let before_second = first.wrapping_mul(FX_FACTOR).rotate_left(5);
        [first.to_le_bytes(), before_second.to_le_bytes()].concat()
    };
    (0..most as u64).map(key).collect()
}

/// UUID text that counts in its first four bytes: a table that takes a key's own low bits as its
/// hash puts them all in one place.
fn counted_uuids(most: usize) -> Vec<Vec<u8>> {
    (0..most).map(|n| format!("{n:08x}-0000-4000-8000-000000000000").into_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn fx(words: [u64; 2]) -> u64 {
        words.iter().fold(0_u64, |hash, word| (hash.rotate_left(5) ^ word).wrapping_mul(FX_FACTOR))
    }

    #[test]
    fn the_keys_differ_and_collide_as_their_family_says() {
        let most = 4_096;
        let hashes = |hash: &dyn Fn(&[u8]) -> u64, keys: &[Vec<u8>]| {
            keys.iter().map(|key| hash(key)).collect::<HashSet<_>>().len()
        };
        let word = |key: &[u8], at: usize| u64::from_le_bytes(key[at..at + 8].try_into().unwrap());
        let low_fnv: &dyn Fn(&[u8]) -> u64 = &|key| fnv(FNV_OFFSET, key) & 0xffff_ffff;
        let whole_fx: &dyn Fn(&[u8]) -> u64 = &|key| fx([word(key, 0), word(key, 8)]);
        let low_bytes: &dyn Fn(&[u8]) -> u64 = &|key| word(key, key.len() - 8);
        for (family, hash) in families(most).iter().zip([low_fnv, whole_fx, low_bytes]) {
            let (name, keys) = (family.name, &family.keys);
            assert_eq!(keys.iter().collect::<HashSet<_>>().len(), most, "{name}: all differ");
            assert_eq!(hashes(hash, keys), 1, "{name}: all collide");
            let bytes = keys[0].len();
            assert!(keys.iter().all(|key| key.len() == bytes && bytes <= 255), "{name}");
            let random: Vec<_> = (0..most as u64).map(|n| random_key(n, bytes)).collect();
            assert!(hashes(hash, &random) > most * 9 / 10, "{name}: random keys do not");
        }
    }

    #[test]
    fn colliding_keys_are_stored_like_others() {
        let findings = run(500, 1).unwrap();
        assert_eq!(findings.report.figures.len(), 9);
    }
}
