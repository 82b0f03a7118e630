//! A directory made fit to start from, at the price of what is damaged.
//!
//! What is cut off is copied to a file of its own first, and the manifest is changed last, as a
//! whole: a repair that is cut short leaves the directory as it was, with copies.

use crate::directory;
use crate::disk::Disk;
use crate::error::JournalError;
use crate::facts_file::FactsFile;
use crate::inspect::Described;
use crate::inspect::verify::{Finding, report};
use crate::lock::Lock;
use crate::manifest::{FileEntry, FileState, Manifest};
use crate::names::Names;

/// Copied at once.
const COPY_BYTES: usize = 1 << 20;

/// Whether to do it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RepairMode {
    /// Say what would be done.
    Plan,
    /// Do it.
    Apply,
}

/// What was, or would be, done.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RepairReport {
    /// Files that lose something.
    pub cuts: Vec<Cut>,
    /// Files that count as they are from now on, for nobody is left to say how far they were
    /// synced: should facts be missing at their ends, nobody notices.
    pub without_witness: Vec<String>,
}

/// What one file loses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cut {
    /// The file.
    pub name: String,
    /// Its valid bytes, which stay; 0 if nothing does.
    pub keeps: u64,
    /// Bytes behind them that were acknowledged, at least. Keys whose facts were there read as they
    /// did before: absent, owned, or not yet completed.
    pub loses: u64,
    /// Why.
    pub what: String,
    /// The file with a copy of what was cut off; `None` if there was nothing.
    pub quarantine: Option<String>,
}

impl RepairReport {
    /// Whether there was nothing to do.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.cuts.is_empty() && self.without_witness.is_empty()
    }
}

/// Cuts every damaged file where its damage begins, and gives up files that are gone or have no
/// valid header. Facts behind the damage are lost, acknowledged ones among them: a backup is
/// better. Takes the directory for itself.
///
/// # Errors
/// [`JournalError::Locked`], [`JournalError::Disk`]; [`JournalError::Damaged`] for a manifest, which
/// cannot be made anew.
pub fn repair(
    disk: &dyn Disk,
    owner: &str,
    mode: RepairMode,
) -> Result<RepairReport, JournalError> {
    let _lock = Lock::take(disk, owner)?;
    let described = Described::read(disk)?;
    let names = Names::new(&described.manifest.names, &described.manifest.hash_key);
    let mut repaired: Manifest = described.manifest.clone();
    let mut repair = RepairReport::default();
    let mut buffer = Vec::new();
    for file in &described.files {
        let (report, reading) = report(disk, file, &names, &mut buffer)?;
        let is_unwitnessed = described.lacks_witness() && file.entry.state == FileState::Open;
        let (at, what, synced) = match report.finding {
            Finding::Sound | Finding::TornTail { .. } => {
                if is_unwitnessed {
                    repair.without_witness.push(report.name);
                    seal(&mut repaired, file, report.valid_bytes);
                }
                continue;
            }
            Finding::Damaged { at, what, synced } => (at, what, synced),
            Finding::Missing => (0, "it is not there".to_owned(), file.synced),
        };
        // Valid to its end, but not understood: it ends where that was seen, between no batches.
        let keeps = reading.map_or(0, |reading| reading.scan.end);
        if keeps > at {
            return Err(file.damaged(at, format!("{what}; no cut mends that")));
        }
        let quarantine = match mode {
            RepairMode::Plan => None,
            RepairMode::Apply => set_aside(disk, file, keeps)?,
        };
        repair.cuts.push(Cut {
            name: report.name,
            keeps,
            loses: synced.saturating_sub(keeps),
            what,
            quarantine,
        });
        if keeps == 0 {
            repaired.files.remove(&file.number);
        } else {
            seal(&mut repaired, file, keeps);
        }
    }
    if mode == RepairMode::Apply && !repair.is_empty() {
        directory::sync(disk)?;
        repaired.replace(disk)?;
    }
    Ok(repair)
}

fn seal(manifest: &mut Manifest, file: &FactsFile, length: u64) {
    let entry = FileEntry { state: FileState::Sealed { length }, ..file.entry };
    manifest.files.insert(file.number, entry);
}

/// Copies what follows the first `keeps` bytes to a file of its own.
fn set_aside(
    disk: &dyn Disk,
    file: &FactsFile,
    keeps: u64,
) -> Result<Option<String>, JournalError> {
    let source = match file.open(disk) {
        Ok(source) => source,
        Err(JournalError::Missing { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = source.len().map_err(JournalError::disk("read", &file.name()))?;
    let Some(rest) = len.checked_sub(keeps).filter(|&rest| rest > 0) else {
        return Ok(None);
    };
    let name = format!("quarantine-{}-from-{keeps}", file.name());
    directory::remove_if_there(disk, &name)?;
    let copy = disk.create(&name, rest).map_err(JournalError::disk("create", &name))?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = 0;
    while at < rest {
        let read = source.read_at(&mut buffer, keeps + at);
        let read = read.map_err(JournalError::disk_at("read", &file.name(), keeps + at))?;
        if read == 0 {
            break;
        }
        copy.write_at(&buffer[..read], at).map_err(JournalError::disk_at("write", &name, at))?;
        at += read as u64;
    }
    copy.sync_all().map_err(JournalError::disk("sync", &name))?;
    Ok(Some(name))
}
