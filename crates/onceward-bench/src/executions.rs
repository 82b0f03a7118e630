//! Executions over `mem://`, with and without coalescing.

use std::error::Error;
use std::time::Instant;

use onceward_client::{Client, Context, Execution, Fingerprint, ScopedKeyBuf};

use crate::report::Measurement;
use crate::workload::Workload;

/// Callers of one key at once.
const CALLERS: u64 = 1_000;

type Fault = Box<dyn Error + Send + Sync>;

/// Executes every key once, one after the other, then has 1,000 callers ask for one key at once, each
/// in two ways: coalescing, and every call for itself. Returns µs per call.
///
/// # Errors
/// Any answer other than the right one.
pub async fn run(workload: &Workload) -> Result<Vec<Measurement>, Fault> {
    let mut values = Vec::new();
    for (coalesce, how) in [(true, "coalescing"), (false, "each for itself")] {
        let client = Client::open("mem://bench")?;
        let execution =
            client.execution().coalesce(coalesce).wait(std::time::Duration::from_secs(60));
        let started = Instant::now();
        for number in 0..workload.entries {
            if execute(&execution, workload, number).await? != "ran" {
                return Err("a new key did not run".into());
            }
        }
        let micros = micros_each(started, workload.entries);
        values.push(Measurement::new(format!("execute over mem://, {how}"), "µs", micros));
        let started = Instant::now();
        let mut ran = 0;
        let crowds = workload.entries.div_ceil(CALLERS);
        for crowd in 0..crowds {
            let number = workload.entries + crowd;
            let calls: Vec<_> = (0..CALLERS)
                .map(|_| {
                    let (execution, workload) = (execution.clone(), workload.clone());
                    tokio::spawn(async move { execute(&execution, &workload, number).await })
                })
                .collect();
            for call in calls {
                ran += u64::from(call.await?? == "ran");
            }
        }
        if ran != crowds {
            return Err("each key runs once".into());
        }
        let name = format!("execute over mem://, {CALLERS} at once of one key, {how}");
        values.push(Measurement::new(name, "µs", micros_each(started, crowds * CALLERS)));
    }
    Ok(values)
}

fn micros_each(started: Instant, calls: u64) -> f64 {
    started.elapsed().as_secs_f64() * 1e6 / calls as f64
}

async fn execute(
    execution: &Execution,
    workload: &Workload,
    number: u64,
) -> Result<&'static str, Fault> {
    let key = ScopedKeyBuf::new("", workload.key(number))?;
    let work = async |_: Context| {
        tokio::task::yield_now().await;
        Ok::<_, std::io::Error>(workload.value(number))
    };
    Ok(execution.execute(key, Fingerprint::None, work).await?.name())
}
