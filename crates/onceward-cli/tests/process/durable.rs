//! A daemon with a data directory: what is there again, and on what it does not start (S13, S14).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::daemon::{Daemon, Told, told};

/// A data directory that is not there yet.
pub(crate) struct Directory {
    _folder: TempDir,
    path: PathBuf,
}

impl Directory {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data");
        Self { _folder: folder, path }
    }

    pub(crate) fn name(&self) -> &str {
        self.path.to_str().expect("UTF-8")
    }

    fn start(&self, more: &[&str]) -> Daemon {
        Daemon::start(&[&["--data-dir", self.name(), "--memory", "64MiB"], more].concat())
    }

    /// A start that must not come about.
    fn refused(&self, more: &[&str]) -> Told {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", self.name(), "--json"];
        let told = told(&[&arguments, more].concat());
        assert_ne!(told.code, 0, "{}", told.stdout);
        told
    }

    /// With 20 results in it, and no daemon.
    pub(crate) fn with_results() -> Self {
        let directory = Self::new();
        let mut daemon = directory.start(ALWAYS);
        for number in 0..20 {
            complete(&daemon, &format!("key-{number}"), "a body");
        }
        daemon.signal(Signal::SIGTERM);
        assert!(daemon.ended().success());
        directory
    }

    /// Flips a bit among what is synced.
    pub(crate) fn damage(&self) {
        let facts = self.facts();
        let mut bytes = fs::read(&facts).expect("readable");
        bytes[1_200] ^= 1;
        fs::write(&facts, bytes).expect("ours");
    }

    /// The newest facts file.
    fn facts(&self) -> PathBuf {
        let names = fs::read_dir(&self.path).expect("it is there");
        let names = names.map(|entry| entry.expect("readable").path());
        let facts = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("facts-"))
        };
        names.filter(facts).max().expect("there are facts")
    }
}

const ALWAYS: &[&str] = &["--durability", "always"];

fn complete(daemon: &Daemon, key: &str, body: &str) {
    let token = daemon.acquire(key, &[]);
    let arguments = ["complete", "--key", key, "--token", &token, "--body", body];
    let (code, answer) = daemon.json(&arguments);
    assert_eq!(code, 0, "{answer}");
}

fn fence(answer: &Value) -> u64 {
    answer["fence"].as_str().expect("a string").parse().expect("a number")
}

#[test]
fn what_was_acknowledged_at_always_outlives_kill_9_s13_s14() {
    let directory = Directory::new();
    let mut daemon = directory.start(ALWAYS);
    daemon.await_log("durability always");
    let mode = fs::metadata(&directory.path).expect("it is made").permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "callers' results are in it");
    complete(&daemon, "done", "first");
    let token = daemon.acquire("owned", &["--lease", "1h", "--retention", "2h"]);
    let (_, held) = daemon.json(&["get", "--key", "owned"]);
    let (_, epoch) = daemon.json(&["ping"]);
    daemon.signal(Signal::SIGKILL);
    daemon.ended();

    let mut daemon = directory.start(ALWAYS);
    daemon.await_log("2 keys restored");
    assert!(!daemon.log().contains("a restart is a new store"), "S22 is not for it");
    let (code, replay) = daemon.json(&["begin", "--key", "done"]);
    assert_eq!((code, &replay["outcome"], &replay["body"]), (0, &json!("replay"), &json!("first")));
    assert_eq!(daemon.json(&["begin", "--key", "owned"]).0, 10, "its lease runs anew");
    assert_eq!(daemon.json(&["ping"]).1["boot_epoch"], epoch["boot_epoch"], "it is the same store");
    let (code, answer) =
        daemon.json(&["complete", "--key", "owned", "--token", &token, "--body", "late"]);
    assert_eq!(code, 0, "its token is good: {answer}");
    let (_, begun) = daemon.json(&["begin", "--key", "new"]);
    assert!(fence(&begun) > fence(&held), "S4: {begun} after {held}");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.ended().success());
    daemon.await_log("3 keys are kept in");
}

#[test]
fn at_interval_a_clean_stop_loses_nothing_s17() {
    let directory = Directory::new();
    let mut daemon = directory.start(&["--interval", "1m"]);
    daemon.await_log("durability interval");
    complete(&daemon, "done", "first");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.ended().success());
    let daemon = directory.start(&["--interval", "1m"]);
    let (code, replay) = daemon.json(&["begin", "--key", "done"]);
    assert_eq!((code, &replay["outcome"]), (0, &json!("replay")));
}

