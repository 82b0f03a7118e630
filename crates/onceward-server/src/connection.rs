//! One connection: its socket, what it holds of input, its end.
//!
//! ```text
//!           ┌────────────────────────────── sleep ◀───────────────┐
//!           ▼                                                     │
//!  read ─▶ act on whole frames, answer waits that ended ─▶ write ─┴─▶ close: say why, linger
//! ```
//! One task, never blocked by the store. A wake-up reads once, acts on every whole frame, and writes
//! all replies at once, from and into buffers that the thread lends ([`Lent`]): a connection itself
//! holds only what is incomplete or has not left.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use onceward_core::Millis;
use onceward_proto::ErrorReply;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, info};

use crate::config::ServerConfig;
use crate::deadlines::{Clocks, Due, Holdings, Timer};
use crate::lent::{Buffers, Lent};
use crate::mailbox::Mailbox;
use crate::outbox::PARTS_MAX;
use crate::session::{Session, Stop};
use crate::stream::{Peer, Stream};

/// Least room made for the rest of a frame.
const READ_BYTES_MIN: usize = 4 * 1024;
/// Bytes dropped at a time while a closed connection lingers.
const LINGER_READ_BYTES: usize = 4 * 1024;
/// Reads of what had arrived when the server began to drain; a peer that never stops sending
/// must not keep it up.
const READS_WHILE_DRAINING_MAX: usize = 64;
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

/// Why [`Connection::poll_turns`] returns although the connection goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pause {
    /// It has been busy for long.
    Busy,
    /// The server drains.
    Drain,
}

