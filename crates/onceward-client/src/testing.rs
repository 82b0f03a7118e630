//! For a service's own tests of its idempotency: a store in memory whose time the test moves and
//! whose failures it scripts (feature `test-util`).
//!
//! [`TestStore::client`] gives an ordinary [`Client`], so the code under test is the code in
//! production, and so are the client's deadlines and retries: an outage is met where a connection
//! would be. What is not there are sockets and frames. Clients made by two calls share nothing but
//! the store, as two processes would; clones of one client are one process.
//!
//! A team has this handler and wants to know that it creates one order, whatever happens:
//!
//! ```
//! use std::sync::Mutex;
//! use std::time::Duration;
//!
//! use onceward_client::testing::{Operation, Outage, TestStore};
//! use onceward_client::{
//!     CheckpointError, Client, ExecuteError, Executed, Fingerprint, Key, PayloadFingerprint as _,
//! };
//!
//! /// What the handler does to the world.
//! #[derive(Default)]
//! struct Shop {
//!     charges: Mutex<Vec<String>>,
//!     orders: Mutex<Vec<String>>,
//! }
//!
//! async fn create_order(
//!     client: &Client,
//!     shop: &Shop,
//!     request_key: &str,
//!     payload: &str,
//! ) -> Result<Executed, ExecuteError<CheckpointError>> {
//!     let key = Key::new(request_key)?.in_scope("customer-7")?;
//!     let execution = client.execution().checkpoint_hint(64);
//!     execution
//!         .execute(key, Fingerprint::of(payload), |run| async move {
//!             if run.checkpoint().is_none() {
//!                 shop.charges.lock().unwrap().push(run.derived_key());
//!                 run.save_checkpoint(1, "charged").await?;
//!             }
//!             // Somewhere here a process may die.
//!             tokio::time::sleep(Duration::from_secs(1)).await;
//!             shop.orders.lock().unwrap().push(payload.to_owned());
//!             Ok((201, "order 1"))
//!         })
//!         .await
//! }
//!
//! // Paused time: an hour passes in no time, and in order.
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = TestStore::new();
//! let client = store.client("orders");
//! let shop = Shop::default();
//!
//! // The reply to complete is lost. The client repeats it, and there is one order.
//! store.fail(Operation::Complete, Outage::ReplyLost);
//! let ran = create_order(&client, &shop, "lost-reply", "1 x A-17").await?;
//! let again = create_order(&client, &shop, "lost-reply", "1 x A-17").await?;
//! assert_eq!((ran.name(), again.name()), ("ran", "replayed"));
//! assert_eq!(*shop.orders.lock().unwrap(), ["1 x A-17"]);
//! assert_eq!(
//!     store.calls().of(Operation::Complete).to_string(),
//!     "complete: completed, reply lost\ncomplete: already_completed"
//! );
//!
//! // The process dies between charge and order. Its lease runs; once that has ended, another
//! // process takes over with the checkpoint: it orders, and charges nothing again.
//! let dies = tokio::time::timeout(
//!     Duration::from_millis(500),
//!     create_order(&client, &shop, "crash", "2 x B-4"),
//! );
//! dies.await.expect_err("cut off");
//! let other = store.client("orders");
//! let early = create_order(&other, &shop, "crash", "2 x B-4").await?;
//! assert_eq!(early.name(), "in_progress");
//! store.clock().advance(Duration::from_secs(30)).await;
//! let taken_over = create_order(&other, &shop, "crash", "2 x B-4").await?;
//! assert_eq!(taken_over.done().map(|done| done.attempt_number), Some(2));
//! assert_eq!(*shop.orders.lock().unwrap(), ["1 x A-17", "2 x B-4"]);
//! assert_eq!(shop.charges.lock().unwrap().len(), 2, "one for each order");
//!
//! // Another payload under a used key is refused, and nothing happens.
//! let mismatch = create_order(&client, &shop, "crash", "200 x B-4").await?;
//! assert_eq!(mismatch, Executed::Mismatch);
//!
//! // The store is away: the handler is not run.
//! store.down();
//! let not_run = create_order(&client, &shop, "outage", "3 x C-9").await;
//! assert!(matches!(not_run, Err(ExecuteError::NotRun(_))));
//! assert_eq!(shop.orders.lock().unwrap().len(), 2);
//! store.heal();
//! let healed = create_order(&client, &shop, "outage", "3 x C-9").await?;
//! assert_eq!(healed.name(), "ran");
//! # Ok(())
//! # }
//! ```

mod calls;
mod clock;
mod outage;
mod script;
mod stand_in;

use std::fmt;
use std::sync::Arc;

use onceward::Store;

