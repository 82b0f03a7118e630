//! The settings file: below `ONCEWARD_*` and flags, above defaults; and what it may not say.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::{Daemon, Told, onceward, told};

/// A folder with one settings file.
pub(crate) struct Settings {
    folder: TempDir,
    pub(crate) path: PathBuf,
}

impl Settings {
    pub(crate) fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("onceward.toml");
        std::fs::write(&path, text).expect("ours");
        Self { folder, path }
    }

    pub(crate) fn name(&self) -> &str {
        self.path.to_str().expect("UTF-8")
    }
}

/// What begin grants, from the layers given: lease and retention in ms.
fn granted(daemon: &Daemon, key: &str, layers: Layers) -> (Value, Value) {
    let settings = Settings::new(layers.file);
    let output = daemon
        .command(&["begin", "--key", key, "--json"])
        .args(layers.flags)
        .env("ONCEWARD_CONFIG", &settings.path)
        .envs(layers.environment.iter().copied())
        .output();
    let told = Told::of(output.expect("starts"));
    assert_eq!(told.code, 0, "{key}: {} {}", told.stdout, told.stderr);
    let answer = told.json();
    (answer["lease_left_ms"].clone(), answer["retention_left_ms"].clone())
}

#[derive(Clone, Copy, Default)]
struct Layers<'a> {
    file: &'a str,
    environment: &'a [(&'a str, &'a str)],
    flags: &'a [&'a str],
}

#[test]
fn flags_go_before_the_environment_before_the_file_before_defaults() {
    let daemon = Daemon::start(&[]);
    let file = "[begin]\nlease = \"11s\"\nretention = \"1h\"\n";
    let environment = [("ONCEWARD_LEASE", "12s")];
    #[rustfmt::skip]
    let cases = [
        ("defaults", Layers::default(), (30_000, 86_400_000)),
        ("file", Layers { file, ..Layers::default() }, (11_000, 3_600_000)),
        ("environment", Layers { file, environment: &environment, ..Layers::default() }, (12_000, 3_600_000)),
        ("flag", Layers { file, environment: &environment, flags: &["--lease", "13s"] }, (13_000, 3_600_000)),
        ("flag over the file", Layers { file, flags: &["--retention", "2h"], ..Layers::default() }, (11_000, 7_200_000)),
    ];
    for (why, layers, (lease, retention)) in cases {
        assert_eq!(granted(&daemon, why, layers), (lease.into(), retention.into()), "{why}");
    }
}

/// One option of each type, each set by one layer at a time and read back through what it does.
#[test]
fn every_type_of_option_is_set_by_every_layer() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let sockets = [path("default"), path("file"), path("environment"), path("flag")];
    let file = format!(
        "json = true\n[serve]\nmemory = \"64MiB\"\nunix = [{:?}]\nwaiters-max = 7\nwaiters-per-key-max = 5\n",
        sockets[1]
    );
    let settings = Settings::new(&file);
    type Case<'a> = (usize, &'a [(&'a str, &'a str)], &'a [&'a str], u64);
    let by_environment = [("ONCEWARD_MEMORY", "65MiB"), ("ONCEWARD_UNIX", sockets[2].as_str())];
    let cases: [Case<'_>; 3] = [
        (1, &[], &[], 64),
        (2, &by_environment, &[], 65),
        (3, &by_environment, &["--memory", "66MiB", "--unix", &sockets[3]], 66),
    ];
    for (socket, environment, flags, memory) in cases {
        let arguments = [&["--config", settings.name()], flags].concat();
        let daemon = Daemon::spawn_with(&arguments, environment);
        assert_eq!(daemon.listening, [format!("unix:{}", sockets[socket])]);
        assert_eq!(daemon.figure("memory_limit_bytes"), memory << 20);
    }
    // A flag's false, which only the environment can say once the file says true.
    let told = |environment: &[(&str, &str)]| {
        let mut command = onceward();
        command.args(["ping", "--url", "mem://"]).env("ONCEWARD_CONFIG", &settings.path);
        Told::of(command.envs(environment.iter().copied()).output().expect("starts"))
    };
    assert!(told(&[]).stdout.starts_with('{'), "the file says json");
    assert!(told(&[("ONCEWARD_JSON", "false")]).stdout.starts_with("pong\n"));
}

