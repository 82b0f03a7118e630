//! `version`: what this binary is and what it can do.

use onceward_client::PORT_DEFAULT;
use onceward_server::{PROTOCOL_VERSION_MAX, PROTOCOL_VERSION_MIN};

use crate::answer::Answer;
use crate::exit::Exit;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How a store can be reached by this binary.
const FEATURES: &str = "mem tcp unix";
/// How durable an answer can be when it is told (S14).
const DURABILITY: &str = "memory interval always";

/// The answer; in JSON the same names.
pub(crate) fn answer() -> Answer {
    let protocols = format!("{PROTOCOL_VERSION_MIN} to {PROTOCOL_VERSION_MAX}");
    let protocols = if PROTOCOL_VERSION_MIN == PROTOCOL_VERSION_MAX {
        PROTOCOL_VERSION_MAX.to_string()
    } else {
        protocols
    };
    Answer::new(Exit::Ok, "version")
        .with("version", VERSION)
        .with("protocol", protocols)
        .with("default_port", u64::from(PORT_DEFAULT))
        .with("features", FEATURES)
        .with("durability", DURABILITY)
        .with("target", format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS))
        .with("build", if cfg!(debug_assertions) { "debug" } else { "release" })
}

/// As `--version` prints it after the name.
pub(crate) fn long() -> String {
    let text = crate::render::lines(&answer());
    let text = String::from_utf8_lossy(&text);
    // The outcome's word and the version stand at the top of an answer; here the version alone.
    let rest = text.lines().skip(2).map(|line| format!("\n{line}"));
    format!("{VERSION}{}", rest.collect::<String>())
}
