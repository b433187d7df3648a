//! Files that a sandbox gave, written below one folder of this machine.
//!
//! Invariant: nothing is written outside of that folder, no link on the way is followed, and no file that was there is
//! touched unless the person said so. The names were chosen by a hostile program.

use crate::arguments::Existing;
use crucible_core::{CollectedFile, Error, ErrorKind, GuestPath, Result};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A folder that takes what a sandbox gave.
pub(crate) struct Destination {
    shown: PathBuf,
    folder: OwnedFd,
    existing: Existing,
    hidden: Hidden,
}

/// What happens to files whose names begin with a dot and that nobody asked for by name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Hidden {
    /// They are written: the person chose the folder.
    Written,
    /// They are refused, unless one of these was asked for and covers them: the folder is the current one, where such
    /// a file may configure a shell, an editor or a version control.
    Refused(Vec<GuestPath>),
}

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC).union(OFlags::RDONLY);

impl Destination {
    /// Opens the folder, made if it isn't there; without a name, it is the current one. Done before the program runs, so
    /// that what can be known to fail fails early.
    ///
    /// # Errors
    /// `Io` where there can't be such a folder; `InvalidInput` for a file that is there already.
    pub(crate) fn open(folder: Option<&Path>, existing: Existing, collect: &[GuestPath]) -> Result<Self> {
        let shown = folder.unwrap_or(Path::new(".")).to_owned();
        let fail = |error: std::io::Error| {
            let message = format!("can't use the folder '{}' for what is brought out", shown.display());
            Error::new(ErrorKind::Io, "open the destination", message).with_source(error)
        };
        std::fs::create_dir_all(&shown).map_err(fail)?;
        let opened = rustix::fs::openat(CWD, &shown, FOLDER, Mode::empty()).map_err(|error| fail(error.into()))?;
        let hidden = if folder.is_some() { Hidden::Written } else { Hidden::Refused(collect.to_vec()) };
        let destination = Self { shown, folder: opened, existing, hidden };
        if existing == Existing::Refused {
            for path in collect {
                destination.check_absent(path)?;
            }
        }
        Ok(destination)
    }

    /// Refuses a path at which anything but a folder is already.
    fn check_absent(&self, path: &GuestPath) -> Result<()> {
        let status = rustix::fs::statat(&self.folder, relative(path), AtFlags::SYMLINK_NOFOLLOW);
        match status {
            Ok(status) if !rustix::fs::FileType::from_raw_mode(status.st_mode).is_dir() => Err(self.is_there(path)),
            _ => Ok(()),
        }
    }

    /// Writes one file.
    ///
    /// # Errors
    /// `InvalidInput` for a file that is there already; `Refused` for a name that isn't wanted; `Io`.
    pub(crate) fn write(&self, file: &CollectedFile) -> Result<()> {
        if let Hidden::Refused(asked) = &self.hidden
            && is_hidden_beyond(&file.path, asked)
        {
            let message = format!("'{}' begins with a dot and was not asked for by name", relative(&file.path));
            let error = Error::new(ErrorKind::Refused, "write what was brought out", message);
            return Err(error.with_hint("name a folder for it with --collect-to"));
        }
        let relative = relative(&file.path);
        let (folders, name) = relative.rsplit_once('/').unwrap_or(("", relative));
        let fail = |error: Errno| self.unwritable(&file.path, error.into());
        let mut folder = self.folder.try_clone().map_err(|error| self.unwritable(&file.path, error))?;
        for part in folders.split('/').filter(|part| !part.is_empty()) {
            match rustix::fs::mkdirat(&folder, part, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(fail(error)),
            }
            folder = rustix::fs::openat(&folder, part, FOLDER | OFlags::NOFOLLOW, Mode::empty()).map_err(fail)?;
        }
        if self.existing == Existing::Replaced {
            // The name is removed, not what a link may point to. A folder stays and is an error below.
            match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT | Errno::ISDIR | Errno::PERM) => {}
                Err(error) => return Err(fail(error)),
            }
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let created = rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(0o666));
        let created =
            created.map_err(|error| if error == Errno::EXIST { self.is_there(&file.path) } else { fail(error) })?;
        File::from(created).write_all(&file.content).map_err(|error| {
            // Half a file is worse than none.
            let _ = rustix::fs::unlinkat(&folder, name, AtFlags::empty());
            self.unwritable(&file.path, error)
        })
    }

    fn at(&self, path: &GuestPath) -> String {
        self.shown.join(relative(path)).display().to_string()
    }

    fn is_there(&self, path: &GuestPath) -> Error {
        let message = format!("'{}' is there already", self.at(path));
        let hint = match self.existing {
            Existing::Refused => "--force replaces files; --collect-to names another folder",
            Existing::Replaced => "it is a folder, which nothing replaces",
        };
        Error::new(ErrorKind::InvalidInput, "write what was brought out", message).with_hint(hint)
    }

    fn unwritable(&self, path: &GuestPath, error: std::io::Error) -> Error {
        let message = format!("can't write '{}'", self.at(path));
        Error::new(ErrorKind::Io, "write what was brought out", message).with_source(error)
    }
}

