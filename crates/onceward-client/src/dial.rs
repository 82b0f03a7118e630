//! Makes a connection: socket, HELLO, and the tasks that move bytes and watch the time.

use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use onceward_core::Namespace;
use onceward_proto::frame::BODY_BYTES_MAX_CEILING;
use onceward_proto::{ClientConfig, ClientConn, Hello, Received, Reply};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};

use crate::connection::{BUFFER_BYTES_KEPT, Connection};
use crate::error::ClientError;
use crate::figures::Figures;
use crate::output::Output;
use crate::reply::error_of;
use crate::url::Address;

/// Room for the first read; a longer frame gets as much as it needs.
const READ_BYTES_MIN: usize = 16 * 1024;
/// Room for each read once reads have filled what they had.
const READ_BYTES_MAX: usize = 64 * 1024;
/// How long the last bytes of a client that is gone may take to leave.
const LAST_WRITE_MAX: Duration = Duration::from_secs(1);

/// What HELLO says.
pub(crate) struct Introduction<'a> {
    pub(crate) namespace: Namespace<'a>,
    pub(crate) credential: &'a [u8],
    pub(crate) in_flight_max: usize,
    pub(crate) figures: &'a Arc<Figures>,
}

/// Connects, is welcomed, and starts the tasks on the current runtime.
pub(crate) async fn dial(
    address: &Address,
    introduction: &Introduction<'_>,
) -> Result<Arc<Connection>, ClientError> {
    let failed = |error: io::Error| ClientError::unavailable(format!("cannot connect: {error}"));
    match address {
        Address::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            let (input, output) = stream.into_split();
            open(input, Output::Tcp(output), introduction).await
        }
        Address::Unix { path } => dial_unix(path, introduction).await,
        Address::Memory => Err(ClientError::unavailable("mem:// has no connection")),
    }
}

#[cfg(unix)]
async fn dial_unix(
    path: &Path,
    introduction: &Introduction<'_>,
) -> Result<Arc<Connection>, ClientError> {
    let stream = tokio::net::UnixStream::connect(path)
        .await
        .map_err(|error| ClientError::unavailable(format!("cannot connect: {error}")))?;
    let (input, output) = stream.into_split();
    open(input, Output::Unix(output), introduction).await
}

#[cfg(not(unix))]
async fn dial_unix(_: &Path, _: &Introduction<'_>) -> Result<Arc<Connection>, ClientError> {
    // No client of such an address is opened here.
    Err(ClientError::unavailable("this platform has no Unix sockets"))
}

/// Is welcomed over a stream that stands, and starts the tasks.
pub(crate) async fn open(
    mut input: impl AsyncRead + Send + Unpin + 'static,
    output: Output,
    introduction: &Introduction<'_>,
) -> Result<Arc<Connection>, ClientError> {
    let mut buffer = BytesMut::new();
    let conn = introduce(&mut input, &output, &mut buffer, introduction).await?;
    let Introduction { in_flight_max, figures, .. } = introduction;
    let (output, figures) = (Arc::new(output), Arc::clone(figures));
    let connection = Connection::new(conn, Arc::clone(&output), *in_flight_max, figures);
    let connection = Arc::new(connection);
    let held = || EndsConnection(Arc::clone(&connection));
    let reader = tokio::spawn(read(input, buffer, held()));
    let sweeper = tokio::spawn(sweep(held()));
    let writer = tokio::spawn(write(output, held()));
    let tasks = [reader, sweeper, writer].map(|task| task.abort_handle());
    connection.owns(tasks.into());
    Ok(connection)
}

