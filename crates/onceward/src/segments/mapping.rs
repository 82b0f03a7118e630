//! Zeroed memory from the operating system, as words that threads share.
//!
//! Everything the engine keeps is in such words, and every access to them is atomic: so no data
//! race is possible, whatever the rest of the engine does, and this is the one file of it that
//! needs `unsafe`. What may be reused when is the epochs' matter; a mistake there would answer
//! with wrong bytes, which the tests look for, but touch no foreign memory.
#![expect(unsafe_code, reason = "memory that is not an ordinary allocation; proofs at each block")]

use std::io;
use std::ops::Range;

use memmap2::{Advice, MmapMut, MmapOptions, UncheckedAdvice};

use super::atomic::AtomicU64;
use super::bucket::Bucket;

/// The size, and the alignment, of a huge page.
pub(crate) const HUGE_PAGE: usize = 2 << 20;
const WORD: usize = size_of::<AtomicU64>();

/// Invariants: `skip` bytes lead to the first word, which lies on a huge page's boundary; from
/// there on `words` words belong to the map, which is never unmapped or moved before it is dropped.
pub(crate) struct Mapping {
    map: MmapMut,
    skip: usize,
    words: usize,
}

impl Mapping {
    /// Reserves addresses for `bytes`; memory is taken page by page when first written. `huge` is
    /// the part for which huge pages are asked.
    pub(crate) fn new(bytes: usize, huge: Range<usize>) -> io::Result<Self> {
        let whole = bytes.checked_add(HUGE_PAGE).ok_or(io::ErrorKind::OutOfMemory)?;
        let map = MmapOptions::new().len(whole).no_reserve_swap().map_anon()?;
        let skip = map.as_ptr().align_offset(HUGE_PAGE);
        if !huge.is_empty() {
            // Refused where the kernel has none: ordinary pages do as well, only slower.
            let _ = map.advise_range(Advice::HugePage, skip + huge.start, huge.len());
        }
        let ordinary = if huge.start == 0 { huge.end..bytes } else { 0..huge.start };
        if !ordinary.is_empty() {
            let _ = map.advise_range(Advice::NoHugePage, skip + ordinary.start, ordinary.len());
        }
        Ok(Self { map, skip, words: bytes / WORD })
    }

    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        let first = self.map.as_ptr().wrapping_add(self.skip).cast::<AtomicU64>();
        // SAFETY: by the type's invariants the words are within one live allocation, aligned to
        // more than 8, for as long as `self` is borrowed. Zero is a valid word and anonymous memory
        // is zeroed. An `AtomicU64` may be written through a shared reference, and nothing else
        // in the process refers to this memory: `map` is private and never lent out.
        unsafe { std::slice::from_raw_parts(first, self.words) }
    }

    /// The same words as buckets, eight to one; what is left over is left out.
    #[inline]
    pub(crate) fn buckets(&self) -> &[Bucket] {
        const { assert!(size_of::<Bucket>() == 8 * WORD && align_of::<Bucket>() == 64) };
        let first = self.map.as_ptr().wrapping_add(self.skip).cast::<Bucket>();
        // SAFETY: as for `words`: within one live allocation, aligned to a huge page. A bucket is
        // eight `AtomicU64` without padding, for which zeros are valid, and all who see this memory
        // see it as such.
        unsafe { std::slice::from_raw_parts(first, self.words / 8) }
    }

    /// Has lines of 64 bytes fetched from a word on. A hint: nobody waits for them.
    #[inline]
    pub(crate) fn prefetch(&self, word: usize, lines: usize) {
        for line in 0..lines {
            let word = word + 8 * line;
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            {
                use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
                let at = self.map.as_ptr().wrapping_add(self.skip + word * WORD);
                // SAFETY: the instruction reads no value and writes none, and it faults nowhere,
                // whatever the address: so it needs no valid pointer, and `wrapping_add` makes one
                // without a claim on what lies there. It is of SSE, which every x86-64 has.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
            }
            // A load whose value nobody looks at.
            #[cfg(not(all(target_arch = "x86_64", not(miri))))]
            if let Some(word) = self.words().get(word) {
                std::hint::black_box(word.load(std::sync::atomic::Ordering::Relaxed));
            }
        }
    }

    /// Gives the pages back to the operating system: the words read zero from then on.
    pub(crate) fn release(&self, bytes: Range<usize>) {
        debug_assert!(bytes.end <= self.words * WORD);
        // SAFETY: private anonymous memory stays mapped and reads as zeros afterwards. Nobody
        // holds a reference to its contents but as atomics, for which a change at any time is in
        // order; so this is as good as storing zeros.
        let released = unsafe {
            self.map.unchecked_advise_range(
                UncheckedAdvice::DontNeed,
                self.skip + bytes.start,
                bytes.len(),
            )
        };
        if released.is_err() {
            // Locked memory cannot be given back; it must read as zeros all the same.
            let words = bytes.start / WORD..bytes.end / WORD;
            for word in self.words().get(words).unwrap_or_default() {
                word.store(0, std::sync::atomic::Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn memory_is_zero_at_first_and_again_once_released() {
        let mapping = Mapping::new(4 * HUGE_PAGE, 0..2 * HUGE_PAGE).unwrap();
        let words = mapping.words();
        assert_eq!(words.as_ptr().align_offset(HUGE_PAGE), 0);
        let last = words.len() - 1;
        for at in [0, 1, HUGE_PAGE / WORD, last] {
            assert_eq!(words[at].load(Relaxed), 0);
            words[at].store(7, Relaxed);
        }
        mapping.release(HUGE_PAGE..4 * HUGE_PAGE);
        let read = |at: usize| words[at].load(Relaxed);
        assert_eq!([read(0), read(1), read(HUGE_PAGE / WORD), read(last)], [7, 7, 0, 0]);
    }
}
