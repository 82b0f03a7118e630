//! How much memory to use unless told: 1 GiB, or half of what the control group allows if that is
//! less (S20).

use std::fs;
use std::path::{Path, PathBuf};

const DEFAULT_BYTES: u64 = 1024 * 1024 * 1024;

/// The default of `--memory`, in bytes.
pub(crate) fn default_bytes() -> u64 {
    group_limit_bytes().map_or(DEFAULT_BYTES, |limit| DEFAULT_BYTES.min(limit / 2))
}

/// What the control group allows this process, in bytes.
pub(crate) fn group_limit_bytes() -> Option<u64> {
    limit_bytes(Path::new("/"))
}

/// The tightest limit on this process's group or on a group above it; `None` without any.
/// `root` stands before `proc` and `sys`.
fn limit_bytes(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mounted = root.join("sys/fs/cgroup");
    let limits = groups.lines().filter_map(|line| {
        // Version 2: `0::/path`. Version 1: `4:memory:/path`, other controllers on other lines.
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let path = path.trim_start_matches('/');
        if controllers.is_empty() {
            return tightest(&mounted, path, "memory.max");
        }
        let memory = controllers.split(',').any(|controller| controller == "memory");
        let folder = mounted.join("memory");
        memory.then(|| tightest(&folder, path, "memory.limit_in_bytes")).flatten()
    });
    limits.min()
}

/// The least number in `file` of the group at `path` and of every group above it. A group that
/// cannot be seen, as from within a container, is passed over.
fn tightest(mounted: &Path, path: &str, file: &str) -> Option<u64> {
    let mut folder = mounted.to_owned();
    // `..` leads out of what is mounted here; the group's own view starts at the top then.
    let parts = path.split('/').filter(|part| !part.is_empty() && *part != "..");
    let mut folders: Vec<PathBuf> = vec![folder.clone()];
    for part in parts {
        folder.push(part);
        folders.push(folder.clone());
    }
    // `max` is no number, and so no limit.
    let read = |folder: &PathBuf| fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok();
    folders.iter().filter_map(read).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of a machine: path below the root, content.
    type Machine<'a> = &'a [(&'a str, &'a str)];

    #[test]
    fn the_tightest_limit_counts() {
        let cases: [(&str, Machine, Option<u64>); 9] = [
            ("no groups at all", &[], None),
            (
                "version 2, no limit",
                &[("proc/self/cgroup", "0::/a\n"), ("sys/fs/cgroup/a/memory.max", "max\n")],
                None,
            ),
            (
                "version 2",
                &[("proc/self/cgroup", "0::/a/b\n"), ("sys/fs/cgroup/a/b/memory.max", "4096\n")],
                Some(4_096),
            ),
            (
                "the one above is tighter",
                &[
                    ("proc/self/cgroup", "0::/a/b\n"),
                    ("sys/fs/cgroup/a/memory.max", "1024\n"),
                    ("sys/fs/cgroup/a/b/memory.max", "4096\n"),
                ],
                Some(1_024),
            ),
            (
                "in a container the top is its own group",
                &[("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "512\n")],
                Some(512),
            ),
            (
                "a host's path within a container",
                &[("proc/self/cgroup", "0::/../../x\n"), ("sys/fs/cgroup/memory.max", "512\n")],
                Some(512),
            ),
            (
                "version 1",
                &[
                    ("proc/self/cgroup", "5:cpu,cpuacct:/c\n4:memory:/m\n"),
                    ("sys/fs/cgroup/memory/m/memory.limit_in_bytes", "2048\n"),
                ],
                Some(2_048),
            ),
            (
                "version 1, another controller's path",
                &[
                    ("proc/self/cgroup", "5:cpu:/c\n"),
                    ("sys/fs/cgroup/memory/c/memory.limit_in_bytes", "2048\n"),
                ],
                None,
            ),
            (
                "nonsense",
                &[("proc/self/cgroup", "x\n0::/a"), ("sys/fs/cgroup/a/memory.max", "-1")],
                None,
            ),
        ];
        for (why, files, want) in cases {
            let root = tempfile::tempdir().unwrap();
            for (path, content) in files {
                let path = root.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            assert_eq!(limit_bytes(root.path()), want, "{why}");
        }
    }

    #[test]
    fn the_default_is_at_most_1_gib_s20() {
        assert!(default_bytes() <= DEFAULT_BYTES);
    }
}
