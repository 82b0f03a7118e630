//! One data directory with its daemon, its callers and its oracle: life after life.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use onceward_testkit::SplitMix64;

use crate::call::{Call, Told};
use crate::daemon::{Daemon, Launch, NotStarted};
use crate::interrupt::interrupted;
use crate::load::{Load, Notebook, Pace, duel, look_back, probe_begin, probe_reads};
use crate::moment::Moment;
use crate::oracle::{Ending, Judged, Level, Oracle, Promise, Violation};

/// Keys that earlier lives left behind and that a restart looks at again, besides the last life's.
const OLD_KEYS_LOOKED_AT: usize = 60;

/// Keys that are looked at after a restart in all.
const KEYS_LOOKED_AT_MAX: usize = 600;

/// Keys that two parties want while the daemon stands still.
const DUEL_KEYS: u32 = 48;

/// One try of a begin is waited for so long at least.
const PROBE_WITHIN: Duration = Duration::from_secs(2);

/// How often a wait looks whether the daemon has ended or the rig is to stop.
const GLANCE: Duration = Duration::from_millis(2);

/// A daemon under load, and all that is known of it.
#[derive(Debug)]
pub struct Lane {
    /// How the daemon is started. Runs change wrapper and environment between lives.
    pub launch: Launch,
    /// Draws of the run that uses the lane.
    pub random: SplitMix64,
    /// How hard the daemon is driven.
    pub pace: Pace,
    oracle: Oracle,
    notebook: Arc<Mutex<Notebook>>,
    calls: Vec<Call>,
    daemon: Option<Daemon>,
    load: Option<(Load, Instant)>,
    loaded: Duration,
    answered: u64,
    starts: u64,
    last_log: String,
}

/// What a lane has done.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// What its oracle judged.
    pub judged: Judged,
    /// Times a process was started.
    pub starts: u64,
    /// Answers to the load, looks back not counted.
    pub answered: u64,
    /// How long daemons were under load.
    pub loaded: Duration,
}

type Broken = Vec<Violation>;

impl Lane {
    /// A lane of its own over an empty directory.
    #[must_use]
    pub fn new(binary: PathBuf, data_dir: Option<PathBuf>, level: Level, seed: u64) -> Self {
        let launch = Launch {
            binary,
            data_dir,
            host: Ipv4Addr::LOCALHOST,
            level,
            wrapper: Vec::new(),
            planted: None,
            environment: Vec::new(),
        };
        let mut random = SplitMix64::new(seed);
        let notebook = Arc::new(Mutex::new(Notebook::new(random.next_u64())));
        Self {
            launch,
            random,
            pace: Pace::USUAL,
            oracle: Oracle::new(level),
            notebook,
            calls: Vec::new(),
            daemon: None,
            load: None,
            loaded: Duration::ZERO,
            answered: 0,
            starts: 0,
            last_log: String::new(),
        }
    }

    /// What was done so far.
    #[must_use]
    pub fn done(&self) -> Done {
        Done {
            judged: self.oracle.judged().clone(),
            starts: self.starts,
            answered: self.answered,
            loaded: self.loaded,
        }
    }

    /// The daemon that runs now.
    #[must_use]
    pub const fn daemon(&self) -> Option<&Daemon> {
        self.daemon.as_ref()
    }

