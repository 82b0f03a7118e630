//! A result copied out of the store, in a buffer that its thread uses again.

use std::cell::RefCell;

use onceward_core::{Body, ResultRef};

/// Buffers that one thread keeps for its next copies.
const POOLED_MAX: usize = 32;
/// A larger one is given back to the allocator.
const POOLED_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Metadata and body as they were stored. Owned: what happens to the entry does not touch it.
pub(crate) struct ResultCopy {
    status: u16,
    metadata_size: usize,
    body: Body<()>,
    /// The result, and what is left of longer ones before it: that is never shown, and not being
    /// cleared it need not be written twice.
    buffer: Vec<u8>,
    size: usize,
}

impl ResultCopy {
    /// A result of `size` bytes, metadata first. `write` fills a buffer that has room for them,
    /// rounded up to whole words.
    #[inline]
    pub(crate) fn new(
        status: u16,
        metadata_size: usize,
        body: Body<()>,
        size: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> Self {
        debug_assert!(metadata_size <= size);
        let mut buffer = POOL.with_borrow_mut(Vec::pop).unwrap_or_default();
        let room = size.next_multiple_of(8);
        if buffer.len() < room {
            buffer.resize(room, 0);
        }
        write(&mut buffer[..room]);
        Self { status, metadata_size, body, buffer, size }
    }

    #[inline]
    pub(crate) fn as_result(&self) -> ResultRef<'_> {
        let (metadata, body) = self.buffer[..self.size].split_at(self.metadata_size);
        let body = match self.body {
            Body::Kept(()) => Body::Kept(body),
            Body::NotKept(why) => Body::NotKept(why),
        };
        ResultRef { status: self.status, metadata, body }
    }
}

impl Drop for ResultCopy {
    #[inline]
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.capacity() > POOLED_BYTES_MAX {
            return;
        }
        // A thread that is ending has no pool any more.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < POOLED_MAX {
                pool.push(buffer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_and_holds_nothing_of_before() {
        let copy = |bytes: &[u8]| {
            ResultCopy::new(200, 2, Body::Kept(()), bytes.len(), |to| {
                to[..bytes.len()].copy_from_slice(bytes);
            })
        };
        for bytes in [&b"mmfirst body"[..], b"mm", b"mmlast"] {
            let copy = copy(bytes);
            let result = copy.as_result();
            assert_eq!((result.metadata, result.body), (&b"mm"[..], Body::Kept(&bytes[2..])));
        }
        POOL.with_borrow(|pool| assert_eq!(pool.len(), 1));
        drop(copy(&vec![0; POOLED_BYTES_MAX + 1]));
        POOL.with_borrow(|pool| assert!(pool.len() <= 1, "a large one is not kept"));
    }
}
