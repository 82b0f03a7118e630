//! What a connection does with frames: asks the store, encodes replies. No socket, no clock.

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{SystemTime, UNIX_EPOCH};

use onceward::{Answer, Store, StoreError};
use onceward_core::{Millis, Namespace, NamespaceBuf, Position};
use onceward_proto::{
    ErrorReply, Greeting, Hello, Incoming, Negotiated, Opcode, Rejection, ReplyEncoder, Request,
    Rights, ServerConn, ServerLimits,
};

use self::desk::{After, Answered, Desk, Gathered};
use crate::config::ServerConfig;
use crate::mailbox::Mailbox;
use crate::outbox::{Asked, Outbox};
use crate::report::{Tally, Totals};
use crate::sync_watch::SyncWatch;
use crate::waits::{Ticket, Wait, Waits};

mod desk;

/// Why [`Session::receive`] stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stop {
    /// Whole frames have been acted on; what is left is part of one.
    NeedMore,
    /// Replies must leave first.
    NoRoom,
    /// Nothing more is read; the error is in the outbox.
    Fatal,
}

/// What comes next in the input.
enum Next<'a> {
    /// There may be more to act on.
    More,
    /// What is left is part of a frame, or nothing.
    Nothing,
    /// Something that is acted on by itself, and the size of its frame.
    Alone(Incoming<'a>, usize),
    /// A frame that ends the connection.
    Fatal(Rejection),
}

/// One connection, from HELLO to its end, without its socket.
///
/// Every request is answered once: at once into the outbox, or by a wait that is answered when
/// it ends, is cancelled, or the server drains.
pub(crate) struct Session {
    store: Store,
    config: ServerConfig,
    conn: ServerConn,
    /// The one namespace, checked; `None` before HELLO.
    namespace: Option<NamespaceBuf>,
    rights: Rights,
    pub(crate) out: Outbox,
    waits: Waits,
    tally: Tally,
    /// The journal, if the store has one.
    watch: Option<Box<SyncWatch>>,
    fault: Option<Rejection>,
}

impl Session {
    pub(crate) fn new(
        store: &Store,
        config: &ServerConfig,
        mailbox: Arc<Mailbox>,
        totals: Arc<Totals>,
        watch: Option<SyncWatch>,
    ) -> Self {
        let conn = onceward_proto::ServerConfig { body_bytes_max: config.body_bytes_max };
        Self {
            store: store.clone(),
            config: *config,
            conn: ServerConn::new(&conn),
            namespace: None,
            rights: Rights::default(),
            out: Outbox::default(),
            waits: Waits::new(mailbox),
            tally: Tally::new(totals),
            watch: watch.map(Box::new),
            fault: None,
        }
    }

    /// Acts on the whole frames at the front of `input`, in order, while there is room for
    /// replies. Gives the bytes that are done with.
    pub(crate) fn receive(&mut self, input: &[u8]) -> (usize, Stop) {
        let mut done = 0;
        while self.has_room() {
            let (size, stop) = self.receive_some(&input[done..]);
            done += size;
            if let Some(stop) = stop {
                return (done, stop);
            }
        }
        (done, Stop::NoRoom)
    }

    /// Acts on one batch of requests, or on one frame of another kind.
    fn receive_some(&mut self, input: &[u8]) -> (usize, Option<Stop>) {
        let name = self.namespace.take();
        // HELLO comes before every request.
        let namespace = name.as_ref().map_or(Namespace::DEFAULT, NamespaceBuf::as_namespace);
        let (done, next) = self.receive_batch(namespace, input);
        self.namespace = name;
        match next {
            Next::More => (done, None),
            Next::Nothing => (done, Some(Stop::NeedMore)),
            Next::Alone(incoming, size) => {
                self.act(incoming);
                (done + size, None)
            }
            Next::Fatal(rejection) => {
                if self.fault.is_none() {
                    self.reject(&rejection);
                    self.fault = Some(rejection);
                }
                (done, Some(Stop::Fatal))
            }
        }
    }

