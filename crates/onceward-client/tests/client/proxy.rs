//! A TCP proxy that loses replies: it forwards a request, waits until the server has answered,
//! and then cuts the connection.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const HELLO: u8 = 0x01;

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Loses the replies to the requests of these numbers, counted from 1 over all connections and
    /// without HELLO.
    pub(crate) async fn start(server: SocketAddr, lost: impl IntoIterator<Item = usize>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let (lost, counter) = (Arc::new(BTreeSet::from_iter(lost)), Arc::clone(&requests));
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let Ok(server) = TcpStream::connect(server).await else { continue };
                tokio::spawn(forward(client, server, Arc::clone(&lost), Arc::clone(&counter)));
            }
        });
        Self { address, requests, task }
    }

    /// Requests seen so far.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

/// A whole frame as it came; `None` at the end.
async fn frame(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let mut frame = vec![0; 16];
    from.read_exact(&mut frame).await.ok()?;
    let size = u32::from_le_bytes(frame[..4].try_into().unwrap()) as usize;
    frame.resize(16 + size, 0);
    from.read_exact(&mut frame[16..]).await.ok()?;
    Some(frame)
}

fn correlation(frame: &[u8]) -> u64 {
    u64::from_le_bytes(frame[8..16].try_into().unwrap())
}

async fn forward(
    client: TcpStream,
    server: TcpStream,
    lost: Arc<BTreeSet<usize>>,
    requests: Arc<AtomicUsize>,
) {
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let (doomed, watching) = watch::channel(None);
    let asking = async {
        while let Some(request) = frame(&mut from_client).await {
            let number = match request[4] {
                HELLO => 0,
                _ => requests.fetch_add(1, Ordering::Relaxed) + 1,
            };
            if lost.contains(&number) {
                doomed.send_replace(Some(correlation(&request)));
            }
            if to_server.write_all(&request).await.is_err() {
                break;
            }
        }
    };
    // Whichever side ends first ends both: dropping the halves closes the sockets.
    tokio::select! {
        () = asking => {}
        () = answer(from_server, to_client, watching) => {}
    }
}

async fn answer(
    mut from_server: OwnedReadHalf,
    mut to_client: OwnedWriteHalf,
    doomed: watch::Receiver<Option<u64>>,
) {
    while let Some(reply) = frame(&mut from_server).await {
        let lose = *doomed.borrow() == Some(correlation(&reply));
        if lose || to_client.write_all(&reply).await.is_err() {
            break;
        }
    }
}
