//! The server's desk without sockets: frames in, frames out, and replies held back until what they
//! rest on is synced, as the daemon holds them (S14).
//!
//! No lock is held while the store is asked, so that a request may be acted on in the middle of
//! another, where a second thread's would be.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Poll, Waker};

use onceward::{Answer, BeginTicket, FactLog, GetTicket, Position, Store, StoreError, Waitable};
use onceward_core::{BeginOutcome, GetOutcome, Namespace, NamespaceBuf};
use onceward_proto::{
    ErrorReply, Greeting, Incoming, Opcode, ReplyEncoder, Request, ServerConfig, ServerConn,
};
use parking_lot::Mutex;

/// Bytes that arrive on a connection.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) connection: u32,
    pub(crate) bytes: Vec<u8>,
}

/// Where requests of one life of the server are answered.
pub(crate) struct Desk {
    pub(crate) store: Store,
    journal: Arc<dyn FactLog>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connections: BTreeMap<u32, Connection>,
    waits: Vec<Wait>,
    held: VecDeque<Held>,
    leaving: Vec<Arrival>,
    /// What arrives in the middle of something else.
    interrupting: VecDeque<Arrival>,
    is_interrupted: bool,
    requests: u64,
    held_most: usize,
}

struct Connection {
    conn: ServerConn,
    namespace: Option<NamespaceBuf>,
}

struct Wait {
    at: Address,
    ticket: Ticket,
}

enum Ticket {
    Begin(BeginTicket),
    Get(GetTicket),
}

/// Where a reply goes.
#[derive(Clone, Copy)]
struct Address {
    connection: u32,
    correlation: u64,
    opcode: Opcode,
    replies: ReplyEncoder,
}

struct Held {
    position: Position,
    at: Address,
    bytes: Vec<u8>,
}

impl Desk {
    pub(crate) fn new(store: Store, journal: Arc<dyn FactLog>) -> Self {
        Self { store, journal, state: Mutex::default() }
    }

    /// These arrive when the next fact is about to be recorded, or the next sync is under way.
    pub(crate) fn interrupt_with(&self, arrivals: impl IntoIterator<Item = Arrival>) {
        self.state.lock().interrupting.extend(arrivals);
    }

    /// What was to interrupt, and did not.
    pub(crate) fn uninterrupted(&self) -> Vec<Arrival> {
        self.state.lock().interrupting.drain(..).collect()
    }

    /// Acts on the first of what is to interrupt; never within another interruption.
    pub(crate) fn interrupt(&self) {
        let arrival = {
            let mut state = self.state.lock();
            // Whoever is waited for is changed under a lock that this would meet again.
            if state.is_interrupted || !state.waits.is_empty() {
                return;
            }
            let arrival = state.interrupting.pop_front();
            state.is_interrupted = arrival.is_some();
            arrival
        };
        if let Some(arrival) = arrival {
            self.receive(&arrival);
            self.state.lock().is_interrupted = false;
        }
    }

    /// Acts on the frames that have arrived.
    pub(crate) fn receive(&self, arrival: &Arrival) {
        let mut rest = &arrival.bytes[..];
        while !rest.is_empty() {
            let (at, request, namespace) = {
                let mut state = self.state.lock();
                let state = &mut *state;
                let connection = state.connections.entry(arrival.connection);
                let connection = connection.or_insert_with(Connection::new);
                let Ok(Some((incoming, size))) = connection.conn.next(rest) else { return };
                rest = &rest[size..];
                match incoming {
                    Incoming::Hello { hello, negotiated } => {
                        connection.namespace = Some(hello.namespace.into());
                        let mut bytes = Vec::new();
                        connection.conn.accept(negotiated, &Greeting::default(), &mut bytes);
                        state.leaving.push(Arrival { connection: arrival.connection, bytes });
                        continue;
                    }
                    Incoming::Cancel { .. } => continue, // Nobody sends it.
                    Incoming::Rejected(rejection) => {
                        let mut bytes = Vec::new();
                        rejection.encode(&mut bytes);
                        state.leaving.push(Arrival { connection: arrival.connection, bytes });
                        continue;
                    }
                    Incoming::Request { correlation, request } => {
                        state.requests += 1;
                        let replies = connection.conn.replies();
                        let opcode = request.opcode();
                        let at = Address {
                            connection: arrival.connection,
                            correlation,
                            opcode,
                            replies,
                        };
                        let namespace = connection.namespace.clone();
                        (at, request, namespace)
                    }
                }
            };
            let namespace =
                namespace.as_ref().map_or(Namespace::DEFAULT, NamespaceBuf::as_namespace);
            self.answer(at, namespace, &request);
        }
    }

    fn answer(&self, at: Address, namespace: Namespace<'_>, request: &Request<'_>) {
        let mut out = Vec::new();
        match self.ask(at, namespace, request, &mut out) {
            Ok(Some(position)) => self.reply(position, at, out),
            Ok(None) => {} // It waits.
            Err(error) => self.refuse(at, error),
        }
    }

