//! Runs one phase: a readiness loop on each thread, over the connections that are its own.

use std::os::fd::AsFd as _;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::connection::Connection;
use super::crowd::Crowd;
use super::desk::Desk;
use super::dialect::{Answer, Dialect};
use super::pace::{Bound, Pace, Source};
use super::script::{Mix, Phase, Script};
use super::tally::{Kind, Tally};
use crate::engine::{Fault, Values, cores, process};

/// Events taken at one wake-up.
const EVENTS_MAX: usize = 256;
/// Longest sleep: after it limits and interruption are looked at.
const SLEEP_MAX_MS: u16 = 100;
/// The timer's mark among connections, which are numbered.
const TIMER: u64 = u64::MAX;

/// One phase on connections that are open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stage<'a> {
    /// Says what each step is.
    pub(super) script: &'a Script,
    /// Which steps.
    pub(super) phase: Phase,
    /// What is stored.
    pub(super) values: &'a Values,
    /// When operations start.
    pub(super) pace: Pace,
    /// When it ends.
    pub(super) bound: Bound,
    /// Decides the starts of an open loop.
    pub(super) seed: u64,
    /// After this long it is over, whatever is unanswered.
    pub(super) patience: Duration,
    /// Cores for the generator's threads, in turn; empty leaves that to the kernel.
    pub(super) cores: &'a [usize],
    /// Set by whoever wants it to end early.
    pub(super) interrupted: &'a AtomicBool,
}

/// What a phase found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// What the threads saw.
    pub(super) tally: Tally,
    /// From the first start to the last answer.
    pub(super) seconds: f64,
    /// Processor time of the generator's threads.
    pub(super) cpu_ns: u64,
    /// Operations that an open loop had offered when its time was over.
    pub(super) offered: u64,
    /// How many of them it had not sent by then.
    pub(super) unsent: u64,
    /// Whether it was ended early.
    pub(super) interrupted: bool,
    /// Every step below it was taken; `None` before anything ran.
    pub(super) steps: Option<u64>,
}

impl Found {
    /// What all threads found.
    ///
    /// # Errors
    /// The first of theirs.
    pub(super) fn of_all(ends: Vec<Result<Self, Fault>>) -> Result<Self, Fault> {
        let mut all = Self::default();
        for end in ends {
            let found = end?;
            all.tally.add(&found.tally);
            all.seconds = all.seconds.max(found.seconds);
            all.cpu_ns += found.cpu_ns;
            all.offered += found.offered;
            all.unsent += found.unsent;
            all.interrupted |= found.interrupted;
            all.steps = match (all.steps, found.steps) {
                (Some(all), Some(one)) => Some(all.min(one)),
                (all, one) => all.or(one),
            };
        }
        Ok(all)
    }
}

/// Runs one phase, on a thread for each part of `fleet`.
///
/// # Errors
/// A connection is lost, the server speaks otherwise, or patience is over.
pub(super) fn drive<D: Dialect>(
    fleet: &mut [Vec<Connection<D>>],
    stage: &Stage<'_>,
) -> Result<Found, Fault> {
    let threads = fleet.len();
    let ready = Barrier::new(threads);
    let broken = AtomicBool::new(false);
    let origin = Instant::now();
    let ends: Vec<Result<Found, Fault>> = thread::scope(|scope| {
        let (ready, broken) = (&ready, &broken);
        let running: Vec<_> = fleet
            .iter_mut()
            .enumerate()
            .map(|(thread, connections)| {
                scope.spawn(move || {
                    let pinned = match stage.cores {
                        [] => Ok(()),
                        cores => cores::pin(cores[thread % cores.len()]),
                    };
                    ready.wait();
                    let source = Source::new(stage.pace, stage.bound, thread, threads, stage.seed);
                    let desk = Desk::of(stage, origin, source);
                    let found =
                        pinned.and_then(|()| Loop::new(connections, desk, stage)?.run(broken));
                    if found.is_err() {
                        broken.store(true, Ordering::Relaxed);
                    }
                    found
                })
            })
            .collect();
        let ended = running.into_iter().map(|thread| thread.join());
        ended
            .map(|end| end.unwrap_or_else(|_| Err("a thread of the generator panicked".into())))
            .collect()
    });
    Found::of_all(ends)
}

struct Loop<'a, 's, D> {
    connections: &'a mut [Connection<D>],
    desk: Desk<'s>,
    stage: &'a Stage<'s>,
    epoll: Epoll,
    timer: TimerFd,
    armed_ns: u64,
    /// Whether the kernel tells when the connection can be written to.
    watched: Vec<bool>,
    /// The connection that the next due operation is offered first.
    turn: usize,
    slots: usize,
    crowd: Option<Crowd>,
}

