//! One connection: its socket, its buffers, its time-outs.
//!
//! ```text
//!           ┌────────────────────────────── sleep ◀───────────────┐
//!           ▼                                                     │
//!  read ─▶ act on whole frames, answer waits that ended ─▶ write ─┴─▶ close: say why, linger
//! ```
//! One task, never blocked by the store. What it does between two sleeps is written at once.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use onceward_core::Millis;
use onceward_proto::ErrorReply;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};
use tokio::time::{Instant, Sleep, sleep_until, timeout, timeout_at};
use tracing::{debug, info};

use crate::config::ServerConfig;
use crate::mailbox::Mailbox;
use crate::session::{Session, Stop};
use crate::stream::{Peer, Stream};

/// Room made for a read of a connection that has been quiet; doubled by every read that fills it.
const READ_BYTES_MIN: usize = 4 * 1024;
/// Most room made for a read, unless a frame needs more. Such a frame's buffer doubles as its bytes
/// come, so that a header alone makes the server hold nothing.
const READ_BYTES_MAX: usize = 64 * 1024;
/// Bytes dropped at a time while a closed connection lingers.
const LINGER_READ_BYTES: usize = 4 * 1024;
/// Reads of what had arrived when the server began to drain; a peer that never stops sending
/// must not keep it up.
const READS_WHILE_DRAINING_MAX: usize = 64;
/// An idle connection gives its buffers back after this long.
const BUFFERS_KEPT: Duration = Duration::from_secs(1);
/// Turns after which a busy connection lets others run.
const TURNS_MAX: u32 = 32;

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The peer closed its side.
    Closed,
    /// The peer broke the protocol; the error is encoded.
    Fault,
    /// HELLO, or the rest of a frame, did not come in time.
    Late(Duration),
    /// Nothing came for long, and nothing was waited for.
    Idle,
    /// The peer takes no replies.
    Slow,
    /// The server shuts down.
    Drained,
    /// The socket failed.
    Failed(io::Error),
}

pub(crate) struct Connection {
    stream: Stream,
    peer: Peer,
    session: Session,
    mailbox: Arc<Mailbox>,
    config: ServerConfig,
    input: BytesMut,
    /// Room for the next read.
    read_bytes: usize,
    clock: Clocks,
    timer: Pin<Box<Sleep>>,
}

/// The instants that time-outs count from.
#[derive(Debug)]
struct Clocks {
    opened: Instant,
    /// Bytes came, or a reply left.
    active: Instant,
    /// Unsent bytes lie since then, or since the last byte left.
    unsent: Instant,
    /// Part of a frame is there since then, and the rest is being read for.
    half_frame: Option<Instant>,
}

impl Connection {
    pub(crate) fn new(
        stream: Stream,
        peer: Peer,
        session: Session,
        mailbox: Arc<Mailbox>,
        config: &ServerConfig,
    ) -> Self {
        let now = Instant::now();
        Self {
            stream,
            peer,
            session,
            mailbox,
            config: *config,
            input: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
            clock: Clocks { opened: now, active: now, unsent: now, half_frame: None },
            timer: Box::pin(sleep_until(now + config.hello_timeout)),
        }
    }

    /// Serves until either side ends it.
    pub(crate) async fn run(mut self) {
        debug!(peer = %self.peer, "connection opened");
        let end = self.serve().await;
        let peer = &self.peer;
        match &end {
            End::Fault => {
                // Names fields and numbers, never what they hold (S16).
                let error = self.session.fault().map(|fault| fault.error);
                info!(%peer, error = error.map(tracing::field::display), "the peer broke the protocol");
            }
            End::Late(limit) => {
                info!(%peer, ?limit, "HELLO or the rest of a frame did not come in time");
            }
            End::Slow => info!(%peer, "the peer takes no replies"),
            End::Failed(error) => debug!(%peer, %error, "the socket failed"),
            End::Closed | End::Idle | End::Drained => {}
        }
        // Rare and large: kept out of the memory of every connection that lives.
        let how = Box::pin(self.close(end)).await;
        debug!(peer = %self.peer, how, "connection closed");
    }

