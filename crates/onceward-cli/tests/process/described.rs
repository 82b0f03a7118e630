//! The command line as it describes itself to shells, to `man` and to programs.

use std::process::Command;

use crate::daemon::{Told, fed, onceward, told};

/// Every command that help lists.
fn commands() -> Vec<String> {
    let help = told(&["--help"]).stdout;
    let (_, list) = help.split_once("Commands:\n").expect("a list");
    let lines = list.lines().take_while(|line| !line.is_empty());
    // A description that goes on in the next line is indented further.
    let names = lines.filter_map(|line| {
        line.strip_prefix("  ")?.split_whitespace().next().filter(|_| !line.starts_with("   "))
    });
    let names: Vec<_> = names.filter(|name| *name != "help").map(str::to_owned).collect();
    assert!(names.len() > 12, "{names:?}");
    names
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Whatever a command says in JSON is one object that names its form.
#[test]
fn every_object_names_its_schema() {
    for command in commands() {
        let arguments: &[&str] = match command.as_str() {
            "serve" => &["serve", "--memory", "0"],
            "demo" => &["demo", "--traffic", "/nowhere"],
            // What it measured has a form of its own.
            "bench" => &["bench", "--mix", "none"],
            // Scripts and pages are for their readers; only what goes wrong is an object.
            "completions" => &["completions", "tcsh"],
            "man" => &["man", "--dir", "/dev/null/man"],
            other => &[other],
        };
        let mut process = onceward();
        process.args(arguments).arg("--json").env("ONCEWARD_URL", "mem://");
        let mut told = Told::of(process.output().expect("starts"));
        if command == "run" {
            told.stdout = told.stderr.clone(); // Stdout is its command's.
        }
        let object = told.json(); // Asserts the schema.
        let told_of = object["outcome"].is_string() || object["error"]["code"].is_string();
        assert!(told_of, "{command}: {object}");
        // That of run has one form, whatever happened.
        let fails = told.code != 0 && command != "run";
        assert_eq!(object["error"].is_object(), fails, "{command}: {object}");
    }
}

#[test]
fn shells_can_read_their_completions() {
    let shells = [
        ("bash", Some(("bash", &["-n"][..]))),
        ("zsh", Some(("zsh", &["-n"][..]))),
        ("fish", Some(("fish", &["--no-execute"][..]))),
        ("elvish", None),
        ("powershell", None),
    ];
    for (shell, check) in shells {
        // A file that is broken, or a variable that asks for JSON, spoils no shell's start.
        let mut command = onceward();
        command.env("ONCEWARD_CONFIG", "/nowhere").env("ONCEWARD_JSON", "true");
        let script = Told::of(command.args(["completions", shell]).output().expect("starts"));
        assert_eq!(script.code, 0, "{shell}: {}", script.stderr);
        for name in ["check-config", "credential-file"] {
            assert!(script.stdout.contains(name), "{shell}: {name}");
        }
        assert!(!script.stdout.contains("demo-process"), "{shell}: that is not for people");
        let Some((program, arguments)) = check.filter(|(program, _)| is_there(program)) else {
            continue;
        };
        let mut command = Command::new(program);
        command.args(arguments);
        let read = fed(command, script.stdout.as_bytes());
        assert_eq!((read.code, read.stderr.as_str()), (0, ""), "{shell}");
    }
}

#[test]
fn every_command_has_a_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let written = told(&["man", "--json", "--dir", folder.path().to_str().expect("UTF-8")]);
    let answer = written.json();
    let commands = commands();
    assert_eq!(answer["pages"], commands.len() + 1);
    let pages = commands.iter().map(|name| format!("onceward-{name}.1"));
    for page in pages.chain(["onceward.1".to_owned()]) {
        let path = folder.path().join(&page);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page}: {error}"));
        assert!(text.contains(".TH") && text.contains("NAME"), "{page}: {text}");
        assert!(!text.contains("demo\\-process"), "{page}: that is not for people");
        if is_there("man") {
            let mut man = Command::new("man");
            man.arg("-l").arg(&path).env("MANPAGER", "cat").env("MANWIDTH", "80");
            let shown = Told::of(man.output().expect("starts"));
            assert_eq!(shown.code, 0, "{page}: {}", shown.stderr);
            assert!(shown.stdout.contains("SYNOPSIS"), "{page}: {}", shown.stdout);
        }
    }
    let serve = std::fs::read_to_string(folder.path().join("onceward-serve.1")).expect("ours");
    assert!(serve.contains("ONCEWARD_MEMORY"), "variables are told: {serve}");
    assert!(told(&["man"]).stdout.contains(".TH"));
}

#[test]
fn the_version_tells_what_this_binary_can_do() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(told(&["-V"]).stdout, format!("onceward {version}\n"));
    let long = told(&["--version"]).stdout;
    assert!(long.starts_with(&format!("onceward {version}\n")), "{long}");
    for want in ["protocol", "default port  7977", "features", "mem", "target"] {
        assert!(long.contains(want), "{want}: {long}");
    }
    let object = told(&["version", "--json"]).json();
    assert_eq!(told(&["--version", "--json"]).json(), object);
    assert_eq!((&object["version"], &object["default_port"]), (&version.into(), &7977.into()));
}