impl<'a, 's, D: Dialect> Loop<'a, 's, D> {
    fn new(
        connections: &'a mut [Connection<D>],
        mut desk: Desk<'s>,
        stage: &'a Stage<'s>,
    ) -> Result<Self, Fault> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for (at, connection) in (0..).zip(connections.iter_mut()) {
            epoll.add(&*connection, EpollEvent::new(EpollFlags::EPOLLIN, at))?;
            connection.release(0);
        }
        let timer = TimerFd::new(
            ClockId::CLOCK_MONOTONIC,
            TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
        )?;
        // By edge: an expired timer need not be read.
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        epoll.add(timer.as_fd(), EpollEvent::new(flags, TIMER))?;
        let crowd = matches!(stage.phase.mix(), Some(Mix::Waiters)).then(Crowd::default);
        desk.follows = crowd.is_none();
        let slots = connections.iter().map(Connection::free_slots).sum();
        let watched = vec![false; connections.len()];
        Ok(Self {
            connections,
            desk,
            stage,
            epoll,
            timer,
            armed_ns: 0,
            watched,
            turn: 0,
            slots,
            crowd,
        })
    }

    fn run(mut self, broken: &AtomicBool) -> Result<Found, Fault> {
        let cpu = process::thread_cpu_time()?;
        let patience_ns = self.stage.patience.as_nanos() as u64;
        let stop_ns = self.stage.bound.duration.map_or(u64::MAX, |length| length.as_nanos() as u64);
        let mut found = Found::default();
        let mut judged = false;
        let mut events = [EpollEvent::empty(); EVENTS_MAX];
        loop {
            self.start_due()?;
            if self.desk.in_flight == 0 && self.desk.source.due().is_none() {
                break;
            }
            let timeout = self.sleep()?;
            let got = match self.epoll.wait(&mut events, timeout) {
                Ok(got) => got,
                Err(Errno::EINTR) => 0,
                Err(error) => return Err(error.into()),
            };
            for event in &events[..got] {
                if event.data() == TIMER {
                    self.armed_ns = 0;
                    continue;
                }
                let at = event.data() as usize;
                if event
                    .events()
                    .intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR)
                {
                    match &mut self.crowd {
                        None => {
                            let judge = |desk: &mut Desk<'_>, kind, job, answer: &Answer<'_>| {
                                desk.judge(kind, job, answer)
                            };
                            self.connections[at].receive(&mut self.desk, judge)?;
                        }
                        Some(crowd) => {
                            let judge = |desk: &mut Desk<'_>, kind, job, answer: &Answer<'_>| {
                                crowd.judge(desk, kind, job, answer)
                            };
                            self.connections[at].receive(&mut self.desk, judge)?;
                        }
                    }
                }
                self.flush(at)?;
            }
            let now = self.desk.now();
            if self.desk.source.is_open() && !judged && now >= stop_ns {
                judged = true;
                found.unsent = self.desk.source.overdue(now);
                found.offered = self.desk.started + found.unsent;
            }
            if self.stage.interrupted.load(Ordering::Relaxed) || broken.load(Ordering::Relaxed) {
                found.interrupted |= self.desk.source.due().is_some();
                self.desk.source.stop();
            }
            if now >= patience_ns {
                let unanswered = self.desk.in_flight;
                let length = self.stage.patience;
                return Err(format!("{unanswered} requests unanswered after {length:?}").into());
            }
        }
        if !judged {
            found.offered = self.desk.started;
        }
        found.steps = Some(self.desk.source.next_step());
        found.seconds = self.desk.now() as f64 / 1e9;
        found.cpu_ns = process::thread_cpu_time()?.saturating_sub(cpu).as_nanos() as u64;
        found.tally = self.desk.tally;
        Ok(found)
    }

    fn all_busy(&self) -> bool {
        match &self.crowd {
            None => self.desk.in_flight == self.slots,
            Some(crowd) => crowd.gathers(),
        }
    }

    /// Starts every operation that is due, as long as a slot is free, each connection in turn.
    fn start_due(&mut self) -> Result<(), Fault> {
        let count = self.connections.len();
        if let Some(crowd) = &mut self.crowd {
            crowd.advance(&mut self.desk, self.connections)?;
            return self.flush_all();
        }
        if self.all_busy() {
            return Ok(());
        }
        let mut full = 0;
        let mut now = self.desk.now();
        while full < count {
            let at = self.turn % count;
            if self.connections[at].free_slots() == 0 {
                full += 1;
                self.turn = at + 1;
                continue;
            }
            full = 0;
            let Some((step, intended)) = self.desk.source.take(now) else { break };
            let job = self.desk.script.job(self.desk.phase, step);
            self.connections[at].start(&mut self.desk, job, Kind::of(job.operation), intended)?;
            self.turn = at + 1;
            now = now.max(intended);
        }
        self.flush_all()
    }

    fn flush_all(&mut self) -> Result<(), Fault> {
        for at in 0..self.connections.len() {
            if self.connections[at].has_output() && !self.watched[at] {
                self.flush(at)?;
            }
        }
        Ok(())
    }

    /// Writes, and has the kernel tell when a socket that was full takes more.
    fn flush(&mut self, at: usize) -> Result<(), Fault> {
        let connection = &mut self.connections[at];
        connection.send(&mut self.desk)?;
        let full = connection.has_output();
        if full != self.watched[at] {
            let flags =
                if full { EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN };
            self.epoll.modify(&*connection, &mut EpollEvent::new(flags, at as u64))?;
            self.watched[at] = full;
        }
        Ok(())
    }

    /// Arms the timer for the next start, and says how long to sleep at most.
    fn sleep(&mut self) -> Result<EpollTimeout, Fault> {
        let most = EpollTimeout::from(SLEEP_MAX_MS);
        let Some(due) = self.desk.source.due() else { return Ok(most) };
        if !self.desk.source.is_open() || self.all_busy() {
            return Ok(most);
        }
        let now = self.desk.now();
        if due <= now {
            return Ok(EpollTimeout::ZERO);
        }
        if self.armed_ns != due {
            let length = TimeSpec::from_duration(Duration::from_nanos(due - now));
            self.timer.set(Expiration::OneShot(length), TimerSetTimeFlags::empty())?;
            self.armed_ns = due;
        }
        Ok(most)
    }
}
