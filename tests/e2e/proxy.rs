//! Stands between one client and a server, passes every byte on, and counts frames by opcode.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use onceward_proto::frame::HEADER_SIZE;

/// Frames seen in one direction, by opcode.
pub(crate) type Counts = BTreeMap<u8, usize>;

/// A proxy for one connection.
pub(crate) struct CountingProxy {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Counts>>,
    replies: Arc<Mutex<Counts>>,
}

impl CountingProxy {
    /// Takes one connection and passes it on to `server`; a second one gets no answer.
    pub(crate) fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let (requests, replies) = (Arc::<Mutex<Counts>>::default(), Arc::default());
        let (up, down) = (Arc::clone(&requests), Arc::clone(&replies));
        thread::spawn(move || {
            let (client, _) = listener.accept().expect("a client");
            let server = TcpStream::connect(server).expect("the server accepts");
            for socket in [&client, &server] {
                socket.set_nodelay(true).expect("a socket takes this option");
            }
            let pairs = [(&client, &server, up), (&server, &client, down)];
            thread::scope(|scope| {
                for (from, to, counts) in pairs {
                    scope.spawn(move || pass_on(from, to, &counts));
                }
            });
        });
        Self { address, requests, replies }
    }

    /// What the client has sent, and what it was sent.
    pub(crate) fn counts(&self) -> (Counts, Counts) {
        let read = |counts: &Mutex<Counts>| counts.lock().expect("no thread panicked").clone();
        (read(&self.requests), read(&self.replies))
    }
}

/// Counts a frame before its last byte is passed on, so that whoever was answered finds it counted.
fn pass_on(mut from: &TcpStream, mut to: &TcpStream, counts: &Mutex<Counts>) {
    let mut chunk = [0; 16 * 1024];
    let mut unread = Vec::new();
    while let Ok(size @ 1..) = from.read(&mut chunk) {
        unread.extend_from_slice(&chunk[..size]);
        while let Some((opcode, frame_size)) = first_frame(&unread) {
            *counts.lock().expect("no thread panicked").entry(opcode).or_insert(0) += 1;
            unread.drain(..frame_size);
        }
        if to.write_all(&chunk[..size]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Opcode and size of the first frame, once it is whole.
fn first_frame(bytes: &[u8]) -> Option<(u8, usize)> {
    let (length, rest) = bytes.split_first_chunk()?;
    let size = HEADER_SIZE + u32::from_le_bytes(*length) as usize;
    (bytes.len() >= size).then(|| (rest[0], size))
}