    /// `None`: it waits.
    fn ask(
        &self,
        at: Address,
        namespace: Namespace<'_>,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Position>, StoreError> {
        let (store, replies, number) = (&self.store, at.replies, at.correlation);
        let said = |position| Ok(Some(position));
        match request {
            Request::Begin { key, begin } => {
                let identity = key.within(namespace);
                let sink = |outcome: BeginOutcome<&[u8]>| replies.begin(number, &outcome, out);
                if begin.wait.get() == 0 {
                    return said(store.begin(identity, begin, sink)?.position);
                }
                match store.begin_or_wait(identity, begin, Waker::noop(), sink)? {
                    Waitable::Answered(answer) => said(answer.position),
                    Waitable::Waiting(ticket) => Ok(self.wait(at, Ticket::Begin(ticket))),
                }
            }
            Request::Get { key, get } => {
                let identity = key.within(namespace);
                let sink = |outcome: GetOutcome<&[u8]>| replies.get(number, &outcome, out);
                if get.wait.get() == 0 {
                    return said(store.get(identity, sink)?.position);
                }
                match store.get_or_wait(identity, get, Waker::noop(), sink)? {
                    Waitable::Answered(answer) => said(answer.position),
                    Waitable::Waiting(ticket) => Ok(self.wait(at, Ticket::Get(ticket))),
                }
            }
            Request::Complete { key, complete } => {
                let answer = store.complete(key.within(namespace), complete)?;
                said(told(answer, |it| replies.complete(number, it, out)))
            }
            Request::Abandon { key, abandon } => {
                let answer = store.abandon(key.within(namespace), abandon)?;
                said(told(answer, |it| replies.abandon(number, it, out)))
            }
            Request::Renew { key, renew } => {
                let answer = store.renew(key.within(namespace), renew)?;
                said(told(answer, |it| replies.renew(number, it, out)))
            }
            Request::Checkpoint { key, checkpoint } => {
                let answer = store.checkpoint(key.within(namespace), checkpoint)?;
                said(told(answer, |it| replies.checkpoint(number, it, out)))
            }
            Request::Resolve { key, resolve } => {
                let answer = store.resolve(key.within(namespace), resolve)?;
                said(told(answer, |it| replies.resolve(number, it, out)))
            }
            Request::Forget { key, forget } => {
                let answer = store.forget(key.within(namespace), forget)?;
                said(told(answer, |it| replies.forget(number, it, out)))
            }
            Request::Ping { echo } => {
                replies.pong(number, *echo, out);
                said(Position(0))
            }
            Request::List(_) | Request::Stats => Err(StoreError::Unavailable), // Nobody asks.
        }
    }

    fn wait(&self, at: Address, ticket: Ticket) -> Option<Position> {
        self.state.lock().waits.push(Wait { at, ticket });
        None
    }

    fn refuse(&self, at: Address, error: StoreError) {
        let error = match error {
            StoreError::BadInput(bad) => ErrorReply::from(&bad),
            StoreError::Halted => ErrorReply::unavailable(self.why_halted()),
            other => ErrorReply::unavailable(other.to_string()),
        };
        let mut out = Vec::new();
        at.replies.error(at.opcode.as_u8(), at.correlation, &error, &mut out);
        self.reply(Position(0), at, out);
    }

    fn why_halted(&self) -> String {
        self.journal.halted().unwrap_or_else(|| "facts are kept again".to_owned())
    }

    /// It leaves once the position is synced.
    fn reply(&self, position: Position, at: Address, bytes: Vec<u8>) {
        let mut state = self.state.lock();
        if position <= self.journal.synced() {
            return state.leaving.push(Arrival { connection: at.connection, bytes });
        }
        state.held.push_back(Held { position, at, bytes });
        state.held_most = state.held_most.max(state.held.len());
        drop(state);
        self.journal.want(position);
    }

    /// Answers waits that have ended, and lets go what need not be held any longer.
    pub(crate) fn tend(&self) {
        let mut waits = std::mem::take(&mut self.state.lock().waits);
        waits.retain_mut(|wait| self.poll(wait));
        let mut state = self.state.lock();
        waits.append(&mut state.waits);
        state.waits = waits;
        drop(state);
        let halted = self.journal.halted();
        let mut state = self.state.lock();
        let synced = self.journal.synced();
        for held in std::mem::take(&mut state.held) {
            let Held { position, at, bytes } = held;
            if position <= synced {
                state.leaving.push(Arrival { connection: at.connection, bytes });
            } else if let Some(why) = &halted {
                let mut bytes = Vec::new();
                let error = ErrorReply::unavailable(why.as_str());
                at.replies.error(at.opcode.as_u8(), at.correlation, &error, &mut bytes);
                state.leaving.push(Arrival { connection: at.connection, bytes });
            } else {
                state.held.push_back(Held { position, at, bytes });
            }
        }
    }

    /// Whether the wait goes on.
    fn poll(&self, wait: &mut Wait) -> bool {
        let (at, mut out) = (wait.at, Vec::new());
        let polled = match &mut wait.ticket {
            Ticket::Begin(ticket) => ticket.poll(Waker::noop(), |outcome| {
                at.replies.begin(at.correlation, &outcome, &mut out);
            }),
            Ticket::Get(ticket) => ticket.poll(Waker::noop(), |outcome| {
                at.replies.get(at.correlation, &outcome, &mut out);
            }),
        };
        match polled {
            Poll::Pending => return true,
            Poll::Ready(Ok(answer)) => self.reply(answer.position, at, out),
            Poll::Ready(Err(error)) => self.refuse(at, error),
        }
        false
    }

    /// What leaves now.
    pub(crate) fn replies(&self) -> Vec<Arrival> {
        std::mem::take(&mut self.state.lock().leaving)
    }

    /// The server stops: whoever waits is told so.
    pub(crate) fn close(&self) {
        self.store.close();
        self.tend();
        // Tickets hold the store, and the store them.
        let waits = std::mem::take(&mut self.state.lock().waits);
        drop(waits);
    }
}

impl Connection {
    fn new() -> Self {
        Self { conn: ServerConn::new(&ServerConfig::default()), namespace: None }
    }
}

fn told<O>(answer: Answer<O>, encode: impl FnOnce(O)) -> Position {
    encode(answer.value);
    answer.position
}
