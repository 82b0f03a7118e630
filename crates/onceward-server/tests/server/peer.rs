//! A client by hand: a socket, and the protocol's own state machine to pair replies.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use onceward::{
    Acquired, AttemptId, Begin, BeginOutcome, Complete, Fingerprint, Millis, Namespace, ResultRef,
    ScopedKey, StoredResult, Token,
};
use onceward_proto::{ClientConfig, ClientConn, ErrorReply, Hello, Received, Reply, Request};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// Longest that any test waits for what must come.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// A reply that owns its bytes, in the few shapes that tests look at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Got {
    Welcome,
    Begin(BeginOutcome<Vec<u8>>),
    Get(onceward::GetOutcome<Vec<u8>>),
    /// Any other outcome, as its reply's debug text.
    Other(String),
    Error(ErrorReply<'static>),
}

impl Got {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Welcome => "welcome",
            Self::Begin(outcome) => outcome.name(),
            Self::Get(outcome) => outcome.name(),
            Self::Other(_) => "other",
            Self::Error(error) => error.code.name(),
        }
    }

    pub(crate) fn token(&self) -> Token {
        match self {
            Self::Begin(BeginOutcome::Acquired(Acquired { token, .. })) => *token,
            other => panic!("not acquired: {other:?}"),
        }
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        let result: &StoredResult<Vec<u8>> = match self {
            Self::Begin(BeginOutcome::Replay(replay)) => &replay.result,
            Self::Get(onceward::GetOutcome::Completed(completed)) => &completed.result,
            other => panic!("no result: {other:?}"),
        };
        match &result.body {
            onceward::Body::Kept(bytes) => bytes.clone(),
            other => panic!("not kept: {other:?}"),
        }
    }
}

pub(crate) struct Peer {
    pub(crate) socket: Box<dyn Socket>,
    pub(crate) conn: ClientConn,
    /// Encoded and not sent yet.
    pub(crate) outbox: Vec<u8>,
    input: Vec<u8>,
}

