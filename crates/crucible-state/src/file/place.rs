//! Places of sandboxes that a process of their own keeps open: a folder each, with its socket, its log and a lock.
//!
//! Invariant: a place's lock is held for as long as its keeper lives, and ends with it however it ends. What has no holder is
//! left over, and is removed by whoever looks next. Nothing in a place is read but its log, whose end a person may be shown.

use super::private::{self, refuse};
use crucible_core::{Error, ErrorKind, HostPath, Result, SandboxId};
use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags, RenameFlags, flock, fstat, openat, unlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

const LOCK: &str = "lock";
const LOG: &str = "log";
const SOCKET: &str = "socket";
/// How the name of a place begins whose sandbox isn't made yet.
const UNNAMED: &str = ".new-";
/// How long a place may be without a holder before it has one.
const NEWBORN: Duration = Duration::from_secs(60);
/// The most places that are looked at.
const MOST: usize = 4096;
/// How much of a log's end is shown.
const LOG_END: u64 = 4096;

const OPERATION: &str = "keep the sandbox's place";

/// The places of one user.
#[derive(Clone, Debug)]
pub struct SandboxPlaces {
    folder: HostPath,
}

/// A place that this process holds, or has handed on to its keeper.
#[derive(Debug)]
pub struct SandboxPlace {
    parent: OwnedFd,
    name: String,
    folder: OwnedFd,
    lock: File,
}

/// A place that a keeper holds.
#[derive(Debug)]
pub struct KeptPlace {
    id: SandboxId,
    folder: OwnedFd,
}

fn failed(error: io::Error) -> Error {
    let hint = "sandbox.folder names the folder in which places are kept; it has to be yours alone";
    Error::new(ErrorKind::Io, OPERATION, "the folder of the sandbox can't be used").with_source(error).with_hint(hint)
}

fn open_file(folder: &OwnedFd, name: &str, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?))
}

/// A path by which a socket in a folder is reached however long the folder's own is.
fn socket_path(folder: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()).into()
}

impl SandboxPlaces {
    /// The places in this folder, which is made with the first one.
    #[must_use]
    pub const fn new(folder: HostPath) -> Self {
        Self { folder }
    }