#[test]
fn everything_wrong_is_told_with_its_place_and_what_to_write() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("unknown key", "\n\ntimeuot = \"1s\"", &[":3: timeuot: ", "did you mean timeout?"]),
        ("snake case", "[serve]\nlease_max = \"1h\"", &[":2: [serve] lease_max: ", "lease-max?"]),
        ("nothing like it", "zzz = 1", &["there is no such setting here"]),
        ("unknown section", "[server]\nmemory = 1", &[":1: [server]: ", "did you mean [serve]?"]),
        ("a section of nothing", "[qqq]\n", &["there are [serve], [begin]"]),
        ("of a section", "memory = \"1GiB\"", &["memory: it belongs to [serve]"]),
        ("of the top", "[serve]\ntimeout = \"1s\"", &["at the top, before the first [section]"]),
        ("of one call", "[begin]\nkey = \"k\"", &["[begin] key: it belongs to one call", "--key"]),
        ("no unit", "timeout = 30", &[":1: timeout: ", "unit", "500ms, 30s"]),
        ("bad unit", "[serve]\nmemory = \"3XB\"", &["[serve] memory: ", "512MiB"]),
        ("bad time", "timeout = \"soon\"", &["timeout: ", "500ms, 30s"]),
        ("a flag's text", "json = \"yes\"", &["json: it is a string: write true or false"]),
        ("a text's flag", "log = true", &["log: it is a boolean: write a text in quotes"]),
        ("a fraction", "retries = 1.5", &["retries: it is a float: write a whole number"]),
        ("words", "retries = \"many\"", &["retries: \"many\": ", "write a whole number"]),
        ("out of range", "[serve]\nthreads = 0", &["[serve] threads: \"0\": 0 is not in 1..=1024"]),
        ("a list", "[serve]\nmemory = [1, 2]", &["memory: it is an array: write a size"]),
        (
            "a list of lists",
            "[serve]\nlisten = [[]]",
            &["listen: it is an array: write an address"],
        ),
        (
            "no address",
            "[serve]\nlisten = [\"localhost\"]",
            &["listen: \"localhost\": ", "127.0.0.1:7977"],
        ),
        ("no policy", "[begin]\npolicy = \"hope\"", &["policy: ", "\"takeover\" or \"in-doubt\""]),
        (
            "a secret",
            "credential = \"hunter2\"",
            &["credential: a secret stands in no settings file"],
        ),
        (
            "no namespace",
            "[namespaces.Orders]\nentries-max = 1",
            &["[namespaces.Orders]: namespace"],
        ),
        ("no table", "[namespaces]\norders = 1", &["write [namespaces.orders]"]),
        ("of a namespace", "[namespaces.a]\nentries_max = 1", &["did you mean entries-max?"]),
        (
            "over its ceiling",
            "[namespaces.a]\nset-aside-bytes = \"17MiB\"",
            &["write at most 16MiB"],
        ),
        ("no TOML", "retries = \n[serve\n", &[":1: no TOML: ", ":2: no TOML: "]),
        ("twice", "retries = 1\nretries = 2", &[":2: no TOML: duplicate key"]),
        (
            "all at once",
            "a = 1\n[begin]\nlease = 3\nb = 1",
            &[":1: a: ", ":3: [begin] lease: ", ":4: [begin] b: "],
        ),
        (
            "beyond its ceiling",
            "[serve]\nlease-max = \"31d\"\nmemory = 0",
            &[
                "lease_max is 31d: give at most 30d (",
                ":2)",
                "memory is 0: give at least 1MiB (",
                ":3)",
            ],
        ),
    ];
    for (why, text, wants) in cases {
        let settings = Settings::new(text);
        // A daemon that took the file would end here all the same, and this test with it.
        let told = told(&["--config", settings.name(), "serve", "--unix", "/nowhere/o.sock"]);
        assert_eq!(told.code, 2, "{why}: {}", told.stderr);
        for want in *wants {
            assert!(told.stderr.contains(want), "{why}: {want}: {}", told.stderr);
        }
        assert!(told.stderr.contains(settings.name()), "{why}: {}", told.stderr);
        assert!(!told.stderr.contains("hunter2"), "S16: {}", told.stderr);
    }
}

