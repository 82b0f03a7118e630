//! How far recovery is: told in the log, to the service manager, and with `--json` on stdout.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use onceward_journal::{Pass, RecoveryProgress};
use serde_json::json;

use crate::output;
use crate::quantity::spelt_size;
use crate::render;
use crate::serve::service_manager;

/// A recovery that is over sooner tells nothing; a longer one so often.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// What the service manager is asked to grant beyond the next time it is told.
const GRANTED: Duration = Duration::from_secs(30);

/// Tells at most once a second, from whichever thread comes by.
pub(crate) struct Recovering {
    json: bool,
    told: Mutex<Instant>,
}

impl Recovering {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, told: Mutex::new(Instant::now()) }
    }

    pub(crate) fn tell(&self, progress: RecoveryProgress) {
        // Whoever finds it locked finds it told.
        let Ok(mut told) = self.told.try_lock() else { return };
        if told.elapsed() < TELL_EVERY {
            return;
        }
        *told = Instant::now();
        let RecoveryProgress { pass, done, total, .. } = progress;
        let (phase, status) = match pass {
            Pass::Scan => {
                let (done, total) = (spelt_size(done >> 20 << 20), spelt_size(total));
                ("recovering", format!("recovering: {done} of {total} of the journal read"))
            }
            Pass::Restore => ("restoring", format!("recovering: {done} of {total} keys restored")),
        };
        tracing::info!("{status}");
        service_manager::recovering(&status, GRANTED);
        if self.json {
            let line = json!({
                "schema": render::SCHEMA,
                "phase": phase,
                "done": done,
                "total": total,
                "unit": if pass == Pass::Scan { "bytes" } else { "keys" },
            });
            // A reader that has left is told nothing more; the daemon starts all the same.
            let _ = output::print(&render::json(&line));
        }
    }
}