#[test]
fn a_namespace_has_a_level_of_its_own_s14() {
    let directory = Directory::new();
    let file = directory.path.with_extension("toml");
    let text = "[namespaces.payments]\ndurability = \"always\"\n[namespaces.scratch]\ndurability = \"memory\"\n";
    fs::write(&file, text).expect("ours");
    let file = file.to_str().expect("UTF-8");
    let start = || directory.start(&["--config", file, "--interval", "1m"]);
    let mut daemon = start();
    let url = |daemon: &Daemon, name: &str| daemon.url().replace("/default", &format!("/{name}"));
    for name in ["payments", "scratch"] {
        let begun = daemon.told(&["begin", "--key", "k", "--url", &url(&daemon, name)]);
        assert_eq!(begun.code, 0, "{}", begun.stderr);
    }
    daemon.signal(Signal::SIGKILL);
    daemon.ended();
    let daemon = start();
    let got = |name: &str| daemon.told(&["get", "--key", "k", "--url", &url(&daemon, name)]).code;
    assert_eq!((got("payments"), got("scratch")), (10, 12));
}

#[test]
fn one_daemon_has_a_directory_and_the_second_is_told_which() {
    let directory = Directory::new();
    let first = directory.start(ALWAYS);
    let second = directory.refused(ALWAYS);
    assert_eq!(second.code, 1);
    let message = second.json()["error"]["message"].as_str().expect("a text").to_owned();
    for part in [directory.name(), "is in use", "process "] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(first.told(&["ping"]).code, 0, "the first one is not disturbed");
}

#[test]
fn damage_is_refused_by_file_and_byte_and_nothing_is_changed() {
    let directory = Directory::with_results();
    let facts = directory.facts();
    let whole = fs::read(&facts).expect("readable");
    directory.damage();
    let damaged = fs::read(&facts).expect("readable");
    let refused = directory.refused(ALWAYS);
    let error = &refused.json()["error"];
    assert_eq!((refused.code, &error["code"]), (26, &json!("damaged")));
    let message = error["message"].as_str().expect("a text");
    let name = facts.file_name().expect("a name").to_string_lossy().into_owned();
    for part in [name.as_str(), "byte", "onceward journal verify"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(fs::read(&facts).expect("readable"), damaged);
    fs::write(&facts, &whole).expect("ours");
    let daemon = directory.start(ALWAYS);
    assert_eq!(daemon.figure("entries_completed"), 20);
}

#[test]
fn a_newer_format_is_refused_untouched() {
    let directory = Directory::new();
    let mut daemon = directory.start(ALWAYS);
    complete(&daemon, "done", "first");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.ended().success());
    let manifest = directory.path.join("manifest");
    let text = fs::read_to_string(&manifest).expect("text");
    let (json, _) = text.split_once('\n').expect("two lines");
    let json = json.replace("\"format\":1,", "\"format\":99,");
    let newer = format!("{json}\n{:08x}\n", crc32c(json.as_bytes()));
    fs::write(&manifest, &newer).expect("ours");
    let before = listing(&directory.path);
    let refused = directory.refused(ALWAYS);
    assert_eq!(refused.code, 26, "{}", refused.stdout);
    assert!(refused.stdout.contains("99"), "{}", refused.stdout);
    assert_eq!(listing(&directory.path), before);
    assert_eq!(fs::read_to_string(&manifest).expect("text"), newer);
}

fn listing(path: &Path) -> Vec<(String, u64)> {
    let entries = fs::read_dir(path).expect("it is there").map(|entry| entry.expect("readable"));
    let mut listed: Vec<_> = entries
        // Says who had it last.
        .filter(|entry| entry.file_name() != "lock")
        .map(|entry| {
            let length = entry.metadata().expect("it is there").len();
            (entry.file_name().to_string_lossy().into_owned(), length)
        })
        .collect();
    listed.sort();
    listed
}

/// Bit by bit: the test needs no table.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(crc & 1))
        })
    })
}

#[test]
fn what_it_cannot_promise_it_refuses_s14() {
    let directory = Directory::new();
    let none: &[(&[&str], &str)] = &[
        (&["--durability", "always"], "there is no data directory"),
        (&["--durability", "interval"], "there is no data directory"),
        (&["--data-dir", "/proc/nowhere"], "cannot be made"),
        (
            &["--data-dir", directory.name(), "--interval", "1ms"],
            "interval is 1ms: give 10ms to 1m",
        ),
        (&["--data-dir", directory.name(), "--test-clock"], "--test-clock keeps nothing"),
    ];
    for (arguments, want) in none {
        let told = told(&[&["serve", "--listen", "127.0.0.1:0"], *arguments].concat());
        assert_eq!(told.code, 2, "{arguments:?}: {}", told.stderr);
        assert!(told.stderr.contains(want), "{arguments:?}: {}", told.stderr);
    }
    assert!(!directory.path.exists(), "nothing is made before it is sure");
}