use crate::builder::ClientBuilder;
use crate::client::Client;
use crate::embedded::Embedded;

pub use calls::{Call, Calls};
pub use clock::ManualClock;
// The words of `TestStore::with_config`.
pub use onceward::{NamespaceConfig, StartError, StoreConfig};
pub use outage::{Operation, Outage};

use clock::Time;
use script::Script;
pub(crate) use stand_in::StandIn;

/// A store in memory with a manual clock and scripted outages. Clones are the same store.
///
/// Make it within the runtime of the test, where that runtime's clock is paused; see
/// [`ManualClock`]. When the last clone is dropped, unless the test is failing already, an outage
/// that no call has met is a panic that names it: such a test proves something else than it says.
#[derive(Clone)]
pub struct TestStore {
    inner: Arc<Inner>,
}

struct Inner {
    stand_in: Arc<StandIn>,
    clock: ManualClock,
}

impl TestStore {
    /// An empty store with the default limits.
    ///
    /// # Panics
    /// Never with this configuration.
    #[must_use]
    pub fn new() -> Self {
        Self::with_config(StoreConfig::default()).expect("the default configuration is in bounds")
    }

    /// An empty store, e.g. with little memory or with limits of a namespace.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn with_config(config: StoreConfig) -> Result<Self, StartError> {
        let time = Arc::new(Time::default());
        let store = Store::new(config, Arc::<Time>::clone(&time))?;
        let clock = ManualClock::new(time, store.clone());
        let stand_in =
            StandIn { embedded: Embedded::over(store), script: Arc::new(Script::default()) };
        Ok(Self { inner: Arc::new(Inner { stand_in: Arc::new(stand_in), clock }) })
    }

    /// A client of its own, with default options: another process, as far as the store can tell.
    ///
    /// # Panics
    /// If `namespace` is none: 1 to 64 of `a-z`, `0-9`, `.`, `_` and `-`.
    #[must_use]
    #[track_caller]
    pub fn client(&self, namespace: &str) -> Client {
        self.client_with(namespace, |options| options)
    }

    /// The same with options, e.g. without retries.
    ///
    /// # Panics
    /// As [`TestStore::client`], or if an option is out of bounds.
    #[must_use]
    #[track_caller]
    pub fn client_with(
        &self,
        namespace: &str,
        options: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Client {
        let builder = options(Client::builder(&format!("mem://{namespace}")));
        match builder.open_over(Arc::clone(&self.inner.stand_in)) {
            Ok(client) => client,
            Err(error) => panic!("no client of the test store: {error}"),
        }
    }

    /// The store's time.
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        &self.inner.clock
    }

    /// The next call of `operation` meets `outage`. More of one operation are met in turn.
    ///
    /// # Panics
    /// If `operation` knows no such outage, see [`Outage::Refused`]; at 1,024 of one operation.
    #[track_caller]
    pub fn fail(&self, operation: Operation, outage: Outage) {
        self.fail_times(operation, 1, outage);
    }

    /// The next `times` calls of `operation` meet `outage`. The client's repeats are calls too.
    ///
    /// # Panics
    /// As [`TestStore::fail`], or if `times` is 0.
    #[track_caller]
    pub fn fail_times(&self, operation: Operation, times: u32, outage: Outage) {
        self.script().plan(Some(operation), outage, Some(times));
    }

    /// Every call of `operation` meets `outage`, until [`TestStore::heal`].
    ///
    /// # Panics
    /// As [`TestStore::fail`].
    #[track_caller]
    pub fn fail_until_healed(&self, operation: Operation, outage: Outage) {
        self.script().plan(Some(operation), outage, None);
    }

    /// Every call of every operation is answered Unavailable, until [`TestStore::heal`]. What the
    /// store holds stays.
    ///
    /// # Panics
    /// At 1,024 such outages.
    #[track_caller]
    pub fn down(&self) {
        self.script().plan(None, Outage::Unavailable, None);
    }

    /// Ends what lasts until healed. What was scripted for a number of calls stays.
    pub fn heal(&self) {
        self.script().heal();
    }

    /// What has reached the store, and what became of it.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.script().calls()
    }

    /// Fails the test now if an outage was not met as often as it was scripted.
    ///
    /// # Panics
    /// With the outages that are left and the calls that there were.
    #[track_caller]
    pub fn assert_outages_met(&self) {
        if let Some(left) = self.script().left() {
            panic!("{left}");
        }
    }

    fn script(&self) -> &Script {
        &self.inner.stand_in.script
    }
}

impl Default for TestStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TestStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestStore").field("clock", &self.inner.clock).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !std::thread::panicking()
            && let Some(left) = self.stand_in.script.left()
        {
            panic!("{left}");
        }
    }
}
