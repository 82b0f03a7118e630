//! Signals to the call reach the command, and its children.

use std::process::Stdio;

use nix::sys::signal::Signal;

use super::{Place, Running, await_death, is_stopped, state};
use crate::daemon::Daemon;

#[test]
fn signals_go_on_to_the_command() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let names = ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "CONT"];
    let traps: String = names.map(|name| format!("trap 'echo {name} >> got' {name}\n")).concat();
    let script = format!(
        "{traps} echo ready > ready; until [ -e go ] || [ ! -d \"$PWD\" ]; do sleep 0.01; done; exit 9"
    );
    let running = Running::start(place.script(&daemon, &["--key", "k"], &script));
    place.line("ready");
    let signals = [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGCONT,
    ];
    for (signal, name) in signals.into_iter().zip(names) {
        running.signal(signal);
        crate::daemon::eventually(name, || place.text("got").contains(name).then_some(()));
    }
    place.mark("go");
    assert_eq!(running.ended().code, Some(9), "a command that goes on is let go on");
    assert_eq!(place.text("got").lines().collect::<Vec<_>>(), names);
}

#[test]
fn an_end_by_a_signal_is_no_result() {
    let ready = "echo $$ > command; sleep 45 & echo $! > child";
    let cases = [
        ("it dies of it", format!("{ready}; wait"), 143),
        ("it says that it died of it", format!("trap 'exit 143' TERM; {ready}; wait"), 143),
    ];
    let daemon = Daemon::start(&[]);
    for (key, script, code) in cases {
        let place = Place::new();
        let running = Running::start(place.script(&daemon, &["--key", key], &script));
        let (command, child) = (place.id("command"), place.id("child"));
        // Before that it is a shell with the shell's traps.
        let name = format!("/proc/{child}/comm");
        crate::daemon::eventually("it sleeps", || {
            (std::fs::read_to_string(&name).is_ok_and(|name| name == "sleep\n")).then_some(())
        });
        running.signal(Signal::SIGTERM);
        running.ended().expect_own(key, code, "ended");
        await_death(command);
        await_death(child);
        assert_eq!(state(&daemon, key), "reserved", "{key}: its lease decides");
    }
    // The same status of its own accord is a result.
    let place = Place::new();
    assert_eq!(place.run(&daemon, &["--key", "own"], "exit 143").code, Some(143));
    assert_eq!(state(&daemon, "own"), "completed");
}

/// As under nohup: what the call ignores, the command ignores, and gets not passed on.
#[test]
fn a_signal_that_was_ignored_stays_ignored() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let onceward = env!("CARGO_BIN_EXE_onceward");
    std::fs::write(
        place.path().join("command"),
        "trap 'echo hup >> got' HUP; trap 'echo usr1 >> got; exit 3' USR1
        echo ready > ready; while [ -d \"$PWD\" ]; do sleep 0.01; done",
    )
    .expect("ours");
    let script = format!("trap '' HUP; exec {onceward} run --key k -- sh command");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]).current_dir(place.path()).env("ONCEWARD_URL", daemon.url());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = Running::start(command);
    place.line("ready");
    running.signal(Signal::SIGHUP);
    running.signal(Signal::SIGUSR1);
    assert_eq!(running.ended().code, Some(3));
    assert_eq!(place.text("got"), "usr1\n");
}

#[test]
fn a_stopped_call_stops_the_command_and_both_go_on() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let script = "echo $$ > command; until [ -e go ] || [ ! -d \"$PWD\" ]; do :; done; echo done";
    let running = Running::start(place.script(&daemon, &["--key", "k"], script));
    let (command, call) = (place.id("command"), running.id());
    running.signal(Signal::SIGTSTP);
    let (stops, goes_on) = (is_stopped, |id| !is_stopped(id));
    crate::daemon::eventually("both stop", || (stops(command) && stops(call)).then_some(()));
    running.signal(Signal::SIGCONT);
    crate::daemon::eventually("both go on", || (goes_on(command) && goes_on(call)).then_some(()));
    place.mark("go");
    assert_eq!(running.ended().stdout(), "done\n");
}

/// At a terminal the command reads from it and gets Ctrl-C from it, once. Python has a terminal to
/// give wherever the tests run; it prints what came out and the wait status. Tests that are started in
/// the background of a shell have SIGINT ignored, which the call would hand on; a call that never
/// gets it would wait for ever.
#[test]
fn at_a_terminal_the_command_is_in_the_foreground() {
    const TERMINAL: &str = r#"
import os, pty, signal, sys
signal.alarm(30)
signal.signal(signal.SIGINT, signal.SIG_DFL)
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[1], sys.argv[1:])
shown, told = b"", False
while True:
    try:
        shown += os.read(terminal, 4096)
    except OSError:
        break
    if shown.endswith(b"ready\r\n"):
        os.write(terminal, b"typed\n")
    if shown.endswith(b"got typed\r\n"):
        os.write(terminal, b"\x03")
    if b"interrupt\r\n" in shown and not told:
        told = True
        os.kill(child, signal.SIGUSR1)
print(shown.count(b"interrupt"), os.WEXITSTATUS(os.waitpid(child, 0)[1]))
"#;
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let onceward = env!("CARGO_BIN_EXE_onceward");
    let call = |key: &str, script: &str| {
        let mut python = std::process::Command::new("python3");
        python.args(["-c", TERMINAL, onceward, "run", "--key", key, "--", "sh", "-c", script]);
        python.current_dir(place.path()).env("ONCEWARD_URL", daemon.url());
        let output = python.output().expect("python3 is there");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let ready = "echo ready; read line; echo got $line";
    // The call passes SIGUSR1 on after the Ctrl-C, so a second one would be shown before the end.
    let catches = format!(
        "trap 'echo interrupt' INT; trap 'exit 3' USR1; {ready}; while [ -d \"$PWD\" ]; do sleep 0.01; done"
    );
    assert_eq!(call("catches", &catches), "1 3\n");
    assert_eq!(call("dies", &format!("{ready}; exec sleep 45")), "0 130\n");
    assert_eq!(state(&daemon, "dies"), "reserved");
}
