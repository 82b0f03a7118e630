//! Bytes that say whose they are: a replay of another key's, of nobody's, or of some of each
//! is told from the right one (S5, S16).

use onceward_testkit::SplitMix64;

const HEAD: usize = 16;

/// What the acquisition with this fence of the key with this number leaves, `size` bytes long and
/// at least 16.
pub(crate) fn of(key: u64, fence: u64, size: usize) -> Vec<u8> {
    let mut bytes = [key.to_le_bytes(), fence.to_le_bytes()].concat();
    let mut random = SplitMix64::new(key ^ fence.rotate_left(32));
    while bytes.len() < size {
        bytes.extend_from_slice(&random.next_u64().to_le_bytes());
    }
    bytes.truncate(size.max(HEAD));
    bytes
}

/// Checks every byte; the fence they are of.
pub(crate) fn check(key: u64, bytes: &[u8]) -> u64 {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    assert!(bytes.len() >= HEAD, "S5: key {key} holds {} bytes that nobody left", bytes.len());
    assert_eq!(number(0), key, "S16: bytes of another key");
    let fence = number(8);
    assert!(bytes == of(key, fence, bytes.len()), "S5: key {key}, fence {fence}: torn bytes");
    fence
}
