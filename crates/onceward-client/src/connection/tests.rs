//! The connection from inside, against a peer on the other end of a pair of sockets.

use std::future::Future;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::Waker;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::poll;
use onceward_core::{AttemptId, Fence, Get, Namespace, ResultRef, ScopedKey, Token};
use onceward_proto::{
    Greeting, Incoming, Opcode, ReplyEncoder, ServerConfig, ServerConn, ServerLimits,
};
use proptest::prelude::*;
use tokio::task::yield_now;

use super::state::QUEUED_BYTES_MAX;
use super::*;
use crate::dial::{Introduction, open};
use onceward_core::{Complete, GetOutcome};

const SOON: Duration = Duration::from_millis(50);
const LATE: Duration = Duration::from_secs(60);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The other end. Reads and writes at once or not at all, so that a test decides when.
struct Peer {
    stream: UnixStream,
    conn: ServerConn,
    input: Vec<u8>,
}

/// A request as it arrived.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Asked {
    correlation: u64,
    opcode: Opcode,
    body_bytes: usize,
}

/// A connection with its peer.
async fn pair(in_flight_max: u32) -> (Arc<Connection>, Peer) {
    let (stream, other) = UnixStream::pair().unwrap();
    stream.set_nonblocking(true).unwrap();
    other.set_nonblocking(true).unwrap();
    let conn = ServerConn::new(&ServerConfig { body_bytes_max: 2 * 1024 * 1024 });
    let mut peer = Peer { stream: other, conn, input: Vec::new() };
    let figures = Figures::new("orders");
    let introduction = Introduction {
        namespace: Namespace::DEFAULT,
        credential: b"",
        in_flight_max: in_flight_max as usize,
        figures: &figures,
    };
    let (input, output) = tokio::net::UnixStream::from_std(stream).unwrap().into_split();
    let limits = ServerLimits { in_flight_max, ..ServerLimits::default() };
    let opening = open(input, Output::Unix(output), &introduction);
    let (connection, ()) = tokio::join!(opening, peer.welcome(limits));
    (connection.unwrap(), peer)
}

impl Peer {
    async fn welcome(&mut self, limits: ServerLimits) {
        loop {
            self.read();
            if let Some((Incoming::Hello { negotiated, .. }, size)) =
                self.conn.next(&self.input).unwrap()
            {
                let mut out = Vec::new();
                self.conn.accept(negotiated, &Greeting { limits, ..Greeting::default() }, &mut out);
                self.input.drain(..size);
                return self.stream.write_all(&out).unwrap();
            }
            yield_now().await;
        }
    }