impl Peer {
    /// A socket that has said nothing.
    pub(crate) async fn silent(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.expect("connect"))
    }

    pub(crate) fn over(socket: impl Socket + 'static) -> Self {
        Self {
            socket: Box::new(socket),
            conn: ClientConn::new(&ClientConfig::default()),
            outbox: Vec::new(),
            input: Vec::new(),
        }
    }

    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::silent(address).await.introduced().await
    }

    /// With the socket a second time, to look at what has come without taking it.
    pub(crate) async fn observed(address: SocketAddr) -> (Self, std::net::TcpStream) {
        let socket = TcpStream::connect(address).await.expect("connect");
        let socket = socket.into_std().expect("a socket");
        let again = socket.try_clone().expect("a descriptor");
        let socket = TcpStream::from_std(socket).expect("a socket");
        (Self::over(socket).introduced().await, again)
    }

    pub(crate) async fn connect_unix(path: &Path) -> Self {
        let socket = UnixStream::connect(path).await.expect("connect");
        Self::over(socket).introduced().await
    }

    async fn introduced(mut self) -> Self {
        self.conn.hello(&Hello::new(Namespace::DEFAULT, b"a credential"), &mut self.outbox);
        self.flush().await;
        assert_eq!(self.next().await.1, Got::Welcome);
        self
    }

    /// Encodes a request for the next flush.
    pub(crate) fn push(&mut self, request: &Request<'_>) -> u64 {
        self.conn.request(request, &mut self.outbox).expect("it fits")
    }

    pub(crate) fn cancel(&mut self, target: u64) {
        self.conn.cancel(target, &mut self.outbox);
    }

    pub(crate) async fn flush(&mut self) {
        let bytes = std::mem::take(&mut self.outbox);
        timeout(SOON, self.socket.write_all(&bytes)).await.expect("in time").expect("written");
    }

    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        timeout(SOON, self.socket.write_all(bytes)).await.expect("in time").expect("written");
    }

    /// The next frame as it came, paired with nothing.
    pub(crate) async fn raw_frame(&mut self) -> Vec<u8> {
        loop {
            if let Some(length) = self.input.first_chunk::<4>() {
                let size = 16 + u32::from_le_bytes(*length) as usize;
                if self.input.len() >= size {
                    return self.input.drain(..size).collect();
                }
            }
            let read = timeout(SOON, self.socket.read_buf(&mut self.input)).await;
            assert_ne!(read.expect("in time").expect("no reset"), 0, "the connection lives");
        }
    }

    /// Sends one request and awaits its reply.
    pub(crate) async fn ask(&mut self, request: &Request<'_>) -> Got {
        let asked = self.push(request);
        self.flush().await;
        let (correlation, got) = self.next().await;
        assert_eq!(correlation, asked, "the only request outstanding");
        got
    }

    pub(crate) async fn next(&mut self) -> (u64, Got) {
        self.next_or_end().await.expect("the connection lives")
    }

    /// The next reply; correlation 0 for the connection's last word; `None` at the end.
    pub(crate) async fn next_or_end(&mut self) -> Option<(u64, Got)> {
        loop {
            if let Some((received, size)) = self.conn.next(&self.input).expect("protocol") {
                let got = owned(received);
                self.input.drain(..size);
                return Some(got);
            }
            let read = timeout(SOON, self.socket.read_buf(&mut self.input)).await;
            if read.expect("in time").expect("no reset") == 0 {
                assert!(self.input.is_empty(), "the stream ends between frames");
                return None;
            }
        }
    }

    /// Shows that nothing but the pong is outstanding before it, and that what was sent is judged.
    pub(crate) async fn ping(&mut self) {
        let got = self.ask(&Request::Ping { echo: 7 }).await;
        assert_eq!(got, Got::Other("Pong { echo: 7 }".to_owned()));
    }

    /// As [`Peer::ping`], behind requests that wait.
    pub(crate) async fn ping_behind(&mut self) {
        let asked = self.push(&Request::Ping { echo: 8 });
        self.flush().await;
        loop {
            let (correlation, got) = self.next().await;
            if correlation == asked {
                assert_eq!(got, Got::Other("Pong { echo: 8 }".to_owned()));
                return;
            }
            assert!(matches!(got, Got::Other(_)), "nothing that waits is answered yet: {got:?}");
        }
    }

    pub(crate) async fn begin(&mut self, key: &str, attempt: u8, wait: u64) -> Got {
        self.ask(&begin(key, attempt, wait)).await
    }

    pub(crate) async fn complete(&mut self, key: &str, token: Token, body: &[u8]) -> Got {
        self.ask(&complete(key, token, body)).await
    }

    pub(crate) async fn expect_end(&mut self) {
        assert_eq!(self.next_or_end().await, None);
    }
}

fn owned(received: Received<'_>) -> (u64, Got) {
    let bytes = <[u8]>::to_vec;
    match received {
        Received::Closing(error) => (0, Got::Error(error.into_owned())),
        Received::Reply { correlation, reply } => {
            let got = match reply {
                Reply::Welcome(_) => Got::Welcome,
                Reply::Begin(outcome) => Got::Begin(outcome.map(bytes)),
                Reply::Get(outcome) => Got::Get(outcome.map(bytes)),
                Reply::Error(error) => Got::Error(error.into_owned()),
                other => Got::Other(format!("{other:?}")),
            };
            (correlation, got)
        }
    }
}

pub(crate) fn key(key: &str) -> ScopedKey<'_> {
    ScopedKey::new(b"tenant", key.as_bytes()).expect("a key")
}

pub(crate) fn begin(name: &str, attempt: u8, wait: u64) -> Request<'_> {
    let mut begin = Begin::new(Fingerprint::None, AttemptId::from_bytes([attempt; 16]));
    begin.wait = Millis::new(wait);
    Request::Begin { key: key(name), begin }
}

pub(crate) fn complete<'a>(name: &'a str, token: Token, body: &'a [u8]) -> Request<'a> {
    let result = ResultRef::of(200, body);
    Request::Complete { key: key(name), complete: Complete { token, result, fingerprint: None } }
}
