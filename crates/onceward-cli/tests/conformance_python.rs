//! The conformance cases, run by the plain Python client against the real daemon: the protocol
//! document alone suffices to write a client, and the daemon keeps the rules S1–S12, S19, S20 and
//! S23 as the store does.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};

const DAEMON: [&str; 2] = ["--daemon", env!("CARGO_BIN_EXE_onceward")];

#[test]
fn the_python_client_conforms_against_the_real_daemon() {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance");
    let Some(output) = python(&suite.join("run.py"), &DAEMON) else { return };
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
        let arguments = [DAEMON, arguments].concat();
        let Some(output) = python(&suite.join("run.py"), &arguments) else { return };
        assert!(!output.status.success(), "{arguments:?}");
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(report.contains(told), "{arguments:?}: {report}");
    }
}

/// The text of each document alone suffices to repeat its vectors, and a wrong one is found.
#[test]
fn plain_python_repeats_the_vectors_of_keys_and_fingerprints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let script = root.join("tests/conformance/keys.py");
    let planted = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted-vectors.md");
    for (document, right, wrong) in [
        ("docs/keys.md", r#"["cart", "81"]"#, r#"["cart", "82"]"#),
        ("docs/http.md", r#"["x-b", "2"]"#, r#"["x-b", "3"]"#),
    ] {
        let document = fs::read_to_string(root.join(document)).expect(document);
        assert!(document.contains(right), "{right}");
        for (text, holds, told) in [
            (document.clone(), true, ": 0 fail"),
            (document.replacen(right, wrong, 1), false, ": 1 fail"),
        ] {
            fs::write(&planted, text).expect("a file for the test");
            let Some(output) = python(&script, &[planted.to_str().expect("a path in UTF-8")])
            else {
                return;
            };
            let report = String::from_utf8_lossy(&output.stdout);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.success(), holds, "{report}\n{errors}");
            assert!(report.contains(told), "{report}");
        }
    }
}

/// Runs the script. `None`, and a line that says so, where there is no
/// Python; CI must have it.
fn python(script: &Path, arguments: &[&str]) -> Option<Output> {
    // -B: leaves no compiled files in the source tree. The daemon reads no settings of this machine.
    let mut command = Command::new("python3");
    let ran = command.arg("-B").arg(script).args(arguments).env("ONCEWARD_CONFIG", "").output();
    match ran {
        Ok(output) => Some(output),
        Err(why) if why.kind() == ErrorKind::NotFound && env::var_os("CI").is_none() => {
            println!("skipped: there is no python3 to run the plain client with");
            None
        }
        Err(why) => panic!("python3 does not run: {why}"),
    }
}