    /// Takes the bytes that are there.
    fn read(&mut self) {
        let mut room = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut room) {
                Ok(0) => return,
                Ok(size) => self.input.extend_from_slice(&room[..size]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The requests whose frames are whole; CANCEL is none.
    fn requests(&mut self) -> Vec<Asked> {
        self.read();
        let (mut asked, mut at) = (Vec::new(), 0);
        while let Some((incoming, size)) = self.conn.next(&self.input[at..]).unwrap() {
            if let Incoming::Request { correlation, request } = incoming {
                let body_bytes = match request {
                    Request::Complete { complete, .. } => {
                        complete.result.body.kept().map_or(0, |body| body.len())
                    }
                    _ => 0,
                };
                asked.push(Asked { correlation, opcode: request.opcode(), body_bytes });
            }
            at += size;
        }
        self.input.drain(..at);
        asked
    }

    async fn until_requests(&mut self, count: usize) -> Vec<Asked> {
        let mut asked = Vec::new();
        while asked.len() < count {
            asked.extend(self.requests());
            yield_now().await;
        }
        asked
    }

    /// All in one write.
    fn answer(&mut self, asked: &[Asked]) {
        let mut out = Vec::new();
        for asked in asked {
            reply(self.conn.replies(), asked, &mut out);
        }
        self.stream.write_all(&out).unwrap();
    }
}

fn reply(replies: ReplyEncoder, asked: &Asked, out: &mut Vec<u8>) {
    match asked.opcode {
        Opcode::Get => replies.get(asked.correlation, &GetOutcome::<&[u8]>::Absent, out),
        Opcode::Ping => replies.pong(asked.correlation, 0, out),
        Opcode::Complete => {
            let outcome = onceward_core::CompleteOutcome::Completed { not_kept: None };
            replies.complete(asked.correlation, outcome, out);
        }
        other => panic!("{other:?} is not answered here"),
    }
}

fn terms(wait: Duration, request_timeout: Duration) -> Terms {
    let (wait, connect_timeout) = (wait.into(), request_timeout);
    Terms { wait, connect_timeout, request_timeout, in_batch: false, started: None }
}

async fn ping(connection: &Connection, timeout: Duration) -> Result<(), ClientError> {
    let ping = |_| Request::Ping { echo: 0 };
    let reply = connection.ask(None, &mut terms(Duration::ZERO, timeout), &ping).await?;
    assert!(matches!(reply, Reply::Pong { .. }));
    Ok(())
}

async fn get(connection: &Connection, wait: Duration) -> Result<(), ClientError> {
    let key = ScopedKey::new(b"t", b"k").unwrap();
    let get = |wait| Request::Get { key, get: Get { wait } };
    let reply = connection.ask(None, &mut terms(wait, LATE), &get).await?;
    assert!(matches!(reply, Reply::Get(GetOutcome::Absent)));
    Ok(())
}

async fn complete(
    connection: &Connection,
    bytes: usize,
    timeout: Duration,
) -> Result<(), ClientError> {
    let key = ScopedKey::new(b"t", b"k").unwrap();
    let body = vec![b'x'; bytes];
    let attempt_id = AttemptId::from_bytes([1; 16]);
    let token = Token { fence: Fence::new(1).unwrap(), attempt_id };
    let complete = Complete { token, result: ResultRef::of(0, &body), fingerprint: None };
    let request = |_| Request::Complete { key, complete };
    let reply = connection.ask(None, &mut terms(Duration::ZERO, timeout), &request).await?;
    assert!(matches!(reply, Reply::Complete(_)));
    Ok(())
}

impl Connection {
    /// What is held on behalf of callers and requests: calls, requests, permits of both kinds, and
    /// the gauge.
    fn held(&self) -> (usize, usize, usize, usize, u64) {
        let state = self.state();
        let waiting_max = self.in_flight_max - (self.in_flight_max / 8).max(1);
        (
            state.calls.len(),
            state.conn.outstanding(),
            self.in_flight_max - self.in_flight.available_permits(),
            waiting_max - self.waiting.available_permits(),
            self.figures.stats().requests_in_flight,
        )
    }

    fn queued(&self) -> usize {
        self.state().out.len()
    }

    fn writes(&self) -> u64 {
        self.figures.stats().writes
    }
}

const NOTHING: (usize, usize, usize, usize, u64) = (0, 0, 0, 0, 0);

#[test]
fn requests_of_one_write_count_from_the_first_of_them() {
    runtime().block_on(async {
        let (connection, _peer) = pair(16).await;
        let ping = Request::Ping { echo: 0 };
        let posting = Posting {
            request: &ping,
            waits: false,
            due: None,
            request_timeout: LATE,
            in_batch: false,
        };
        let send = || {
            let before = Instant::now();
            while Instant::now() == before {}
            connection.send(&posting, Waker::noop()).unwrap().unwrap()
        };
        // The first is alone and writes itself, the second tells the writer.
        let (first, second, third) = (send(), send(), send());
        assert!(first.due.asked < second.due.asked);
        assert_eq!(second.due.asked, third.due.asked);
        assert_eq!(third.due.answer_by, third.due.asked + LATE);
        yield_now().await;
        let fourth = send();
        assert!(third.due.asked < fourth.due.asked, "that write is over");
        let given_up = fourth.due.asked;
        drop(fourth);
        assert!(given_up < send().due.asked, "nobody counts from one that is given up");
    });
}

#[test]
fn a_call_alone_is_written_before_it_waits() {
    runtime().block_on(async {
        let (connection, mut peer) = pair(100).await;
        for round in 1..=3 {
            let mut call = Box::pin(ping(&connection, LATE));
            assert!(poll!(&mut call).is_pending());
            // No other task has run.
            let asked = peer.requests();
            assert_eq!((asked.len(), connection.writes(), connection.queued()), (1, round, 0));
            peer.answer(&asked);
            call.await.unwrap();
        }
        assert_eq!(connection.held(), NOTHING);
    });
}

#[test]
fn calls_of_many_tasks_share_writes() {
    runtime().block_on(async {
        const TASKS: usize = 50;
        const ROUNDS: u64 = 20;
        let (connection, mut peer) = pair(1_000).await;
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let connection = Arc::clone(&connection);
                tokio::spawn(async move {
                    for _ in 0..ROUNDS {
                        ping(&connection, LATE).await.unwrap();
                    }
                })
            })
            .collect();
        for _ in 0..ROUNDS {
            let asked = peer.until_requests(TASKS).await;
            peer.answer(&asked);
        }
        join_all(tasks).await;
        // The very first call is alone when it is made; from then on each round is one write.
        assert_eq!(connection.writes(), ROUNDS + 1);
        assert_eq!(connection.held(), NOTHING);
    });
}

#[test]
fn what_the_socket_does_not_take_is_left_to_the_writer() {
    runtime().block_on(async {
        let (connection, mut peer) = pair(100).await;
        const BYTES: usize = 1024 * 1024;
        let mut calls = Box::pin(async {
            tokio::try_join!(complete(&connection, BYTES, LATE), ping(&connection, LATE))
        });
        assert!(poll!(&mut calls).is_pending());
        assert_eq!(connection.writes(), 1, "a part, by the caller");
        let left = connection.queued();
        assert!(0 < left && left < BYTES, "{left} bytes are left");
        let (asked, _) = tokio::join!(
            async {
                let asked = peer.until_requests(2).await;
                peer.answer(&asked);
                asked
            },
            async { calls.await.unwrap() }
        );
        let got: Vec<_> = asked.iter().map(|asked| (asked.opcode, asked.body_bytes)).collect();
        assert_eq!(got, [(Opcode::Complete, BYTES), (Opcode::Ping, 0)], "whole and in order");
        assert!(connection.writes() > 2);
        assert_eq!(connection.held(), NOTHING);
    });
}

