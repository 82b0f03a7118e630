//! What each server is told: the same words make its command line and the report.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use onceward_bench::load::Address;

use super::durability::Durability;
use super::program::Program;

/// Our daemon's own default of `--memory`, which it gets where that is enough.
const MEMORY_BYTES_DEFAULT: u64 = 1 << 30;
/// What one entry may take there beyond key text and value, generously.
const ENTRY_BYTES: u64 = 160;
/// Entries for which our daemon's index is large enough by default, with room to spare.
const ENTRIES_BY_DEFAULT: u64 = MEMORY_BYTES_DEFAULT / 384 / 2;
/// Far more than any run stores: memcached must not evict, or a key would run twice.
const MEMCACHED_MEGABYTES: u64 = 16_384;
const CONNECTIONS_MAX: u64 = 4_096;

/// What a run needs of a server.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// Threads that serve.
    pub threads: usize,
    /// Keys that it will hold at once.
    pub entries: u64,
    /// Bytes of a key and its value.
    pub entry_bytes: u64,
    /// Whether our index is to be sized for exactly these entries, for bytes per entry.
    pub exact: bool,
    /// What is to outlive the machine's end.
    pub durability: Durability,
}

/// One server's command line.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program and its arguments.
    pub words: Vec<OsString>,
    /// What of it the report states.
    pub stated: BTreeMap<String, String>,
}

impl Settings {
    /// What `program`, whose binary is `path`, is started with. `folder` is its own.
    #[must_use]
    pub fn of(
        program: Program,
        path: PathBuf,
        address: &Address,
        folder: &Path,
        needs: &Needs,
    ) -> Self {
        let mut settings = Self { words: vec![path.into()], stated: BTreeMap::new() };
        match program {
            Program::Echo => settings.echo(address),
            Program::Onceward => settings.onceward(address, folder, needs),
            Program::Redis | Program::Valkey => settings.redis(address, folder, needs),
            Program::Memcached => settings.memcached(address, needs),
        }
        settings
    }

    fn add(&mut self, words: &[&str]) {
        self.words.extend(words.iter().map(OsString::from));
    }

    fn state(&mut self, option: &str, value: impl ToString) {
        let value = value.to_string();
        self.add(&[option, &value]);
        let told = if value.is_empty() { "\"\"".to_owned() } else { value };
        self.stated.insert(option.trim_start_matches('-').to_owned(), told);
    }

    fn echo(&mut self, address: &Address) {
        self.add(&["echo"]);
        match address {
            Address::Tcp(address) => self.add(&["--listen", address]),
            Address::Unix(path) => self.words.extend(["--unix".into(), path.into()]),
        }
        self.stated.insert("threads".to_owned(), "1".to_owned());
    }

    fn onceward(&mut self, address: &Address, folder: &Path, needs: &Needs) {
        self.add(&["serve", "--config", ""]);
        match address {
            Address::Tcp(address) => self.add(&["--listen", address]),
            Address::Unix(path) => self.words.extend(["--unix".into(), path.into()]),
        }
        self.state("--threads", needs.threads);
        let memory = needs.entries * (needs.entry_bytes + ENTRY_BYTES) * 5 / 4;
        if needs.exact || memory > MEMORY_BYTES_DEFAULT || needs.entries > ENTRIES_BY_DEFAULT {
            self.state("--memory", memory.max(MEMORY_BYTES_DEFAULT));
            self.state("--max-entries", needs.entries);
        } else {
            self.state("--memory", MEMORY_BYTES_DEFAULT);
        }
        let level = match needs.durability {
            Durability::Memory => return,
            Durability::Interval => "interval",
            Durability::Always => "always",
        };
        self.words.extend(["--data-dir".into(), folder.join("data").into()]);
        self.state("--durability", level);
        if needs.durability == Durability::Interval {
            self.state("--interval", "1s");
        }
    }

