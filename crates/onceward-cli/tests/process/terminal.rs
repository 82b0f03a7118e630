//! A command at a terminal, with a person's answers.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use nix::pty::{OpenptyResult, Winsize, openpty};

/// Runs `command` with a terminal as stdin, stdout and stderr, and types `answer` once it asks.
/// Gives the exit code and all that was on the screen.
pub(crate) fn typed(mut command: Command, answer: &str) -> (i32, String) {
    let size = Winsize { ws_row: 25, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 };
    let OpenptyResult { master, slave } = openpty(&size, None).expect("a terminal");
    let end = || Stdio::from(slave.try_clone().expect("a descriptor"));
    let mut child =
        command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("the binary starts");
    // Its own ends keep the terminal open, and so would these.
    drop((command, slave));
    let mut master = File::from(master);
    let mut screen = Vec::new();
    let mut answered = false;
    let mut chunk = [0; 4_096];
    // At the end of the child Linux tells EIO.
    while let Ok(read @ 1..) = master.read(&mut chunk) {
        screen.extend_from_slice(&chunk[..read]);
        if !answered && String::from_utf8_lossy(&screen).contains("[y/N]") {
            master.write_all(answer.as_bytes()).expect("it reads");
            answered = true;
        }
    }
    let status = child.wait().expect("a child of ours");
    let screen = String::from_utf8_lossy(&screen).replace("\r\n", "\n");
    (status.code().expect("it was not killed"), screen)
}
