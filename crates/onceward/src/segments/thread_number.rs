//! A small number for each thread: which epoch slot it tries first, and where it counts.
//!
//! Numbers are not given back: no two threads of a process ever have the same.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static NEXT: AtomicUsize = AtomicUsize::new(0);

const UNNUMBERED: usize = usize::MAX;

thread_local! {
    /// Const and without a destructor, so that reading it is one load.
    static NUMBER: Cell<usize> = const { Cell::new(UNNUMBERED) };
}

/// This thread's number: the same at each call, and another than every other thread's.
#[inline(always)]
pub(crate) fn thread_number() -> usize {
    match NUMBER.get() {
        UNNUMBERED => draw(),
        number => number,
    }
}

/// [`thread_number`] for who has asked for it already; else more than every number.
#[inline(always)]
pub(crate) fn number_or_most() -> usize {
    NUMBER.get()
}

#[cold]
fn draw() -> usize {
    let drawn = NEXT.fetch_add(1, Relaxed);
    NUMBER.set(drawn);
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_have_numbers_of_their_own_that_stay() {
        let number = || (thread_number(), thread_number());
        let mut drawn: Vec<_> =
            (0..4).map(|_| std::thread::spawn(number).join().unwrap()).chain([number()]).collect();
        assert!(drawn.iter().all(|(first, second)| first == second), "{drawn:?}");
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 5);
    }
}
