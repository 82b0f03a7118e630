//! Directories written by hand, batch by batch, for tests of whoever reads them.

use std::sync::Arc;

use onceward::{Millis, Policy, SetAside, Timestamp};

use crate::batch::{self, BatchHeader};
use crate::clock::{ClockReading, ClockRecord};
use crate::disk::{Disk, MemoryDisk};
use crate::file_name;
use crate::frame::encode::encode;
use crate::header::{FileHeader, FileId, HEADER_BYTES};
use crate::manifest::{FileEntry, FileState, Manifest};
use crate::progress::{Progress, ProgressFile};
use crate::recovery::RecoveryOptions;
use crate::sample::{Sample, SampleEvent};

/// Store time of every grant here, and the end of its retention.
pub(crate) const ACQUIRED_AT: u64 = 1_000;
pub(crate) const EXPIRES_AT: u64 = 100_000;
/// Bytes that each file is made with.
pub(crate) const FILE_BYTES: u64 = 2_048;
pub(crate) const ORDERS: u16 = 3;

/// A directory on a disk.
pub(crate) struct Written<D = MemoryDisk> {
    pub(crate) disk: Arc<D>,
    pub(crate) manifest: Manifest,
    pub(crate) progress: Progress,
}

/// One file as written.
pub(crate) struct WrittenFile {
    pub(crate) number: u64,
    /// Where each batch begins, and where the last ends.
    pub(crate) edges: Vec<u64>,
}

impl Written {
    pub(crate) fn new() -> Self {
        Self::on(Arc::new(MemoryDisk::default()))
    }
}

impl<D: Disk> Written<D> {
    pub(crate) fn on(disk: Arc<D>) -> Self {
        let mut manifest = Manifest::new([1; 16], [2; 16]);
        manifest.names.insert(ORDERS, "orders".to_owned());
        manifest.fence_ceiling = 1 << 22;
        manifest.clock = ClockRecord { store_ms: 500, wall_ms: 7_000, ..ClockRecord::default() };
        Self { disk, manifest, progress: Progress::default() }
    }

    /// Writes the next facts file, one batch per slice. All but the last batch counts as synced by
    /// the batches themselves.
    pub(crate) fn file(&mut self, bytes: u64, batches: &[&[Sample]]) -> WrittenFile {
        let number = self.manifest.largest_file() + 1;
        let id = FileId::from_bytes([number as u8 + 10; 16]);
        let file = self.disk.create(&file_name::facts(number), bytes).expect("a new file");
        let created_at = Timestamp::from_millis(ACQUIRED_AT);
        let header = FileHeader { id, number, level: 16, created_at, size: bytes };
        file.write_at(&header.encode(), 0).expect("written");
        let mut edges = vec![HEADER_BYTES as u64];
        let (mut previous_crc, mut buffer) = (0, Vec::new());
        for (count, samples) in (1..).zip(batches) {
            let at = *edges.last().expect("an edge");
            batch::open(&mut buffer);
            for sample in *samples {
                sample.with(|fact| {
                    encode(fact, (sample.fence % 2 == 0).then_some(ORDERS), &mut buffer);
                });
            }
            let header = BatchHeader {
                previous_crc,
                number: count,
                at: Timestamp::from_millis(ACQUIRED_AT + count),
                synced: at,
                largest_fence: samples.iter().map(|sample| sample.fence).max().unwrap_or(0),
                term: 0,
                index: number * 10 + count,
            };
            previous_crc = batch::seal(&mut buffer, &header, id);
            file.write_at(&buffer, at).expect("written");
            edges.push(at + buffer.len() as u64);
        }
        let entry = FileEntry { id: *id.as_bytes(), level: 16, state: FileState::Open };
        self.manifest.files.insert(number, entry);
        WrittenFile { number, edges }
    }

    /// Says of a file how many bytes are synced.
    pub(crate) fn synced(&mut self, file: &WrittenFile, bytes: u64) {
        self.progress.synced.retain(|(number, _)| *number != file.number);
        self.progress.synced.push((file.number, bytes));
    }

    pub(crate) fn state(&mut self, file: &WrittenFile, state: FileState) {
        self.manifest.files.get_mut(&file.number).expect("named").state = state;
    }

    /// Writes manifest and progress, as they are now.
    pub(crate) fn commit(&self) {
        let mut file = ProgressFile::create(&*self.disk, self.progress.clone()).expect("progress");
        file.write(&mut self.progress.clone()).expect("both slots");
        self.manifest.replace(&*self.disk).expect("manifest");
    }
}

/// Options that recover at the time the directory was written, in one thread.
pub(crate) fn options() -> RecoveryOptions {
    RecoveryOptions {
        owner: "a test".to_owned(),
        threads: 1,
        clocks: ClockReading { boot_id: String::new(), boot_ms: 0, wall_ms: 0 },
        count_downtime: Millis::ZERO,
        attempt_memory: Millis::new(120_000),
        random: [[3; 16], [4; 16]],
    }
}

/// A fact of an acquisition that ends at [`EXPIRES_AT`].
pub(crate) fn fact(fence: u64, event: SampleEvent) -> Sample {
    Sample { fence, at: ACQUIRED_AT, expires_at: EXPIRES_AT, event }
}

/// A grant of that fence to the identity `orders/tenant/key`, with attempt id `[fence; 16]`.
pub(crate) fn acquired(fence: u64, key: &str, takeover: Option<(u64, u32)>) -> Sample {
    let event = SampleEvent::Acquired {
        namespace: "orders",
        scope: b"tenant".to_vec(),
        key: key.as_bytes().to_vec(),
        attempt_id: [fence as u8; 16],
        takeover,
        fingerprint: onceward::Fingerprint::Later,
        lease: 30_000,
        policy: Policy::Takeover,
        set_aside: SetAside { result: 4_096, checkpoint: 100 },
    };
    fact(fence, event)
}

/// A completion with that body.
pub(crate) fn completed(fence: u64, body: &[u8]) -> Sample {
    let body = Ok(body.to_vec());
    let event =
        SampleEvent::Completed { status: 201, metadata: vec![], body, digest: None, bound: None };
    fact(fence, event)
}