/// Says HELLO and reads the welcome.
async fn introduce(
    input: &mut (impl AsyncRead + Unpin),
    output: &Output,
    buffer: &mut BytesMut,
    introduction: &Introduction<'_>,
) -> Result<ClientConn, ClientError> {
    let lost = |error: io::Error| ClientError::unavailable(format!("lost at HELLO: {error}"));
    // The ceiling: how much goes is the server's choice, and buffers grow with what comes.
    let mut conn = ClientConn::new(&ClientConfig { body_bytes_max: BODY_BYTES_MAX_CEILING });
    let mut hello = Vec::new();
    conn.hello(&Hello::new(introduction.namespace, introduction.credential), &mut hello);
    output.write_all(&hello, || {}).await.map_err(lost)?;
    loop {
        let received = conn
            .next(buffer)
            .map_err(|error| ClientError::Protocol { message: error.to_string() })?;
        if let Some((received, size)) = received {
            match received {
                Received::Reply { reply: Reply::Welcome(_), .. } => {
                    buffer.advance(size);
                    return Ok(conn);
                }
                Received::Reply { reply: Reply::Error(error), .. } | Received::Closing(error) => {
                    return Err(error_of(&error));
                }
                Received::Reply { .. } => {
                    let message = "the server did not answer HELLO".to_owned();
                    return Err(ClientError::Protocol { message });
                }
            }
        }
        let size = conn.frame_size(buffer);
        if fill(input, buffer, size, READ_BYTES_MIN).await.map_err(lost)? == 0 {
            return Err(ClientError::unavailable("the server closed the connection at HELLO"));
        }
    }
}

/// Reads at least one byte, with room for a frame of `size`; 0 at the end.
async fn fill(
    input: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    size: usize,
    room: usize,
) -> io::Result<usize> {
    buffer.reserve(size.saturating_sub(buffer.len()).max(room));
    input.read_buf(buffer).await
}

/// Held by each task: if it goes, however it goes, so does the connection. A runtime that ends
/// drops its tasks without running them.
struct EndsConnection(Arc<Connection>);

impl Drop for EndsConnection {
    fn drop(&mut self) {
        self.0.end(ClientError::unavailable("the connection was lost"));
    }
}

async fn read(mut input: impl AsyncRead + Unpin, mut buffer: BytesMut, connection: EndsConnection) {
    let (mut room, mut woken) = (READ_BYTES_MIN, Vec::new());
    let why = loop {
        let size = match connection.0.receive(&buffer, &mut woken) {
            Ok((consumed, size)) => {
                buffer.advance(consumed);
                size
            }
            Err(error) => break error,
        };
        if buffer.is_empty() && buffer.capacity() > BUFFER_BYTES_KEPT {
            buffer = BytesMut::new();
        }
        match fill(&mut input, &mut buffer, size, room).await {
            Ok(0) => break ClientError::unavailable("the server closed the connection"),
            // As many replies at a time as come together.
            Ok(read) if read >= room => room = (2 * room).min(READ_BYTES_MAX),
            Ok(_) => {}
            Err(error) => {
                break ClientError::unavailable(format!("the connection was lost: {error}"));
            }
        }
    };
    connection.0.end(why);
}

async fn write(output: Arc<Output>, connection: EndsConnection) {
    let mut spare = Vec::new();
    while let Some(batch) = connection.0.take_output(spare).await {
        if let Err(error) = write_batch(&output, &batch, &connection.0).await {
            connection.0.end(ClientError::unavailable(format!("the connection was lost: {error}")));
            return;
        }
        spare = if batch.capacity() > BUFFER_BYTES_KEPT { Vec::new() } else { batch };
    }
}

async fn write_batch(output: &Output, batch: &[u8], connection: &Connection) -> io::Result<()> {
    let mut writing = pin!(output.write_all(batch, || connection.wrote()));
    tokio::select! {
        biased;
        written = &mut writing => written,
        () = connection.until_ended() => timeout(LAST_WRITE_MAX, writing).await.unwrap_or(Ok(())),
    }
}

/// Ends the calls whose time is over.
async fn sweep(connection: EndsConnection) {
    loop {
        match connection.0.sweep() {
            Some(at) => tokio::select! {
                () = sleep_until(at) => {}
                () = connection.0.until_sooner() => {}
            },
            None => connection.0.until_sooner().await,
        }
    }
}
