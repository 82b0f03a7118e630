//! `config` and `check-config`: what counts, where it comes from, and everything wrong at once.

use serde_json::Value;

use crate::daemon::{Told, onceward, told};
use crate::settings::Settings;

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Told {
    let mut command = onceward();
    command.args(arguments).envs(environment.iter().copied());
    Told::of(command.output().expect("starts"))
}

/// Lines that set something, without the # before them.
fn uncommented(text: &str) -> String {
    let setting = |line: &str| {
        let rest = line
            .strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()));
        rest.unwrap_or(line).to_owned()
    };
    text.lines().map(setting).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_default_file_is_judged_good_and_changes_nothing() {
    let text = told(&["config", "--default"]).stdout;
    let settings = Settings::new(&text);
    let checked = told(&["check-config", settings.name()]);
    let want = format!("valid: {}: 0 errors, 0 warnings\n", settings.name());
    assert_eq!((checked.code, &checked.stdout), (0, &want), "{}", checked.stderr);

    // With every line in force: each is written as it must be, and is what counted before.
    let secret = Settings::new("a credential");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&secret.path, mode).expect("ours");
    let text = uncommented(&text).replace("/etc/onceward/credential", secret.name());
    let in_force = Settings::new(&text);
    let checked = told(&["check-config", in_force.name(), "--json"]);
    assert_eq!(checked.code, 0, "{}", checked.stdout);
    let effective = |file: &str| {
        let answer = told(&["config", "--config", file, "--json"]).json();
        answer["settings"].as_array().expect("a list").clone()
    };
    // Options whose default depends on the machine or on other options.
    let without_default = [
        "url",
        "credential-file",
        "log",
        "listen",
        "unix",
        "result-hint",
        "memory",
        "max-entries",
        "data-dir",
        "durability",
        "threads",
        "receive-buffer-bytes",
        "send-buffer-bytes",
    ];
    let mut compared = 0;
    for (set, unset) in effective(in_force.name()).iter().zip(effective("")) {
        let name = set["name"].as_str().expect("a text");
        assert_eq!(name, unset["name"], "the same settings");
        if name == "json" {
            continue; // Given as a flag here.
        }
        assert_eq!(
            (&set["origin"], &unset["origin"]),
            (&"file".into(), &"default".into()),
            "{name}"
        );
        // That of run depends on what a failure means to it.
        if !without_default.contains(&name) && (set["section"] != "run" || name != "policy") {
            let values = unset["values"].as_array().expect("a list");
            let want = if values.is_empty() { &unset["unset"] } else { &values[0] };
            assert_eq!(&set["values"][0], want, "{name}");
            compared += 1;
        }
    }
    assert!(compared > 20, "{compared} options");
}

#[test]
fn every_setting_is_in_the_default_file_with_help() {
    let text = told(&["config", "--default"]).stdout;
    let answer = told(&["config", "--json"]).json();
    let mut section = Value::Null;
    for set in answer["settings"].as_array().expect("a list") {
        let name = set["name"].as_str().expect("a text");
        let key = format!("\n#{name} = ");
        let at = text.find(&key).unwrap_or_else(|| panic!("{name} is missing"));
        let before = text[..at].lines().last().expect("help");
        assert!(before.starts_with("# Write "), "{name}: {before}");
        if section != set["section"] {
            section = set["section"].clone();
            let head = format!("\n[{}]\n", section.as_str().expect("a name"));
            assert!(text.contains(&head), "{head}");
        }
    }
    assert!(text.contains("\n#[namespaces.orders]\n"));
    assert!(text.lines().all(|line| line.len() <= 100), "lines are short");
}