    /// Makes a place whose sandbox is yet to be made. This process holds it.
    ///
    /// # Errors
    /// `Io` where the folder can't be used.
    pub fn claim(&self) -> Result<SandboxPlace> {
        let claim = || -> io::Result<SandboxPlace> {
            let parent = private::open_or_create(self.folder.as_path())?;
            let name = format!("{UNNAMED}{}", SandboxId::generate());
            rustix::fs::mkdirat(&parent, name.as_str(), Mode::RWXU)?;
            let folder = private::open_in(&parent, name.as_str())?;
            let lock = open_file(&folder, LOCK, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
            flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
            Ok(SandboxPlace { parent, name, folder, lock })
        };
        claim().map_err(failed)
    }

    /// Takes over a place that another process claimed and whose lock it has handed on.
    ///
    /// # Errors
    /// `Io` where it isn't there, or the lock is another one's.
    pub fn take_over(&self, name: &str, lock: File) -> Result<SandboxPlace> {
        let take = || -> io::Result<SandboxPlace> {
            let parent = private::open(self.folder.as_path())?;
            let folder = private::open_in(&parent, name)?;
            let (held, there) = (fstat(&lock)?, fstat(&open_file(&folder, LOCK, OFlags::RDWR)?)?);
            if (held.st_dev, held.st_ino) != (there.st_dev, there.st_ino) {
                return Err(refuse("the lock belongs to another place"));
            }
            flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
            Ok(SandboxPlace { parent, name: name.to_owned(), folder, lock })
        };
        take().map_err(failed)
    }

    /// Every place that a keeper holds, the oldest first. What is left over is removed.
    ///
    /// # Errors
    /// `Io` where the folder can't be used.
    pub fn list(&self) -> Result<Vec<KeptPlace>> {
        let list = || -> io::Result<Vec<KeptPlace>> {
            let parent = match private::open(self.folder.as_path()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                opened => opened?,
            };
            let mut kept = Vec::new();
            for entry in Dir::read_from(&parent)?.take(MOST) {
                let entry = entry?;
                let Ok(name) = entry.file_name().to_str() else { continue };
                let id = name.parse().ok();
                if id.is_none() && !name.starts_with(UNNAMED) {
                    continue;
                }
                // Gone meanwhile, or none of ours.
                let Ok(folder) = private::open_in(&parent, name) else { continue };
                match (is_held(&folder)?, id) {
                    (true, Some(id)) => kept.push(KeptPlace { id, folder }),
                    (true, None) => {}
                    (false, None) if is_newborn(&folder)? => {}
                    (false, _) => remove(&parent, name, &folder)?,
                }
            }
            kept.sort_by_key(KeptPlace::id);
            Ok(kept)
        };
        list().map_err(failed)
    }
}

/// Whether somebody holds the lock.
fn is_held(folder: &OwnedFd) -> io::Result<bool> {
    let lock = match open_file(folder, LOCK, OFlags::RDWR) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Whether it was made so lately that its lock may be still to come.
fn is_newborn(folder: &OwnedFd) -> io::Result<bool> {
    let made = File::from(folder.try_clone()?).metadata()?.modified()?;
    Ok(SystemTime::now().duration_since(made).is_ok_and(|age| age < NEWBORN))
}

fn remove(parent: &OwnedFd, name: &str, folder: &OwnedFd) -> io::Result<()> {
    for file in [SOCKET, LOG, LOCK] {
        match unlinkat(folder, file, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl KeptPlace {
    /// The sandbox's id.
    #[must_use]
    pub const fn id(&self) -> SandboxId {
        self.id
    }

    /// Where its keeper listens, for as long as this lives.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket_path(&self.folder)
    }
}

impl SandboxPlace {
    /// Its name, by which its keeper takes it over.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its keeper is to listen, for as long as this lives.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket_path(&self.folder)
    }

    /// The lock, to be handed to the keeper.
    ///
    /// # Errors
    /// `Io` without descriptors to spare.
    pub fn lock(&self) -> Result<File> {
        self.lock.try_clone().map_err(failed)
    }

    /// The log, to be written to.
    ///
    /// # Errors
    /// `Io` where it can't be made.
    pub fn log(&self) -> Result<File> {
        open_file(&self.folder, LOG, OFlags::RDWR | OFlags::CREATE | OFlags::APPEND).map_err(failed)
    }

    /// The end of the log.
    #[must_use]
    pub fn log_end(&self) -> String {
        let read = || -> io::Result<Vec<u8>> {
            let mut log = open_file(&self.folder, LOG, OFlags::RDONLY)?;
            let size = log.metadata()?.len();
            log.seek(SeekFrom::Start(size.saturating_sub(LOG_END)))?;
            let mut bytes = Vec::new();
            log.take(LOG_END).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
    }

    /// Shows it to others, under its sandbox's id.
    ///
    /// # Errors
    /// `Io` where it can't be renamed.
    pub fn publish(&mut self, id: SandboxId) -> Result<()> {
        let name = id.to_string();
        rustix::fs::renameat_with(
            &self.parent,
            self.name.as_str(),
            &self.parent,
            name.as_str(),
            RenameFlags::NOREPLACE,
        )
        .map_err(|errno| failed(errno.into()))?;
        self.name = name;
        Ok(())
    }

    /// Removes it.
    ///
    /// # Errors
    /// `Io` where something is left.
    pub fn remove(self) -> Result<()> {
        remove(&self.parent, &self.name, &self.folder).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> (tempfile::TempDir, SandboxPlaces) {
        let folder = tempfile::tempdir().unwrap();
        let places = SandboxPlaces::new(HostPath::new(folder.path().join("a/b")));
        (folder, places)
    }

    #[test]
    fn a_place_is_listed_while_it_is_held_and_removed_when_it_is_left() {
        let (_folder, places) = places();
        assert!(places.list().unwrap().is_empty());
        let mut place = places.claim().unwrap();
        assert!(places.list().unwrap().is_empty());
        let id = SandboxId::generate();
        place.publish(id).unwrap();
        assert_eq!(places.list().unwrap().iter().map(KeptPlace::id).collect::<Vec<_>>(), [id]);
        drop(place.log().unwrap());
        let path = places.folder.as_path().join(id.to_string());
        drop(place);
        assert!(path.join("log").exists());
        assert!(places.list().unwrap().is_empty() && !path.exists());
    }

    #[test]
    fn a_place_is_taken_over_with_its_lock_and_with_no_other() {
        let (_folder, places) = places();
        let (place, other) = (places.claim().unwrap(), places.claim().unwrap());
        let (name, lock) = (place.name().to_owned(), place.lock().unwrap());
        places.take_over(&name, other.lock().unwrap()).unwrap_err();
        drop(place);
        let mut taken = places.take_over(&name, lock).unwrap();
        taken.publish(SandboxId::generate()).unwrap();
        assert_eq!(places.list().unwrap().len(), 1);
        taken.remove().unwrap();
        assert!(places.list().unwrap().is_empty());
    }

    #[test]
    fn a_folder_that_others_may_enter_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, places) = places();
        drop(places.claim().unwrap());
        std::fs::set_permissions(places.folder.as_path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        for error in [places.claim().map(drop).unwrap_err(), places.list().map(drop).unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Io);
            assert!(std::error::Error::source(&error).unwrap().to_string().contains("chmod 700"));
        }
    }

    #[test]
    fn what_is_none_of_ours_stays() {
        let (_folder, places) = places();
        drop(places.claim().unwrap());
        std::fs::write(places.folder.as_path().join("notes"), "x").unwrap();
        std::fs::create_dir(places.folder.as_path().join("folder")).unwrap();
        assert!(places.list().unwrap().is_empty());
        assert!(places.folder.as_path().join("notes").exists() && places.folder.as_path().join("folder").exists());
    }
}
