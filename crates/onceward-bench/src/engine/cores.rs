//! Which cores a run uses, and how far they are from each other.

use std::hint::spin_loop;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::system::Fault;

/// One way between near cores, at most, unless another bound is chosen. Beyond it they sit apart on
/// the host, and two threads measure the host's wiring rather than the engine.
pub const NEAR_NANOS_MAX: f64 = 32.0;
const ROUND_TRIPS: u32 = 5_000;

/// The cores that this process may run on, in order.
///
/// # Errors
/// The kernel does not say.
pub fn available() -> Result<Vec<usize>, Fault> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|&core| set.is_set(core).unwrap_or(false)).collect())
}

/// Keeps the calling thread on one core.
///
/// # Errors
/// The kernel refuses.
pub fn pin(core: usize) -> Result<(), Fault> {
    let mut set = CpuSet::new();
    set.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

#[repr(align(128))]
struct Line(AtomicU32);

/// Nanoseconds that a cache line takes from one core to the other: the best of five rounds, since
/// whatever disturbs one makes it longer.
///
/// # Errors
/// A core cannot be had.
pub fn distance_nanos(one: usize, other: usize) -> Result<f64, Fault> {
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        best = best.min(ping_pong(one, other)?);
    }
    Ok(best)
}

fn ping_pong(one: usize, other: usize) -> Result<f64, Fault> {
    let line = Line(AtomicU32::new(0));
    let both = Barrier::new(2);
    let await_turn = |turn: u32| {
        let mut spins = 0_u32;
        while line.0.load(Ordering::Acquire) != turn {
            spin_loop();
            spins += 1;
            // Where another process holds the other core, let it finish.
            if spins.is_multiple_of(1 << 16) {
                thread::yield_now();
            }
        }
    };
    let elapsed = thread::scope(|scope| -> Result<Duration, Fault> {
        let echo = scope.spawn(|| -> Result<(), String> {
            let pinned = pin(other).map_err(|error| error.to_string());
            both.wait();
            for trip in 0..ROUND_TRIPS {
                await_turn(2 * trip + 1);
                line.0.store(2 * trip + 2, Ordering::Release);
            }
            pinned
        });
        let caller = scope.spawn(|| -> Result<Duration, String> {
            let pinned = pin(one).map_err(|error| error.to_string());
            both.wait();
            let started = Instant::now();
            for trip in 0..ROUND_TRIPS {
                line.0.store(2 * trip + 1, Ordering::Release);
                await_turn(2 * trip + 2);
            }
            pinned.map(|()| started.elapsed())
        });
        echo.join().map_err(|_| "the echo panicked")??;
        Ok(caller.join().map_err(|_| "the caller panicked")??)
    })?;
    Ok(elapsed.as_nanos() as f64 / f64::from(2 * ROUND_TRIPS))
}

/// Waits until a cache line goes from one core to the other in `near_nanos`, at most `patience`.
/// Returns the last distance.
///
/// # Errors
/// A core cannot be had.
pub fn await_near(
    one: usize,
    other: usize,
    near_nanos: f64,
    patience: Duration,
) -> Result<f64, Fault> {
    let started = Instant::now();
    loop {
        let distance = distance_nanos(one, other)?;
        let left = patience.saturating_sub(started.elapsed());
        if distance <= near_nanos || left.is_zero() {
            return Ok(distance);
        }
        thread::sleep(left.min(Duration::from_millis(500)));
    }
}