#[test]
fn each_value_tells_its_origin() {
    let settings = Settings::new(
        "retries = 7\n[begin]\nlease = \"11s\"\nretention = \"1h\"\n[namespaces.orders]\nentries-max = 5\n",
    );
    let environment = [
        ("ONCEWARD_RETENTION", "2h"),
        ("ONCEWARD_CREDENTIAL", "hunter2"),
        ("ONCEWARD_URL", "onceward://u:hunter2@h"),
    ];
    let arguments = ["config", "--config", settings.name(), "--timeout", "3s"];
    let answer = run(&[&arguments[..], &["--json"]].concat(), &environment).json();
    let set = |section: Value, name: &str| {
        let found = answer["settings"].as_array().expect("a list").iter();
        let mut found = found.filter(|set| set["section"] == section && set["name"] == name);
        found.next().unwrap_or_else(|| panic!("{name}: {answer}")).clone()
    };
    #[rustfmt::skip]
    let cases = [
        (Value::Null, "connect-timeout", "1s", "default", Value::Null),
        (Value::Null, "retries", "7", "file", 1.into()),
        (Value::Null, "timeout", "3s", "flag", Value::Null),
        (Value::Null, "url", "onceward://…@h", "environment", Value::Null),
        (Value::Null, "credential", "(not shown)", "environment", Value::Null),
        ("begin".into(), "lease", "11s", "file", 3.into()),
        ("begin".into(), "retention", "2h", "environment", Value::Null),
        ("begin".into(), "wait", "0s", "default", Value::Null),
        ("renew".into(), "lease", "30s", "default", Value::Null),
    ];
    for (section, name, value, origin, line) in cases {
        let set = set(section, name);
        assert_eq!(set["values"], Value::from(vec![value]), "{name}");
        assert_eq!((&set["origin"], &set["line"]), (&origin.into(), &line), "{name}");
    }
    assert_eq!(answer["namespaces"]["orders"]["entries_max"], 5);
    assert_eq!(answer["file"], settings.name());

    let told = run(&arguments, &environment);
    for want in
        ["file, line 3", "ONCEWARD_RETENTION", "flag", "[namespaces.orders]", settings.name()]
    {
        assert!(told.stdout.contains(want), "{want}: {}", told.stdout);
    }
    for shown in [told.stdout, answer.to_string()] {
        assert!(!shown.contains("hunter2"), "S16: {shown}");
    }
}

