//! The binary itself: what it prints, how it exits, what it does on signals.

mod cookbook;
mod daemon;
mod documents;
mod environment;
mod exit_codes;
mod run;
mod settings;
mod signals;
mod start;
mod usage;
