//! Executions of steps: over an embedded store whose clock a test moves, and over a scripted one.

mod failing;
mod owning;
mod programs;
mod property;
mod resuming;
mod scene;
