//! The lifecycle cell by cell: every state, instant, fingerprint, attempt id, fence and number,
//! for every operation.
//!
//! Each suite goes through the full product of what may vary and looks the expectation up in rows
//! written from SEMANTICS: first match wins, in the order in which the rules name their checks,
//! and each row gives its reason. Numbers are written out, not computed by the code under test.
//! Beside the product stand rows for what it does not vary.

mod abandon;
mod begin;
mod checkpoint;
mod complete;
mod forget;
mod get;
mod renew;
mod resolve;
mod scene;
mod token;
mod view;
