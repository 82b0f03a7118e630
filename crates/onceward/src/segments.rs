//! The lock-free engine: an index of one atomic word per entry over immutable blocks.
//!
//! | file | noun |
//! |---|---|
//! | `word` | an entry's slot word, to the bit |
//! | `header` | a bucket's header word, to the bit |
//! | `bucket` | a cache line of the index |
//! | `overflow` | the pool of further buckets |
//! | `index` | find, insert, replace, remove |
//! | `epoch` | when something unlinked may be reused |
//! | `thread_number` | which epoch slot a thread tries first |
//! | `atomic` | the atomics of all of them |
//! | `mutant` | faults that the models must find |

pub(crate) mod atomic;
pub(crate) mod bucket;
pub(crate) mod epoch;
pub(crate) mod header;
pub(crate) mod index;
pub(crate) mod mutant;
pub(crate) mod overflow;
pub(crate) mod thread_number;
pub(crate) mod word;
