//! Memory that is ready when a measurement takes it.
//!
//! A virtual machine may hand free memory back to its host, and then the first touch of every page
//! waits for the host: a twentieth of the usual rate was seen. Whoever is measured first would
//! pay for all. So another process holds the memory that a measurement will take, touched, and
//! lets go of it piece by piece, just ahead of need. What is measured is then the guest's own cost
//! of a page.

use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use memmap2::{Advice, MmapMut};
use onceward_bench::engine::Fault;

use crate::task::{CHILD, Errand};

const PIECE_BYTES: u64 = 16 << 20;
/// Below this the trouble is larger than its effect.
const BYTES_MIN: u64 = 256 << 20;
const PAGE_BYTES: usize = 4096;
/// Part that is let go of at once: tables that are sized at their start are touched all over.
const PART_AT_ONCE: f64 = 0.25;
/// But no more than this, or much of it is with the host again before it is needed.
const PIECES_AT_ONCE_MAX: f64 = 48.0;

/// Holds memory for a measurement of so many entries.
#[derive(Debug)]
pub(crate) struct Ballast {
    holder: Option<Holder>,
    pieces: u64,
    entries: u64,
    done: AtomicU64,
    released: AtomicU64,
}

#[derive(Debug)]
struct Holder {
    process: Child,
    pipes: Mutex<Pipes>,
}

/// One byte asks for the release of one piece, one line says that it is done.
#[derive(Debug)]
struct Pipes {
    ask: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Ballast {
    /// Starts the process that holds `bytes`, and waits until it does.
    pub(crate) fn hold(bytes: u64, entries: u64) -> Result<Self, Fault> {
        let pieces = if bytes < BYTES_MIN { 0 } else { bytes / PIECE_BYTES };
        let holder = if pieces == 0 { None } else { Some(start(pieces)?) };
        let (done, released) = (AtomicU64::new(0), AtomicU64::new(0));
        let ballast = Self { holder, pieces, entries, done, released };
        ballast.advance(0);
        Ok(ballast)
    }

    /// So many more entries were begun: lets go of what the next ones need.
    pub(crate) fn advance(&self, entries: u64) {
        let done = self.done.fetch_add(entries, Relaxed) + entries;
        let pieces = self.pieces as f64;
        let at_once = (pieces * PART_AT_ONCE).min(PIECES_AT_ONCE_MAX);
        let later = (pieces - at_once) * done as f64 / self.entries.max(1) as f64;
        let due = ((at_once + later).ceil() as u64).min(self.pieces);
        let before = self.released.fetch_max(due, Relaxed);
        let Some(holder) = self.holder.as_ref().filter(|_| before < due) else { return };
        let mut pipes = holder.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in before..due {
            // A holder that is gone holds nothing: the measurement is only slower.
            if pipes.ask.write_all(b".").is_err() || pipes.answers.next().is_none() {
                return;
            }
        }
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        if let Some(Holder { mut process, pipes }) = self.holder.take() {
            drop(pipes);
            // Its input has ended, so it ends.
            let _ = process.wait();
        }
    }
}

fn start(pieces: u64) -> Result<Holder, Fault> {
    let mut process = Command::new(std::env::current_exe()?)
        .arg(CHILD)
        .arg(serde_json::to_string(&Errand::Ballast(pieces))?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let ask = process.stdin.take().ok_or("no pipe to the holder of memory")?;
    let output = process.stdout.take().ok_or("no pipe from the holder of memory")?;
    let mut answers = BufReader::new(output).lines();
    answers.next().ok_or("the holder of memory did not start")??;
    Ok(Holder { process, pipes: Mutex::new(Pipes { ask, answers }) })
}

/// The holder: says when it holds `pieces`, then lets go of one for each byte that it reads.
pub(crate) fn serve(pieces: u64) -> Result<(), Fault> {
    let mut held = Vec::new();
    for _ in 0..pieces {
        let mut memory = MmapMut::map_anon(usize::try_from(PIECE_BYTES)?)?;
        // Whole huge pages come back as such; a kernel without them gives small ones.
        let _ = memory.advise(Advice::HugePage);
        for at in (0..memory.len()).step_by(PAGE_BYTES) {
            memory[at] = 1;
        }
        held.push(memory);
    }
    println!("ready");
    for byte in std::io::stdin().lock().bytes() {
        byte?;
        drop(held.pop());
        println!("released");
    }
    Ok(())
}
