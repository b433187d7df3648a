//! The folder of all held evaluations, and the folder of each in it.
//!
//! Invariant: a folder or file that is a link, somebody else's, or open to others, is not used. An evaluation's folder
//! appears whole, by being renamed; files in it are only ever added, each whole and once; it goes by being renamed again.
//! Names that begin with a dot are drafts and leftovers, and mean nothing.

use crate::file::private::{self, refuse};
use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, RenameFlags, flock, fstat, fsync, linkat, mkdirat, openat,
    renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// What the names of drafts begin with.
const DRAFT: &str = ".draft-";
/// What the names of folders begin with that are being removed.
const REMOVED: &str = ".removed-";
/// From this age on, in seconds, a draft has no maker any more.
const STALE: i64 = 3600;

/// An open folder that is its owner's alone.
#[derive(Debug)]
pub(super) struct Folder {
    folder: OwnedFd,
}

/// Whether a file of that name was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    Now,
    Before,
}

fn unused(prefix: &str) -> String {
    format!("{prefix}{}", Uuid::now_v7())
}

impl Folder {
    /// Opens the folder at a path.
    ///
    /// # Errors
    /// `NotFound` where there is none; `PermissionDenied` where it isn't the caller's alone.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        private::open(path).map(|folder| Self { folder })
    }

    /// Opens the folder at a path, making it first where there is none.
    ///
    /// # Errors
    /// As [`Folder::open`], or where it can't be made.
    pub(super) fn open_or_create(path: &Path) -> io::Result<Self> {
        private::open_or_create(path).map(|folder| Self { folder })
    }

    /// Opens a folder in this one.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub(super) fn inner(&self, name: &str) -> io::Result<Self> {
        private::open_in(&self.folder, name).map(|folder| Self { folder })
    }

    /// Puts a folder with these files there, in one step.
    ///
    /// # Errors
    /// `AlreadyExists` where one of that name is there; else where it can't be written. Nothing is there then.
    pub(super) fn publish(&self, name: &str, files: &[(&str, &[u8])]) -> io::Result<()> {
        self.sweep();
        let draft = unused(DRAFT);
        mkdirat(&self.folder, &draft, Mode::RWXU)?;
        let written = self.inner(&draft).and_then(|inner| {
            for (file, bytes) in files {
                inner.write(file, bytes)?;
            }
            fsync(&inner.folder)?;
            // One that is there has files in it, so that it can't be replaced.
            renameat(&self.folder, &draft, &self.folder, name).map_err(|error| match error {
                Errno::NOTEMPTY | Errno::EXIST => io::ErrorKind::AlreadyExists.into(),
                error => io::Error::from(error),
            })
        });
        if written.is_err() {
            self.clear(&draft);
        }
        written?;
        Ok(fsync(&self.folder)?)
    }

    /// Adds a file in one step, unless one of that name is there.
    ///
    /// # Errors
    /// Where it can't be written; nothing is there then that wasn't before.
    pub(super) fn add(&self, name: &str, bytes: &[u8]) -> io::Result<Added> {
        let draft = unused(DRAFT);
        let added = self.write(&draft, bytes).and_then(|()| {
            let named = match renameat_with(&self.folder, &draft, &self.folder, name, RenameFlags::NOREPLACE) {
                // Not every file system knows how to; those mostly know links.
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                    linkat(&self.folder, &draft, &self.folder, name, AtFlags::empty())
                }
                named => named,
            };
            match named {
                Ok(()) => Ok(Added::Now),
                Err(Errno::EXIST) => Ok(Added::Before),
                Err(error) => Err(error.into()),
            }
        });
        // After a rename there is none.
        let _ = unlinkat(&self.folder, &draft, AtFlags::empty());
        let added = added?;
        fsync(&self.folder)?;
        Ok(added)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.folder, name, flags, Mode::RUSR | Mode::WUSR)?);
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// `NotFound` where there is none; `PermissionDenied` where it isn't a file that only its owner may read and write;
    /// `FileTooLarge` above `most` bytes.
    pub(super) fn read(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.folder, name, flags, Mode::empty()).map_err(|error| match error {
            Errno::LOOP => refuse("it is a link"),
            error => error.into(),
        })?;
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(refuse("it is no file"));
        }
        if stat.st_uid != geteuid().as_raw() || stat.st_mode & 0o077 != 0 {
            return Err(refuse("others may read or write it"));
        }
        let mut bytes = Vec::new();
        File::from(file).take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {most} bytes")));
        }
        Ok(bytes)
    }

    /// Whether something of that name is there.
    ///
    /// # Errors
    /// Where that can't be looked up.
    pub(super) fn has(&self, name: &str) -> io::Result<bool> {
        match statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the folder for as long as it stays open; `false` where another process or thread has taken it.
    ///
    /// # Errors
    /// Where the file system has no locks.
    pub(super) fn take(&self) -> io::Result<bool> {
        match flock(&self.folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the folder of that name, with the files in it. From the first moment on it isn't there any more.
    ///
    /// # Errors
    /// `NotFound` where there is none, or where it can't be renamed.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        let removed = unused(REMOVED);
        renameat(&self.folder, name, &self.folder, &removed)?;
        fsync(&self.folder)?;
        // What stays is swept away later.
        self.clear(&removed);
        Ok(())
    }

    /// The names in it, sorted, without hidden ones.
    ///
    /// # Errors
    /// Where it can't be read.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let mut names: Vec<_> = self.entries()?.into_iter().filter(|name| !name.starts_with('.')).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn entries(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Clears away what was left by those who were killed.
    fn sweep(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        for name in self.entries().unwrap_or_default() {
            let is_left = name.starts_with(REMOVED) || name.starts_with(DRAFT);
            let age = || statat(&self.folder, &name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| now - stat.st_mtime);
            if is_left && age().is_ok_and(|age| age > STALE) {
                self.clear(&name);
            }
        }
    }

    /// Removes a folder of ours with its files. What can't be removed is in nobody's way.
    fn clear(&self, name: &str) {
        if let Ok(inner) = self.inner(name) {
            for file in inner.entries().unwrap_or_default() {
                let _ = unlinkat(&inner.folder, &file, AtFlags::empty());
            }
        }
        let _ = unlinkat(&self.folder, name, AtFlags::REMOVEDIR);
    }
}
