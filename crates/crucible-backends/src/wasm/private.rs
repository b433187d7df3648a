//! Folders and files that are their owner's alone.
//!
//! Invariant: what is a link, somebody else's, or writable by others is never given out. What lies in a folder is the callers'.

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, openat, renameat, unlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

static SERIAL: AtomicU64 = AtomicU64::new(0);

/// An open folder that nobody else may enter.
#[derive(Debug)]
pub(super) struct PrivateFolder {
    folder: OwnedFd,
    path: PathBuf,
}

fn refuse(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, message)
}

impl PrivateFolder {
    /// Opens the folder.
    ///
    /// # Errors
    /// `NotFound` where there is none; `PermissionDenied` where it isn't the caller's alone.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = match openat(CWD, path, flags, Mode::empty()) {
            Err(Errno::LOOP | Errno::NOTDIR) => return Err(refuse("the folder is a link, or no folder")),
            opened => opened?,
        };
        let stat = fstat(&folder)?;
        if stat.st_uid != geteuid().as_raw() {
            return Err(refuse("the folder belongs to somebody else"));
        }
        if stat.st_mode & 0o077 != 0 {
            return Err(refuse("others may enter the folder: chmod 700 closes it"));
        }
        Ok(Self { folder, path: path.to_owned() })
    }

    /// Opens the folder, making it first where there is none.
    ///
    /// # Errors
    /// As [`PrivateFolder::open`], or where it can't be made.
    pub(super) fn open_or_create(path: &Path) -> io::Result<Self> {
        match Self::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(path)?;
                Self::open(path)
            }
            opened => opened,
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The names in it that are UTF-8, sorted.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    }

    /// Opens a file in it for reading.
    ///
    /// # Errors
    /// `PermissionDenied` for what is no ordinary file of the caller's alone to write.
    pub(super) fn read(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.folder, name, flags, Mode::empty()) {
            Err(Errno::LOOP) => return Err(refuse("the file is a link")),
            opened => opened?,
        };
        check_file(&fstat(&file)?)?;
        Ok(file.into())
    }

    /// Writes a file whole, in one step, in the place of one that may be there.
    ///
    /// # Errors
    /// Where it can't be written; nothing of it is then left.
    pub(super) fn write(&self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let draft = format!(".draft-{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let written = openat(&self.folder, &draft, flags, Mode::from_raw_mode(0o600)).map_err(io::Error::from);
        let written = written.map(File::from).and_then(|mut file| {
            file.write_all(content)?;
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
            file.sync_all()?;
            Ok(renameat(&self.folder, &draft, &self.folder, name)?)
        });
        if written.is_err() {
            let _removed = unlinkat(&self.folder, &draft, AtFlags::empty());
        }
        written
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(self.folder.as_fd(), name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn check_file(stat: &Stat) -> io::Result<()> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(refuse("it isn't an ordinary file"));
    }
    if stat.st_uid != geteuid().as_raw() {
        return Err(refuse("the file belongs to somebody else"));
    }
    if stat.st_mode & 0o022 != 0 || stat.st_nlink != 1 {
        return Err(refuse("others may write to the file"));
    }
    Ok(())
}
