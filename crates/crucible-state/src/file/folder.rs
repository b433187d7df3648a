//! A folder that only its owner may enter, with files that several processes add to and replace.
//!
//! Invariant: a folder or file that is a link, somebody else's, or open to others, is not used. Whoever changes something
//! holds the folder's lock, which ends with its holder; a file is replaced in one step or not at all.

use super::private::{self, refuse};
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, flock, fstat, openat, renameat, unlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// The file that is locked. It stays, so that all lock the same one.
const LOCK: &str = ".lock";
/// What a file is written as before it replaces another. Only whoever holds the lock writes it.
const DRAFT: &str = ".draft";
/// How long another process may hold the lock.
const PATIENCE: Duration = Duration::from_millis(1500);
const BETWEEN_TRIES: Duration = Duration::from_millis(2);

/// An open folder.
#[derive(Debug)]
pub(super) struct OwnedFolder {
    folder: OwnedFd,
}

/// The folder's lock, for as long as it lives.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "the lock ends when it is closed")] File);

/// Whom a lock keeps out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Those who write.
    ToRead,
    /// Everybody.
    ToWrite,
}

impl OwnedFolder {
    /// Opens the folder; `None` where there is none.
    ///
    /// # Errors
    /// `PermissionDenied` where it isn't the caller's alone.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        match private::open(path) {
            Ok(folder) => Ok(Some(Self { folder })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens the folder, making it first where there is none.
    ///
    /// # Errors
    /// As [`OwnedFolder::open`], or where it can't be made.
    pub(super) fn open_or_create(path: &Path) -> io::Result<Self> {
        private::open_or_create(path).map(|folder| Self { folder })
    }

    /// Waits for the lock, for a while.
    ///
    /// # Errors
    /// `TimedOut` where another process held it all the time.
    pub(super) fn lock(&self, hold: Hold) -> io::Result<Lock> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat(&self.folder, LOCK, flags, Mode::RUSR | Mode::WUSR)?);
        let operation = match hold {
            Hold::ToRead => FlockOperation::NonBlockingLockShared,
            Hold::ToWrite => FlockOperation::NonBlockingLockExclusive,
        };
        let end = Instant::now() + PATIENCE;
        loop {
            match flock(&file, operation) {
                Ok(()) => return Ok(Lock(file)),
                Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < end => thread::sleep(BETWEEN_TRIES),
                Err(Errno::WOULDBLOCK | Errno::INTR) => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "another process holds its lock"));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The last bytes of a file, at most so many; `None` where there is none of that name.
    ///
    /// # Errors
    /// `PermissionDenied` where it isn't a file that only its owner may write.
    pub(super) fn tail(&self, name: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(mut file) = self.existing(name, OFlags::RDONLY)? else { return Ok(None) };
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(most)))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Adds a line to a file, which is made where there is none, and says how large it is then. A line before it that was
    /// never finished stays one of its own. The lock must be held.
    ///
    /// # Errors
    /// As [`OwnedFolder::tail`], or where it can't be written.
    pub(super) fn append(&self, _lock: &Lock, name: &str, line: &str) -> io::Result<u64> {
        let mut file = match self.existing(name, OFlags::RDWR | OFlags::APPEND)? {
            Some(file) => file,
            None => self.create(name, OFlags::APPEND | OFlags::EXCL)?,
        };
        let size = file.metadata()?.len();
        let mut text = String::with_capacity(line.len() + 2);
        if size > 0 {
            let mut last = [0];
            file.seek(SeekFrom::Start(size - 1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                text.push('\n');
            }
        }
        text.push_str(line);
        text.push('\n');
        file.write_all(text.as_bytes())?;
        Ok(file.metadata()?.len())
    }

    /// Puts a file in the place of the one of that name, in one step. The lock must be held.
    ///
    /// # Errors
    /// Where it can't be written; the old one is there then as it was.
    pub(super) fn replace(&self, _lock: &Lock, name: &str, bytes: &[u8]) -> io::Result<()> {
        match unlinkat(&self.folder, DRAFT, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let mut draft = self.create(DRAFT, OFlags::EXCL)?;
        draft.write_all(bytes)?;
        draft.sync_all()?;
        Ok(renameat(&self.folder, DRAFT, &self.folder, name)?)
    }

    /// Removes a file, if there is one. The lock must be held.
    ///
    /// # Errors
    /// Where it can't be removed.
    pub(super) fn remove(&self, _lock: &Lock, name: &str) -> io::Result<()> {
        match unlinkat(&self.folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The names that end so, sorted; at most so many, whichever come first.
    ///
    /// # Errors
    /// Where it can't be read.
    pub(super) fn names(&self, ending: &str, most: usize) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            let entry = entry?;
            let fitting =
                entry.file_name().to_str().ok().filter(|name| name.ends_with(ending) && !name.starts_with('.'));
            if let Some(name) = fitting {
                names.push(name.to_owned());
            }
            if names.len() >= most {
                break;
            }
        }
        names.sort();
        Ok(names)
    }

    fn existing(&self, name: &str, flags: OFlags) -> io::Result<Option<File>> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.folder, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(refuse("a file in the folder is a link")),
            Err(error) => return Err(error.into()),
        };
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(refuse("something in the folder is no file"));
        }
        if stat.st_uid != geteuid().as_raw() || stat.st_mode & 0o022 != 0 {
            return Err(refuse("others may write to a file in the folder"));
        }
        Ok(Some(File::from(file)))
    }

    fn create(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(openat(&self.folder, name, flags, Mode::RUSR | Mode::WUSR)?))
    }
}