    fn redis(&mut self, address: &Address, folder: &Path, needs: &Needs) {
        match address {
            Address::Tcp(address) => {
                let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
                self.add(&["--bind", host, "--port", port]);
            }
            Address::Unix(path) => {
                self.add(&["--port", "0", "--unixsocketperm", "700"]);
                self.words.extend(["--unixsocket".into(), path.into()]);
            }
        }
        self.words.extend(["--dir".into(), folder.into()]);
        self.add(&["--daemonize", "no", "--loglevel", "warning"]);
        self.state("--save", "");
        let fsync = match needs.durability {
            Durability::Memory => None,
            Durability::Interval => Some("everysec"),
            Durability::Always => Some("always"),
        };
        self.state("--appendonly", if fsync.is_some() { "yes" } else { "no" });
        if let Some(fsync) = fsync {
            self.state("--appendfsync", fsync);
            // A rewrite in the middle of a run would be measured with it.
            self.state("--auto-aof-rewrite-percentage", 0);
        }
        self.state("--io-threads", needs.threads);
        self.state("--maxmemory", 0);
        self.state("--maxclients", CONNECTIONS_MAX);
    }

    fn memcached(&mut self, address: &Address, needs: &Needs) {
        match address {
            Address::Tcp(address) => {
                let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
                self.add(&["-l", host, "-p", port, "-U", "0"]);
            }
            Address::Unix(path) => self.words.extend(["-s".into(), path.into()]),
        }
        // It refuses to run as root unless told to.
        if nix::unistd::geteuid().is_root() {
            self.add(&["-u", "root"]);
        }
        self.state("-t", needs.threads);
        self.state("-m", MEMCACHED_MEGABYTES);
        self.state("-c", CONNECTIONS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(program: Program, address: &Address, needs: &Needs) -> String {
        let settings =
            Settings::of(program, "/bin/server".into(), address, Path::new("/folder"), needs);
        let words: Vec<_> = settings.words.iter().map(|word| word.to_str().unwrap()).collect();
        words.join(" ")
    }

    #[test]
    fn nothing_is_evicted_and_what_persists_is_stated() {
        let durability = Durability::Memory;
        let needs =
            Needs { threads: 2, entries: 100_000, entry_bytes: 548, exact: false, durability };
        let tcp = Address::Tcp("127.0.0.1:7001".to_owned());
        let unix = Address::Unix("/folder/socket".into());
        for (program, address, want) in [
            (Program::Echo, &tcp, "echo --listen 127.0.0.1:7001"),
            (Program::Echo, &unix, "echo --unix /folder/socket"),
            (
                Program::Onceward,
                &tcp,
                "serve --config  --listen 127.0.0.1:7001 --threads 2 --memory 1073741824",
            ),
            (
                Program::Redis,
                &tcp,
                "--bind 127.0.0.1 --port 7001 --dir /folder --daemonize no --loglevel warning --save  --appendonly no --io-threads 2 --maxmemory 0 --maxclients 4096",
            ),
        ] {
            assert_eq!(line(program, address, &needs), format!("/bin/server {want}"));
        }
        let valkey = line(Program::Valkey, &unix, &needs);
        assert!(valkey.contains("--port 0") && valkey.contains("--unixsocket /folder/socket"));
        let memcached = line(Program::Memcached, &tcp, &needs);
        assert!(memcached.contains("-l 127.0.0.1 -p 7001 -U 0"), "{memcached}");
        assert!(memcached.ends_with("-t 2 -m 16384 -c 4096"), "{memcached}");
        let interval = Needs { durability: Durability::Interval, ..needs };
        let onceward = line(Program::Onceward, &tcp, &interval);
        assert!(
            onceward.ends_with("--data-dir /folder/data --durability interval --interval 1s"),
            "{onceward}"
        );
        let redis = line(Program::Redis, &tcp, &interval);
        assert!(redis.contains("--appendonly yes --appendfsync everysec"), "{redis}");
        let always = Needs { durability: Durability::Always, ..needs };
        assert!(line(Program::Onceward, &tcp, &always).ends_with("--durability always"));
        assert!(line(Program::Valkey, &tcp, &always).contains("--appendfsync always"));
        let many = Needs { entries: 5_000_000, ..needs };
        let onceward = line(Program::Onceward, &tcp, &many);
        assert!(onceward.ends_with("--memory 4425000000 --max-entries 5000000"), "{onceward}");
    }
}
