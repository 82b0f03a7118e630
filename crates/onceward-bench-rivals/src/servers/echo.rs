//! The floor: a server that moves given lengths of bytes and does nothing else.
//!
//! ```text
//!   request = length u32 │ reply length u32 │ padding up to length      (little-endian)
//!   reply   = reply length u32 │ padding up to reply length
//! ```
//! What it costs is what the kernel asks of anybody who moves as many bytes: one thread, one wait,
//! one read per ready connection into one buffer for all, one write for all whole requests in it.
//! Padding is skipped, not kept; nothing is allocated for a request; no timer runs.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Bytes of a request before its padding, and so the shortest request.
pub const REQUEST_HEADER_BYTES: usize = 8;
/// Bytes of a reply before its padding, and so the shortest reply.
pub const REPLY_HEADER_BYTES: usize = 4;
/// Longest request and longest reply. Whoever asks for more is cut off.
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// Read at once. What is beyond it is read after the others had their turn.
const INPUT_BYTES: usize = 256 << 10;
/// Replies to what was read at once, in all. Only as much of it as is used is ever touched.
const OUTPUT_BYTES: usize = 4 * MESSAGE_BYTES_MAX;
const EVENTS: usize = 128;
/// The listener's place among the sources of events; connections have theirs from 0 on.
const LISTENER: u64 = u64::MAX;

/// Where it listens.
#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }

    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(from),
            Self::Unix(stream) => stream.write(from),
        }
    }
}

impl Listener {
    /// The next connection, ready to be waited for, or that there is none now.
    fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(Stream::Unix(stream))
            }
        }
    }
}

/// How far a connection is within a request: all that has to be kept between two reads.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Progress {
    header: [u8; REQUEST_HEADER_BYTES],
    header_bytes: usize,
    /// Padding still to come; counts once the header is whole.
    padding: usize,
}

/// A length that no request and no reply has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct OutOfBounds;

impl Progress {
    /// Takes one request, or what there is of it, off the front of `input`. The reply's length,
    /// once the request is whole.
    fn advance(&mut self, input: &mut &[u8]) -> Result<Option<usize>, OutOfBounds> {
        if self.header_bytes < REQUEST_HEADER_BYTES {
            let missing = REQUEST_HEADER_BYTES - self.header_bytes;
            let taken = missing.min(input.len());
            self.header[self.header_bytes..][..taken].copy_from_slice(&input[..taken]);
            self.header_bytes += taken;
            *input = &input[taken..];
            if self.header_bytes < REQUEST_HEADER_BYTES {
                return Ok(None);
            }
            let [request, reply] = self.lengths();
            let right = (REQUEST_HEADER_BYTES..=MESSAGE_BYTES_MAX).contains(&request)
                && (REPLY_HEADER_BYTES..=MESSAGE_BYTES_MAX).contains(&reply);
            if !right {
                return Err(OutOfBounds);
            }
            self.padding = request - REQUEST_HEADER_BYTES;
        }
        let skipped = self.padding.min(input.len());
        self.padding -= skipped;
        *input = &input[skipped..];
        if self.padding > 0 {
            return Ok(None);
        }
        self.header_bytes = 0;
        Ok(Some(self.lengths()[1]))
    }

    fn lengths(&self) -> [usize; 2] {
        let [a, b, c, d, e, f, g, h] = self.header;
        [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
            .map(|length| length as usize)
    }
}

#[derive(Debug)]
struct Connection {
    stream: Stream,
    progress: Progress,
    /// What the socket did not take at once. While there is any, nothing more is read.
    unsent: Vec<u8>,
}

/// The server.
#[derive(Debug)]
pub struct Echo {
    epoll: Epoll,
    listener: Listener,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    input: Box<[u8]>,
    output: Vec<u8>,
}

impl Echo {
    /// Listens on a TCP address.
    ///
    /// # Errors
    /// The address cannot be had.
    pub fn tcp(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Self::new(Listener::Tcp(listener))
    }

    /// Listens on a Unix socket.
    ///
    /// # Errors
    /// The path cannot be had.
    pub fn unix(path: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Self::new(Listener::Unix(listener))
    }

    fn new(listener: Listener) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let source = match &listener {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener) => listener.as_fd(),
        };
        epoll.add(source, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        Ok(Self {
            epoll,
            listener,
            connections: Vec::new(),
            free: Vec::new(),
            input: vec![0; INPUT_BYTES].into_boxed_slice(),
            output: vec![0; OUTPUT_BYTES],
        })
    }

    /// Where it listens, if that is a TCP address.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn address(&self) -> io::Result<Option<SocketAddr>> {
        match &self.listener {
            Listener::Tcp(listener) => listener.local_addr().map(Some),
            Listener::Unix(_) => Ok(None),
        }
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    /// The kernel refuses to wait.
    pub fn serve(mut self) -> io::Result<()> {
        loop {
            self.turn()?;
        }
    }