    /// The end of the log of the daemon that runs, or of the last that stopped by itself.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.as_ref().map_or_else(|| self.last_log.clone(), Daemon::log)
    }

    /// [`Lane::log`] as soon as there is a whole line of it; what there is when that time is over.
    #[must_use]
    pub fn first_words(&self, within: Duration) -> String {
        let since = Instant::now();
        loop {
            let log = self.log();
            if !log.is_empty() || since.elapsed() > within || interrupted() {
                return log;
            }
            std::thread::sleep(GLANCE);
        }
    }

    /// Starts a daemon that has to start, asks it what the last life owes, and puts it under load.
    ///
    /// # Errors
    /// If it does not start.
    pub fn begin_life(&mut self) -> Result<(), Broken> {
        self.try_begin_life().map_err(|not| {
            let how = not.status.map_or("hung".to_owned(), |status| status.to_string());
            let what = format!("the daemon did not start ({how}):\n{}", not.log);
            vec![Violation::new(Promise::Available, what)]
        })?;
        Ok(())
    }

    /// The same for a daemon that may have a reason not to start.
    ///
    /// # Errors
    /// [`NotStarted`], for the run to judge.
    pub fn try_begin_life(&mut self) -> Result<(), NotStarted> {
        self.starts += 1;
        let daemon = self.launch.start()?;
        self.adopt(daemon);
        Ok(())
    }

    /// Goes on with a daemon that was just started over the lane's directory.
    pub fn adopt(&mut self, daemon: Daemon) {
        let address = daemon.address();
        self.daemon = Some(daemon);
        let keys = self.keys_to_look_at(KEYS_LOOKED_AT_MAX);
        let seed = self.random.next_u64();
        let looked = look_back(address, seed, &self.notebook, &keys);
        self.calls.extend(looked);
        let seed = self.random.next_u64();
        let load = Load::start(address, self.pace, seed, &self.notebook);
        self.load = Some((load, Instant::now()));
    }

    /// Starts a process, waits that long, does `last`, and kills it, wherever it is by then.
    ///
    /// # Errors
    /// If there is no such program.
    pub fn stillborn(&mut self, after: Duration, last: impl FnOnce()) -> Result<(), Broken> {
        self.starts += 1;
        let starting = self.launch.spawn().map_err(|error| {
            vec![Violation::new(Promise::Available, format!("starting the daemon: {error}"))]
        })?;
        std::thread::sleep(after);
        last();
        let death = starting.kill();
        self.oracle.life_ended(Vec::new(), death)?;
        self.oracle.life_begins(Ending::Crashed, Moment::now());
        Ok(())
    }

    fn keys_to_look_at(&mut self, most: usize) -> Vec<u32> {
        let mut keys = self.notebook.lock().unwrap_or_else(PoisonError::into_inner).turn();
        let surplus = keys.len().saturating_sub(most);
        keys.drain(..surplus);
        let all = self.oracle.keys();
        for _ in 0..OLD_KEYS_LOOKED_AT {
            keys.extend(self.random.pick(&all));
        }
        keys
    }

    /// Lets the callers work for that long; whether the daemon still runs then. Ends early when the
    /// rig is interrupted.
    pub fn work(&mut self, time: Duration) -> bool {
        let since = Instant::now();
        loop {
            if self.daemon.as_mut().is_none_or(|daemon| daemon.has_ended().is_some()) {
                return false;
            }
            let left = time.saturating_sub(since.elapsed());
            if left.is_zero() || interrupted() {
                return true;
            }
            std::thread::sleep(left.min(GLANCE));
        }
    }

    /// Whether a begin on a fresh key is acquired within that time.
    pub fn takes_begins(&mut self, within: Duration) -> bool {
        let Some(address) = self.daemon.as_ref().map(Daemon::address) else { return false };
        let since = Instant::now();
        loop {
            let seed = self.random.next_u64();
            let probe = self.oracle.fresh_key();
            // A daemon that is halted refuses at once; one whose syncs are slow answers late.
            let patience = within.saturating_sub(since.elapsed()).max(PROBE_WITHIN);
            let calls = probe_begin(address, patience, seed, &self.notebook, probe);
            let taken = calls.iter().any(|call| matches!(call.told, Some(Told::Acquired { .. })));
            self.calls.extend(calls);
            if taken || since.elapsed() > within || interrupted() {
                return taken;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Has owners and rivals wait in the sockets of the daemon while it stands still for longer than
    /// their leases; whether it answers them afterwards. The load goes on beside.
    pub fn duel(&mut self) -> bool {
        let keys: Vec<u32> = (0..DUEL_KEYS).map(|_| self.oracle.fresh_key()).collect();
        let Some(daemon) = self.daemon.as_mut() else { return false };
        let address = daemon.address();
        let calls = duel(address, &self.notebook, &keys, |paused| daemon.pause(paused));
        let answered = calls.iter().all(|call| call.told.is_some());
        self.calls.extend(calls);
        answered
    }

    /// Whether keys that earlier lives settled, and that nobody touches now, are shown within that
    /// time.
    pub fn reads_go_on(&mut self, within: Duration) -> bool {
        let Some(address) = self.daemon.as_ref().map(Daemon::address) else { return false };
        let in_use = self.notebook.lock().unwrap_or_else(PoisonError::into_inner).in_use();
        let touched: HashSet<u32> = self.calls.iter().map(|call| call.key).collect();
        let mut keys = self.oracle.settled_keys();
        keys.retain(|key| !in_use.contains(key) && !touched.contains(key));
        keys.truncate(20);
        let calls = probe_reads(address, within, &keys);
        let answered = calls.iter().all(|call| call.told.is_some());
        self.calls.extend(calls);
        answered
    }

    /// Kills the daemon, ends its life and has it judged.
    ///
    /// # Errors
    /// What its answers broke.
    pub fn kill(&mut self) -> Result<(), Broken> {
        let death = self.daemon.take().map_or_else(Moment::now, Daemon::kill);
        self.bury(Ending::Crashed, death)
    }

    /// Ends the load, has the daemon stop by itself, and has the life judged.
    ///
    /// # Errors
    /// What its answers broke, or that it did not stop as it should (S17).
    pub fn stop(&mut self) -> Result<(), Broken> {
        // Some calls are under way when the signal comes: they are answered, or not.
        let Some(daemon) = self.daemon.take() else { return self.kill() };
        let (status, death, log) = daemon.stop();
        self.last_log.clone_from(&log);
        let judged = self.bury(Ending::Stopped, death);
        match status {
            Some(status) if status.success() => judged,
            _ => {
                let how = status.map_or("did not end".to_owned(), |status| status.to_string());
                let what = format!("told to stop, the daemon {how} (S17):\n{log}");
                let mut broken = judged.err().unwrap_or_default();
                broken.push(Violation::new(Promise::Available, what));
                Err(broken)
            }
        }
    }

    fn bury(&mut self, ending: Ending, death: Moment) -> Result<(), Broken> {
        if let Some((load, since)) = self.load.take() {
            self.loaded += since.elapsed();
            self.answered += load.answered();
            self.calls.extend(load.stop());
        }
        let judged = self.oracle.life_ended(std::mem::take(&mut self.calls), death);
        self.oracle.life_begins(ending, Moment::now());
        judged
    }

    /// The last life: every key is looked at, the daemon stops by itself, and what it then says it
    /// kept is looked at once more.
    ///
    /// # Errors
    /// What the answers broke.
    pub fn last_look(&mut self) -> Result<(), Broken> {
        for _ in 0..2 {
            self.begin_life()?;
            let keys = self.oracle.keys();
            if let Some(daemon) = &self.daemon {
                let seed = self.random.next_u64();
                let looked = look_back(daemon.address(), seed, &self.notebook, &keys);
                self.calls.extend(looked);
            }
            self.stop()?;
        }
        Ok(())
    }
}
