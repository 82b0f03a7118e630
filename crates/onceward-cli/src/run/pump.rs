//! Passes the command's output on while it comes, and records it in the same order.
//!
//! One loop reads, records and writes, so that what was shown and what is recorded have one order.
//! It runs in a task of its own; writes to a slow reader happen on another thread and hold up the
//! command, as without us, but not the renewal of the lease. Once the command has ended, a reader
//! that takes nothing does not hold up the recording either, nor what is stored: see [`Output`].

use std::fmt;
use std::io;
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Stderr, Stdout};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::launch;
use super::recording::{Recording, Stream};

/// As much as a pipe holds by default.
const READ_BYTES: usize = 64 * 1024;

/// How long after the command's end output may still come from processes that it left behind and
/// that hold its pipes (`tee` at the end of a script, say).
pub(super) const OUTPUT_GRACE: Duration = Duration::from_secs(2);
/// What the command wrote itself is in the pipe when it ends, and is read however slow our own
/// reader was: past the grace, as long as more comes at once and no more than a pipe holds at most.
const READ_ON_MAX: Duration = Duration::from_millis(50);
const READ_ON_BYTES_MAX: usize = 1024 * 1024;

/// What came through.
#[derive(Debug)]
pub(super) struct Pumped {
    pub(super) recording: Recording,
    /// The launcher could not become the command.
    pub(super) not_started: Option<Errno>,
    /// Our own stdout and stderr, with what their readers have not taken.
    pub(super) output: Output,
    /// Both pipes were still open when the grace ended.
    pub(super) cut_off: bool,
}

/// Pumps until both streams end, or until the grace after `ended` has a value.
pub(super) async fn pump(
    stdout: impl AsyncRead + Unpin,
    stderr: impl AsyncRead + Unpin,
    mark: String,
    recording: Recording,
    ended: watch::Receiver<Option<Instant>>,
) -> Pumped {
    let output = Output::new(ended.clone());
    let mut pumped = Pumped { recording, not_started: None, output, cut_off: false };
    let mut sources = Sources::new(stdout, stderr, ended);
    let mut first_of_stderr = true;
    loop {
        let (stream, bytes) = match sources.next().await {
            Next::Read(stream, bytes) => (stream, bytes),
            Next::Ended => break,
            Next::CutOff => {
                pumped.cut_off = true;
                break;
            }
        };
        if stream == Stream::Stderr && std::mem::take(&mut first_of_stderr) {
            pumped.not_started = launch::failure_in(bytes, &mark);
            if pumped.not_started.is_some() {
                continue; // Not the command's words.
            }
        }
        pumped.recording.push(stream, bytes);
        pumped.output.write(stream, bytes).await;
    }
    pumped
}

enum Next<'a> {
    Read(Stream, &'a [u8]),
    Ended,
    CutOff,
}

/// Both pipes of the command.
struct Sources<O, E> {
    stdout: Source<O>,
    stderr: Source<E>,
    ended: watch::Receiver<Option<Instant>>,
    read_on_bytes: usize,
}

struct Source<R> {
    pipe: R,
    open: bool,
    buffer: Box<[u8]>,
}

impl<R: AsyncRead + Unpin> Source<R> {
    fn new(pipe: R) -> Self {
        Self { pipe, open: true, buffer: vec![0; READ_BYTES].into() }
    }

    /// Safe to cancel. A pipe that cannot be read has ended.
    async fn read(&mut self) -> usize {
        self.pipe.read(&mut self.buffer).await.unwrap_or_default()
    }
}

impl<O: AsyncRead + Unpin, E: AsyncRead + Unpin> Sources<O, E> {
    fn new(stdout: O, stderr: E, ended: watch::Receiver<Option<Instant>>) -> Self {
        let (stdout, stderr) = (Source::new(stdout), Source::new(stderr));
        Self { stdout, stderr, ended, read_on_bytes: 0 }
    }