#[test]
fn a_value_that_proves_wrong_later_is_traced_to_its_line() {
    let daemon = Daemon::start(&[]);
    let settings =
        Settings::new("\ntimeout = \"0s\"\n[begin]\nlease = \"25h\"\nretention = \"48h\"\n");
    let place = |line: u8| format!("({}:{line})", settings.name());
    let told = |more: &[&str]| {
        let arguments = ["--config", settings.name(), "begin", "--key", "k"];
        daemon.told(&[&arguments[..], more].concat())
    };
    let wrong = told(&[]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("--timeout is out of range"), "{}", wrong.stderr);
    assert!(wrong.stderr.contains(&place(2)), "{}", wrong.stderr);
    let wrong = told(&["--timeout", "1s"]);
    assert!(wrong.stderr.contains("lease is"), "{}", wrong.stderr);
    assert!(wrong.stderr.contains(&place(4)), "{}", wrong.stderr);
    let wrong = told(&["--timeout", "1s", "--lease", "26h"]);
    assert!(wrong.stderr.contains("lease is"), "{}", wrong.stderr);
    assert!(!wrong.stderr.contains(settings.name()), "not the file's: {}", wrong.stderr);
}

#[test]
fn the_file_that_is_read_is_the_one_named_or_the_first_found() {
    let home = tempfile::tempdir().expect("a folder");
    let user = home.path().join("x/onceward/config.toml");
    std::fs::create_dir_all(user.parent().expect("a folder")).expect("ours");
    std::fs::write(&user, "log = \"debug\"\n").expect("ours");
    let ping = |named: Option<&str>| {
        let mut command = onceward();
        command.env_remove("ONCEWARD_CONFIG").env("XDG_CONFIG_HOME", home.path().join("x"));
        command.args(["ping", "--url", "mem://"]);
        if let Some(named) = named {
            command.args(["--config", named]);
        }
        Told::of(command.output().expect("starts"))
    };
    let found = ping(None);
    let name = user.to_str().expect("UTF-8");
    assert_eq!(found.code, 0);
    assert!(found.stderr.contains(&format!("settings of {name}")), "{}", found.stderr);
    assert_eq!(ping(Some("")).stderr, "", "an empty name: none");
    let other = Settings::new("log = \"trace\"\n");
    let named = ping(Some(other.name()));
    assert!(named.stderr.contains(&format!("settings of {}", other.name())), "{}", named.stderr);
    assert!(!named.stderr.contains(name), "one file alone: {}", named.stderr);

    let missing = other.folder.path().join("none.toml");
    let told = ping(missing.to_str());
    assert_eq!(told.code, 2);
    assert!(told.stderr.contains("none.toml cannot be read"), "{}", told.stderr);
    let folder = ping(other.folder.path().to_str());
    assert_eq!(folder.code, 2, "{}", folder.stderr);
}

#[test]
fn namespaces_have_settings_of_their_own_s11() {
    let settings = Settings::new("[namespaces.orders]\nentries-max = 1\nset-aside-bytes = \"0\"\n");
    let daemon = Daemon::start(&["--config", settings.name()]);
    let url = daemon.url().replace("/default", "/orders");
    let begin =
        |url: &str, key: &str| daemon.told(&["--url", url, "begin", "--key", key, "--json"]).json();
    assert_eq!(begin(&url, "first")["outcome"], "acquired");
    let second = begin(&url, "second");
    assert_eq!((&second["outcome"], &second["reason"]), (&"refused".into(), &"quota".into()));
    assert_eq!(begin(&daemon.url(), "second")["outcome"], "acquired", "the others have no quota");
}