#[test]
fn a_peer_that_reads_nothing_bounds_the_queue_and_times_calls_out() {
    runtime().block_on(async {
        let (connection, peer) = pair(100).await;
        const BYTES: usize = 1024 * 1024;
        let calls = join_all((0..20).map(|_| complete(&connection, BYTES, SOON)));
        let mut calls = Box::pin(calls);
        let mut most = 0;
        let answers = loop {
            let polled = poll!(&mut calls);
            // The writer holds as much again at most.
            most = most.max(connection.queued());
            match polled {
                Poll::Ready(answers) => break answers,
                Poll::Pending => yield_now().await,
            }
        };
        let frame = BYTES + 1_000;
        assert!(QUEUED_BYTES_MAX <= most && most < QUEUED_BYTES_MAX + frame, "{most} bytes");
        for answer in answers {
            assert!(answer.unwrap_err().is_retryable());
        }
        // Not a byte came, so the connection is over, and with it what its requests held.
        assert!(!connection.is_open());
        assert_eq!((connection.held().0, connection.held().4), (0, 0));
        drop(peer);
    });
}

#[test]
fn a_deadline_is_kept_though_a_later_one_was_there_before() {
    runtime().block_on(async {
        let (connection, mut peer) = pair(100).await;
        let mut waiter = Box::pin(get(&connection, LATE));
        assert!(poll!(&mut waiter).is_pending());
        let waits = peer.until_requests(1).await;
        let (short, ()) = tokio::join!(ping(&connection, SOON), async {
            let asked = peer.until_requests(1).await;
            // A sign of life, or the connection would be given up.
            let mut other = Box::pin(ping(&connection, LATE));
            assert!(poll!(&mut other).is_pending());
            let alive = peer.until_requests(1).await;
            peer.answer(&alive);
            other.await.unwrap();
            drop(asked);
        });
        assert!(short.unwrap_err().is_retryable());
        assert!(connection.is_open());
        peer.answer(&waits);
        waiter.await.unwrap();
        assert_eq!(connection.held().0, 0);
        assert_eq!(connection.held().1, 1, "the server still owes a reply");
    });
}

#[test]
fn deadlines_need_no_runtime_but_the_callers() {
    let (home, other) = (runtime(), runtime());
    let (connection, _peer) = home.block_on(pair(100));
    // Nobody drives the connection's tasks any more.
    let asking = async { tokio::time::timeout(LATE, ping(&connection, SOON)).await };
    let error = other.block_on(asking).expect("in its own time").unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert_eq!(connection.held().0, 0);
}

#[test]
fn the_end_of_the_connection_answers_every_call() {
    runtime().block_on(async {
        let (connection, peer) = pair(4).await;
        let calls = join_all((0..10).map(|_| ping(&connection, LATE)));
        let ((), answers) = tokio::join!(async { drop(peer) }, calls);
        for answer in answers {
            assert!(answer.unwrap_err().is_retryable());
        }
        assert_eq!((connection.held().0, connection.held().4), (0, 0));
    });
}

type Calling<'c> = Pin<Box<dyn Future<Output = Result<(), ClientError>> + 'c>>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Calls start, are polled, are answered and are dropped in any order: in line for a place in
    /// flight, in line for a wait, while the queue is full, sent, answered.
    #[test]
    fn calls_dropped_anywhere_leave_nothing(
        steps in proptest::collection::vec((0_u8..8, any::<prop::sample::Index>()), 1..80),
    ) {
        runtime().block_on(async {
            let (connection, mut peer) = pair(4).await;
            let mut calls: Vec<Calling<'_>> = Vec::new();
            let mut asked = Vec::new();
            let context = &mut task::Context::from_waker(Waker::noop());
            for (step, which) in steps {
                let at = if calls.is_empty() { 0 } else { which.index(calls.len()) };
                match step {
                    0 => calls.push(Box::pin(ping(&connection, LATE))),
                    1 => calls.push(Box::pin(get(&connection, LATE))),
                    // Two of these fill the queue.
                    2 => calls.push(Box::pin(complete(&connection, 2_000_000, LATE))),
                    3 | 4 if !calls.is_empty() => {
                        if let Poll::Ready(answer) = calls[at].as_mut().poll(context) {
                            answer.unwrap();
                            drop(calls.swap_remove(at));
                        }
                    }
                    5 if !calls.is_empty() => drop(calls.swap_remove(at)),
                    6 => {
                        asked.extend(peer.requests());
                        let some = if asked.is_empty() { 0 } else { which.index(asked.len()) };
                        peer.answer(&asked.split_off(some));
                    }
                    _ => {
                        for _ in 0..3 {
                            yield_now().await;
                        }
                    }
                }
            }
            drop(calls);
            // What was sent stays until it is answered.
            while connection.held() != NOTHING {
                asked.extend(peer.requests());
                peer.answer(&std::mem::take(&mut asked));
                yield_now().await;
            }
            assert!(connection.is_open());
        });
    }
}