    async fn next(&mut self) -> Next<'_> {
        loop {
            if self.read_on_bytes >= READ_ON_BYTES_MAX {
                return Next::CutOff;
            }
            let (stream, bytes) = tokio::select! {
                bytes = self.stdout.read(), if self.stdout.open => (Stream::Stdout, bytes),
                bytes = self.stderr.read(), if self.stderr.open => (Stream::Stderr, bytes),
                () = grace_is_over(&mut self.ended), if self.stdout.open || self.stderr.open => {
                    return Next::CutOff;
                }
                else => return Next::Ended,
            };
            if bytes > 0 {
                let ended = *self.ended.borrow();
                if ended.is_some_and(|ended| ended + OUTPUT_GRACE <= Instant::now()) {
                    self.read_on_bytes += bytes;
                }
                let source = match stream {
                    Stream::Stdout => &self.stdout.buffer,
                    Stream::Stderr => &self.stderr.buffer,
                };
                return Next::Read(stream, &source[..bytes]);
            }
            match stream {
                Stream::Stdout => self.stdout.open = false,
                Stream::Stderr => self.stderr.open = false,
            }
        }
    }
}

async fn grace_is_over(ended: &mut watch::Receiver<Option<Instant>>) {
    // A sender that is gone ended nothing.
    let Ok(ended) = ended.wait_for(Option::is_some).await.map(|ended| *ended) else {
        return std::future::pending().await;
    };
    let over = ended.map_or_else(Instant::now, |ended| ended + OUTPUT_GRACE);
    sleep_until(over.max(Instant::now() + READ_ON_MAX)).await;
}

/// Our own stdout and stderr. A reader that stalls holds the command up while it runs, and nobody
/// after that: when the grace is over, what comes is held back until [`Output::finish`].
pub(super) struct Output {
    out: Sink<Stdout>,
    err: Sink<Stderr>,
    ended: watch::Receiver<Option<Instant>>,
    stalled: bool,
    /// In order. At most what the command's pipes held, [`READ_ON_BYTES_MAX`] and a buffer.
    held: Vec<(Stream, Vec<u8>)>,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held: usize = self.held.iter().map(|(_, bytes)| bytes.len()).sum();
        f.debug_struct("Output").field("held_bytes", &held).finish_non_exhaustive() // S16
    }
}

impl Output {
    fn new(ended: watch::Receiver<Option<Instant>>) -> Self {
        let (out, err) = (Sink::new(tokio::io::stdout()), Sink::new(tokio::io::stderr()));
        Self { out, err, ended, stalled: false, held: Vec::new() }
    }

    async fn write(&mut self, stream: Stream, bytes: &[u8]) {
        if self.stalled {
            self.held.push((stream, bytes.to_vec()));
            return;
        }
        self.sink_write(stream, bytes).await;
        tokio::select! {
            biased;
            () = async { tokio::join!(self.out.flush(), self.err.flush()); } => {}
            () = grace_is_over(&mut self.ended) => self.stalled = true,
        }
    }

    /// Takes `bytes` into the sink's own buffer, which is empty: whoever writes flushes first.
    async fn sink_write(&mut self, stream: Stream, bytes: &[u8]) {
        match stream {
            Stream::Stdout => self.out.write(bytes).await,
            Stream::Stderr => self.err.write(bytes).await,
        }
    }

    /// Writes what was held back, however long the readers take.
    ///
    /// # Errors
    /// The first fault of our own output that is not a reader's leaving.
    pub(super) async fn finish(mut self) -> io::Result<()> {
        self.out.flush().await;
        self.err.flush().await;
        for (stream, bytes) in std::mem::take(&mut self.held) {
            self.sink_write(stream, &bytes).await;
            self.out.flush().await;
            self.err.flush().await;
        }
        self.out.error.or(self.err.error).map_or(Ok(()), Err)
    }
}

/// Our own stdout or stderr. A reader that leaves does not end the command.
struct Sink<W> {
    stream: W,
    gone: bool,
    error: Option<io::Error>,
}

impl<W: AsyncWrite + Unpin> Sink<W> {
    const fn new(stream: W) -> Self {
        Self { stream, gone: false, error: None }
    }

    async fn write(&mut self, bytes: &[u8]) {
        if !self.gone {
            let written = self.stream.write_all(bytes).await;
            self.note(written);
        }
    }

    /// Safe to cancel: what was written stays on its way.
    async fn flush(&mut self) {
        if !self.gone {
            let flushed = self.stream.flush().await;
            self.note(flushed);
        }
    }

    fn note(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.gone = true;
            if error.kind() != io::ErrorKind::BrokenPipe {
                self.error = Some(error);
            }
        }
    }
}