#[test]
fn the_service_manager_is_told_when_it_serves_and_when_it_stops() {
    let directory = Directory::new();
    fs::create_dir(&directory.path).expect("ours");
    let socket = directory.path.with_extension("sock");
    let manager = UnixDatagram::bind(&socket).expect("a socket");
    manager.set_read_timeout(Some(crate::daemon::PATIENCE)).expect("a time-out");
    let told = || {
        let mut bytes = [0; 1_024];
        let size = manager.recv(&mut bytes).expect("it tells");
        String::from_utf8_lossy(&bytes[..size]).into_owned()
    };
    let mut daemon = Daemon::spawn_with(
        &["--listen", "127.0.0.1:0", "--data-dir", directory.name()],
        &[("NOTIFY_SOCKET", socket.to_str().expect("UTF-8"))],
    );
    let ready = told();
    assert!(ready.contains("READY=1") && ready.contains("STATUS=serving"), "{ready}");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.ended().success());
    let stopping = told();
    assert!(stopping.contains("STOPPING=1"), "{stopping}");
}

#[test]
fn its_figures_are_told() {
    let directory = Directory::new();
    let daemon = directory.start(ALWAYS);
    complete(&daemon, "done", "first");
    assert_eq!(daemon.figure("journal_halted"), 0);
    assert_eq!(daemon.figure("journal_facts"), 2);
    assert!(daemon.figure("journal_syncs") >= 2 && daemon.figure("journal_bytes") > 100);
    let without = Daemon::start(&[]);
    assert_eq!(without.figure("journal_facts"), 0);
}

#[test]
fn what_is_damaged_is_judged_and_cut_at_its_price() {
    let directory = Directory::with_results();
    let journal = |arguments: &[&str]| {
        let arguments = [arguments, &["--data-dir", directory.name()]].concat();
        told(&[&["journal"], &arguments[..]].concat())
    };
    let sound = journal(&["verify"]);
    assert_eq!(sound.code, 0, "{}{}", sound.stdout, sound.stderr);
    assert!(sound.stdout.starts_with("sound\n") && sound.stdout.contains("40 facts in"));
    let dump = journal(&["dump"]);
    assert_eq!((dump.code, dump.stdout.lines().count()), (0, 40));
    for line in dump.stdout.lines() {
        let fact: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(fact["schema"], "onceward/1");
    }
    assert!(!dump.stdout.contains("key-7") && !dump.stdout.contains("a body"), "S16");
    let shown = journal(&["dump", "--show-keys"]);
    assert!(shown.stdout.contains("key-7") && shown.stdout.contains("a body"));

    directory.damage();
    let unsound = journal(&["verify"]);
    assert_eq!(unsound.code, 26);
    assert!(unsound.stdout.starts_with("unsound\n") && unsound.stdout.contains("damaged at byte"));
    assert_eq!(journal(&["dump"]).code, 26);
    let before = listing(&directory.path);
    let planned = journal(&["repair"]);
    assert_eq!(planned.code, 26);
    assert!(planned.stdout.contains("--yes does it"), "{}", planned.stdout);
    assert_eq!(listing(&directory.path), before, "nothing was changed");
    let repaired = journal(&["repair", "--yes"]);
    assert_eq!(repaired.code, 0, "{}{}", repaired.stdout, repaired.stderr);
    assert!(repaired.stdout.contains("quarantine-"), "{}", repaired.stdout);
    assert_eq!(journal(&["verify"]).code, 0);
    let daemon = directory.start(ALWAYS);
    let left = daemon.figure("entries");
    assert!((1..20).contains(&left), "{left} of 20 are left");
    let in_use = journal(&["repair"]);
    assert_eq!(in_use.code, 1);
    assert!(in_use.stderr.contains("is in use"), "{}", in_use.stderr);
    assert_eq!(journal(&["verify"]).code, 0, "beside a daemon");
    let nowhere = told(&["journal", "verify", "--data-dir", "/nowhere"]);
    assert_eq!(nowhere.code, 2);
}
