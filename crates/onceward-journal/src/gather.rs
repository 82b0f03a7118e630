//! How long to wait for more who wait before a sync: a pure decision.
//!
//! Whoever a sync released comes back with its next operation a little later, one after the other.
//! A sync at once for the first of them would leave all others to the one after: half of them per
//! sync, in turn. So it waits until all whom the last one released are back, beside
//! those who came during it, but not longer than half of
//! what a sync takes, which is what those lose who would not have had to.

/// Longest wait, in microseconds.
const WAIT_MICROS_MAX: u64 = 500;

/// What is known of the last sync.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gather {
    /// Facts that it covered, and those that came during it.
    pub(crate) expected: u64,
    /// How long it took.
    pub(crate) sync_micros: u64,
}

impl Gather {
    /// Whether to go on waiting, with so many facts there, after so long.
    pub(crate) fn is_worth_it(&self, buffered: u64, waited_micros: u64) -> bool {
        buffered < self.expected && waited_micros < (self.sync_micros / 2).min(WAIT_MICROS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_for_as_many_as_were_released_and_not_for_long() {
        let [usual, slow, first] = [(50, 800), (50, 90_000), (0, 0)]
            .map(|(expected, sync_micros)| Gather { expected, sync_micros });
        #[rustfmt::skip]
        let cases = [
            ("the first comes back",              usual, 1, 0, true),
            ("all are back",                      usual, 50, 0, false),
            ("half of a sync is over",            usual, 49, 400, false),
            ("not quite",                         usual, 49, 399, true),
            ("a slow disk: not longer than that", slow, 1, 500, false),
            ("nobody was released",               first, 0, 0, false),
        ];
        for (why, gather, buffered, waited, want) in cases {
            assert_eq!(gather.is_worth_it(buffered, waited), want, "{why}");
        }
    }
}