    /// Waits until something is ready, and does it.
    fn turn(&mut self) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); EVENTS];
        let ready = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
            Ok(ready) => ready,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        for event in &events[..ready] {
            if event.data() == LISTENER {
                self.accept()?;
                continue;
            }
            // Places are handed out below `connections.len()`.
            let at = event.data() as usize;
            if self.answer(at).is_err() {
                // Dropped, it leaves the epoll too.
                self.connections[at] = None;
                self.free.push(at);
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok(stream) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // The peer gave up meanwhile.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            let at = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, at as u64))?;
            let connection =
                Connection { stream, progress: Progress::default(), unsent: Vec::new() };
            self.connections[at] = Some(connection);
        }
    }

    /// One read, and one write of all replies to it. An error ends the connection.
    fn answer(&mut self, at: usize) -> io::Result<()> {
        let Some(connection) = &mut self.connections[at] else { return Ok(()) };
        if !connection.unsent.is_empty() {
            return connection.send_rest(&self.epoll, at);
        }
        let read = match connection.stream.read(&mut self.input) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(error) if is_passing(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut input = &self.input[..read];
        let mut end = 0;
        while !input.is_empty() {
            let reply = connection
                .progress
                .advance(&mut input)
                .map_err(|OutOfBounds| io::Error::from(ErrorKind::InvalidData))?;
            let Some(reply) = reply else { break };
            if self.output.len() - end < reply {
                return Err(ErrorKind::QuotaExceeded.into());
            }
            // A reply is no longer than `MESSAGE_BYTES_MAX`.
            let header = (reply as u32).to_le_bytes();
            self.output[end..][..REPLY_HEADER_BYTES].copy_from_slice(&header);
            end += reply;
        }
        if end == 0 {
            return Ok(());
        }
        connection.send(&self.output[..end], &self.epoll, at)
    }
}

impl Connection {
    fn send(&mut self, replies: &[u8], epoll: &Epoll, at: usize) -> io::Result<()> {
        let sent = match self.stream.write(replies) {
            Ok(sent) => sent,
            Err(error) if is_passing(&error) => 0,
            Err(error) => return Err(error),
        };
        if sent < replies.len() {
            self.unsent.extend_from_slice(&replies[sent..]);
            self.wait_for(EpollFlags::EPOLLOUT, epoll, at)?;
        }
        Ok(())
    }

    fn send_rest(&mut self, epoll: &Epoll, at: usize) -> io::Result<()> {
        match self.stream.write(&self.unsent) {
            Ok(sent) => drop(self.unsent.drain(..sent)),
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
        if self.unsent.is_empty() {
            self.wait_for(EpollFlags::EPOLLIN, epoll, at)?;
        }
        Ok(())
    }

    fn wait_for(&self, what: EpollFlags, epoll: &Epoll, at: usize) -> io::Result<()> {
        Ok(epoll.modify(&self.stream, &mut EpollEvent::new(what, at as u64))?)
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::thread;

    fn request(length: usize, reply: usize) -> Vec<u8> {
        let mut request = vec![b'.'; length.max(REQUEST_HEADER_BYTES)];
        request[..4].copy_from_slice(&(length as u32).to_le_bytes());
        request[4..8].copy_from_slice(&(reply as u32).to_le_bytes());
        request
    }

    #[test]
    fn requests_are_told_apart_however_they_are_cut() {
        let asked = [(8, 4), (9, 100), (600, 5), (8, 4), (200_000, 6)];
        let bytes: Vec<u8> =
            asked.iter().flat_map(|(length, reply)| request(*length, *reply)).collect();
        let want: Vec<_> = asked.iter().map(|(_, reply)| *reply).collect();
        for piece in [1, 3, 7, 8, 9, 599, bytes.len()] {
            let (mut progress, mut got) = (Progress::default(), Vec::new());
            for mut input in bytes.chunks(piece) {
                while !input.is_empty() {
                    got.extend(progress.advance(&mut input).unwrap());
                }
            }
            assert_eq!(got, want, "in pieces of {piece}");
            assert_eq!(progress.header_bytes, 0);
        }
    }

    #[test]
    fn lengths_that_nobody_has_are_refused() {
        for (length, reply) in
            [(7, 4), (0, 4), (8, 3), (MESSAGE_BYTES_MAX + 1, 4), (8, MESSAGE_BYTES_MAX + 1)]
        {
            let got = Progress::default().advance(&mut &request(length, reply)[..]);
            assert_eq!(got, Err(OutOfBounds), "{length} and {reply}");
        }
    }

    /// Sends requests in one write and reads what must come back, and nothing else.
    fn converse(stream: &mut (impl Read + Write), asked: &[(usize, usize)]) {
        let bytes: Vec<u8> =
            asked.iter().flat_map(|(length, reply)| request(*length, *reply)).collect();
        stream.write_all(&bytes).unwrap();
        for (_, reply) in asked {
            let mut got = vec![0; *reply];
            stream.read_exact(&mut got).unwrap();
            assert_eq!(got[..4], (*reply as u32).to_le_bytes());
        }
    }

    #[test]
    fn every_request_gets_as_many_bytes_as_it_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("echo");
        let unix = Echo::unix(&path).unwrap();
        let tcp = Echo::tcp((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = tcp.address().unwrap().unwrap();
        // They end with the test's process.
        thread::spawn(move || unix.serve());
        thread::spawn(move || tcp.serve());
        for _ in 0..3 {
            let mut one = TcpStream::connect(address).unwrap();
            let mut other = UnixStream::connect(&path).unwrap();
            for _ in 0..100 {
                converse(&mut one, &[(120, 60)]);
                converse(&mut other, &[(700, 20), (40, 600), (8, 4)]);
            }
        }
        // More than any socket takes at once, in both directions.
        let mut stream = TcpStream::connect(address).unwrap();
        converse(&mut stream, &[(8, 5_000_000), (8, 3_000_000), (1_000_000, 4), (8, 5)]);
    }

    #[test]
    fn one_who_breaks_the_form_is_cut_off_and_others_go_on() {
        let echo = Echo::tcp((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = echo.address().unwrap().unwrap();
        thread::spawn(move || echo.serve());
        let mut good = TcpStream::connect(address).unwrap();
        let mut bad = TcpStream::connect(address).unwrap();
        bad.write_all(&request(7, 4)).unwrap();
        assert_eq!(bad.read(&mut [0; 8]).unwrap_or(0), 0);
        converse(&mut good, &[(8, 4)]);
        let mut next = TcpStream::connect(address).unwrap();
        converse(&mut next, &[(8, 4)]);
    }
}
