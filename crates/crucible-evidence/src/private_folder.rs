//! A folder that only its owner may enter, and whole files in it.
//!
//! Invariant: a folder or file that is a link, somebody else's, or open to others, is not used; a file is there whole and
//! on disk, or not at all; and nothing that is there is ever replaced.

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Stat, fstat, fsync, linkat, openat, renameat_with, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

static SERIAL: AtomicU64 = AtomicU64::new(0);

/// Who else may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Nobody.
    None,
    /// Anyone who gets there.
    Any,
}

/// Who wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// This call did.
    Now,
    /// It was there already.
    Before,
}

/// An open folder.
#[derive(Debug)]
pub(crate) struct PrivateFolder {
    folder: OwnedFd,
    path: PathBuf,
}

fn refuse(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, message)
}

fn is_ours(stat: &Stat) -> bool {
    stat.st_uid == geteuid().as_raw()
}

impl PrivateFolder {
    /// Opens the folder.
    ///
    /// # Errors
    /// `NotFound` where it isn't there; `PermissionDenied` where it isn't the caller's alone.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(CWD, path, flags, Mode::empty()).map_err(|error| match error {
            Errno::LOOP | Errno::NOTDIR => refuse(format!("{} is a link, or no folder", path.display())),
            error => error.into(),
        })?;
        let stat = fstat(&folder)?;
        if !is_ours(&stat) {
            return Err(refuse(format!("{} belongs to somebody else", path.display())));
        }
        if stat.st_mode & 0o077 != 0 {
            return Err(refuse(format!("others may enter {}: chmod 700 closes it", path.display())));
        }
        Ok(Self { folder, path: path.to_owned() })
    }

    /// Opens the folder, making it first where it isn't there.
    ///
    /// # Errors
    /// As [`PrivateFolder::open`], or where it can't be made.
    pub(crate) fn open_or_create(path: &Path) -> io::Result<Self> {
        match Self::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(path)?;
                Self::open(path)
            }
            opened => opened,
        }
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// `NotFound` where it isn't there; `PermissionDenied` where it isn't a file of the caller's that only the caller may
    /// write, and read where `readers` says so; `FileTooLarge` above `most` bytes.
    pub(crate) fn read(&self, name: &str, readers: Readers, most: usize) -> io::Result<Vec<u8>> {
        let shown = || self.path.join(name).display().to_string();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.folder, name, flags, Mode::empty()).map_err(|error| match error {
            Errno::LOOP => refuse(format!("{} is a link", shown())),
            error => error.into(),
        })?;
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(refuse(format!("{} is no file", shown())));
        }
        if !is_ours(&stat) {
            return Err(refuse(format!("{} belongs to somebody else", shown())));
        }
        match readers {
            Readers::None if stat.st_mode & 0o077 != 0 => {
                return Err(refuse(format!("others may read {}: it is no secret any more", shown())));
            }
            Readers::Any if stat.st_mode & 0o022 != 0 => {
                return Err(refuse(format!("others may write to {}", shown())));
            }
            Readers::None | Readers::Any => {}
        }
        let limit = u64::try_from(most).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        File::from(file).take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() > most {
            let message = format!("{} has more than {most} bytes", shown());
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        Ok(bytes)
    }

    /// Puts a file there that only its owner may read, in one step, unless one of that name is there.
    ///
    /// # Errors
    /// Where it can't be written; nothing is there then that wasn't before.
    pub(crate) fn publish(&self, name: &str, bytes: &[u8]) -> io::Result<Published> {
        let draft = format!(".draft-{}-{}", process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.folder, &draft, flags, Mode::RUSR | Mode::WUSR)?);
        let published = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| self.name(&draft, name));
        // After a rename there is none.
        let _ = unlinkat(&self.folder, &draft, AtFlags::empty());
        let published = published?;
        fsync(&self.folder)?;
        Ok(published)
    }

    fn name(&self, draft: &str, name: &str) -> io::Result<Published> {
        let named = match renameat_with(&self.folder, draft, &self.folder, name, RenameFlags::NOREPLACE) {
            // Not every file system knows how to; those mostly know links.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                linkat(&self.folder, draft, &self.folder, name, AtFlags::empty())
            }
            named => named,
        };
        match named {
            Ok(()) => Ok(Published::Now),
            Err(Errno::EXIST) => Ok(Published::Before),
            Err(error) => Err(error.into()),
        }
    }

    /// The names of what is in it, sorted, without hidden ones; the last `most` of them.
    ///
    /// # Errors
    /// Where it can't be read.
    pub(crate) fn names(&self, most: usize) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy();
            if !name.starts_with('.') {
                names.push(name.into_owned());
            }
        }
        names.sort_unstable();
        names.drain(..names.len().saturating_sub(most));
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn folder() -> (tempfile::TempDir, PrivateFolder) {
        let root = tempfile::tempdir().unwrap();
        let folder = PrivateFolder::open_or_create(&root.path().join("a/b")).unwrap();
        (root, folder)
    }

    fn refused<T: std::fmt::Debug>(result: io::Result<T>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        error.to_string()
    }

    #[test]
    fn a_folder_that_others_may_enter_or_that_is_a_link_is_refused() {
        let (root, folder) = folder();
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(folder.path(), Permissions::from_mode(0o750)).unwrap();
        assert!(refused(PrivateFolder::open(folder.path())).contains("others may enter"));
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        symlink(folder.path(), root.path().join("link")).unwrap();
        refused(PrivateFolder::open_or_create(&root.path().join("link")));
        fs::write(root.path().join("file"), "").unwrap();
        refused(PrivateFolder::open_or_create(&root.path().join("file")));
        let missing = PrivateFolder::open(&root.path().join("none")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_there_is_never_replaced_and_no_draft_stays() {
        let (_root, folder) = folder();
        assert_eq!(folder.publish("x", b"one").unwrap(), Published::Now);
        assert_eq!(folder.publish("x", b"two").unwrap(), Published::Before);
        assert_eq!(folder.read("x", Readers::None, 3).unwrap(), b"one");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(folder.read("x", Readers::None, 2).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_file_that_is_open_to_others_or_no_file_is_refused() {
        let (_root, folder) = folder();
        folder.publish("x", b"secret").unwrap();
        let open = |mode| fs::set_permissions(folder.path().join("x"), Permissions::from_mode(mode)).unwrap();
        open(0o640);
        assert!(refused(folder.read("x", Readers::None, 9)).contains("others may read"));
        folder.read("x", Readers::Any, 9).unwrap();
        open(0o620);
        assert!(refused(folder.read("x", Readers::Any, 9)).contains("others may write"));
        open(0o600);
        symlink("x", folder.path().join("link")).unwrap();
        assert!(refused(folder.read("link", Readers::Any, 9)).contains("is a link"));
        fs::create_dir(folder.path().join("folder")).unwrap();
        assert!(refused(folder.read("folder", Readers::Any, 9)).contains("is no file"));
    }

    #[test]
    fn the_last_names_are_given_without_hidden_ones() {
        let (_root, folder) = folder();
        for name in ["b", "a", ".c", "d"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(folder.names(2).unwrap(), ["b", "d"]);
        assert_eq!(folder.names(9).unwrap(), ["a", "b", "d"]);
    }
}
