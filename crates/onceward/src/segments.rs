//! The lock-free storage: one atomic word per entry, immutable blocks, memory by expiry slot.
//!
//! Where data flows: a look hashes the identity, finds its word in the index and reads the block
//! that it names. A change writes a new block and replaces the word, which is its linearisation
//! point; then it puts the old block away. Nothing else of an entry ever changes.
//!
//! | file | noun |
//! |---|---|
//! | `word` | an entry's slot word, to the bit |
//! | `header` | a bucket's header word, to the bit |
//! | `bucket` | a cache line of the index |
//! | `overflow` | the pool of further buckets |
//! | `index` | find, insert, replace, remove |
//! | `head` | the first word of every block |
//! | `reservation` | the block of RESERVED and IN DOUBT |
//! | `record` | the block of COMPLETED, and its result |
//! | `storage` | the whole, behind the seam |
//! | `commit` | changes of one entry |
//! | `arena` | the memory that blocks live in |
//! | `mapping` | its pages: the one file with `unsafe` |
//! | `segment` | what is known of a part of it |
//! | `cursor` | how far an open segment is used |
//! | `slab` | reservation blocks, freed one by one |
//! | `expiry` | completed entries' segments, by the end of their retention |
//! | `reclaim` | giving memory back |
//! | `stack` | a lock-free list of blocks or segments |
//! | `epoch` | when something unlinked may be reused |
//! | `thread_number` | which epoch slot and stripe a thread uses |
//! | `atomic` | the atomics of all of them |
//! | `explored_mapping` | a model's memory in place of `mapping` |
//! | `mutant` | faults that the models must find |
//!
//! Invariants:
//! 1. A published block is not written to until two epochs after it was unlinked. So whoever is
//!    pinned reads what was true when it found the word.
//! 2. While a thread is pinned, no word that it has seen comes again with another meaning: a
//!    location is reused only after its block's epoch has passed.
//! 3. Whoever replaces or removes a word puts away the block that it named; nobody else does.
//! 4. A word marked DEAD is of an absent identity. Who wants the slot, or empties it, first sees to
//!    it that the attempt is remembered (S3).
//! 5. A word marked WATCHED is changed by exclusive commits only, and a change keeps the mark.
//! 6. What is acknowledged is charged: a reservation for its block, its record's head and its
//!    set-asides; a record for its words. A slot with reservations has an open segment.

#[cfg(any(loom, not(plain)))]
mod arena;
#[cfg(not(plain))]
mod commit;
mod cursor;
#[cfg(any(loom, not(plain)))]
mod expiry;
#[cfg(any(loom, not(plain)))]
mod head;
#[cfg(not(plain))]
mod mapping;
#[cfg(loom)]
#[path = "segments/explored_mapping.rs"]
mod mapping;
#[cfg(not(plain))]
mod reclaim;
#[cfg(not(plain))]
mod record;
#[cfg(any(loom, not(plain)))]
mod reservation;
#[cfg(all(test, loom))]
mod retirement_loom_tests;
#[cfg(any(loom, not(plain)))]
mod segment;
#[cfg(any(loom, not(plain)))]
mod slab;
mod stack;
#[cfg(not(plain))]
mod storage;

pub(crate) mod atomic;
pub(crate) mod bucket;
pub(crate) mod epoch;
pub(crate) mod header;
pub(crate) mod index;
pub(crate) mod mutant;
pub(crate) mod overflow;
pub(crate) mod thread_number;
pub(crate) mod word;

#[cfg(not(plain))]
pub(crate) use storage::{Segments, Surroundings, index_bytes};
