//! Many threads at once (S2, S4, S5): one owner at every moment, one accepted result per life of
//! a key, no waiter left behind, no byte lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use onceward::{
    Abandon, AbandonOutcome, Begin, BeginOutcome, Body, Certainty, Complete, CompleteOutcome,
    Forget, ForgetOutcome, Limits, Millis, NamespaceConfig, Renew, RenewOutcome, ResultRef,
    StoreConfig, Token, Waitable,
};
use onceward_testkit::{SplitMix64, seeds};

use crate::bell::{Bell, PATIENCE, told};
use crate::scene::{Begun, Scene, ask, attempt, begin, id};

const THREADS: u64 = 8;
const KEYS: usize = 3;

/// Runs `work` on a thread of its own, so that a deadlock fails the test instead of stopping it.
fn patiently(work: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let worker = thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    match finished.recv_timeout(PATIENCE) {
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => worker.join().expect("see above"),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("no end within {PATIENCE:?}: a deadlock"),
    }
}

#[derive(Clone, Copy, Debug)]
struct Acquisition {
    fence: u64,
    asked: u64,
    told: u64,
}

/// What all threads saw, by key.
#[derive(Default)]
struct History {
    acquired: Vec<Acquisition>,
    completed: Vec<u64>,
    forgotten: u64,
    replayed: BTreeSet<u64>,
}

impl History {
    fn add(&mut self, other: Self) {
        self.acquired.extend(other.acquired);
        self.completed.extend(other.completed);
        self.forgotten += other.forgotten;
        self.replayed.extend(other.replayed);
    }

    fn check(mut self, key: usize) {
        self.acquired.sort_by_key(|acquisition| acquisition.fence);
        let mut latest_asked = 0;
        let mut before = 0;
        for acquisition in &self.acquired {
            assert!(before < acquisition.fence, "S4: key {key}: {acquisition:?} was granted twice");
            assert!(
                latest_asked < acquisition.told,
                "S4: key {key}: {acquisition:?} was told before a smaller fence was asked for"
            );
            latest_asked = latest_asked.max(acquisition.asked);
            before = acquisition.fence;
        }
        let once: BTreeSet<_> = self.completed.iter().copied().collect();
        assert_eq!(once.len(), self.completed.len(), "S5: key {key}: a fence completed twice");
        assert!(self.replayed.is_subset(&once), "S5: key {key}: a replay of nobody's result");
        let granted: BTreeSet<_> = self.acquired.iter().map(|one| one.fence).collect();
        assert!(once.is_subset(&granted), "S4: key {key}: a result of nobody's acquisition");
        let lives = self.completed.len() as u64;
        assert!(
            lives == self.forgotten || lives == self.forgotten + 1,
            "S5: key {key}: {lives} results accepted, {} made absent",
            self.forgotten
        );
    }
}

struct Arena {
    scene: Scene,
    keys: [&'static str; KEYS],
    /// Whose turn it is, by key: 0, or the fence of its owner. Kept only where no lease can end.
    owners: [AtomicU64; KEYS],
    leases_end: bool,
    /// Orders what threads see.
    moments: AtomicU64,
    attempts: AtomicU64,
}

/// More than the keys and all threads' begins at once can take.
const QUOTA: u64 = KEYS as u64 + THREADS;

impl Arena {
    fn new(leases_end: bool) -> Self {
        let quota = NamespaceConfig { entries_max: Some(QUOTA), ..NamespaceConfig::default() };
        let namespaces = BTreeMap::from([("orders".to_owned(), quota)]);
        Self {
            scene: Scene::with(StoreConfig { namespaces, ..StoreConfig::default() }),
            keys: ["a", "b", "c"],
            owners: [const { AtomicU64::new(0) }; KEYS],
            leases_end,
            moments: AtomicU64::new(1),
            attempts: AtomicU64::new(1),
        }
    }

    fn moment(&self) -> u64 {
        self.moments.fetch_add(1, SeqCst)
    }

    fn begin(&self, key: usize, random: &mut SplitMix64, bell: &Arc<Bell>) -> (Begin, Begun) {
        let wait = Millis::new(if random.chance(40) { 400 } else { 0 });
        let attempt_id = attempt(self.attempts.fetch_add(1, SeqCst));
        let lease = Millis::new(100);
        let retention = Millis::from_secs(1_000_000);
        let request = Begin { wait, lease, retention, attempt_id, ..ask(0) };
        if random.chance(30) || wait == Millis::ZERO {
            return (request, self.scene.begin(self.keys[key], &request));
        }
        let waker = Arc::clone(bell).into();
        let mut at_once = None;
        let waited = self.scene.store.begin_or_wait(id(self.keys[key]), &request, &waker, |o| {
            at_once = Some(o.map(<[u8]>::to_vec));
        });
        match waited.expect("open") {
            Waitable::Answered(_) => (request, at_once.expect("the sink was called")),
            Waitable::Waiting(mut ticket) => {
                let rung = bell.rung();
                if random.chance(10) {
                    ticket.end_wait();
                }
                loop {
                    if let Some(told) = told(&mut ticket, bell) {
                        return (request, told.expect("open"));
                    }
                    bell.await_rings(rung + 1);
                }
            }
        }
    }