    async fn serve(&mut self) -> End {
        let mut turns = 0;
        loop {
            if self.turn() == Stop::Fatal {
                return End::Fault;
            }
            if self.mailbox.is_draining() {
                return Box::pin(self.drain()).await;
            }
            let step = std::future::poll_fn(|cx| self.step(cx)).await;
            if let Err(end) = step {
                return end;
            }
            turns += 1;
            if turns % TURNS_MAX == 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Does all that can be done without the socket.
    fn turn(&mut self) -> Stop {
        let had_unsent = !self.session.out.is_empty();
        self.session.answer_ended();
        let (done, stop) = self.session.receive(&self.input);
        self.input.advance(done);
        let now = Instant::now();
        match stop {
            Stop::NeedMore if self.input.is_empty() => self.clock.half_frame = None,
            Stop::NeedMore if done > 0 => self.clock.half_frame = Some(now),
            Stop::NeedMore => {
                self.clock.half_frame.get_or_insert(now);
            }
            // While nothing is read the rest of a frame cannot come.
            Stop::NoRoom | Stop::Fatal => self.clock.half_frame = None,
        }
        if !had_unsent {
            self.clock.unsent = now;
        }
        stop
    }

    /// Writes, reads and looks into the mailbox. Ready when there is something to act on.
    fn step(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let had_room = self.session.has_room();
        if let Poll::Ready(Err(error)) = self.poll_write(cx) {
            return Poll::Ready(Err(End::Failed(error)));
        }
        if !had_room && self.session.has_room() {
            // Frames that have come are acted on before more are read: else every turn might add
            // more to `input` than it takes out, and an end of the stream might hide them.
            return Poll::Ready(Ok(()));
        }
        let mut something = false;
        if had_room {
            match self.poll_read(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(End::Closed)),
                Poll::Ready(Ok(_)) => something = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(End::Failed(error))),
                Poll::Pending => {}
            }
            something |= self.mailbox.poll(cx).is_ready();
        }
        if something {
            return Poll::Ready(Ok(()));
        }
        self.poll_time(cx).map(Err)
    }

    /// Ready once everything has left.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.session.out.is_empty() {
            let bytes = self.session.out.sendable();
            let size = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
            if size == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.session.left(size);
            let now = Instant::now();
            (self.clock.active, self.clock.unsent) = (now, now);
        }
        Poll::Ready(Ok(()))
    }

    /// Ready with the number of bytes added to `input`; zero at the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.capacity() == 0 {
            ready!(self.stream.poll_read_ready(cx))?; // An idle connection holds no buffer.
        }
        let missing = self.session.frame_size(&self.input).saturating_sub(self.input.len());
        self.input.reserve(missing.min(self.input.len()).max(self.read_bytes));
        let size = ready!(pin!(self.stream.read_buf(&mut self.input)).poll(cx))?;
        if size >= self.read_bytes {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        }
        self.clock.active = Instant::now();
        Poll::Ready(Ok(size))
    }

    /// Ready when the connection must end for what has not come. The timer is moved only when it
    /// would fire too late; when it fires too early it is armed again.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let due = self.next_due();
            if due.0 < self.timer.deadline() {
                self.timer.as_mut().reset(due.0);
            }
            ready!(self.timer.as_mut().poll(cx));
            if due.0 > Instant::now() {
                self.timer.as_mut().reset(due.0);
                continue;
            }
            match due.1 {
                Due::Hello => return Poll::Ready(End::Late(self.config.hello_timeout)),
                Due::Frame => return Poll::Ready(End::Late(self.config.frame_timeout)),
                Due::Write => return Poll::Ready(End::Slow),
                Due::Idle => return Poll::Ready(End::Idle),
                Due::Buffers => {
                    self.input = BytesMut::new();
                    self.read_bytes = READ_BYTES_MIN;
                    self.session.release_memory();
                }
                Due::Nothing => self.timer.as_mut().reset(due.0 + FAR),
            }
        }
    }

    /// The next time-out, and what it means.
    fn next_due(&self) -> (Instant, Due) {
        let Self { config, clock, session, .. } = self;
        let idle = session.out.is_empty() && self.input.is_empty();
        let hello = (!session.is_open()).then(|| (clock.opened + config.hello_timeout, Due::Hello));
        let frame = clock.half_frame.map(|since| (since + config.frame_timeout, Due::Frame));
        let write =
            (!session.out.is_empty()).then(|| (clock.unsent + config.write_timeout, Due::Write));
        let silent = (idle && !session.waits() && !config.idle_timeout.is_zero())
            .then(|| (clock.active + config.idle_timeout, Due::Idle));
        let holds_memory = self.input.capacity() > 0 || session.holds_memory();
        let buffers = (idle && holds_memory).then(|| (clock.active + BUFFERS_KEPT, Due::Buffers));
        [hello, frame, write, silent, buffers]
            .into_iter()
            .flatten()
            .min_by_key(|&(at, _)| at)
            .unwrap_or((Instant::now() + FAR, Due::Nothing))
    }

    /// Answers what has arrived, then gives every wait up (S17).
    async fn drain(&mut self) -> End {
        // The runtime may learn only now of bytes that have arrived.
        tokio::task::yield_now().await;
        for _ in 0..READS_WHILE_DRAINING_MAX {
            loop {
                match self.turn() {
                    Stop::Fatal => return End::Fault,
                    Stop::NeedMore => break,
                    Stop::NoRoom => {}
                }
                if let Err(end) = self.flush().await {
                    return end;
                }
            }
            let arrived = std::future::poll_fn(|cx| Poll::Ready(self.poll_read(cx))).await;
            match arrived {
                Poll::Pending | Poll::Ready(Ok(0)) => break,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return End::Failed(error),
            }
        }
        let mut given_up = self.session.give_up_waits();
        loop {
            self.session.answer_given_up(&mut given_up);
            if let Err(end) = self.flush().await {
                return end;
            }
            if given_up.is_empty() {
                return End::Drained;
            }
        }
    }

    /// Writes everything, as long as the peer takes it.
    async fn flush(&mut self) -> Result<(), End> {
        self.clock.unsent = Instant::now();
        loop {
            let until = self.clock.unsent + self.config.write_timeout;
            let written = std::future::poll_fn(|cx| self.poll_write(cx));
            match timeout_at(until, written).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => return Err(End::Failed(error)),
                Err(_) if Instant::now() < self.clock.unsent + self.config.write_timeout => {}
                Err(_) => return Err(End::Slow),
            }
        }
    }

    /// Sends the last word and waits for the peer to have read it. Gives the reason in a word.
    async fn close(&mut self, end: End) -> &'static str {
        let how = match end {
            End::Failed(_) => return "failed",
            End::Slow => return "slow peer",
            End::Idle => return "idle",
            End::Closed => {
                self.session.drop_waits();
                if let Some(error) = self.session.end_of_input(&self.input) {
                    self.session.say_why_it_closes(&error);
                }
                let _ = self.flush().await;
                return "closed by the peer";
            }
            End::Late(limit) => {
                self.session.drop_waits();
                self.session.say_why_it_closes(&ErrorReply::timed_out(Millis::covering(limit)));
                "timed out"
            }
            End::Fault => {
                self.session.drop_waits();
                "protocol error"
            }
            End::Drained => "drained",
        };
        if self.flush().await.is_ok() {
            linger(&mut self.stream, self.config.linger).await;
        }
        how
    }
}

