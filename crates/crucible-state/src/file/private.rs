//! Opens folders that are their owner's alone.
//!
//! Invariant: a folder that is a link, somebody else's, or open to others, is never given out. What lies in it is the callers'.

use rustix::fs::{CWD, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What isn't the caller's alone.
pub(crate) fn refuse(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, message)
}

/// Opens the folder at a path.
///
/// # Errors
/// `NotFound` where there is none; `PermissionDenied` where it isn't the caller's alone.
pub(crate) fn open(path: &Path) -> io::Result<OwnedFd> {
    open_in(CWD, path)
}

/// Opens a folder in another one.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_in(folder: impl AsFd, name: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let folder = match openat(folder, name, FOLDER, Mode::empty()) {
        Ok(folder) => folder,
        Err(Errno::LOOP | Errno::NOTDIR) => return Err(refuse("the folder is a link, or no folder")),
        Err(error) => return Err(error.into()),
    };
    let stat = fstat(&folder)?;
    if stat.st_uid != geteuid().as_raw() {
        return Err(refuse("the folder belongs to somebody else"));
    }
    if stat.st_mode & 0o077 != 0 {
        return Err(refuse("others may enter the folder: chmod 700 closes it"));
    }
    Ok(folder)
}

/// Opens the folder at a path, making it first where there is none.
///
/// # Errors
/// As [`open`], or where it can't be made.
pub(crate) fn open_or_create(path: &Path) -> io::Result<OwnedFd> {
    match open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            open(path)
        }
        opened => opened,
    }
}
