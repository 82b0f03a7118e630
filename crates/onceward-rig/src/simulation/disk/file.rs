//! The bytes of one file: as programs see them, and as the disk would have them after a power cut.

use std::collections::BTreeSet;

use onceward_testkit::SplitMix64;

/// What a disk writes as a whole.
pub(crate) const SECTOR: u64 = 512;
/// A torn sector is torn between words.
const WORD: u64 = 8;

/// Bytes behind the last that was ever written read as zeros.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    len: u64,
    bytes: Vec<u8>,
    durable_len: u64,
    durable: Vec<u8>,
    /// Sectors in which both may differ, and that the next sync brings down.
    dirty: BTreeSet<u64>,
}

/// How much of what was not synced a power cut leaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Left {
    Nothing,
    Everything,
    /// In the order of offsets.
    First,
    /// Any sectors, some of them torn.
    Any,
}

impl Left {
    pub(crate) fn draw(random: &mut SplitMix64) -> Self {
        match random.within(0..10) {
            0..3 => Self::Nothing,
            3..4 => Self::Everything,
            4..6 => Self::First,
            _ => Self::Any,
        }
    }
}

impl File {
    pub(crate) fn of_len(len: u64) -> Self {
        Self { len, ..Self::default() }
    }

    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// Bytes up to the last that was written.
    pub(crate) fn written(&self) -> u64 {
        (self.bytes.len() as u64).min(self.len)
    }

    pub(crate) fn set_len(&mut self, len: u64) {
        self.len = len;
        if len < self.bytes.len() as u64 {
            let cut = self.bytes.len() as u64;
            self.bytes.truncate(len as usize);
            self.touch(len, cut);
        }
    }

    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let count = self.len.saturating_sub(offset).min(buffer.len() as u64) as usize;
        let there = self.bytes.get(offset as usize..).unwrap_or_default();
        let copied = there.len().min(count);
        buffer[..copied].copy_from_slice(&there[..copied]);
        buffer[copied..count].fill(0);
        count
    }

    pub(crate) fn write(&mut self, bytes: &[u8], offset: u64) {
        let end = offset + bytes.len() as u64;
        if (self.bytes.len() as u64) < end {
            self.bytes.resize(end as usize, 0);
        }
        self.bytes[offset as usize..end as usize].copy_from_slice(bytes);
        self.len = self.len.max(end);
        self.touch(offset, end);
    }

    fn touch(&mut self, from: u64, to: u64) {
        if from < to {
            self.dirty.extend(from / SECTOR..to.div_ceil(SECTOR));
        }
    }

    /// Everything written so far is durable.
    pub(crate) fn sync(&mut self) {
        for sector in std::mem::take(&mut self.dirty) {
            self.bring_down(sector, SECTOR);
        }
        self.durable_len = self.len;
        self.durable.truncate(self.len as usize);
    }

    /// A sync that failed: some sectors came down, the others never will unless they are written
    /// again, though programs go on seeing them.
    pub(crate) fn fail_sync(&mut self, random: &mut SplitMix64) {
        for sector in std::mem::take(&mut self.dirty) {
            if random.chance(30) {
                self.bring_down(sector, SECTOR);
            }
        }
    }

    /// The first `bytes` of the sector as programs see them.
    fn bring_down(&mut self, sector: u64, bytes: u64) {
        let from = sector * SECTOR;
        let to = (from + bytes).min(self.bytes.len() as u64);
        let end = (from + bytes).min((self.durable.len() as u64).max(to));
        if (self.durable.len() as u64) < to {
            self.durable.resize(to as usize, 0);
        }
        if from < to {
            self.durable[from as usize..to as usize]
                .copy_from_slice(&self.bytes[from as usize..to as usize]);
        }
        // Cut meanwhile: nothing is there.
        for place in from.max(to)..end {
            self.durable[place as usize] = 0;
        }
    }

    /// The power goes: what was synced is there, of what was not so much as `left` says.
    pub(crate) fn lose(&mut self, left: Left, random: &mut SplitMix64) {
        let dirty: Vec<_> = std::mem::take(&mut self.dirty).into_iter().collect();
        let first = random.within(0..dirty.len() as u64 + 1) as usize;
        for (place, &sector) in dirty.iter().enumerate() {
            match left {
                Left::Nothing => break,
                Left::Everything => self.bring_down(sector, SECTOR),
                Left::First if place < first => self.bring_down(sector, SECTOR),
                Left::First => {
                    self.bring_down(sector, random.within(0..SECTOR / WORD) * WORD);
                    break;
                }
                Left::Any => match random.within(0..10) {
                    0..4 => {}
                    4..8 => self.bring_down(sector, SECTOR),
                    _ => self.bring_down(sector, random.within(0..SECTOR / WORD) * WORD),
                },
            }
        }
        let keeps_len = left == Left::Everything || left != Left::Nothing && random.chance(50);
        if keeps_len {
            self.durable_len = self.len;
        }
        self.durable.truncate(self.durable_len as usize);
        self.bytes.clone_from(&self.durable);
        self.len = self.durable_len;
    }

    /// Flips one bit at rest; the same again takes it back.
    pub(crate) fn flip(&mut self, offset: u64, bit: u8) {
        for bytes in [&mut self.bytes, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(offset as usize) {
                *byte ^= 1 << bit;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(file: &File) -> Vec<u8> {
        let mut bytes = vec![9; file.len() as usize + 1];
        let read = file.read(&mut bytes, 0);
        bytes.truncate(read);
        bytes
    }

    #[test]
    fn a_power_cut_leaves_what_was_synced_and_any_part_of_the_rest() {
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let mut random = SplitMix64::new(seed);
            let mut file = File::of_len(4 * SECTOR);
            file.write(&[1; 700], 0);
            file.sync();
            file.write(&[2; 1_000], 700);
            file.lose(Left::draw(&mut random), &mut random);
            let left = bytes(&file);
            assert_eq!(left.len() as u64, 4 * SECTOR);
            assert!(left[..700].iter().all(|&byte| byte == 1), "synced");
            assert!(left[700..].iter().all(|&byte| byte == 0 || byte == 2));
            seen.insert(left[700..1_700].iter().filter(|&&byte| byte == 2).count());
        }
        assert!(seen.contains(&0) && seen.contains(&1_000) && seen.len() > 20, "{seen:?}");
    }

    #[test]
    fn a_failed_sync_forgets_pages_that_a_later_one_calls_durable() {
        let lost = (0..50).filter(|&seed| {
            let mut random = SplitMix64::new(seed);
            let mut file = File::of_len(SECTOR);
            file.write(&[1; 100], 0);
            file.fail_sync(&mut random);
            assert_eq!(bytes(&file)[..100], [1; 100], "programs see it");
            file.sync();
            file.lose(Left::Everything, &mut random);
            bytes(&file)[0] == 0
        });
        assert!(lost.count() > 10);
    }

    #[test]
    fn a_length_is_durable_with_a_sync_and_bits_flip_at_rest() {
        let mut random = SplitMix64::new(1);
        let mut file = File::of_len(100);
        file.write(&[1; 100], 0);
        file.sync();
        file.set_len(10);
        assert_eq!(bytes(&file), [1; 10]);
        let mut cut = file.clone();
        cut.lose(Left::Nothing, &mut random);
        assert_eq!(bytes(&cut), [1; 100]);
        file.sync();
        file.set_len(20);
        assert_eq!(bytes(&file)[9..], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        file.flip(3, 7);
        assert_eq!(bytes(&file)[2..5], [1, 129, 1]);
        file.flip(3, 7);
        assert_eq!(bytes(&file)[2..5], [1, 1, 1]);
    }
}
