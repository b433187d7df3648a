//! Files on this machine that daemons read: the agent, which every container has mounted read-only, and profiles of system calls.
//!
//! Invariant: a file is exactly what this program was built with, in a folder that only its owner can write to;
//! anything else is replaced, or refused where it is somebody else's. Its path tells nothing of a person's folders, because
//! a guest can read it among its mounts.

use crucible_core::{Error, ErrorKind, Result};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const OPERATION: &str = "put a file in place";

/// A file, made if it isn't there.
pub(super) fn in_place(name: &str, content: &[u8]) -> Result<PathBuf> {
    let user = rustix::process::geteuid();
    let folder = if user.is_root() {
        PathBuf::from("/var/cache/crucible")
    } else {
        // Not the folder for a session's own files, from which some machines let nothing be executed.
        PathBuf::from(format!("/var/tmp/crucible-{}", user.as_raw()))
    };
    let failed = |source: io::Error| {
        let message = format!("{name} can't be put into {}", folder.display());
        Error::new(ErrorKind::Unavailable, OPERATION, message).with_source(source)
    };
    own_folder(&folder, user.as_raw()).map_err(|source| {
        failed(source).with_hint("it has to be a folder of this user's own that nobody else may write to")
    })?;
    let file = folder.join(name);
    if !is_it(&file, content, user.as_raw()) {
        write(&folder, &file, content).map_err(failed)?;
    }
    Ok(file)
}

fn own_folder(folder: &Path, user: u32) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let seen = fs::symlink_metadata(folder)?;
    if seen.is_dir() && seen.uid() == user && seen.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "it isn't this user's own folder"))
}

fn is_it(file: &Path, agent: &[u8], user: u32) -> bool {
    let is_ours = fs::symlink_metadata(file)
        .is_ok_and(|seen| seen.is_file() && seen.uid() == user && seen.mode() & 0o7777 == 0o555);
    is_ours && fs::read(file).is_ok_and(|bytes| bytes == agent)
}

/// In one step, so that nobody ever sees a part of it; one that containers run stays theirs.
fn write(folder: &Path, file: &Path, agent: &[u8]) -> io::Result<()> {
    let draft = tempfile::Builder::new()
        .prefix(".draft-")
        .make_in(folder, |path| OpenOptions::new().write(true).create_new(true).mode(0o500).open(path))?;
    let (mut open, path) = draft.into_parts();
    open.write_all(agent)?;
    // Guests are other users, and execute it by its mount.
    open.set_permissions(fs::Permissions::from_mode(0o555))?;
    drop(open);
    path.persist(file).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_the_agent_is_replaced_and_a_folder_of_others_refused() {
        let above = tempfile::tempdir().unwrap();
        let user = rustix::process::geteuid().as_raw();
        let folder = above.path().join("own");
        own_folder(&folder, user).unwrap();
        let file = folder.join("agent");
        write(&folder, &file, b"agent").unwrap();
        assert!(is_it(&file, b"agent", user) && !is_it(&file, b"other", user));
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o555);
        write(&folder, &file, b"other").unwrap();
        assert!(is_it(&file, b"other", user));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(own_folder(&folder, user).is_err());
        std::os::unix::fs::symlink(above.path(), above.path().join("link")).unwrap();
        assert!(own_folder(&above.path().join("link"), user).is_err());
    }
}
