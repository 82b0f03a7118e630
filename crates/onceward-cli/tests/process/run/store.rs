//! A store that is not there, or has no room.

use nix::sys::signal::Signal;
use serde_json::json;

use super::{Place, Running, report};
use crate::daemon::{Daemon, eventually};

#[test]
fn without_a_store_nothing_runs() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let url = daemon.url();
    let gone = place.script(&daemon, &["--key", "k", "--report", "report"], "echo run >> runs");
    drop(daemon);
    let ran = Running::start(gone).ended();
    ran.expect_own("nobody answers", 125, "unavailable");
    assert!(ran.stderr().contains(&url) && ran.stderr().contains("not run"), "{}", ran.stderr());
    assert_eq!((place.runs(), &report(&place, "report")["ran"]), (0, &json!(false)));
}

#[test]
fn without_room_nothing_runs_s11() {
    let (daemon, place) = (Daemon::start(&["--memory", "1MiB"]), Place::new());
    let ran = place.run(&daemon, &["--key", "k", "--result-hint", "1MiB"], "echo run >> runs");
    ran.expect_own("no room for the hint", 125, "refused");
    assert_eq!(place.runs(), 0);
    assert_eq!(place.run(&daemon, &["--key", "k"], "echo run >> runs").code, Some(0));
}

/// The result is offered until the lease ends; then nobody can say whether it is stored.
#[test]
fn a_result_that_finds_no_store_is_told() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let options = ["--key", "k", "--lease", "2s", "--report", "report"];
    let script = "echo out; echo run >> runs; until [ -e go ] || [ ! -d \"$PWD\" ]; do sleep 0.01; done; exit 3";
    let running = Running::start(place.script(&daemon, &options, script));
    eventually("it runs", || (place.runs() == 1).then_some(()));
    drop(daemon);
    place.mark("go");
    let ended = running.ended();
    ended.expect_own("it ran", 125, "unavailable");
    assert_eq!(ended.stdout(), "out\n");
    assert!(ended.stderr().contains("may not be stored"), "{}", ended.stderr());
    assert_eq!(report(&place, "report")["ran"], true);
}

/// The exit status stays the command's: it failed, whatever became of its key.
#[test]
fn a_key_that_cannot_be_given_up_is_told() {
    let cases = [
        ("abandon", "the next call runs the command again"),
        ("in-doubt", "nobody runs it again until the key is resolved"),
    ];
    for (on_failure, then) in cases {
        let (daemon, place) = (Daemon::start(&[]), Place::new());
        let options = ["--key", "k", "--on-failure", on_failure, "--report", "report"];
        let script =
            "echo run >> runs; until [ -e go ] || [ ! -d \"$PWD\" ]; do sleep 0.01; done; exit 3";
        let options = [&options[..], &["--lease", "1h"]].concat();
        let running = Running::start(place.script(&daemon, &options, script));
        eventually("it runs", || (place.runs() == 1).then_some(()));
        drop(daemon);
        place.mark("go");
        let ended = running.ended();
        ended.expect_own(on_failure, 3, "unavailable");
        assert!(ended.stderr().contains("could not be given up"), "{}", ended.stderr());
        assert!(ended.stderr().trim_end().ends_with(then), "{}", ended.stderr());
        let told = report(&place, "report");
        let got = [&told["outcome"], &told["status"], &told["key"]];
        // The store may have heard of it before it went silent, so nothing is said of the key.
        assert_eq!(got, [&json!("ran"), &json!(3), &json!(null)], "{on_failure}");
    }
}

/// Whoever does not want to wait for that says so once more.
#[test]
fn a_signal_ends_the_wait_for_a_store() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let script = "echo run >> runs; until [ -e go ] || [ ! -d \"$PWD\" ]; do sleep 0.01; done; echo $$ > command";
    let running = Running::start(place.script(&daemon, &["--key", "k", "--lease", "1h"], script));
    eventually("it runs", || (place.runs() == 1).then_some(()));
    drop(daemon);
    place.mark("go");
    super::await_death(place.id("command"));
    // Until the call has seen the end as well, the signal is the command's.
    let id = running.id();
    let ended = std::thread::spawn(move || running.ended());
    eventually("it gives up", || {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), Signal::SIGTERM);
        ended.is_finished().then_some(())
    });
    ended.join().expect("it ended").expect_own("one word is enough", 125, "unavailable");
}

#[test]
fn a_restarted_store_is_found_again_at_the_end() {
    let socket = tempfile::tempdir().expect("a folder");
    let path = socket.path().join("onceward.sock");
    let listen = ["--unix", path.to_str().expect("UTF-8")];
    let (daemon, place) = (Daemon::spawn(&listen), Place::new());
    let script =
        "echo run >> runs; until [ -e go ] || [ ! -d \"$PWD\" ]; do sleep 0.01; done; echo done";
    let command = place.script(&daemon, &["--key", "k", "--lease", "30s"], script);
    let running = Running::start(command);
    eventually("it runs", || (place.runs() == 1).then_some(()));
    drop(daemon);
    let daemon = Daemon::spawn(&listen);
    place.mark("go");
    // It has forgotten the key (S22), and says so rather than taking the result.
    running.ended().expect_own("another store", 125, "gone");
    assert_eq!(super::state(&daemon, "k"), "absent");
}