/// The path below the destination: as below the work folder, else as below the sandbox's root.
fn relative(path: &GuestPath) -> &str {
    match path.within_work() {
        Some("") | None => path.as_str().trim_start_matches('/'),
        Some(within) => within,
    }
}

/// Whether a part of the path that nobody asked for begins with a dot.
fn is_hidden_beyond(path: &GuestPath, asked: &[GuestPath]) -> bool {
    let covered = asked.iter().filter_map(|asked| path.as_str().strip_prefix(asked.as_str())).map(str::len).min();
    let rest = covered.and_then(|rest| path.as_str().get(path.as_str().len() - rest..)).unwrap_or(path.as_str());
    rest.split('/').any(|part| part.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn file(path: &str) -> CollectedFile {
        CollectedFile { path: GuestPath::parse(path).unwrap(), content: b"new".to_vec() }
    }

    fn open(folder: &Path, existing: Existing) -> Destination {
        Destination::open(Some(folder), existing, &[]).unwrap()
    }

    #[test]
    fn files_are_written_below_the_folder_which_is_made() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("a/b");
        let destination = open(&folder, Existing::Refused);
        destination.write(&file("out/deep/x.txt")).unwrap();
        destination.write(&file("/tmp/y.txt")).unwrap();
        assert_eq!(fs::read(folder.join("out/deep/x.txt")).unwrap(), b"new");
        assert_eq!(fs::read(folder.join("tmp/y.txt")).unwrap(), b"new");
    }

    #[test]
    fn a_file_that_is_there_stays_unless_the_person_says_otherwise() {
        let temporary = tempfile::tempdir().unwrap();
        fs::write(temporary.path().join("x"), "old").unwrap();
        let error = open(temporary.path(), Existing::Refused).write(&file("x")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(fs::read(temporary.path().join("x")).unwrap(), b"old");
        let early = Destination::open(Some(temporary.path()), Existing::Refused, &[GuestPath::parse("x").unwrap()]);
        assert_eq!(early.err().unwrap().kind(), ErrorKind::InvalidInput);
        open(temporary.path(), Existing::Replaced).write(&file("x")).unwrap();
        assert_eq!(fs::read(temporary.path().join("x")).unwrap(), b"new");
    }

    #[test]
    fn no_link_is_followed() {
        let (temporary, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("secret"), "old").unwrap();
        symlink(outside.path(), temporary.path().join("folder")).unwrap();
        symlink(outside.path().join("secret"), temporary.path().join("link")).unwrap();
        symlink(outside.path().join("absent"), temporary.path().join("dangling")).unwrap();
        for existing in [Existing::Refused, Existing::Replaced] {
            let destination = open(temporary.path(), existing);
            destination.write(&file("folder/secret")).unwrap_err();
            let _ = destination.write(&file("link"));
            let _ = destination.write(&file("dangling"));
        }
        assert_eq!(fs::read(outside.path().join("secret")).unwrap(), b"old");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
        assert_eq!(fs::read(temporary.path().join("link")).unwrap(), b"new");
    }

    #[test]
    fn a_folder_is_never_replaced() {
        let temporary = tempfile::tempdir().unwrap();
        fs::create_dir(temporary.path().join("x")).unwrap();
        open(temporary.path(), Existing::Replaced).write(&file("x")).unwrap_err();
        assert!(temporary.path().join("x").is_dir());
    }

    #[test]
    fn a_hidden_name_that_nobody_asked_for_is_told_from_one_that_was() {
        let paths = |texts: &[&str]| texts.iter().map(|text| GuestPath::parse(text).unwrap()).collect::<Vec<_>>();
        let hidden = |path: &str, asked: &[&str]| is_hidden_beyond(&GuestPath::parse(path).unwrap(), &paths(asked));
        assert!(hidden("/work/.bashrc", &["/work"]));
        assert!(hidden("/work/out/.git/config", &["/work/out"]));
        assert!(!hidden("/work/out/x.txt", &["/work/out"]));
        assert!(!hidden("/work/.cache/x", &["/work/.cache"]));
        assert!(!hidden("/work/.x", &["/work", "/work/.x"]));
        assert!(hidden("/work/.x", &[]));
    }
}
