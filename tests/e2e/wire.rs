//! One peer on a socket of its own, speaking frames, whole or broken. Blocking, with a time-out
//! on every read, so that a server which says nothing fails a test and does not hang it.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use onceward_core::Namespace;
use onceward_proto::frame::{self, BODY_BYTES_MAX_DEFAULT, Direction, HEADER_SIZE};
use onceward_proto::{ClientConfig, ClientConn, ErrorReply, Hello, Opcode, Reply, Request};

use crate::server::PATIENCE;

/// A frame as it came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct RawFrame {
    pub(crate) opcode: u8,
    pub(crate) correlation: u64,
    pub(crate) body: Vec<u8>,
}

impl RawFrame {
    /// Reads the body as the reply to a request of this opcode.
    pub(crate) fn reply(&self) -> Reply<'_> {
        // Every error has one layout, so any opcode serves for those of unknown ones.
        let opcode = Opcode::from_u8(self.opcode).unwrap_or(Opcode::Cancel);
        Reply::decode(opcode, &self.body).expect("a reply of the protocol")
    }

    /// The error it must be.
    pub(crate) fn error(&self) -> ErrorReply<'_> {
        match self.reply() {
            Reply::Error(error) => error,
            other => panic!("expected an error, got {other:?}"),
        }
    }
}

/// One end of a connection.
pub(crate) struct Peer {
    stream: TcpStream,
    input: Vec<u8>,
    /// How much of `input` has been read already.
    start: usize,
    last_correlation: u64,
}

impl Peer {
    /// Connects and says nothing.
    pub(crate) fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
        stream.set_nodelay(true).expect("a socket takes this option");
        Self { stream, input: Vec::new(), start: 0, last_correlation: 1 }
    }

    /// Connects, says HELLO for the namespace `default`, and is welcome.
    pub(crate) fn welcome(address: SocketAddr) -> Self {
        let mut peer = Self::silent(address);
        peer.send_bytes(&hello());
        let frame = peer.read().expect("a reply to HELLO").expect("an open connection");
        assert!(matches!(frame.reply(), Reply::Welcome(_)), "{:?}", frame.reply());
        peer
    }

    /// Whether HELLO is accepted; not if the server has turned this connection away.
    pub(crate) fn is_welcome(&mut self) -> bool {
        let sent = self.try_send_bytes(&hello()).is_ok();
        let welcomes = |frame: &RawFrame| matches!(frame.reply(), Reply::Welcome(_));
        sent && self.read().is_ok_and(|frame| frame.as_ref().is_some_and(welcomes))
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server takes what is sent");
    }

    /// Writes what may meet a server that has closed already.
    pub(crate) fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a request and gives its number.
    pub(crate) fn send(&mut self, request: &Request<'_>) -> u64 {
        let mut out = Vec::new();
        let correlation = self.encode(request, &mut out);
        self.send_bytes(&out);
        correlation
    }

    /// Appends a request to be sent later, and gives its number.
    pub(crate) fn encode(&mut self, request: &Request<'_>, out: &mut Vec<u8>) -> u64 {
        self.last_correlation += 1;
        request.encode(self.last_correlation, BODY_BYTES_MAX_DEFAULT, out).expect("it fits");
        self.last_correlation
    }

    /// The next frame; `Ok(None)` once the server has closed.
    pub(crate) fn read(&mut self) -> io::Result<Option<RawFrame>> {
        self.read_with(|frame| RawFrame {
            opcode: frame.opcode,
            correlation: frame.correlation,
            body: frame.body.to_vec(),
        })
    }

    /// The same without a copy.
    pub(crate) fn read_with<T>(
        &mut self,
        sink: impl FnOnce(frame::Frame<'_>) -> T,
    ) -> io::Result<Option<T>> {
        loop {
            let rest = &self.input[self.start..];
            let decoded = frame::decode(rest, Direction::Reply, BODY_BYTES_MAX_DEFAULT)
                .map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why.to_string()))?;
            if let Some((frame, size)) = decoded {
                self.start += size;
                return Ok(Some(sink(frame)));
            }
            if !self.fill()? {
                return match self.input.len() - self.start {
                    0 => Ok(None),
                    cut => Err(io::Error::other(format!("closed {cut} bytes into a frame"))),
                };
            }
        }
    }

    fn fill(&mut self) -> io::Result<bool> {
        self.input.drain(..self.start);
        self.start = 0;
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(size) => {
                self.input.extend_from_slice(&chunk[..size]);
                Ok(size > 0)
            }
            // The server closed with bytes of ours unread; what it said before that has arrived.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The reply to a request just sent, when no other is outstanding.
    pub(crate) fn ask(&mut self, request: &Request<'_>) -> RawFrame {
        let correlation = self.send(request);
        let frame = self.read().expect("a reply in time").expect("an open connection");
        assert_eq!(frame.correlation, correlation, "{:?}", frame.reply());
        frame
    }

    /// Proves that the connection is open and that nothing stands unread before this.
    pub(crate) fn ping(&mut self) {
        let frame = self.ask(&Request::Ping { echo: 77 });
        assert_eq!(frame.reply(), Reply::Pong { echo: 77 });
    }

    /// Proves that the server has closed, after no further frame.
    pub(crate) fn expect_closed(&mut self, why: &str) {
        match self.read() {
            Ok(None) => {}
            Ok(Some(frame)) => panic!("{why}: expected a close, got {:?}", frame.reply()),
            Err(error) => panic!("{why}: expected a close, got {error}"),
        }
    }

    /// Ends the sending side only.
    pub(crate) fn finish_sending(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("an open socket");
    }
}

/// HELLO for the namespace `default`, with correlation 1.
pub(crate) fn hello() -> Vec<u8> {
    let mut out = Vec::new();
    ClientConn::new(&ClientConfig::default()).hello(&Hello::new(Namespace::DEFAULT, b""), &mut out);
    out
}

/// A header as anybody may write it, true or not.
pub(crate) fn header(
    length: u32,
    opcode: u8,
    flags: u8,
    reserved: u16,
    correlation: u64,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_SIZE);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&[opcode, flags]);
    out.extend_from_slice(&reserved.to_le_bytes());
    out.extend_from_slice(&correlation.to_le_bytes());
    out
}
