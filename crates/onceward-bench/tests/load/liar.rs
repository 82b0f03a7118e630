//! A server on one thread, over a real store, that lies where it is told to.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::thread::{self, JoinHandle};

use onceward::{BeginTicket, BootClock, Store, StoreConfig, Waitable};
use onceward_bench::load::Address;
use onceward_core::{
    Acquired, AttemptId, Begin, BeginOutcome, Body, CompleteOutcome, Fence, Millis, Namespace,
    Token,
};
use onceward_proto::{
    ErrorReply, Greeting, Incoming, ReplyEncoder, Request, ServerConfig, ServerConn,
};

/// What it does wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Plant {
    Nothing,
    /// Gives the right to run to whoever asks for a key that somebody else has or had.
    AcquireTwice,
    /// Changes the last byte of each stored result.
    FlipLast,
    /// Changes one in its middle.
    FlipInside,
    /// Says "completed" and stores nothing.
    ForgetResults,
    /// Says "in progress" of a new key, now and then.
    RefuseBegins,
    /// Answers with an error, now and then.
    Errors,
    /// Closes each connection after a while.
    HangUp,
    /// Answers with bytes that are no frame, after a while.
    Garbage,
    /// Answers one request twice.
    AnswerTwice,
    /// Greets, and says no more.
    Silence,
}

/// How many requests of a connection are answered well before some plants come up.
const HONEST: u64 = 20;

pub(crate) struct Liar {
    address: Address,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Liar {
    pub(crate) fn start(plant: Plant) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("it can");
        let address = Address::Tcp(listener.local_addr().expect("bound").to_string());
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let config = StoreConfig::with_memory(256 << 20);
        let store = Store::new(config, Arc::new(BootClock::new())).expect("a store");
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&answered));
        let thread = thread::spawn(move || {
            let mut lines: Vec<Line> = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true).expect("it can");
                    stream.set_nodelay(true).expect("it can");
                    lines.push(Line::new(stream));
                }
                lines.retain_mut(|line| line.turn(&store, plant, &count));
                thread::yield_now();
            }
        });
        Self { address, stop, answered, thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Requests answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the server panicked");
        }
    }
}

struct Line {
    stream: TcpStream,
    conn: ServerConn,
    input: Vec<u8>,
    output: Vec<u8>,
    waiting: Vec<(u64, BeginTicket)>,
    requests: u64,
}

impl Line {
    fn new(stream: TcpStream) -> Self {
        let conn = ServerConn::new(&ServerConfig::default());
        let (input, output) = (Vec::new(), Vec::new());
        Self { stream, conn, input, output, waiting: Vec::new(), requests: 0 }
    }

    /// Reads, answers and writes; says whether the connection goes on.
    fn turn(&mut self, store: &Store, plant: Plant, answered: &AtomicU64) -> bool {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => return false,
            Ok(size) => self.input.extend_from_slice(&bytes[..size]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
        let input = std::mem::take(&mut self.input);
        let mut rest = &input[..];
        let mut replies = Vec::new();
        while let Some((incoming, size)) = self.conn.next(rest).expect("a well-made request") {
            rest = &rest[size..];
            match incoming {
                Incoming::Hello { negotiated, .. } => {
                    self.conn.accept(negotiated, &Greeting::default(), &mut self.output);
                }
                Incoming::Request { correlation, request } => {
                    self.requests += 1;
                    let mut reply = Vec::new();
                    if !self.answer(store, plant, correlation, &request, &mut reply) {
                        return false;
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                    replies.push(reply);
                }
                _ => {}
            }
        }
        self.input = rest.to_vec();
        // Replies may come in any order, so here they never come in that of the requests.
        self.output.extend(replies.into_iter().rev().flatten());
        self.serve_waiting(plant);
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(size) => drop(self.output.drain(..size)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        true
    }

    fn serve_waiting(&mut self, plant: Plant) {
        let (encoder, output) = (self.conn.replies(), &mut self.output);
        self.waiting.retain_mut(|(correlation, ticket)| {
            let polled = ticket.poll(Waker::noop(), |outcome| {
                begun(plant, encoder, *correlation, None, outcome, output);
            });
            matches!(polled, Poll::Pending)
        });
    }

    fn answer(
        &mut self,
        store: &Store,
        plant: Plant,
        correlation: u64,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        let encoder = self.conn.replies();
        let late = self.requests > HONEST;
        match plant {
            Plant::HangUp if late => return false,
            Plant::Garbage if late => out.extend_from_slice(&[0xff; 32]),
            Plant::Silence => return true,
            Plant::Errors if late && self.requests.is_multiple_of(7) => {
                let opcode = request.opcode().as_u8();
                encoder.error(opcode, correlation, &ErrorReply::unavailable("planted"), out);
                return true;
            }
            _ => {}
        }
        match request {
            Request::Begin { key, begin } => {
                let identity = key.within(Namespace::DEFAULT);
                if plant == Plant::RefuseBegins && late && self.requests.is_multiple_of(5) {
                    let (retry_after, age) = (Millis::new(1), Millis::new(1));
                    let held =
                        BeginOutcome::<&[u8]>::InProgress { retry_after, age, attempt_number: 1 };
                    encoder.begin(correlation, &held, out);
                    return true;
                }
                let answer = store.begin_or_wait(identity, begin, Waker::noop(), |outcome| {
                    begun(plant, encoder, correlation, Some(begin), outcome, out);
                });
                if let Waitable::Waiting(ticket) = answer.expect("within limits") {
                    self.waiting.push((correlation, ticket));
                }
            }
            Request::Complete { key, complete } => {
                let outcome = if plant == Plant::ForgetResults {
                    CompleteOutcome::Completed { not_kept: None }
                } else {
                    let identity = key.within(Namespace::DEFAULT);
                    store.complete(identity, complete).expect("within limits").value
                };
                encoder.complete(correlation, outcome, out);
            }
            _ => panic!("the generator asks nothing else"),
        }
        if plant == Plant::AnswerTwice && late {
            out.extend_from_within(..);
        }
        true
    }
}

/// Encodes what a begin comes to; `asked` is `None` for one that waited.
fn begun(
    plant: Plant,
    encoder: ReplyEncoder,
    correlation: u64,
    asked: Option<&Begin>,
    outcome: BeginOutcome<&[u8]>,
    out: &mut Vec<u8>,
) {
    match (plant, outcome) {
        (Plant::AcquireTwice, outcome) if !matches!(outcome, BeginOutcome::Acquired(_)) => {
            let attempt_id = asked.map_or(AttemptId::from_bytes([7; 16]), |begin| begin.attempt_id);
            let acquired = Acquired::<&[u8]> {
                token: Token { fence: Fence::new(1).expect("not zero"), attempt_id },
                attempt_number: 2,
                checkpoint: None,
                lease_left: Millis::from_secs(30),
                retention_left: Millis::from_secs(60),
            };
            encoder.begin(correlation, &BeginOutcome::Acquired(acquired), out);
        }
        (Plant::FlipLast | Plant::FlipInside, BeginOutcome::Replay(mut replay)) => {
            let Body::Kept(body) = replay.result.body else { panic!("all bodies are kept") };
            let mut body = body.to_vec();
            let at = if plant == Plant::FlipLast { body.len() - 1 } else { body.len() / 2 };
            body[at] ^= 1;
            replay.result.body = Body::Kept(&body);
            encoder.begin(correlation, &BeginOutcome::Replay(replay), out);
        }
        (_, outcome) => encoder.begin(correlation, &outcome, out),
    }
}
