//! The log, on stderr: stdout belongs to answers.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// Judges a filter.
///
/// # Errors
/// One that cannot be read.
pub(crate) fn parse(filter: &str) -> Result<EnvFilter, Failure> {
    EnvFilter::try_new(filter).map_err(|error| {
        Failure::bad_input(
            "log",
            format!("log filter: {error}; write error, warn, info, debug, trace or TARGET=LEVEL,…"),
        )
    })
}

/// Starts logging. The filter is `--log`, else `RUST_LOG`, else `default`.
///
/// # Errors
/// A filter that cannot be read.
pub(crate) fn start(chosen: Option<&str>, default: &str) -> Result<(), Failure> {
    let from_environment = std::env::var("RUST_LOG").ok();
    let filter = chosen.or(from_environment.as_deref()).filter(|filter| !filter.trim().is_empty());
    let filter = parse(filter.unwrap_or(default))?;
    let ansi = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(ansi)
        // A reader of stderr that has left must not end the daemon.
        .log_internal_errors(false);
    // Fails only if a subscriber is set already, which then does the job.
    let _ = subscriber.try_init();
    Ok(())
}
