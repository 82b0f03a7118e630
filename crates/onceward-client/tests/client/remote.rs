//! The client against the real server, in process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use onceward::{BootClock, Store, StoreConfig};
use onceward_client::*;
use onceward_server::{Listeners, ServerConfig, run};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Duration;

use crate::embedded::{a_dropped_wait_leaves_nothing, one_runs_and_all_get_its_result, until};
use crate::proxy::Proxy;

pub(crate) struct Server {
    pub(crate) store: Store,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

pub(crate) fn serve(store: Store, address: SocketAddr) -> (SocketAddr, JoinHandle<()>) {
    let config = ServerConfig::default();
    let listeners = Listeners::bind(&[address], &[], &config).unwrap();
    let address = listeners.tcp_addresses()[0];
    let serving = tokio::spawn(async move {
        run(listeners, store, config, std::future::pending()).await.unwrap();
    });
    (address, serving)
}

impl Server {
    pub(crate) fn start() -> Self {
        let store = Store::new(StoreConfig::default(), Arc::new(BootClock::new())).unwrap();
        let (address, serving) = serve(store.clone(), "127.0.0.1:0".parse().unwrap());
        Self { store, address, serving }
    }

    /// Cuts every connection and serves the same store at the same address.
    async fn restart(&mut self) {
        self.serving.abort();
        let _ = (&mut self.serving).await;
        (_, self.serving) = serve(self.store.clone(), self.address);
    }