/// Longest that a timer with nothing to wait for sleeps.
const FAR: Duration = Duration::from_secs(24 * 3_600);

#[derive(Clone, Copy, Debug)]
enum Due {
    Hello,
    Frame,
    Write,
    Idle,
    Buffers,
    Nothing,
}

/// Closes the sending side and drops what still comes, until the peer closes too or `limit`.
pub(crate) async fn linger(stream: &mut Stream, limit: Duration) {
    let dropped = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut rest = vec![0; LINGER_READ_BYTES];
        while matches!(stream.read(&mut rest).await, Ok(1..)) {}
    };
    let _ = timeout(limit, dropped).await;
}

#[cfg(test)]
mod tests {
    use onceward::{BootClock, Store, StoreConfig};
    use onceward_core::Namespace;
    use onceward_proto::{ClientConfig, ClientConn, Hello, Request};
    use tokio::net::UnixStream;

    use super::*;

    fn connection(socket: UnixStream, config: &ServerConfig) -> Connection {
        let store =
            Store::new(StoreConfig::default(), Arc::new(BootClock::new())).expect("a store");
        let mailbox = Arc::<Mailbox>::default();
        let session = Session::new(&store, config, Arc::clone(&mailbox), Arc::default());
        Connection::new(Stream::Unix(socket), Peer::Unix, session, mailbox, config)
    }

    /// 10,000 idle connections hold a few of these and no buffer.
    #[tokio::test]
    async fn an_idle_connection_is_small_s20() {
        let (_, socket) = UnixStream::pair().expect("a pair");
        let size = size_of_val(&connection(socket, &ServerConfig::default()).run());
        assert!(size <= 2 * 1024, "{size} bytes");
    }

    /// A peer that reads its replies, but asks faster than they fit the outbox.
    #[tokio::test]
    async fn requests_do_not_pile_up_while_replies_leave_s20() {
        const FRAMES: usize = 40_000;
        let (near, far) = UnixStream::pair().expect("a pair");
        // Four replies of a ping: each turn acts on so few frames and could read thousands.
        let config = ServerConfig { unsent_bytes_max: 100, ..ServerConfig::default() };
        let mut connection = connection(far, &config);
        let (mut reading, mut writing) = near.into_split();
        let asking = tokio::spawn(async move {
            let mut client = ClientConn::new(&ClientConfig::default());
            let mut frames = Vec::new();
            client.hello(&Hello::new(Namespace::DEFAULT, b""), &mut frames);
            for echo in 0..FRAMES as u64 {
                client.request(&Request::Ping { echo }, &mut frames).expect("it fits");
            }
            writing.write_all(&frames).await.expect("written");
        });
        let replies = tokio::spawn(async move {
            let mut replies = Vec::new();
            reading.read_to_end(&mut replies).await.expect("no reset");
            replies.len()
        });
        let mut most = 0;
        let end = loop {
            assert_ne!(connection.turn(), Stop::Fatal);
            most = most.max(connection.input.len());
            if let Err(end) = std::future::poll_fn(|cx| connection.step(cx)).await {
                break end;
            }
        };
        assert!(matches!(end, End::Closed), "{end:?}");
        // A buffer that grows may take in more than the room that was asked for.
        assert!(most <= 4 * READ_BYTES_MAX, "{most} bytes of requests were held");
        asking.await.expect("asked");
        connection.close(end).await;
        drop(connection);
        let told = replies.await.expect("no panic");
        assert!(told > FRAMES * 25, "each is answered before the end is looked at: {told} bytes");
    }
}
