//! What the machine can do at best, measured in the same run: dependent cache misses and copies.

use std::hint::black_box;

use memmap2::{Advice, MmapMut};
use onceward_bench::Measurement;
use onceward_bench::engine::process::thread_cpu_time;
use onceward_bench::engine::{Fault, Values};
use serde::{Deserialize, Serialize};

const LINE_BYTES: usize = 64;
const PAGE_BYTES: usize = 4096;
/// Loads of one chase.
const LOADS: u64 = 1_000_000;
/// Bodies of one round of copies.
const COPIES: u64 = 1_000_000;

/// How large the working set is.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct FloorPlan {
    /// Bytes to chase through: rounded down to a power of two.
    pub bytes: u64,
}

/// A load that waits for the one before, 4 KiB pages.
pub const MISS_SMALL_PAGES: &str = "dependent miss, 4 KiB pages";
/// A load that waits for the one before, huge pages.
pub const MISS_HUGE_PAGES: &str = "dependent miss, huge pages";
/// A body from anywhere to a hot buffer.
pub const COPY_COLD: &str = "copy of one value, cold";
/// A body that is in the nearest cache.
pub const COPY_HOT: &str = "copy of one value, hot";

/// Measures all floors, one mapping at a time.
///
/// # Errors
/// The kernel gives no memory.
pub fn measure(plan: FloorPlan, values: &Values) -> Result<Vec<Measurement>, Fault> {
    let mut found = Vec::new();
    for (advice, name) in
        [(Advice::NoHugePage, MISS_SMALL_PAGES), (Advice::HugePage, MISS_HUGE_PAGES)]
    {
        let memory = mapped(plan.bytes, advice)?;
        found.push(Measurement::new(name, "ns", chase(&memory)?));
        if name == MISS_HUGE_PAGES {
            let (cold, hot) = copies(&memory, values)?;
            found.push(Measurement::new(COPY_COLD, "ns", cold));
            found.push(Measurement::new(COPY_HOT, "ns", hot));
        }
    }
    Ok(found)
}

fn mapped(bytes: u64, advice: Advice) -> Result<MmapMut, Fault> {
    let bytes = usize::try_from(bytes)?.max(2 * PAGE_BYTES);
    // A power of two, so that a mask keeps every address inside.
    let bytes = 1 << bytes.ilog2();
    let mut memory = MmapMut::map_anon(bytes)?;
    // A kernel without huge pages refuses the advice and gives small ones.
    let _ = memory.advise(advice);
    for at in (0..bytes).step_by(PAGE_BYTES) {
        memory[at] = 0;
    }
    Ok(memory)
}

/// Each address depends on the word loaded before, which is zero, but only memory knows that.
fn chase(memory: &[u8]) -> Result<f64, Fault> {
    let mask = memory.len() / LINE_BYTES - 1;
    let mut step = 0_u64;
    let mut loaded = 0_u64;
    let started = thread_cpu_time()?;
    for _ in 0..LOADS {
        step = step.wrapping_add(loaded | 1);
        let line = scattered(step.wrapping_add(loaded)) as usize & mask;
        loaded = word(memory, line * LINE_BYTES);
    }
    let nanos = (thread_cpu_time()? - started).as_nanos() as f64;
    black_box(loaded);
    Ok(nanos / LOADS as f64)
}

fn word(memory: &[u8], at: usize) -> u64 {
    memory[at..at + 8].iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte))
}

fn scattered(number: u64) -> u64 {
    let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (number ^ (number >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93) >> 20
}

fn copies(memory: &[u8], values: &Values) -> Result<(f64, f64), Fault> {
    let mask = memory.len() / LINE_BYTES - 1;
    let mut into = Vec::with_capacity(values.most_bytes());
    let mut copy = |place: &dyn Fn(u64) -> usize| -> Result<f64, Fault> {
        let started = thread_cpu_time()?;
        for number in 0..COPIES {
            let size = values.size(number).min(memory.len());
            let at = place(number).min(memory.len() - size);
            into.clear();
            into.extend_from_slice(&memory[at..at + size]);
            black_box(&into);
        }
        Ok((thread_cpu_time()? - started).as_nanos() as f64 / COPIES as f64)
    };
    let cold = copy(&|number| (scattered(number) as usize & mask) * LINE_BYTES)?;
    let hot = copy(&|_| 0)?;
    Ok((cold, hot))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_chase_goes_all_over_its_memory() {
        let lines: HashSet<_> = (1..=10_000).map(|step| scattered(step) & 0xffff).collect();
        assert!(lines.len() > 9_000, "{} of 65,536 lines in 10,000 steps", lines.len());
        assert_eq!(word(&[1, 2, 0, 0, 0, 0, 0, 0, 9], 0), 0x0201);
        let found = measure(FloorPlan { bytes: 1 << 20 }, &Values::sized(64).unwrap()).unwrap();
        assert_eq!(found.len(), 4);
        assert!(found.iter().all(|floor| floor.value > 0.0), "{found:?}");
    }
}
