//! A result copied out of the store, in a buffer that its thread uses again.

use std::cell::{Cell, RefCell};

use onceward_core::{Body, ResultRef};

use crate::storage::Held;

/// Buffers that one thread keeps for its next copies, beside the last.
const POOLED_MAX: usize = 31;
/// A larger one is given back to the allocator.
const POOLED_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    /// The buffer that came back last, apart: mostly there is no other.
    static LAST: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
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
        let mut buffer = LAST.take();
        let room = size.next_multiple_of(8);
        if buffer.len() < room {
            enlarge(&mut buffer, room);
        }
        write(&mut buffer[..room]);
        Self { status, metadata_size, body, buffer, size }
    }

    /// Bytes of the body.
    #[inline]
    fn body_size(&self) -> usize {
        self.size - self.metadata_size
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

/// The body of a result, owned: whoever has it may keep it for as long as a slow peer takes, for it
/// pins nothing of the store. Its buffer is used again by the thread that drops it.
pub struct ResultBody {
    copy: BodyOf,
}

enum BodyOf {
    Copy(ResultCopy),
    #[cfg(any(plain, test))]
    Shared(std::sync::Arc<crate::storage::Payload>),
}

impl AsRef<[u8]> for ResultBody {
    fn as_ref(&self) -> &[u8] {
        let result = match &self.copy {
            BodyOf::Copy(copy) => copy.as_result(),
            #[cfg(any(plain, test))]
            BodyOf::Shared(payload) => payload.as_result(),
        };
        result.body.kept().copied().unwrap_or_default()
    }
}

impl std::fmt::Debug for ResultBody {
    /// Its length alone (S16).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResultBody").field("len", &self.as_ref().len()).finish()
    }
}

impl ResultBody {
    /// The body of what is held, if there is one of at least `from` bytes.
    pub(crate) fn of(held: Held, from: usize) -> Option<Self> {
        match held {
            Held::Copy(copy) => Self::of_copy(copy, from),
            #[cfg(any(plain, test))]
            Held::Result(payload) => {
                let body = Self { copy: BodyOf::Shared(payload) };
                (body.as_ref().len() >= from).then_some(body)
            }
            Held::Nothing | Held::Checkpoint(_) => None,
        }
    }

    /// The body of a copy, if it has one of at least `from` bytes.
    #[inline]
    pub(crate) fn of_copy(copy: ResultCopy, from: usize) -> Option<Self> {
        (copy.body_size() >= from).then(|| Self { copy: BodyOf::Copy(copy) })
    }
}

impl Drop for ResultCopy {
    #[inline]
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.capacity() > POOLED_BYTES_MAX {
            return;
        }
        // A thread that is ending has no buffers any more.
        if let Ok(former) = LAST.try_with(|last| last.replace(buffer))
            && former.capacity() > 0
        {
            pool(former);
        }
    }
}

/// The thread's last buffer is in use, or too small.
#[cold]
fn enlarge(buffer: &mut Vec<u8>, room: usize) {
    if buffer.capacity() == 0 {
        *buffer = POOL.with_borrow_mut(Vec::pop).unwrap_or_default();
    }
    if buffer.len() < room {
        buffer.resize(room, 0);
    }
}

#[cold]
fn pool(buffer: Vec<u8>) {
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < POOLED_MAX {
            pool.push(buffer);
        }
    });
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
        let pooled = || POOL.with_borrow(Vec::len);
        assert_eq!(pooled(), 0, "one is enough");
        drop([copy(b"mmone"), copy(b"mmother")]);
        assert_eq!(pooled(), 1);
        drop([copy(b"mmone"), copy(b"mmother")]);
        assert_eq!(pooled(), 1, "both are used again");
        drop(copy(&vec![0; POOLED_BYTES_MAX + 1]));
        assert_eq!((pooled(), LAST.take().capacity()), (1, 0), "a large one is not kept");
    }
}