#[test]
fn a_credential_comes_from_a_file_of_its_own() {
    use std::os::unix::fs::PermissionsExt as _;
    let daemon = Daemon::start(&[]);
    let secret = Settings::new("hunter2\n");
    let mode = |mode| {
        std::fs::set_permissions(&secret.path, std::fs::Permissions::from_mode(mode))
            .expect("ours");
    };
    let settings = Settings::new(&format!("credential-file = {:?}\n", secret.name()));
    let ping = ["--config", settings.name(), "ping", "--log", "trace"];
    mode(0o600);
    let told = daemon.told(&ping);
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert!(!told.stderr.contains("hunter2"), "S16");
    mode(0o644);
    let told = daemon.told(&ping);
    assert_eq!(told.code, 2);
    assert!(told.stderr.contains("chmod o-rw"), "{}", told.stderr);
    // The environment goes before the file, a flag before both.
    let set = |flags: &[&str]| {
        let mut command = daemon.command(&ping);
        command.args(flags).env("ONCEWARD_CREDENTIAL", "hunter3");
        Told::of(command.output().expect("starts")).code
    };
    assert_eq!(set(&[]), 0);
    assert_eq!(set(&["--credential-file", secret.name()]), 2);
}

#[test]
fn help_of_the_daemon_lists_nothing_of_a_client() {
    let serve = told(&["serve", "--help"]).stdout;
    let begin = told(&["begin", "--help"]).stdout;
    for option in ["--url", "--retries", "--timeout <", "--connect-timeout", "--credential-file"] {
        assert!(begin.contains(option), "{option}");
        assert!(!serve.contains(option), "{option}: {serve}");
    }
    for option in ["--config", "--json", "--log"] {
        assert!(serve.contains(option), "{option}");
    }
    assert!(told(&["demo", "--help"]).stdout.contains("--url"), "it can be pointed at a daemon");
}

#[test]
fn a_fingerprint_for_begin_spoils_no_other_command_s9() {
    let daemon = Daemon::start(&[]);
    let run = |fingerprint: &str, arguments: &[&str]| {
        let mut command = daemon.command(arguments);
        Told::of(command.env("ONCEWARD_FINGERPRINT", fingerprint).output().expect("starts"))
    };
    for (fingerprint, completed) in
        [("none", 0), ("later", 18), ("00112233445566778899aabbccddeeff", 0)]
    {
        let key = format!("key-{fingerprint}");
        let begun = run(fingerprint, &["begin", "--key", &key, "--json"]).json();
        let token = begun["token"].as_str().expect("a token");
        let renewed = run(fingerprint, &["renew", "--key", &key, "--token", token]);
        assert_eq!(renewed.code, 0, "{fingerprint}: {}", renewed.stderr);
        let done = run(fingerprint, &["complete", "--key", &key, "--token", token, "--no-keep"]);
        assert_eq!(done.code, completed, "{fingerprint}: {}{}", done.stdout, done.stderr);
    }
}

#[test]
fn the_demonstration_reads_no_settings() {
    let broken = Settings::new("broken");
    let arguments = ["--config", broken.name(), "demo", "--traffic", "/nowhere.jsonl", "--json"];
    let told = told(&arguments);
    let message = told.json()["error"]["message"].to_string();
    assert!(message.contains("/nowhere.jsonl"), "{message}");
    assert!(!message.contains(Path::new(broken.name()).to_str().expect("UTF-8")), "{message}");
}

#[test]
fn a_demonstration_without_its_daemon_may_be_repeated() {
    let told = told(&["demo", "--json", "--url", "onceward://127.0.0.1:1"]);
    let answer = told.json();
    assert_eq!((told.code, &answer["error"]["retryable"]), (20, &true.into()), "{answer}");
}