    fn acquire(&self, key: usize, token: Token) {
        if !self.leases_end {
            let before = self.owners[key].swap(token.fence.get(), SeqCst);
            assert_eq!(before, 0, "S2: key {key} has two owners");
        }
    }

    fn release(&self, key: usize) {
        self.owners[key].store(0, SeqCst);
    }

    fn work(&self, seed: u64, rounds: usize) -> Vec<History> {
        let mut random = SplitMix64::new(seed);
        let mut seen: Vec<_> = (0..KEYS).map(|_| History::default()).collect();
        for _ in 0..rounds {
            let key = random.within(0..KEYS as u64) as usize;
            let asked = self.moment();
            // One bell per wait: an earlier ring must not pass for this one.
            let (request, outcome) = self.begin(key, &mut random, &Bell::new());
            let told = self.moment();
            match outcome {
                BeginOutcome::Acquired(acquired) => {
                    let token = acquired.token;
                    assert_eq!(token.attempt_id, request.attempt_id, "nobody else's (S16)");
                    self.acquire(key, token);
                    seen[key].acquired.push(Acquisition { fence: token.fence.get(), asked, told });
                    self.own(key, token, &mut random, &mut seen[key]);
                }
                BeginOutcome::Replay(replay) => {
                    let Body::Kept(body) = replay.result.body else { panic!("it was kept") };
                    let fence = String::from_utf8(body).unwrap().parse().unwrap();
                    seen[key].replayed.insert(fence);
                    if random.chance(50) {
                        let fence = onceward::Fence::new(fence).unwrap();
                        let forgotten =
                            self.scene.store.forget(id(self.keys[key]), &Forget { fence }).unwrap();
                        let made_absent = forgotten.value == ForgetOutcome::Forgotten;
                        seen[key].forgotten += u64::from(made_absent);
                    }
                }
                BeginOutcome::InProgress { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        seen
    }

    fn own(&self, key: usize, token: Token, random: &mut SplitMix64, seen: &mut History) {
        let store = &self.scene.store;
        let identity = id(self.keys[key]);
        if random.chance(30) {
            let renew = Renew { token, lease: Millis::new(100), fingerprint: None };
            match store.renew(identity, &renew).unwrap().value {
                RenewOutcome::Renewed { .. } => {}
                RenewOutcome::Fenced | RenewOutcome::Gone if self.leases_end => return,
                other => panic!("an owner's renew: {other:?}"),
            }
        }
        if self.leases_end && random.chance(20) {
            return; // It falls silent; somebody takes over.
        }
        self.release(key);
        if random.chance(50) {
            let abandon = Abandon { token, certainty: Certainty::NotDone };
            match store.abandon(identity, &abandon).unwrap().value {
                AbandonOutcome::Abandoned => {}
                AbandonOutcome::Fenced | AbandonOutcome::Gone if self.leases_end => {}
                other => panic!("an owner's abandon: {other:?}"),
            }
            return;
        }
        let body = token.fence.to_string();
        let result = ResultRef::of(200, body.as_bytes());
        let complete = Complete { token, result, fingerprint: None };
        match store.complete(identity, &complete).unwrap().value {
            CompleteOutcome::Completed { not_kept: None } => seen.completed.push(token.fence.get()),
            CompleteOutcome::Fenced | CompleteOutcome::Gone if self.leases_end => {}
            other => panic!("an owner's complete: {other:?}"),
        }
    }
}

fn contend(seed: u64, leases_end: bool) {
    let arena = Arc::new(Arena::new(leases_end));
    let working = AtomicBool::new(true);
    let mut histories: BTreeMap<usize, History> = BTreeMap::new();
    thread::scope(|scope| {
        let time = scope.spawn(|| {
            let mut random = SplitMix64::new(seed);
            while working.load(SeqCst) {
                if leases_end {
                    arena.scene.clock.advance(Millis::new(random.within(0..30)));
                }
                let budget = random.within(0..20) as usize;
                let _ = arena.scene.store.tick(arena.scene.clock.now(), budget);
                thread::yield_now();
            }
        });
        let workers: Vec<_> = (0..THREADS)
            .map(|worker| {
                let arena = &arena;
                scope.spawn(move || arena.work(seed * THREADS + worker, 400))
            })
            .collect();
        for worker in workers {
            for (key, history) in worker.join().expect("see above").into_iter().enumerate() {
                histories.entry(key).or_default().add(history);
            }
        }
        working.store(false, SeqCst);
        time.join().unwrap();
    });
    let acquired: usize = histories.values().map(|history| history.acquired.len()).sum();
    assert!(acquired > 100, "{acquired} acquisitions prove little");
    for (key, history) in histories {
        history.check(key);
    }
    let scene = &arena.scene;
    assert_eq!(scene.store.stats().waiters, 0);
    scene.advance(2_000_000_000);
    scene.advance(Limits::DEFAULT.attempt_memory.get());
    let stats = scene.store.stats();
    assert_eq!((stats.entries, stats.memory_used_bytes), (0, 0), "stale tries give back (S11)");
    let places: Vec<_> = (0..=QUOTA).map(|key| scene.begin(&key.to_string(), &ask(key))).collect();
    let taken = places.iter().filter(|outcome| outcome.name() == "acquired").count();
    assert_eq!(taken as u64, QUOTA, "and their places in the quota");
}

#[test]
fn threads_that_share_keys_have_one_owner_at_a_time_s2_s4_s5_s10() {
    patiently(|| {
        for seed in seeds(4) {
            println!("seed {seed} (replay with ONCEWARD_SEED={seed})");
            contend(seed, false);
        }
    });
}

#[test]
fn threads_whose_leases_end_are_fenced_s4_s5_s6_s10() {
    patiently(|| {
        for seed in seeds(4) {
            println!("seed {seed} (replay with ONCEWARD_SEED={seed})");
            contend(seed, true);
        }
    });
}

#[test]
fn of_64_threads_that_begin_one_key_one_acquires_it_s2() {
    const KEYS: u64 = 2_000;
    patiently(|| {
        let scene = Arc::new(Scene::new());
        let gate = Arc::new(Barrier::new(64));
        let threads: Vec<_> = (0..64)
            .map(|number| {
                let (scene, gate) = (Arc::clone(&scene), Arc::clone(&gate));
                thread::spawn(move || {
                    let acquires = |key: u64| {
                        let key = format!("key-{key}");
                        gate.wait();
                        match begin(&scene.store, id(&key), &ask(number)) {
                            BeginOutcome::Acquired(_) => true,
                            BeginOutcome::InProgress { .. } => false,
                            other => panic!("{other:?}"),
                        }
                    };
                    (0..KEYS).filter(|&key| acquires(key)).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut acquired: Vec<_> =
            threads.into_iter().flat_map(|thread| thread.join().expect("see above")).collect();
        acquired.sort_unstable();
        assert!(acquired.into_iter().eq(0..KEYS), "each key once, and none left out");
    });
}

#[test]
fn a_change_that_meets_a_registration_is_not_missed_s10() {
    const ROUNDS: u64 = 2_000;
    patiently(|| {
        let scene = Arc::new(Scene::new());
        let gate = Arc::new(Barrier::new(2));
        let owner = {
            let (scene, gate) = (Arc::clone(&scene), Arc::clone(&gate));
            thread::spawn(move || {
                // The larger the body, the longer between the look and the commit.
                let body = vec![7; 100_000];
                for round in 0..ROUNDS {
                    let key = format!("key-{round}");
                    let token = scene.own(&key, &ask(1));
                    gate.wait();
                    assert_eq!(scene.complete(&key, token, &body).name(), "completed");
                    gate.wait();
                    let fence = token.fence;
                    scene.store.forget(id(&key), &Forget { fence }).unwrap();
                }
            })
        };
        for round in 0..ROUNDS {
            let key = format!("key-{round}");
            let bell = Bell::new();
            gate.wait();
            let waker = Arc::clone(&bell).into();
            let request = crate::scene::patient(2);
            let waited = scene.store.begin_or_wait(id(&key), &request, &waker, |o| o.name());
            match waited.unwrap() {
                Waitable::Answered(answer) => assert_eq!(answer.value, "replay", "{round}"),
                Waitable::Waiting(mut ticket) => {
                    bell.await_rings(1); // Nobody ticks, and the clock stands still.
                    let outcome = told(&mut ticket, &bell).expect("it rang").expect("open");
                    assert_eq!(outcome.name(), "replay", "{round}");
                }
            }
            gate.wait();
        }
        owner.join().expect("see above");
    });
}
