//! The binary itself: what it prints, how it exits, what it does on signals.

mod bench;
mod check_config;
mod cookbook;
mod daemon;
mod described;
mod documents;
mod durable;
mod environment;
mod exit_codes;
mod forgetting;
mod list;
mod population;
mod resolving;
mod run;
mod settings;
mod signals;
mod start;
mod terminal;
mod usage;
mod waiting;
