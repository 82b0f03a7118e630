//! The file of a Unix socket: made for its owner alone, replaced when stale, removed at the end.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::error::ServeError;

/// Only the server's own user may connect: the file is all the authentication there is.
const MODE: u32 = 0o600;

/// The file of a bound socket, removed when dropped if it is still the same file.
#[derive(Debug)]
pub(crate) struct BoundPath {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Drop for BoundPath {
    fn drop(&mut self) {
        // Another server may have replaced the file meanwhile; that one is its own.
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens on `path`.
pub(crate) fn bind(path: &Path, backlog: u32) -> Result<(UnixListener, BoundPath), ServeError> {
    remove_stale(path)?;
    let failed = |why| ServeError::listen(path.display(), why);
    let listener = listen(path, backlog).map_err(failed)?;
    let found = fs::symlink_metadata(path).map_err(failed)?;
    let bound = BoundPath { path: path.to_owned(), device: found.dev(), inode: found.ino() };
    Ok((listener, bound))
}

/// Removes what a server that is gone left behind.
fn remove_stale(path: &Path) -> Result<(), ServeError> {
    let failed = |why| ServeError::listen(path.display(), why);
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(why) => return Err(failed(why)),
    };
    if !found.file_type().is_socket() {
        return Err(ServeError::NotASocket { path: path.to_owned() });
    }
    match connect(path) {
        Ok(_) => Err(ServeError::InUse { path: path.to_owned() }),
        // Nobody listens: the file outlived its server.
        Err(why) if why.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        // A full backlog, or no permission: somebody may be there.
        Err(_) => Err(ServeError::InUse { path: path.to_owned() }),
    }
}

/// Does not wait for a server whose backlog is full.
fn connect(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

fn listen(path: &Path, backlog: u32) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Set on the socket before it has a file, Linux makes the file with this mode: no moment
    // passes in which others may connect. Elsewhere the mode is set below.
    let file = File::from(OwnedFd::from(socket));
    let _ = file.set_permissions(Permissions::from_mode(MODE));
    let socket = Socket::from(OwnedFd::from(file));
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(UnixListener::from(OwnedFd::from(socket)))
}
