//! S2 at the wire: 64 connections begin one new key at once, for 10,000 keys.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Barrier, Mutex};
use std::thread;

use onceward_core::{AttemptId, Begin, BeginOutcome, Fence, Fingerprint, ScopedKey};
use onceward_proto::{Opcode, Reply, Request};

use crate::server::Server;
use crate::wire::Peer;

const CONNECTIONS: usize = 64;
const KEYS: usize = 10_000;
/// Keys between two barriers: few enough to keep the connections close together, enough that the
/// barriers cost little.
const KEYS_PER_ROUND: usize = 50;

#[derive(Default)]
struct Told {
    acquired: AtomicU32,
    in_progress: AtomicU32,
}

#[test]
fn of_64_connections_that_begin_one_new_key_at_once_one_is_acquired_for_10_000_keys() {
    let server = Server::start();
    let told: Vec<Told> = (0..KEYS).map(|_| Told::default()).collect();
    let fences = Mutex::new(Vec::with_capacity(KEYS));
    let barrier = Barrier::new(CONNECTIONS);
    thread::scope(|scope| {
        for caller in 0..CONNECTIONS {
            let (told, fences, barrier) = (&told, &fences, &barrier);
            let peer = Peer::welcome(server.address);
            scope.spawn(move || begin_every_key(caller, peer, told, fences, barrier));
        }
    });
    for (number, told) in told.iter().enumerate() {
        let (acquired, in_progress) = (told.acquired.load(Relaxed), told.in_progress.load(Relaxed));
        assert_eq!((acquired, in_progress), (1, CONNECTIONS as u32 - 1), "key {number}");
    }
    let mut fences = fences.into_inner().expect("no thread panicked");
    fences.sort_unstable();
    fences.dedup();
    assert_eq!(fences.len(), KEYS, "a fence was given twice");
}

/// Each round every connection sends the same keys in the same order, from one starting line.
fn begin_every_key(
    caller: usize,
    mut peer: Peer,
    told: &[Told],
    fences: &Mutex<Vec<Fence>>,
    barrier: &Barrier,
) {
    let mut out = Vec::new();
    for round in 0..KEYS / KEYS_PER_ROUND {
        let first = round * KEYS_PER_ROUND;
        out.clear();
        let mut first_correlation = None;
        for number in first..first + KEYS_PER_ROUND {
            let name = (number as u64).to_le_bytes();
            let key = ScopedKey::new(b"", &name).expect("eight bytes");
            let begin = Begin::new(Fingerprint::None, attempt(caller, number));
            let correlation = peer.encode(&Request::Begin { key, begin }, &mut out);
            first_correlation.get_or_insert(correlation);
        }
        let first_correlation = first_correlation.expect("rounds have keys");
        barrier.wait();
        peer.send_bytes(&out);
        for _ in 0..KEYS_PER_ROUND {
            let read = peer.read_with(|frame| {
                let number = first + (frame.correlation - first_correlation) as usize;
                match Reply::decode(Opcode::Begin, frame.body) {
                    Ok(Reply::Begin(BeginOutcome::Acquired(acquired))) => {
                        assert_eq!(acquired.token.attempt_id, attempt(caller, number));
                        told[number].acquired.fetch_add(1, Relaxed);
                        fences.lock().expect("no thread panicked").push(acquired.token.fence);
                    }
                    Ok(Reply::Begin(BeginOutcome::InProgress { .. })) => {
                        told[number].in_progress.fetch_add(1, Relaxed);
                    }
                    other => panic!("caller {caller}, key {number}: {other:?}"),
                }
            });
            read.expect("a reply in time").expect("an open connection");
        }
    }
}

fn attempt(caller: usize, key: usize) -> AttemptId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(caller as u64).to_le_bytes());
    bytes[8..].copy_from_slice(&(key as u64).to_le_bytes());
    AttemptId::from_bytes(bytes)
}
