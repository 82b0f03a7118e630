//! Callers that keep a daemon busy, and write down what they asked and were told.
//!
//! Many workers share a moving window of keys, so that several are at one key at once. What a worker
//! asks is drawn from a seed; when it is answered is not, so a seed repeats the kind of a run and
//! not its order.

mod caller;
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

use crate::call::Call;
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
    /// About 3,000 operations each second while answers take less than 16 ms.
    pub const USUAL: Self = Self { workers: 48, period: Duration::from_millis(16) };
}

/// Connections over which the callers are spread.
const CONNECTIONS: usize = 4;

/// Longer than any daemon is paused or slowed down here.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

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
        let shared = Arc::new(Shared {
            notebook: Arc::clone(notebook),
            stop: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            calls: Mutex::default(),
        });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            on_this_thread(async move {
                let clients = clients(address);
                let mut workers = JoinSet::new();
                for number in 0..pace.workers {
                    let client = clients[number as usize % clients.len()].clone();
                    let worker = Worker::new(seed, number, client, Arc::clone(&theirs));
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
        std::mem::take(&mut *self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner))
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

/// Looks at `keys` one after another over several connections, asks again what got no answer, and
/// begins anew on some: what the next life owes its callers.
#[must_use]
pub fn look_back(
    address: SocketAddr,
    seed: u64,
    notebook: &Arc<Mutex<Notebook>>,
    keys: &[u32],
) -> Vec<Call> {
    let shared = Arc::new(Shared {
        notebook: Arc::clone(notebook),
        stop: AtomicBool::new(false),
        answered: AtomicU64::new(0),
        calls: Mutex::default(),
    });
    let theirs = Arc::clone(&shared);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            on_this_thread(async move {
                let clients = clients(address);
                let mut workers = JoinSet::new();
                let lanes = 32.min(keys.len().max(1));
                for number in 0..lanes {
                    let client = clients[number % clients.len()].clone();
                    let worker = Worker::new(seed, number as u32, client, Arc::clone(&theirs));
                    let keys: Vec<_> = keys.iter().skip(number).step_by(lanes).copied().collect();
                    workers.spawn(worker.look_back(keys));
                }
                while workers.join_next().await.is_some() {}
            });
        });
    });
    std::mem::take(&mut *shared.calls.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Whether the daemon at `address` answers a ping within that time.
#[must_use]
pub fn answers(address: SocketAddr, within: Duration) -> bool {
    on_this_thread(async move {
        let client = &clients(address)[0];
        tokio::time::timeout(within, client.ping()).await.is_ok_and(|pong| pong.is_ok())
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
fn clients(address: SocketAddr) -> Vec<Client> {
    (0..CONNECTIONS)
        .map(|_| {
            Client::builder(&format!("onceward://{address}/rig"))
                .retries_max(0)
                .request_timeout(ANSWER_WITHIN)
                .back_off(Duration::from_millis(1), Duration::from_millis(5))
                .open()
                .expect("a URL of our own making")
        })
        .collect()
}
