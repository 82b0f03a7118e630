//! Nothing is allocated per request: counted over the whole process, by a client that allocates
//! nothing itself. `docs/benchmarks.md` says for which requests that does not hold.

use std::alloc::System;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use onceward::{BootClock, Store, StoreConfig};
use onceward_core::{
    AttemptId, Begin, BeginOutcome, Complete, CompleteOutcome, Digest, Fence, Fingerprint, Get,
    GetOutcome, Millis, Namespace, ResultRef, ScopedKey, Token,
};
use onceward_proto::{ClientConfig, ClientConn, Hello, Received, Reply, Request};
use onceward_server::{Listeners, ServerConfig, run};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes of a stored body.
const BODY_BYTES: usize = 512;
/// Batches of each measured part.
const BATCHES: u64 = 64;
const BATCH_MAX: usize = 16;

/// Asks about so many keys from one on, in one batch.
type Part<'a> = &'a dyn Fn(&mut Peer, u64, usize);

/// One connection that blocks, with buffers that are large enough from the start.
struct Peer {
    stream: TcpStream,
    conn: ClientConn,
    output: Vec<u8>,
    input: Vec<u8>,
    filled: usize,
}

impl Peer {
    fn open(address: std::net::SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        let conn = ClientConn::new(&ClientConfig::default());
        let (output, input) = (Vec::with_capacity(256 * 1024), vec![0; 256 * 1024]);
        let mut peer = Self { stream, conn, output, input, filled: 0 };
        peer.conn.hello(&Hello::new(Namespace::DEFAULT, b""), &mut peer.output);
        peer.exchange(1, |_, reply| assert!(matches!(reply, Reply::Welcome(_))));
        peer
    }

    fn ask(&mut self, request: Request<'_>) {
        self.conn.request(&request, &mut self.output).unwrap();
    }

    /// Sends what was asked, in one write, and sees so many replies, in order.
    fn exchange(&mut self, replies: usize, mut see: impl FnMut(usize, Reply<'_>)) {
        self.stream.write_all(&self.output).unwrap();
        self.output.clear();
        let mut seen = 0;
        while seen < replies {
            let mut done = 0;
            while let Some((received, size)) =
                self.conn.next(&self.input[done..self.filled]).unwrap()
            {
                let Received::Reply { reply, .. } = received else { panic!("{received:?}") };
                see(seen, reply);
                (seen, done) = (seen + 1, done + size);
            }
            self.input.copy_within(done..self.filled, 0);
            self.filled -= done;
            if seen < replies {
                let size = self.stream.read(&mut self.input[self.filled..]).unwrap();
                assert!(size > 0, "the server closed");
                self.filled += size;
            }
        }
    }

    fn begins(&mut self, first: u64, count: usize, attempt: u8) {
        for number in first..first + count as u64 {
            let text = key_text(number);
            let fingerprint = Fingerprint::Digest(Digest::new(&[7; 16]).unwrap());
            let begin = Begin {
                result_hint: Some(BODY_BYTES),
                ..Begin::new(fingerprint, AttemptId::from_bytes([attempt; 16]))
            };
            self.ask(Request::Begin { key: ScopedKey::new(b"", &text).unwrap(), begin });
        }
    }

    /// Begins and completes keys that are new.
    fn first(&mut self, first: u64, count: usize) {
        let body = [3; BODY_BYTES];
        let mut tokens = [None; BATCH_MAX];
        self.begins(first, count, 1);
        self.exchange(count, |at, reply| {
            let Reply::Begin(BeginOutcome::Acquired(acquired)) = reply else { panic!("{reply:?}") };
            tokens[at] = Some(acquired.token);
        });
        for (at, number) in (first..first + count as u64).enumerate() {
            let text = key_text(number);
            let nobody =
                Token { fence: Fence::LARGEST, attempt_id: AttemptId::from_bytes([0; 16]) };
            let token = tokens[at].unwrap_or(nobody);
            let result = ResultRef::of(200, &body);
            let complete = Complete { token, result, fingerprint: None };
            self.ask(Request::Complete { key: ScopedKey::new(b"", &text).unwrap(), complete });
        }
        self.exchange(count, |_, reply| {
            assert_eq!(reply, Reply::Complete(CompleteOutcome::Completed { not_kept: None }));
        });
    }

    /// Begins keys that are stored, as another attempt.
    fn replay(&mut self, first: u64, count: usize) {
        self.begins(first, count, 2);
        self.exchange(count, |_, reply| {
            let Reply::Begin(BeginOutcome::Replay(replay)) = reply else { panic!("{reply:?}") };
            assert_eq!(replay.result.body.kept(), Some(&&[3; BODY_BYTES][..]));
        });
    }

    fn get(&mut self, first: u64, count: usize) {
        for number in first..first + count as u64 {
            let text = key_text(number);
            let (key, get) = (ScopedKey::new(b"", &text).unwrap(), Get { wait: Millis::ZERO });
            self.ask(Request::Get { key, get });
        }
        self.exchange(count, |_, reply| {
            assert!(matches!(reply, Reply::Get(GetOutcome::Completed(_))), "{reply:?}");
        });
    }
}

/// A UUID's text with a number in it.
fn key_text(number: u64) -> [u8; 36] {
    let mut text = *b"01234567-89ab-4cde-8f01-000000000000";
    for (at, digit) in text[24..].iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (4 * (11 - at)) & 0xf) as usize];
    }
    text
}

#[test]
fn no_request_allocates_once_buffers_have_grown() {
    let config = ServerConfig::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let store = Store::new(StoreConfig::default(), Arc::new(BootClock::new())).unwrap();
    let inside = runtime.enter();
    let listeners = Listeners::bind(&["127.0.0.1:0".parse().unwrap()], &[], &config).unwrap();
    let address = listeners.tcp_addresses()[0];
    drop(inside);
    let server = std::thread::spawn(move || {
        runtime.block_on(run(listeners, store, config, async {
            let _ = stopped.await;
        }))
    });

    let mut peer = Peer::open(address);
    // One stays open, so that not every block of a reservation is idle, which is looked for and
    // given back in a tick.
    peer.begins(u64::from(u32::MAX), 1, 9);
    peer.exchange(1, |_, reply| {
        assert!(matches!(reply, Reply::Begin(BeginOutcome::Acquired(_))));
    });
    let mut next = 0;
    for count in [1, BATCH_MAX] {
        let span = BATCHES * count as u64;
        let parts: [(&str, Part<'_>, u64); 3] = [
            ("begin and complete", &Peer::first, next + span),
            ("replay", &Peer::replay, next),
            ("get", &Peer::get, next),
        ];
        let each = |first: u64, run: Part<'_>, peer: &mut Peer| {
            (0..BATCHES).for_each(|batch| run(peer, first + batch * count as u64, count));
        };
        each(next, &Peer::first, &mut peer);
        each(next, &Peer::replay, &mut peer);
        each(next, &Peer::get, &mut peer);
        for (what, run, first) in parts {
            let region = Region::new(COUNTING);
            each(first, run, &mut peer);
            let change = region.change();
            let allocated = (change.allocations, change.reallocations);
            assert_eq!(allocated, (0, 0), "{what}, {BATCHES} batches of {count}: {change:?}");
        }
        next += 2 * span;
    }
    drop((peer, stop));
    server.join().unwrap().unwrap();
}
