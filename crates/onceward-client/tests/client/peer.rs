//! A server whose every answer the test writes by hand.

use bytes::{Buf as _, BytesMut};
use onceward_client::*;
use onceward_proto::{
    Greeting, Incoming, Negotiated, ReplyEncoder, Request, ServerConfig, ServerConn, ServerLimits,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Duration;

pub(crate) struct Peer {
    listener: TcpListener,
    port: u16,
}

/// A request as it arrived.
#[derive(Debug)]
pub(crate) enum Asked {
    Begin { correlation: u64, begin: Begin },
    Complete { correlation: u64, body: Body<Vec<u8>> },
    Get { correlation: u64, wait: Millis },
    Ping { correlation: u64 },
    Cancel { target: u64 },
}

impl Peer {
    pub(crate) async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { listener, port }
    }

    /// A client of this peer, with timeouts that a loaded machine keeps and short pauses.
    pub(crate) fn builder(&self) -> ClientBuilder {
        Client::builder(&format!("onceward://127.0.0.1:{}/orders", self.port))
            .connect_timeout(Duration::from_secs(10))
            .request_timeout(Duration::from_secs(10))
            .back_off(Duration::from_millis(1), Duration::from_millis(20))
    }

    pub(crate) async fn accept(&self) -> Visitor {
        let (stream, _) = self.listener.accept().await.unwrap();
        let conn = ServerConn::new(&ServerConfig { body_bytes_max: 128 * 1024 });
        Visitor { stream, conn, input: BytesMut::new() }
    }

    pub(crate) async fn welcome(&self) -> Visitor {
        self.welcome_with(ServerLimits::default()).await
    }

    pub(crate) async fn welcome_with(&self, limits: ServerLimits) -> Visitor {
        let mut visitor = self.accept().await;
        let (_, negotiated) = visitor.hello().await;
        let mut out = Vec::new();
        let greeting = Greeting { limits, boot_epoch: 7, ..Greeting::default() };
        visitor.conn.accept(negotiated, &greeting, &mut out);
        visitor.write(&out).await;
        visitor
    }
}

/// One connection of the client.
pub(crate) struct Visitor {
    pub(crate) stream: TcpStream,
    pub(crate) conn: ServerConn,
    input: BytesMut,
}

impl Visitor {
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Namespace and credential, and what accepting or refusing needs.
    pub(crate) async fn hello(&mut self) -> ((String, Vec<u8>), Negotiated) {
        loop {
            if let Some((incoming, size)) = self.conn.next(&self.input).unwrap() {
                let Incoming::Hello { hello, negotiated } = incoming else {
                    panic!("{incoming:?} before HELLO")
                };
                let said = (hello.namespace.to_string(), hello.credential.to_vec());
                self.input.advance(size);
                return (said, negotiated);
            }
            assert!(self.stream.read_buf(&mut self.input).await.unwrap() > 0, "closed at HELLO");
        }
    }

    /// `None` once the client has closed.
    pub(crate) async fn next(&mut self) -> Option<Asked> {
        loop {
            if let Some((incoming, size)) = self.conn.next(&self.input).unwrap() {
                let asked = match incoming {
                    Incoming::Request { correlation, request } => match request {
                        Request::Begin { begin, .. } => Asked::Begin { correlation, begin },
                        Request::Get { get, .. } => Asked::Get { correlation, wait: get.wait },
                        Request::Ping { .. } => Asked::Ping { correlation },
                        Request::Complete { complete, .. } => {
                            let body = match complete.result.body {
                                Body::Kept(body) => Body::Kept(body.to_vec()),
                                Body::NotKept(why) => Body::NotKept(why),
                            };
                            Asked::Complete { correlation, body }
                        }
                        other => panic!("{other:?} is not scripted"),
                    },
                    Incoming::Cancel { target } => Asked::Cancel { target },
                    other => panic!("{other:?} is not scripted"),
                };
                self.input.advance(size);
                return Some(asked);
            }
            if self.stream.read_buf(&mut self.input).await.ok()? == 0 {
                return None;
            }
        }
    }

    pub(crate) async fn begin(&mut self) -> (u64, Begin) {
        match self.next().await {
            Some(Asked::Begin { correlation, begin }) => (correlation, begin),
            other => panic!("{other:?}, not a begin"),
        }
    }

    pub(crate) async fn get(&mut self) -> (u64, Millis) {
        match self.next().await {
            Some(Asked::Get { correlation, wait }) => (correlation, wait),
            other => panic!("{other:?}, not a get"),
        }
    }

    pub(crate) async fn ping(&mut self) -> u64 {
        match self.next().await {
            Some(Asked::Ping { correlation }) => correlation,
            other => panic!("{other:?}, not a ping"),
        }
    }

    pub(crate) async fn answer(&mut self, encode: impl FnOnce(ReplyEncoder, &mut Vec<u8>)) {
        let mut out = Vec::new();
        encode(self.conn.replies(), &mut out);
        self.write(&out).await;
    }

    pub(crate) async fn pong(&mut self, correlation: u64) {
        self.answer(|replies, out| replies.pong(correlation, 0, out)).await;
    }

    pub(crate) async fn mismatch(&mut self, correlation: u64) {
        let outcome = BeginOutcome::<&[u8]>::Mismatch;
        self.answer(|replies, out| replies.begin(correlation, &outcome, out)).await;
    }

    pub(crate) async fn absent(&mut self, correlation: u64) {
        let outcome = GetOutcome::<&[u8]>::Absent;
        self.answer(|replies, out| replies.get(correlation, &outcome, out)).await;
    }
}