    pub(crate) fn client(&self) -> Client {
        client_at(self.address)
    }
}

/// With timeouts that a loaded machine keeps.
fn client_at(address: SocketAddr) -> Client {
    Client::builder(&format!("onceward://{address}/orders"))
        .request_timeout(Duration::from_secs(10))
        .open()
        .unwrap()
}

fn key(name: &str) -> ScopedKeyBuf {
    ScopedKeyBuf::new("tenant-9", name).unwrap()
}

/// Every operation once, with what it should answer.
async fn every_operation(client: &Client) {
    let scoped = key("all");
    let mut begin = Begin::new(Fingerprint::of("payload"), attempt_id());
    begin.checkpoint_hint = 64;
    let begun = client.begin(&scoped, &begin).await.unwrap();
    let BeginOutcome::Acquired(acquired) = begun else { panic!("{begun:?}") };
    let token = acquired.token;
    let renew = Renew { token, lease: Millis::from_secs(60), fingerprint: None };
    let renewed = client.renew(&scoped, &renew).await.unwrap();
    assert_eq!(renewed, RenewOutcome::Renewed { lease_left: Millis::from_secs(60) });
    let save = SaveCheckpoint { token, ordinal: 1, bytes: b"half" };
    let saved = client.checkpoint(&scoped, &save).await.unwrap();
    assert_eq!(saved, CheckpointOutcome::Saved { ordinal: 1 });
    let abandon = Abandon { token, certainty: Certainty::InDoubt };
    let abandoned = client.abandon(&scoped, &abandon).await.unwrap();
    assert_eq!(abandoned, AbandonOutcome::Abandoned);
    let got = client.get(&scoped, &Get::default()).await.unwrap();
    let GetOutcome::InDoubt { doubt_number, fence, .. } = got else { panic!("{got:?}") };
    assert_eq!(fence, Some(token.fence), "whoever may operate sees it");
    let query = ListQuery { state: Some(StateName::InDoubt), ..ListQuery::default() };
    let page = client.list(&query).await.unwrap();
    assert_eq!(page.entries.len(), 1);
    assert_eq!(page.entries[0].scoped_key, scoped);
    let result = ResultRef::of(201, b"found");
    let verdict = Verdict::Completed { result, fingerprint: None };
    let resolve = Resolve { fence: token.fence, doubt_number, verdict };
    let resolved = client.resolve(&scoped, &resolve).await.unwrap();
    assert_eq!(resolved, ResolveOutcome::Resolved);
    let complete = Complete { token, result, fingerprint: None };
    let again = client.complete(&scoped, &complete).await.unwrap();
    assert_eq!(again.name(), "already_completed", "the resolver's verdict is that very result");
    let forget = Forget { fence: token.fence };
    let forgotten = client.forget(&scoped, &forget).await.unwrap();
    assert_eq!(forgotten, ForgetOutcome::Forgotten);
    let stats = client.store_stats().await.unwrap();
    assert_eq!((stats.resolved, stats.forgotten, stats.entries), (1, 1, 0));
    client.ping().await.unwrap();
}

#[tokio::test]
async fn every_operation_embedded() {
    every_operation(&Client::open("mem://orders").unwrap()).await;
}

#[tokio::test]
async fn every_operation_over_tcp() {
    let server = Server::start();
    let client = server.client();
    every_operation(&client).await;
    assert_eq!(client.ping().await.unwrap().boot_epoch, server.store.boot_epoch());
}

#[tokio::test]
async fn every_operation_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("onceward.sock");
    let config = ServerConfig::default();
    let listeners = Listeners::bind(&[], std::slice::from_ref(&path), &config).unwrap();
    let store = Store::new(StoreConfig::default(), Arc::new(BootClock::new())).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(run(listeners, store, config, async {
        let _ = stopped.await;
    }));
    let url = format!("onceward+unix://{}?namespace=orders", path.display());
    let client = Client::open(&url).unwrap();
    every_operation(&client).await;
    drop(client);
    drop(stop);
    serving.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_concurrent_calls_of_one_key_over_one_client_run_once_s2() {
    let server = Server::start();
    let client = server.client();
    one_runs_and_all_get_its_result(&client, 1_000).await;
    let stats = client.store_stats().await.unwrap();
    assert_eq!((stats.begin_acquired, stats.waiters), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_concurrent_calls_of_many_keys_each_get_their_own_result() {
    let server = Server::start();
    let client = server.client();
    let calls: Vec<_> = (0..1_000)
        .map(|number: u32| {
            let client = client.clone();
            tokio::spawn(async move {
                let work = async |_: Context| Ok::<_, ()>(number.to_le_bytes().to_vec());
                let name = number.to_string();
                client.execute(key(&name), Fingerprint::None, work).await.unwrap()
            })
        })
        .collect();
    for (number, call) in (0_u32..).zip(calls) {
        let done = call.await.unwrap().into_done().unwrap();
        let body = done.result.body.kept().expect("kept");
        assert_eq!(body[..], number.to_le_bytes(), "nobody else's");
    }
    assert_eq!(client.store_stats().await.unwrap().begin_acquired, 1_000);
}

#[tokio::test]
async fn lost_replies_leave_one_execution_s3() {
    // Requests in order: begin, its repeat, complete, its repeat; then a begin and its repeat.
    #[rustfmt::skip]
    let cases: [(&str, &[usize], u64, u64); 6] = [
        ("none lost", &[], 0, 0),
        ("begin's reply lost", &[1], 1, 0),
        ("complete's reply lost", &[2], 0, 1),
        ("both lost", &[1, 3], 1, 1),
        ("each lost twice", &[1, 2, 4, 5], 2, 2),
        ("the replay's reply lost", &[3], 0, 0),
    ];
    for (why, lost, repeated_begins, repeated_completes) in cases {
        let server = Server::start();
        let proxy = Proxy::start(server.address, lost.iter().copied()).await;
        let client = client_at(proxy.address);
        let runs = AtomicU32::new(0);
        let mut names = Vec::new();
        for _ in 0..2 {
            let work = async |_: Context| {
                runs.fetch_add(1, Ordering::Relaxed);
                Ok::<_, ()>("made")
            };
            let executed = client.execute(key("once"), Fingerprint::of("p"), work).await.unwrap();
            names.push(executed.name());
        }
        assert_eq!(names, ["ran", "replayed"], "{why}");
        assert_eq!(runs.into_inner(), 1, "{why}");
        assert_eq!(proxy.requests(), 3 + lost.len(), "{why}: one repeat for each lost reply");
        let stats = server.store.stats();
        assert_eq!(stats.begin_acquired, 1, "{why}");
        assert_eq!(stats.begin_repeated, repeated_begins, "{why}");
        assert_eq!(stats.complete_repeated, repeated_completes, "{why}");
    }
}

#[tokio::test]
async fn a_lost_connection_costs_neither_owner_nor_waiters_their_answer() {
    let mut server = Server::start();
    let (owner_client, waiter_client) = (server.client(), server.client());
    let (finish, finished) = oneshot::channel::<()>();
    let (started, start) = oneshot::channel();
    let owner = tokio::spawn(async move {
        let work = async |run: Context| {
            started.send(()).unwrap();
            finished.await.unwrap();
            assert!(run.is_owner());
            Ok::<_, ()>("made")
        };
        owner_client.execute(key("held"), Fingerprint::None, work).await
    });
    start.await.unwrap();
    let waiters: Vec<_> = (0..20)
        .map(|_| {
            let execution = waiter_client.execution().wait(Duration::from_secs(30)).coalesce(false);
            tokio::spawn(async move {
                let work = async |_: Context| -> Result<(), ()> { unreachable!("it is done") };
                execution.execute(key("held"), Fingerprint::None, work).await
            })
        })
        .collect();
    let store = server.store.clone();
    let all_wait = async || store.stats().waiters == 20;
    until("all wait", all_wait).await;
    server.restart().await;
    until("all wait again", async || server.store.stats().waiters == 20).await;
    finish.send(()).unwrap();
    assert_eq!(owner.await.unwrap().unwrap().name(), "ran");
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap().unwrap().name(), "replayed");
    }
    assert_eq!(server.store.stats().begin_acquired, 1);
}

#[tokio::test]
async fn a_client_finds_a_server_that_comes_back() {
    let mut server = Server::start();
    let client = server.client();
    for round in 0..5 {
        let work = async |_: Context| Ok::<_, ()>("made");
        let name = round.to_string();
        let executed = client.execute(key(&name), Fingerprint::None, work).await.unwrap();
        assert_eq!(executed.name(), "ran", "round {round}");
        server.restart().await;
    }
    assert_eq!(server.store.stats().begin_acquired, 5);
}

#[tokio::test]
async fn a_dropped_wait_leaves_no_waiter_at_the_server_s10() {
    let server = Server::start();
    a_dropped_wait_leaves_nothing(&server.client()).await;
}

#[tokio::test]
async fn results_at_the_limits_s12_s20() {
    let server = Server::start();
    let client = server.client();
    let kept_max = Limits::DEFAULT.result_bytes_max;
    let frame_max = kept_max + 64 * 1024;
    let cases = [
        (0, None),
        (1, None),
        (kept_max, None),
        (kept_max + 1, Some(NotKept::TooLarge)),
        (frame_max, Some(NotKept::Declined)),
        (2 * frame_max, Some(NotKept::Declined)),
    ];
    for (size, not_kept) in cases {
        let name = size.to_string();
        let execution = client.execution().result_hint(size.min(kept_max));
        let work = async |_: Context| Ok::<_, ()>((201, vec![b'x'; size]));
        let ran = execution.execute(key(&name), Fingerprint::None, work).await.unwrap();
        let ran = ran.into_done().unwrap();
        assert_eq!(ran.not_kept, not_kept, "{size} bytes");
        assert_eq!(ran.result.body.kept().map(|body| body.len()), Some(size), "its runner has it");
        let work = async |_: Context| -> Result<(), ()> { unreachable!("S12: never run again") };
        let replayed = execution.execute(key(&name), Fingerprint::None, work).await.unwrap();
        let replayed = replayed.into_done().unwrap();
        assert_eq!((replayed.not_kept, replayed.result.status), (not_kept, 201), "{size} bytes");
        let held = replayed.result.body.kept().map(|body| body.len());
        assert_eq!(held, not_kept.is_none().then_some(size), "{size} bytes");
    }
}
