//! The conformance cases, run by the plain Python client against the real daemon: the protocol
//! document alone suffices to write a client, and the daemon keeps the rules S1–S12, S19, S20 and
//! S23 as the store does.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};

#[test]
fn the_python_client_conforms_against_the_real_daemon() {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance");
    let Some(output) = python(&suite.join("run.py"), &[]) else { return };
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{errors}");
    assert!(told.contains(": 0 fail"), "{told}");
    println!("{told}");
}

/// The runner is no rubber stamp: it finds a planted fault, and fails when it runs nothing.
#[test]
fn the_python_runner_can_fail() {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance");
    let planted = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted-cases");
    fs::create_dir_all(&planted).expect("a folder for the test");
    let case = r#"{"case": "planted", "rules": ["S6"]}
{"do": "begin", "attempt": "A", "expect": {"outcome": "acquired", "lease_left": 29999}}
"#;
    fs::write(planted.join("planted.jsonl"), case).expect("a file for the test");
    let cases = planted.to_str().expect("a path in UTF-8");
    for (arguments, told) in [
        (["--cases", cases], "`lease_left`: expected 29999, got 30000"),
        (["--only", "no such case"], "0 cases"),
    ] {
        let Some(output) = python(&suite.join("run.py"), &arguments) else { return };
        assert!(!output.status.success(), "{arguments:?}");
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(report.contains(told), "{arguments:?}: {report}");
    }
}

/// Runs the script with the daemon's path. `None`, and a line that says so, where there is no
/// Python; CI must have it.
fn python(script: &Path, arguments: &[&str]) -> Option<Output> {
    // -B: leaves no compiled files in the source tree.
    let ran = Command::new("python3")
        .arg("-B")
        .arg(script)
        .args(["--daemon", env!("CARGO_BIN_EXE_onceward")])
        .args(arguments)
        .output();
    match ran {
        Ok(output) => Some(output),
        Err(why) if why.kind() == ErrorKind::NotFound && env::var_os("CI").is_none() => {
            println!("skipped: there is no python3 to run the plain client with");
            None
        }
        Err(why) => panic!("python3 does not run: {why}"),
    }
}