    /// Answers the requests at the front of `input` that can be answered together. Gives the bytes
    /// that are done with, and what comes next.
    fn receive_batch<'i>(
        &mut self,
        namespace: Namespace<'_>,
        input: &'i [u8],
    ) -> (usize, Next<'i>) {
        let mut gathered = Gathered::new();
        let after = gathered.fill(&self.conn, &self.store, namespace, input);
        if gathered.is_empty() {
            return (0, next(&mut self.conn, input));
        }
        let mut desk = Desk {
            replies: self.conn.replies(),
            rights: self.rights,
            in_flight_max: self.config.in_flight_max as usize,
            unsent_bytes_max: self.config.unsent_bytes_max,
            out: &mut self.out,
            waits: &mut self.waits,
            tally: &mut self.tally,
            watch: self.watch.as_deref(),
        };
        let (done, answered) = desk.answer_all(&self.store, &gathered);
        match answered {
            Answered::All if after == After::Nothing => (done, Next::Nothing),
            Answered::All | Answered::WhileRoom => (done, Next::More),
            Answered::UntilFault => (done, next(&mut self.conn, &input[done..])),
        }
    }

    fn act(&mut self, incoming: Incoming<'_>) {
        match incoming {
            Incoming::Hello { hello, negotiated } => self.welcome(&hello, negotiated),
            Incoming::Request { correlation, request } => {
                self.tally.request();
                self.request(correlation, request);
            }
            Incoming::Cancel { target } => self.cancel(target),
            Incoming::Rejected(rejection) => self.reject(&rejection),
        }
    }

    fn reject(&mut self, rejection: &Rejection) {
        self.tally.request();
        rejection.encode(self.out.encode_into());
        self.out.encoded();
    }

    fn welcome(&mut self, hello: &Hello<'_>, negotiated: Negotiated) {
        self.tally.request();
        self.namespace = Some(hello.namespace.into());
        // Nothing checks credentials yet: whoever reaches a listener may do everything.
        self.rights = Rights::ALL;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let greeting = Greeting {
            server_time_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
            boot_epoch: self.store.boot_epoch(),
            rights: self.rights,
            limits: ServerLimits::new(
                self.store.limits(),
                self.config.in_flight_max,
                Millis::covering(self.config.idle_timeout),
            ),
        };
        self.conn.accept(negotiated, &greeting, self.out.encode_into());
        self.out.encoded();
    }

    fn request(&mut self, correlation: u64, request: Request<'_>) {
        let opcode = request.opcode();
        let replies = self.conn.replies();
        if !self.rights.contains(rights_for(opcode)) {
            return self.error(opcode, correlation, &denied());
        }
        let name = self.namespace.take();
        // HELLO comes before every request.
        let namespace = name.as_ref().map_or(Namespace::DEFAULT, NamespaceBuf::as_namespace);
        let Self { store, out, .. } = self;
        let answered = match request {
            Request::Ping { echo } => {
                replies.pong(correlation, echo, out.encode_into());
                Ok(Some(Position(0)))
            }
            Request::Checkpoint { key, checkpoint } => {
                let answer = store.checkpoint(key.within(namespace), &checkpoint);
                encoded(answer, |it| replies.checkpoint(correlation, it, out.encode_into()))
            }
            Request::Resolve { key, resolve } => {
                let answer = store.resolve(key.within(namespace), &resolve);
                encoded(answer, |it| replies.resolve(correlation, it, out.encode_into()))
            }
            Request::Forget { key, forget } => {
                let answer = store.forget(key.within(namespace), &forget);
                encoded(answer, |it| replies.forget(correlation, it, out.encode_into()))
            }
            Request::List(query) => store.list(namespace, &query).map(|page| {
                replies.list(correlation, &page, out.encode_into());
                Some(Position(0))
            }),
            Request::Stats => {
                replies.stats(correlation, &store.stats(), out.encode_into());
                Ok(Some(Position(0)))
            }
            Request::Begin { .. }
            | Request::Complete { .. }
            | Request::Get { .. }
            | Request::Renew { .. }
            | Request::Abandon { .. } => unreachable!("answered in batches"),
        };
        self.namespace = name;
        match answered {
            Ok(Some(position)) => self.out.encoded_on(position, Asked { correlation, opcode }),
            Ok(None) => {} // It waits.
            Err(error) => {
                let error = error_reply(error, self.watch.as_deref());
                self.error(opcode, correlation, &error);
            }
        }
    }

    /// Others' fences are shown to holders of the operate right alone.
    fn sees_fences(&self) -> bool {
        self.rights.contains(Rights::OPERATE)
    }

    /// The wait's answer comes through the mailbox like any other.
    fn cancel(&mut self, target: u64) {
        match self.waits.find(target).map(|wait| &mut wait.ticket) {
            Some(Ticket::Begin(ticket)) => ticket.end_wait(),
            Some(Ticket::Get(ticket)) => ticket.end_wait(),
            None => {}
        }
    }

    /// Answers waits that have ended, while there is room for replies.
    ///
    /// Connections that wait for nothing, and waits that go on, cost a look at a flag.
    pub(crate) fn answer_ended(&mut self) {
        if !self.waits.may_have_ended() {
            return;
        }
        while self.has_room() {
            let (replies, sees_fences) = (self.conn.replies(), self.sees_fences());
            let Some((place, wait, waker)) = self.waits.next_ended() else { return };
            let watch = self.watch.as_deref();
            let polled = poll(wait, waker, replies, sees_fences, &mut self.out, watch);
            if polled.is_ready() {
                self.waits.leave(place);
            }
        }
    }

    /// Gives up every wait with Unavailable, but for those that have their answer (S17). The
    /// replies are encoded by [`Session::answer_given_up`], as room allows.
    pub(crate) fn give_up_waits(&mut self) -> Vec<Wait> {
        self.waits.take_all()
    }

    /// Answers waits that were given up, from the end, while there is room.
    pub(crate) fn answer_given_up(&mut self, waits: &mut Vec<Wait>) {
        while self.has_room() {
            let (replies, sees_fences) = (self.conn.replies(), self.sees_fences());
            let Some(mut wait) = waits.pop() else { return };
            let (waker, watch) = (Waker::noop(), self.watch.as_deref());
            let polled = poll(&mut wait, waker, replies, sees_fences, &mut self.out, watch);
            if polled.is_pending() {
                let error = error_reply(StoreError::Unavailable, None);
                self.error(wait.opcode(), wait.correlation, &error);
            }
        }
    }

    /// The peer is gone: its waits leave the line (S10).
    pub(crate) fn drop_waits(&mut self) {
        drop(self.waits.take_all());
    }

    fn error(&mut self, opcode: Opcode, correlation: u64, error: &ErrorReply<'_>) {
        let replies = self.conn.replies();
        replies.error(opcode.as_u8(), correlation, error, self.out.encode_into());
        self.out.encoded();
    }

    /// Encodes the connection's last word.
    pub(crate) fn say_why_it_closes(&mut self, error: &ErrorReply<'_>) {
        self.conn.replies().closing(error, self.out.encode_into());
    }

    /// Lets replies go whose facts are synced, and asks for the sync of the rest. While the journal
    /// keeps no facts the rest become Unavailable: nothing that rests on what may not be on the
    /// disk is told (S14).
    pub(crate) fn settle(&mut self) {
        // Without a journal nothing is held.
        let Some(watch) = self.watch.as_deref_mut() else { return };
        let synced = watch.synced();
        let Some(rests_on) = self.out.release(synced) else { return };
        let Some(why) = watch.halted() else { return watch.want(rests_on) };
        let (error, replies) = (ErrorReply::unavailable(why), self.conn.replies());
        self.out.replace_held(synced, |Asked { correlation, opcode }, out| {
            replies.error(opcode.as_u8(), correlation, &error, out);
        });
    }

    /// Has the task called when the journal has synced or stops; false if it has meanwhile, so that
    /// [`Session::settle`] may find something to do.
    pub(crate) fn listen(&mut self, task: &Waker) -> bool {
        let Some(watch) = self.watch.as_deref_mut() else { return true };
        watch.listen(task)
    }

    /// Notes that `size` bytes of the outbox have left.
    pub(crate) fn left(&mut self, size: usize) {
        let replies = self.out.left(size);
        self.tally.answered(replies);
    }

    /// Whether another reply may be encoded.
    pub(crate) fn has_room(&self) -> bool {
        self.out.unsent() < self.config.unsent_bytes_max
    }

    /// Whether HELLO has been accepted.
    pub(crate) fn is_open(&self) -> bool {
        self.namespace.is_some()
    }

    /// Whether any request waits.
    pub(crate) fn waits(&self) -> bool {
        !self.waits.is_empty()
    }

    /// What the peer did wrong, once it cannot go on.
    pub(crate) fn fault(&self) -> Option<&Rejection> {
        self.fault.as_ref()
    }

    /// Bytes that the frame at the front of `input` has, after [`Stop::NeedMore`].
    pub(crate) fn frame_size(&self, input: &[u8]) -> usize {
        self.conn.frame_size(input)
    }

    /// Names half a frame at the end of the stream.
    pub(crate) fn end_of_input(&self, rest: &[u8]) -> Option<ErrorReply<'static>> {
        let half = self.conn.end_of_input(rest).err()?;
        Some(ErrorReply::from(&onceward_proto::ProtocolError::from(half)))
    }

    /// Whether buffers are held that an idle connection can do without.
    pub(crate) fn holds_memory(&self) -> bool {
        self.out.holds_memory()
    }

    /// Gives memory back that an idle connection can do without.
    pub(crate) fn release_memory(&mut self) {
        self.out.release_memory();
        self.waits.release_memory();
    }
}

