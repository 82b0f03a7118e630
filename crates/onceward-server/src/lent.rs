//! The buffers that a thread lends to whichever connection it serves just now.
//!
//! One buffer for all stays in the nearest cache, and idle connections hold none.

use std::cell::Cell;

/// Most bytes read at once.
pub(crate) const INPUT_BYTES: usize = 64 * 1024;
/// A larger output buffer is given back to the allocator, not to the next connection.
const OUTPUT_BYTES_KEPT: usize = 512 * 1024;

thread_local! {
    static KEPT: Cell<Option<Box<Buffers>>> = const { Cell::new(None) };
}

/// What one poll of a connection reads into and encodes into.
pub(crate) struct Buffers {
    /// [`INPUT_BYTES`] of them; what they hold means nothing to the next.
    pub(crate) input: Box<[u8]>,
    /// Empty.
    pub(crate) output: Vec<u8>,
}

/// The thread's buffers, back with the thread when this is dropped.
pub(crate) struct Lent(Option<Box<Buffers>>);

impl Lent {
    /// Never fails: a thread whose buffers are lent makes more.
    pub(crate) fn take() -> Self {
        let kept = KEPT.try_with(Cell::take).ok().flatten();
        Self(Some(kept.unwrap_or_else(|| {
            Box::new(Buffers { input: vec![0; INPUT_BYTES].into(), output: Vec::new() })
        })))
    }

    pub(crate) fn buffers(&mut self) -> &mut Buffers {
        self.0.as_mut().unwrap_or_else(|| unreachable!("taken by drop alone"))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(mut buffers) = self.0.take() else { return };
        if buffers.output.capacity() > OUTPUT_BYTES_KEPT {
            buffers.output = Vec::new();
        }
        buffers.output.clear();
        // A thread that is ending keeps none.
        let _ = KEPT.try_with(|kept| kept.set(Some(buffers)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_lends_the_same_buffers_again_and_empty() {
        let mut lent = Lent::take();
        lent.buffers().output.extend_from_slice(b"replies");
        let at = lent.buffers().input.as_ptr();
        assert_ne!(Lent::take().buffers().input.as_ptr(), at, "those are lent");
        drop(lent);
        let mut again = Lent::take();
        assert_eq!(again.buffers().input.as_ptr(), at);
        assert!(again.buffers().output.is_empty() && again.buffers().output.capacity() > 0);
        again.buffers().output.reserve(OUTPUT_BYTES_KEPT + 1);
        drop(again);
        assert_eq!(Lent::take().buffers().output.capacity(), 0, "a large one is not kept");
    }
}