pub(crate) struct Connection {
    stream: Stream,
    peer: Peer,
    session: Session,
    mailbox: Arc<Mailbox>,
    config: ServerConfig,
    /// What has come and was not acted on: part of a frame, or frames whose replies had no room.
    input: BytesMut,
    clock: Clocks,
    timer: Timer,
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
            clock: Clocks::new(now),
            timer: Timer::new(now + config.hello_timeout),
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
        loop {
            match std::future::poll_fn(|cx| self.poll_turns(cx)).await {
                Err(end) => return end,
                Ok(Pause::Drain) => return Box::pin(self.drain()).await,
                Ok(Pause::Busy) => tokio::task::yield_now().await,
            }
        }
    }

    /// Turn after turn, in the thread's buffers, until there is nothing to do.
    fn poll_turns(&mut self, cx: &mut Context<'_>) -> Poll<Result<Pause, End>> {
        let mut lent = Lent::take();
        let buffers = lent.buffers();
        self.session.out.lend(&mut buffers.output);
        let polled = self.poll_in(cx, buffers);
        self.session.out.give_back(&mut buffers.output);
        polled
    }

    fn poll_in(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> Poll<Result<Pause, End>> {
        let now = Instant::now();
        for _ in 0..TURNS_MAX {
            if self.mailbox.is_draining() {
                return Poll::Ready(Ok(Pause::Drain));
            }
            if self.turn(now) == Stop::Fatal {
                return Poll::Ready(Err(End::Fault));
            }
            match self.step(cx, buffers, now) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(end)) => return Poll::Ready(Err(end)),
                Poll::Pending => return self.poll_time(cx, now).map(Err),
            }
        }
        Poll::Ready(Ok(Pause::Busy))
    }

    /// Does all that can be done without the socket.
    fn turn(&mut self, now: Instant) -> Stop {
        let had_unsent = self.session.out.has_sendable();
        self.session.answer_ended();
        if !had_unsent {
            self.clock.unsent = now;
        }
        if self.input.is_empty() {
            return Stop::NeedMore;
        }
        let (done, stop) = self.session.receive(&self.input);
        self.input.advance(done);
        self.clock.acted(now, done, self.input.len(), stop);
        stop
    }

    /// Writes, reads and acts on it. Ready when another turn may find something to do.
    fn step(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut Buffers,
        now: Instant,
    ) -> Poll<Result<(), End>> {
        let had_room = self.session.has_room();
        if let Poll::Ready(Err(error)) = self.poll_write(cx, now) {
            return Poll::Ready(Err(End::Failed(error)));
        }
        if !had_room {
            // Frames that have come are acted on before more are read: else every turn might add
            // more to `input` than it takes out, and an end of the stream might hide them.
            return if self.session.has_room() { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let read = if self.input.is_empty() {
            self.poll_read_lent(cx, &mut buffers.input)
        } else {
            self.poll_read(cx)
        };
        match read {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(End::Closed)),
            Poll::Ready(Ok(size)) => {
                self.clock.active = now;
                if self.input.is_empty() {
                    self.act_on(&buffers.input[..size], now)
                } else {
                    Ok(())
                }
                .into()
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(End::Failed(error))),
            Poll::Pending => self.mailbox.poll(cx).map(Ok),
        }
    }

    /// Acts on what has come, and keeps what cannot be acted on yet.
    fn act_on(&mut self, came: &[u8], now: Instant) -> Result<(), End> {
        let (done, stop) = self.session.receive(came);
        let rest = &came[done..];
        self.input.extend_from_slice(rest);
        self.clock.acted(now, done, rest.len(), stop);
        if stop == Stop::Fatal { Err(End::Fault) } else { Ok(()) }
    }

    /// Ready once everything has left. What is held leaves when the journal has synced (S14).
    fn poll_write(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<io::Result<()>> {
        loop {
            if self.session.out.holds() {
                let had_unsent = self.session.out.has_sendable();
                self.session.settle();
                if !had_unsent {
                    self.clock.unsent = now;
                }
            }
            ready!(self.poll_write_sendable(cx, now))?;
            if !self.session.out.holds() {
                return Poll::Ready(Ok(()));
            }
            if self.session.listen(cx.waker()) {
                return Poll::Pending;
            }
        }
    }

    /// Ready once everything has left that may.
    fn poll_write_sendable(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<io::Result<()>> {
        while self.session.out.has_sendable() {
            let stream = Pin::new(&mut self.stream);
            let size = if let Some(bytes) = self.session.out.sendable() {
                ready!(stream.poll_write(cx, bytes))?
            } else {
                let mut parts = [IoSlice::new(&[]); PARTS_MAX];
                let count = self.session.out.sendable_parts(&mut parts);
                ready!(stream.poll_write_vectored(cx, &parts[..count]))?
            };
            if size == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.session.left(size);
            (self.clock.active, self.clock.unsent) = (now, now);
        }
        Poll::Ready(Ok(()))
    }

    /// Ready with the number of bytes read into the thread's buffer; zero at the end of the stream.
    fn poll_read_lent(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(input);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Ready with the number of bytes added to `input`; zero at the end of the stream. Room for the
    /// rest of a frame doubles as its bytes come, so that a header alone makes the server hold
    /// nothing.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let missing = self.session.frame_size(&self.input).saturating_sub(self.input.len());
        self.input.reserve(missing.min(self.input.len()).max(READ_BYTES_MIN));
        pin!(self.stream.read_buf(&mut self.input)).poll(cx)
    }

    /// Ready when the connection must end for what has not come.
    fn poll_time(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<End> {
        loop {
            let Self { config, clock, session, input, .. } = self;
            let holdings = Holdings {
                is_open: session.is_open(),
                unsent: session.out.has_sendable(),
                held: session.out.holds(),
                input: !input.is_empty(),
                waits: session.waits(),
                memory: input.capacity() > 0 || session.holds_memory(),
            };
            // Whatever is due comes later than the timer fires, which then looks closer.
            if clock.active == now
                && let Some(calm) = holdings.calm_for(config)
                && self.timer.fires_within(now, calm)
            {
                return Poll::Pending;
            }
            match ready!(self.timer.poll(cx, clock.next_due(config, holdings, now), now)) {
                Due::Hello => return Poll::Ready(End::Late(self.config.hello_timeout)),
                Due::Frame => return Poll::Ready(End::Late(self.config.frame_timeout)),
                Due::Write => return Poll::Ready(End::Slow),
                Due::Idle => return Poll::Ready(End::Idle),
                Due::Buffers => {
                    self.input = BytesMut::new();
                    self.session.release_memory();
                }
                Due::Nothing => {}
            }
        }
    }

    /// Answers what has arrived, then gives every wait up (S17).
    async fn drain(&mut self) -> End {
        // The runtime may learn only now of bytes that have arrived.
        tokio::task::yield_now().await;
        for _ in 0..READS_WHILE_DRAINING_MAX {
            loop {
                match self.turn(Instant::now()) {
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
            let written = std::future::poll_fn(|cx| self.poll_write(cx, Instant::now()));
            match timeout_at(until, written).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => return Err(End::Failed(error)),
                // The peer is waited for no longer than it can take anything.
                Err(_) if !self.session.out.has_sendable() => self.clock.unsent = Instant::now(),
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
    use crate::lent::INPUT_BYTES;

    fn connection(socket: UnixStream, config: &ServerConfig) -> Connection {
        let store =
            Store::new(StoreConfig::default(), Arc::new(BootClock::new())).expect("a store");
        let mailbox = Arc::<Mailbox>::default();
        let session = Session::new(&store, config, Arc::clone(&mailbox), Arc::default(), None);
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
            let polled = std::future::poll_fn(|cx| {
                most = most.max(connection.input.len());
                connection.poll_turns(cx)
            });
            match polled.await {
                Err(end) => break end,
                Ok(pause) => assert_eq!(pause, Pause::Busy),
            }
        };
        assert!(matches!(end, End::Closed), "{end:?}");
        // A buffer that grows may take in more than the room that was asked for.
        assert!(most <= 4 * INPUT_BYTES, "{most} bytes of requests were held");
        asking.await.expect("asked");
        connection.close(end).await;
        drop(connection);
        let told = replies.await.expect("no panic");
        assert!(told > FRAMES * 25, "each is answered before the end is looked at: {told} bytes");
    }
}