/// What comes next, with whatever it changes about the connection.
fn next<'i>(conn: &mut ServerConn, input: &'i [u8]) -> Next<'i> {
    match conn.next(input) {
        Ok(Some((incoming, size))) => Next::Alone(incoming, size),
        Ok(None) => Next::Nothing,
        Err(rejection) => Next::Fatal(rejection),
    }
}

/// What an operation needs. Connections have both rights until credentials are checked.
const fn rights_for(opcode: Opcode) -> Rights {
    match opcode {
        Opcode::Hello | Opcode::Ping | Opcode::Cancel => Rights(0),
        Opcode::Begin
        | Opcode::Complete
        | Opcode::Abandon
        | Opcode::Renew
        | Opcode::Checkpoint
        | Opcode::Get => Rights::USE,
        Opcode::Resolve | Opcode::Forget | Opcode::List | Opcode::Stats => Rights::OPERATE,
    }
}

fn denied() -> ErrorReply<'static> {
    ErrorReply::denied("the credential lacks the right to do this")
}

fn encoded<O>(
    answer: Result<Answer<O>, StoreError>,
    encode: impl FnOnce(O),
) -> Result<Option<Position>, StoreError> {
    answer.map(|answer| {
        encode(answer.value);
        Some(answer.position)
    })
}