#[test]
fn check_config_tells_everything_at_once() {
    let text = "\
url = \"onceward://u:hunter2@h\"
timeout = \"0s\"
log = \"a=b=c\"
credential-file = \"/nowhere/credential\"
zeal = 1
[serve]
lease-max = \"31d\"
memory = 0
connections-max = 0
listen = [\"0.0.0.0:1\", \"127.0.0.1:2\", \"127.0.0.1:2\"]
threads = 1024
unix = \"/nowhere/o.sock\"
[begin]
lease = \"2h\"
retention = \"1h\"
policy = \"in-doubt\"
[namespaces.a]
set-aside-bytes = \"17MiB\"
";
    let settings = Settings::new(text);
    let told = told(&["check-config", settings.name(), "--json"]);
    assert_eq!(told.code, 2);
    let answer = told.json();
    assert_eq!((&answer["outcome"], &answer["file"]), (&"invalid".into(), &settings.name().into()));
    let found = |list: &str| {
        let list = answer[list].as_array().expect("a list").clone();
        list.into_iter().map(|problem| {
            assert_eq!(problem["file"], settings.name(), "{problem}");
            let message = problem["message"].as_str().expect("a text").to_owned();
            (problem["line"].as_u64().expect("a line"), message)
        })
    };
    let wants = [
        (4, "/nowhere/credential cannot be read"),
        (5, "no such setting"),
        (3, "log filter"),
        (7, "give at most 30d"),
        (8, "give at least 1MiB"),
        (9, "connections_max is 0: give 1 to"),
        (10, "can be reached from other machines"),
        (10, "listed twice"),
        (15, "shorter than lease"),
        (18, "at most 16MiB"),
    ];
    for (line, want) in wants {
        let mut problems = found("problems");
        assert!(problems.any(|(at, what)| at == line && what.contains(want)), "{want}: {answer}");
    }
    assert_eq!(found("problems").count(), wants.len(), "{answer}");
    let wants = [
        (11, "1024 threads share"),
        (12, "no folder /nowhere"),
        (16, "keeps everything in memory"),
    ];
    for (line, want) in wants {
        let mut warnings = found("warnings");
        assert!(warnings.any(|(at, what)| at == line && what.contains(want)), "{want}: {answer}");
    }
    assert!(!told.stdout.contains("hunter2"), "S16");
}

#[test]
fn check_config_judges_each_alone() {
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], i32, &'a str);
    let cases: &[Case<'_>] = &[
        ("nothing at all", "", &[], 0, "0 errors, 0 warnings"),
        (
            "a password",
            "url = \"onceward://u:hunter2@h\"",
            &[],
            2,
            ":1: url: --url holds a user or a password",
        ),
        ("no time", "timeout = \"0s\"", &[], 2, ":1: timeout: --timeout is out of range"),
        (
            "a bad variable",
            "",
            &[("ONCEWARD_MEMORY", "much")],
            2,
            "[serve] memory: ONCEWARD_MEMORY: ",
        ),
        (
            "a variable over the file's",
            "[serve]\nwait-max = \"1s\"",
            &[("ONCEWARD_WAIT_MAX", "2h")],
            2,
            "[serve] wait-max: ONCEWARD_WAIT_MAX: wait_max is 2h",
        ),
        (
            "lease and retention of serve",
            "[serve]\nlease-max = \"20d\"\nretention-max = \"10d\"",
            &[],
            2,
            "lease_max is 20d and retention_max 10d",
        ),
        (
            "a lease that no daemon takes",
            "[begin]\nlease = \"31d\"\nretention = \"40d\"",
            &[],
            2,
            "[begin] lease: lease is",
        ),
        (
            "a lease that this daemon does not take",
            "[begin]\nlease = \"2d\"\nretention = \"3d\"",
            &[],
            0,
            "warning: ",
        ),
        (
            "or that it does",
            "[serve]\nlease-max = \"2d\"\n[begin]\nlease = \"2d\"\nretention = \"3d\"",
            &[],
            0,
            "0 errors, 0 warnings",
        ),
        (
            "run's lease",
            "[run]\nlease = \"2d\"\nretention = \"1d\"",
            &[],
            2,
            "[run] retention: retention",
        ),
        (
            "run's doubt",
            "[run]\non-failure = \"in-doubt\"",
            &[],
            0,
            ":2: [run] on-failure: in-doubt does not span",
        ),
        (
            "or by policy",
            "[run]\npolicy = \"in-doubt\"",
            &[],
            0,
            ":2: [run] policy: in-doubt does not span",
        ),
        (
            "begin's doubt",
            "",
            &[("ONCEWARD_POLICY", "in-doubt")],
            0,
            "[begin] policy: ONCEWARD_POLICY: in-doubt does not span",
        ),
        (
            "a slip",
            "",
            &[("ONCEWARD_LEASE_MX", "1h")],
            0,
            "ONCEWARD_LEASE_MX sets nothing: did you mean ONCEWARD_LEASE_MAX?",
        ),
        (
            "no slip",
            "",
            &[("ONCEWARD_RUN_FENCE", "1"), ("ONCEWARD_KEY", "k")],
            0,
            "0 errors, 0 warnings",
        ),
        (
            "anybody may use it",
            "[serve]\nlisten = \"0.0.0.0:1\"\ninsecure-no-auth = true",
            &[],
            0,
            "whoever reaches 0.0.0.0:1",
        ),
        (
            "for nothing",
            "[serve]\ninsecure-no-auth = true",
            &[],
            0,
            "no address beyond loopback needs it",
        ),
    ];
    for (why, text, environment, code, want) in cases {
        let settings = Settings::new(text);
        let told = run(&["check-config", settings.name()], environment);
        assert_eq!(told.code, *code, "{why}: {}", told.stdout);
        assert!(told.stdout.contains(want), "{why}: {want}: {}", told.stdout);
    }
    let missing = told(&["check-config", "/nowhere.toml"]);
    assert_eq!(missing.code, 2);
    assert!(missing.stdout.contains("/nowhere.toml cannot be read"), "{}", missing.stdout);
    let none = told(&["check-config"]);
    assert_eq!(
        (none.code, none.stdout.as_str()),
        (0, "valid: no settings file: 0 errors, 0 warnings\n")
    );
    let file = Settings::new("");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o646);
    std::fs::set_permissions(&file.path, mode).expect("ours");
    let told = told(&["check-config", file.name()]);
    assert!(told.stdout.contains("chmod o-w"), "{}", told.stdout);
}
