//! Callers that keep a daemon busy, and write down what they asked and were told.
//!
//! Many workers share a moving window of keys, so that several are at one key at once. What a worker
//! asks is drawn from a seed; when it is answered is not, so a seed repeats the kind of a run and
//! not its order.

mod caller;
mod content;
mod duel;
mod kind;
mod notebook;
mod worker;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use onceward_client::Client;
use tokio::task::JoinSet;

use crate::call::{Asked, Call};
use caller::{Question, ask};
pub use notebook::Notebook;
use worker::Worker;

/// How hard a daemon is driven.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Callers at once.
    pub workers: u32,
    /// A caller's operations start this far apart, unless answers take longer.
    pub period: Duration,
}

impl Pace {
    /// About 3,000 operations each second while answers take less than 32 ms.
    pub const USUAL: Self = Self { workers: 96, period: Duration::from_millis(32) };
}

/// Connections over which the callers are spread.
const CONNECTIONS: usize = 4;

/// Longer than any daemon is paused or slowed down here.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// Callers at work on a thread of their own.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    notebook: Arc<Mutex<Notebook>>,
    stop: AtomicBool,
    answered: AtomicU64,
    calls: Mutex<Vec<Call>>,
}

impl Shared {
    fn new(notebook: &Arc<Mutex<Notebook>>) -> Arc<Self> {
        Arc::new(Self {
            notebook: Arc::clone(notebook),
            stop: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            calls: Mutex::default(),
        })
    }

    fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn notebook(&self) -> MutexGuard<'_, Notebook> {
        self.notebook.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn record(&self, call: Call) {
        if call.told.is_some() {
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }
}

impl Load {
    /// Starts callers at `address`. The notebook outlives them: the next life's go on with it.
    #[must_use]
    pub fn start(
        address: SocketAddr,
        pace: Pace,
        seed: u64,
        notebook: &Arc<Mutex<Notebook>>,
    ) -> Self {
        let shared = Shared::new(notebook);
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            on_this_thread(async move {
                let clients = clients(address, ANSWER_WITHIN);
                let mut workers = JoinSet::new();
                for number in 0..pace.workers {
                    let worker = Worker::new(seed, number, &clients, Arc::clone(&theirs));
                    workers.spawn(worker.work(pace));
                }
                while workers.join_next().await.is_some() {}
            });
        });
        Self { shared, thread: Some(thread) }
    }

    /// Calls that have been answered so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Ends the load: no new calls; those under way are waited for, which is short if the daemon is
    /// dead. Returns all calls.
    #[must_use]
    pub fn stop(mut self) -> Vec<Call> {
        self.join();
        self.shared.take()
    }

    fn join(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && let Err(panic) = thread.join()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

/// Looks at `keys` over several connections, asks again what got no answer, and begins anew on some:
/// what the next life owes its callers.
#[must_use]
pub fn look_back(
    address: SocketAddr,
    seed: u64,
    notebook: &Arc<Mutex<Notebook>>,
    keys: &[u32],
) -> Vec<Call> {
    let shared = Shared::new(notebook);
    let theirs = Arc::clone(&shared);
    apart(async move {
        let clients = clients(address, ANSWER_WITHIN);
        let mut workers = JoinSet::new();
        let lanes = 32.min(keys.len().max(1));
        for number in 0..lanes {
            let worker = Worker::new(seed, number as u32, &clients, Arc::clone(&theirs));
            let keys: Vec<_> = keys.iter().skip(number).step_by(lanes).copied().collect();
            workers.spawn(worker.look_back(keys));
        }
        while workers.join_next().await.is_some() {}
    });
    shared.take()
}

/// One begin on `key`, answered within that time or not.
#[must_use]
pub fn probe_begin(
    address: SocketAddr,
    within: Duration,
    seed: u64,
    notebook: &Arc<Mutex<Notebook>>,
    key: u32,
) -> Vec<Call> {
    let shared = Shared::new(notebook);
    let theirs = Arc::clone(&shared);
    apart(async move {
        Worker::new(seed, 0, &clients(address, within), theirs).begin_once(key).await;
    });
    shared.take()
}

/// Two parties at each of `keys` while the daemon stands still; `pause` stops it, or lets it go on.
#[must_use]
pub fn duel(
    address: SocketAddr,
    notebook: &Arc<Mutex<Notebook>>,
    keys: &[u32],
    pause: impl FnMut(bool) + Send,
) -> Vec<Call> {
    let shared = Shared::new(notebook);
    let theirs = Arc::clone(&shared);
    apart(async move {
        let clients = clients(address, ANSWER_WITHIN);
        duel::duel(&clients, theirs, keys, pause).await;
    });
    shared.take()
}

/// A look at each of `keys`, answered within that time or not.
#[must_use]
pub fn probe_reads(address: SocketAddr, within: Duration, keys: &[u32]) -> Vec<Call> {
    apart(async move {
        let client = &clients(address, within)[0];
        let mut calls = Vec::new();
        for &key in keys {
            calls.push(ask(client, key, Question::of(Asked::Get)).await);
        }
        calls
    })
}

/// Whether the daemon at `address` answers a ping within that time.
#[must_use]
pub fn answers(address: SocketAddr, within: Duration) -> bool {
    on_this_thread(async move {
        let client = &clients(address, within)[0];
        tokio::time::timeout(within, client.ping()).await.is_ok_and(|pong| pong.is_ok())
    })
}

/// On a thread of its own, for a caller that may be inside another runtime.
fn apart<T: Send>(work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| on_this_thread(work));
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn on_this_thread<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime: the limit of open files may be reached");
    let done = runtime.block_on(work);
    // Name resolution and the like must not hold the rig up.
    runtime.shutdown_background();
    done
}

/// No repeats behind the rig's back: each call is sent once.
fn clients(address: SocketAddr, answer_within: Duration) -> Vec<Client> {
    (0..CONNECTIONS)
        .map(|_| {
            Client::builder(&format!("onceward://{address}/rig"))
                .retries_max(0)
                .request_timeout(answer_within)
                .back_off(Duration::from_millis(1), Duration::from_millis(5))
                .open()
                .expect("a URL of our own making")
        })
        .collect()
}
