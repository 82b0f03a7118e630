//! Executions of steps: over an embedded store whose clock a test moves, and over a scripted one.

mod resuming;
mod scene;
