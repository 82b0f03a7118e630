//! A disk of its own for one daemon: a file system in a file, mounted by a loop device, whose power
//! can be cut. Unmounted, detached and removed when it is let go of, also when the rig fails.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// From a process's death until the kernel has let go of its files.
const UNMOUNTED_WITHIN: Duration = Duration::from_secs(5);

/// What is in the image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FileSystem {
    /// The fourth extended file system.
    Ext4,
    /// XFS.
    Xfs,
}

impl FileSystem {
    /// The word used in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    const fn maker(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Ext4 => ("mkfs.ext4", &["-q", "-F"]),
            Self::Xfs => ("mkfs.xfs", &["-q", "-f"]),
        }
    }
}

/// Commands that images need.
pub const TOOLS: &[&str] = &["losetup", "mount", "umount", "mkfs.ext4", "mkfs.xfs", "xfs_io"];

/// A file system that is mounted.
#[derive(Debug)]
pub struct Image {
    file: PathBuf,
    device: String,
    mount_point: PathBuf,
    mounted: bool,
}

impl Image {
    /// Makes and mounts one of that size below `folder`. The file is sparse.
    ///
    /// # Errors
    /// What went wrong, and with which command.
    pub fn new(folder: &Path, file_system: FileSystem, bytes: u64) -> Result<Self, String> {
        let (file, mount_point) = (folder.join("image"), folder.join("disk"));
        let made = File::create(&file).and_then(|image| image.set_len(bytes));
        made.map_err(|error| format!("{}: {error}", file.display()))?;
        std::fs::create_dir_all(&mount_point)
            .map_err(|error| format!("{}: {error}", mount_point.display()))?;
        let (maker, options) = file_system.maker();
        let mut words: Vec<&OsStr> = options.iter().map(OsStr::new).collect();
        words.push(file.as_os_str());
        run(maker, &words)?;
        let device = run("losetup", &["--find".as_ref(), "--show".as_ref(), file.as_os_str()])?;
        let mut image = Self { file, device, mount_point, mounted: false };
        image.mount(false)?;
        Ok(image)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mount_point
    }

    /// From now on nothing more reaches the disk; what was not synced is lost at the next mount.
    /// Whoever has files open gets errors.
    ///
    /// # Errors
    /// What went wrong, and with which command.
    pub fn cut_power(&self) -> Result<(), String> {
        // The ioctl 0x8004587d with flag 2, no flush of the log; it takes any of the file systems.
        let words =
            ["-x".as_ref(), "-c".as_ref(), "shutdown".as_ref(), self.mount_point.as_os_str()];
        run("xfs_io", &words).map(|_| ())
    }

    /// Writes some pages of a file back, as the kernel may at any time and in any order, and commits
    /// them: `from` and `bytes` in whole pages.
    ///
    /// # Errors
    /// What went wrong, and with which command.
    pub fn write_back(&self, file: &Path, from: u64, bytes: u64) -> Result<(), String> {
        let range = format!("sync_range -b -w -a {from} {bytes}");
        run("xfs_io", &["-c".as_ref(), range.as_ref(), file.as_os_str()])?;
        // What was laid out in advance becomes readable with the next commit, whoever asks for it.
        let witness = File::create(self.mount_point.join("commit"));
        let committed = witness.and_then(|file| file.sync_all());
        committed.map_err(|error| format!("{}: {error}", self.mount_point.display()))
    }

    /// Mounts it again, as after a reboot. Nobody may have files open.
    ///
    /// # Errors
    /// What went wrong, and with which command.
    pub fn remount(&mut self) -> Result<(), String> {
        self.unmount()?;
        self.mount(false)
    }

    /// Mounts it for reading only.
    ///
    /// # Errors
    /// What went wrong, and with which command.
    pub fn remount_read_only(&mut self) -> Result<(), String> {
        self.unmount()?;
        self.mount(true)
    }

    /// Makes it read-only under those who have files open, as the kernel does after an error.
    ///
    /// # Errors
    /// What went wrong, and with which command.
    pub fn abort(&self) -> Result<(), String> {
        let words = ["-o".as_ref(), "remount,abort".as_ref(), self.mount_point.as_os_str()];
        run("mount", &words).map(|_| ())
    }

    fn mount(&mut self, read_only: bool) -> Result<(), String> {
        let options = if read_only { "ro" } else { "rw" };
        let words =
            ["-o".as_ref(), options.as_ref(), self.device.as_ref(), self.mount_point.as_os_str()];
        run("mount", &words)?;
        self.mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<(), String> {
        let since = Instant::now();
        while self.mounted {
            match run("umount", &[self.mount_point.as_os_str()]) {
                Ok(_) => self.mounted = false,
                Err(error) if since.elapsed() > UNMOUNTED_WITHIN => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        Ok(())
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if let Err(error) = self.unmount() {
            eprintln!("{error}; unmounting it lazily");
            let _ = run("umount", &["-l".as_ref(), self.mount_point.as_os_str()]);
        }
        if let Err(error) = run("losetup", &["--detach".as_ref(), self.device.as_ref()]) {
            eprintln!("{error}");
        }
        let _ = std::fs::remove_file(&self.file);
    }
}

/// Runs a command to its end; what it printed.
fn run(command: &str, words: &[&OsStr]) -> Result<String, String> {
    let spelt = || {
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        format!("{command} {}", words.join(" "))
    };
    let output = Command::new(command).args(words).output();
    let output = output.map_err(|error| format!("{}: {error}", spelt()))?;
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    // `xfs_io` ends with 0 even when a command of its own has failed.
    if output.status.success() && complaint.is_empty() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(format!("{}: {complaint} ({})", spelt(), output.status))
    }
}
