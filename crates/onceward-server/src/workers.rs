//! The threads that serve connections, each with a runtime of its own.
//!
//! A connection stays with the thread it was given to, so what it does crosses no thread: the
//! store is called directly, and only a wait's end may come from elsewhere.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Who gets the next connection: the threads in turn.
pub(crate) struct Turns {
    handles: Vec<Handle>,
    next: AtomicUsize,
}

impl Turns {
    /// The next thread, and its number.
    pub(crate) fn next(&self) -> (usize, &Handle) {
        let number = self.next.fetch_add(1, Relaxed) % self.handles.len();
        (number, &self.handles[number])
    }

    /// All of them, by number.
    pub(crate) fn all(&self) -> &[Handle] {
        &self.handles
    }
}

/// The threads. Dropping it ends them; tasks that are left are dropped.
pub(crate) struct Workers {
    ended: Vec<oneshot::Receiver<()>>,
    stop: DropGuard,
}

impl Workers {
    /// `threads` threads, or with none the runtime that calls. `pinned` keeps each on one processor
    /// of those that the process may use, in order.
    pub(crate) fn start(threads: usize, pinned: bool) -> io::Result<(Self, Turns)> {
        let stop = CancellationToken::new();
        // Ends those that have started, should another not start.
        let mut workers =
            Self { ended: Vec::with_capacity(threads), stop: stop.clone().drop_guard() };
        let mut handles = Vec::with_capacity(threads.max(1));
        if threads == 0 {
            handles.push(Handle::current());
        }
        let processors = if pinned { affinity::allowed()? } else { Vec::new() };
        for number in 0..threads {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (handle, stop) = (runtime.handle().clone(), stop.clone());
            let (end, ended) = oneshot::channel();
            let processor = processors.get(number % processors.len().max(1)).copied();
            thread::Builder::new().name(format!("onceward-{number}")).spawn(move || {
                if let Some(processor) = processor {
                    affinity::pin(processor);
                }
                runtime.block_on(stop.cancelled());
                drop(runtime);
                let _ = end.send(()); // Nobody waits for a server that was dropped.
            })?;
            handles.push(handle);
            workers.ended.push(ended);
        }
        Ok((workers, Turns { handles, next: AtomicUsize::new(0) }))
    }

    /// Ends the threads and waits until they have.
    pub(crate) async fn end(self) {
        drop(self.stop);
        for ended in self.ended {
            let _ = ended.await; // An error, too, means that the thread is gone.
        }
    }
}

#[cfg(target_os = "linux")]
mod affinity {
    use std::io;

    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;

    /// The processors that this thread may use, in order.
    pub(super) fn allowed() -> io::Result<Vec<usize>> {
        let set = sched_getaffinity(Pid::from_raw(0))?;
        Ok((0..CpuSet::count()).filter(|&number| set.is_set(number).unwrap_or(false)).collect())
    }

    /// Keeps this thread on one processor.
    pub(super) fn pin(processor: usize) {
        let mut set = CpuSet::new();
        let pinned = set.set(processor).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
        if let Err(error) = pinned {
            tracing::warn!(processor, %error, "cannot pin a thread: it runs wherever it is put");
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod affinity {
    use std::io;

    pub(super) fn allowed() -> io::Result<Vec<usize>> {
        tracing::warn!("threads cannot be pinned on this system");
        Ok(Vec::new())
    }

    pub(super) fn pin(_: usize) {}
}
