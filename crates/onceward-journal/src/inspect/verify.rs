//! Every file held against its checksums, and against what manifest and progress say.

use crate::damage::Verdict;
use crate::disk::Disk;
use crate::error::JournalError;
use crate::facts_file::{FactsFile, FileReading};
use crate::file_name;
use crate::frame::FrameEvent;
use crate::inspect::Described;
use crate::manifest::FileState;
use crate::names::Names;

/// What a directory holds, file by file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifyReport {
    /// Of the directory.
    pub format: u32,
    /// How often a journal has started here.
    pub instance: u64,
    /// Every facts file that the manifest names, by number.
    pub files: Vec<FileReport>,
    /// Whether `progress` says how far open files are synced. Without it a journal does not start
    /// where the manifest names an open file.
    pub has_witness: bool,
    /// Facts files and half made files that no manifest names: a start takes them away.
    pub leftovers: Vec<String>,
}

/// What one facts file holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileReport {
    /// Its name.
    pub name: String,
    /// Retentions in it are from 2 to this power of milliseconds on.
    pub level: u8,
    /// As the manifest has it.
    pub state: FileState,
    /// Bytes that are valid, header included.
    pub valid_bytes: u64,
    /// Batches in these.
    pub batches: u64,
    /// Frames in these.
    pub frames: u64,
    /// What is wrong, if anything is.
    pub finding: Finding,
}

/// What is wrong with a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Finding {
    /// Nothing.
    Sound,
    /// Behind what was synced follows what is no whole batch. Nothing in it was acknowledged;
    /// a crash leaves it, and so does a file used again.
    TornTail {
        /// Where it begins.
        at: u64,
    },
    /// What was synced is not there as it was written. A journal does not start.
    Damaged {
        /// Where that was seen.
        at: u64,
        /// What is wrong there.
        what: String,
        /// Bytes that were acknowledged, at least; what of them lies behind the valid ones is lost.
        synced: u64,
    },
    /// It is not there. A journal does not start.
    Missing,
}

impl Finding {
    /// Whether a journal starts with it.
    #[must_use]
    pub const fn is_harmless(&self) -> bool {
        matches!(self, Self::Sound | Self::TornTail { .. })
    }
}

impl VerifyReport {
    /// Whether a journal starts here.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.has_witness && self.files.iter().all(|file| file.finding.is_harmless())
    }
}

/// Reads everything and changes nothing. A journal may have the directory open: then the tails of
/// open files are what they were at some instant.
///
/// # Errors
/// [`JournalError`] for what cannot be read: the manifest above all.
pub fn verify(disk: &dyn Disk) -> Result<VerifyReport, JournalError> {
    let described = Described::read(disk)?;
    let names = Names::new(&described.manifest.names, &described.manifest.hash_key);
    let mut buffer = Vec::new();
    let files = described.files.iter();
    let files = files.map(|file| report(disk, file, &names, &mut buffer).map(|(report, _)| report));
    let files = files.collect::<Result<_, _>>()?;
    let is_leftover = |name: &String| match file_name::facts_number(name) {
        Some(number) => !described.manifest.files.contains_key(&number),
        None => [file_name::MANIFEST_NEW, file_name::PROGRESS_NEW].contains(&name.as_str()),
    };
    Ok(VerifyReport {
        format: described.manifest.format,
        instance: described.manifest.instance,
        files,
        has_witness: !described.lacks_witness(),
        leftovers: described.names.iter().filter(|name| is_leftover(name)).cloned().collect(),
    })
}

/// The report on one file, and the reading it rests on where there is one.
pub(super) fn report(
    disk: &dyn Disk,
    file: &FactsFile,
    names: &Names,
    buffer: &mut Vec<u8>,
) -> Result<(FileReport, Option<FileReading>), JournalError> {
    let mut nameless = None;
    let read = file.read(disk, buffer, |at, frame| {
        if let FrameEvent::Acquired(acquired) = &frame.event
            && names.identity(acquired).is_none()
        {
            nameless.get_or_insert(at);
        }
    });
    let (reading, finding) = match read {
        Ok(reading) => (Some(reading), finding(file, &reading, nameless)),
        Err(JournalError::Missing { .. }) => (None, Finding::Missing),
        Err(JournalError::Damaged { offset, what, .. }) => {
            (None, Finding::Damaged { at: offset, what, synced: file.synced })
        }
        Err(error) => return Err(error),
    };
    let scan = reading.map(|reading| reading.scan);
    let report = FileReport {
        name: file.name(),
        level: file.entry.level,
        state: file.entry.state,
        valid_bytes: scan.map_or(0, |scan| scan.end),
        batches: scan.map_or(0, |scan| scan.batches),
        frames: scan.map_or(0, |scan| scan.frames),
        finding,
    };
    Ok((report, reading))
}

fn finding(file: &FactsFile, reading: &FileReading, nameless: Option<u64>) -> Finding {
    match (reading.verdict, nameless) {
        (Verdict::Damaged { synced }, _) => Finding::Damaged {
            at: reading.scan.fault_at(),
            what: reading.scan.stop.to_string(),
            synced,
        },
        (_, Some(at)) => Finding::Damaged {
            at,
            what: "a frame names a namespace that the manifest does not have".to_owned(),
            synced: file.synced_of(reading),
        },
        (Verdict::TornTail, None) => Finding::TornTail { at: reading.scan.end },
        (Verdict::Whole, None) => Finding::Sound,
    }
}
