//! The atomics of the lock-free parts: the standard ones, or loom's, which explore every
//! interleaving of a model.

#[cfg(loom)]
pub(crate) use loom::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, fence},
};
#[cfg(not(loom))]
#[expect(unused_imports, reason = "flags and spinning come with what is built on the index")]
pub(crate) use std::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, fence},
};