/// Encodes the wait's answer, if it has one.
fn poll(
    wait: &mut Wait,
    waker: &Waker,
    replies: ReplyEncoder,
    sees_fences: bool,
    out: &mut Outbox,
    watch: Option<&SyncWatch>,
) -> Poll<()> {
    let (correlation, opcode) = (wait.correlation, wait.opcode());
    let polled = match &mut wait.ticket {
        Ticket::Begin(ticket) => ticket.poll(waker, |outcome| {
            replies.begin(correlation, &outcome, out.encode_into());
        }),
        Ticket::Get(ticket) => ticket.poll(waker, |outcome| {
            let outcome = if sees_fences { outcome } else { outcome.without_fence() };
            replies.get(correlation, &outcome, out.encode_into());
        }),
    };
    polled.map(|answer| match answer {
        Ok(answer) => out.encoded_on(answer.position, Asked { correlation, opcode }),
        Err(error) => {
            let error = error_reply(error, watch);
            replies.error(opcode.as_u8(), correlation, &error, out.encode_into());
            out.encoded();
        }
    })
}

fn error_reply(error: StoreError, watch: Option<&SyncWatch>) -> ErrorReply<'static> {
    match error {
        StoreError::Halted => {
            let why = watch.and_then(SyncWatch::why_halted);
            ErrorReply::unavailable(why.unwrap_or_else(|| StoreError::Halted.to_string()))
        }
        StoreError::BadInput(bad) => ErrorReply::from(&bad),
        // What to do then is the code's own meaning, which clients put in their own words.
        StoreError::Unavailable => ErrorReply::unavailable("the server is shutting down"),
        other => ErrorReply::unavailable(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
