//! Requests about files in the guest's folders. Paths are the supervisor's, what lies at them is the guest's: nothing is
//! followed, nothing blocks, and only regular files with one name are handed out.
//!
//! Paths are walked name by name, which every kernel can: openat2(2) isn't there in all that an agent may run on.

use super::Step;
use super::prepare::Identity;
use crate::protocol::{Entry, EntryKind, Failure, Free, MOST_ENTRIES, Placed, Refusal, What};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

/// The most bytes of names in one message, well below the longest frame.
const BYTES_PER_PART: usize = 64 << 10;

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno.raw_os_error())
    }
}

/// The folders that may be looked into.
pub(super) struct Folders {
    folders: Vec<(String, OwnedFd)>,
    /// As whom they are looked into.
    identity: Identity,
}

impl Folders {
    pub(super) fn open(paths: Vec<String>, identity: Identity) -> Result<Self, Failure> {
        let open = |path: String| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let folder = rustix::fs::open(&*path, flags, Mode::empty()).step("open the guest's folders")?;
            Ok((path, folder))
        };
        Ok(Self { folders: paths.into_iter().map(open).collect::<Result<_, _>>()?, identity })
    }

    /// What is free in each.
    pub(super) fn free(&self) -> Vec<Free> {
        let free = |folder: &OwnedFd| {
            let seen = rustix::fs::fstatvfs(folder).ok()?;
            Some(Free { bytes: seen.f_bavail.saturating_mul(seen.f_frsize), inodes: seen.f_favail })
        };
        // One that can't be asked is told as having enough.
        self.folders
            .iter()
            .map(|(_, folder)| free(folder).unwrap_or(Free { bytes: u64::MAX, inodes: u64::MAX }))
            .collect()
    }

    /// The folder that a path lies in, and the names below.
    fn locate<'a>(&self, path: &'a str) -> Result<(OwnedFd, Vec<&'a str>), Refusal> {
        let found = self.folders.iter().find_map(|(prefix, folder)| {
            let rest = path.strip_prefix(prefix.as_str())?;
            if rest.is_empty() || rest.starts_with('/') { Some((folder, rest)) } else { None }
        });
        let (folder, rest) = found.ok_or(Refusal::Outside)?;
        let names: Vec<&str> = rest.split('/').filter(|name| !name.is_empty()).collect();
        if names.iter().any(|name| matches!(*name, "." | "..")) {
            return Err(Refusal::Outside);
        }
        Ok((rustix::io::fcntl_dupfd_cloexec(folder, 3)?, names))
    }

    /// The folder in which a path's last name lies, and that name.
    fn walk<'a>(&self, path: &'a str, missing: Missing) -> Result<(OwnedFd, &'a str), Refusal> {
        let (mut folder, mut names) = self.locate(path)?;
        let last = names.pop().ok_or(Refusal::NotRegular)?;
        for name in names {
            folder = match enter(&folder, name) {
                Err(Errno::NOENT) if missing == Missing::Made => {
                    match rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(0o755)) {
                        Ok(()) | Err(Errno::EXIST) => enter(&folder, name)?,
                        Err(errno) => return Err(errno.into()),
                    }
                }
                entered => entered?,
            };
        }
        Ok((folder, last))
    }

    /// Opens a regular file for reading, and tells its size.
    pub(super) fn open_file(&self, path: &str) -> Result<(OwnedFd, u64), Refusal> {
        let _own = self.identity.take()?;
        let (folder, name) = self.walk(path, Missing::Refused)?;
        // Looked at before it is opened: opening a pipe or a device can have effects.
        check_regular(rustix::fs::openat(&folder, name, OFlags::PATH | QUIETLY, Mode::empty())?, READERS)?;
        let opened = rustix::fs::openat(&folder, name, OFlags::RDONLY | QUIETLY, Mode::empty());
        check_regular(opened.map_err(link)?, READERS)
    }

    /// Makes a file for writing, and the folders above it, replacing a regular file with one name.
    pub(super) fn create(&self, path: &str, mode: u32) -> Result<OwnedFd, Refusal> {
        let _own = self.identity.take()?;
        let (folder, name) = self.walk(path, Missing::Made)?;
        let mode = Mode::from_raw_mode(mode & 0o777);
        let seen = rustix::fs::openat(&folder, name, OFlags::PATH | QUIETLY, Mode::empty());
        match seen {
            Ok(seen) => drop(check_regular(seen, WRITERS)?),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | QUIETLY;
        let file = rustix::fs::openat(&folder, name, flags, mode).map_err(link)?;
        let (file, _) = check_regular(file, WRITERS)?;
        rustix::fs::ftruncate(&file, 0)?;
        rustix::fs::fchmod(&file, mode)?;
        Ok(file)
    }

    /// Lists a folder in parts, each handed on before the next is read: what a guest made must not fill this memory.
    ///
    /// # Errors
    /// The inner error says why it can't be listed, the outer one that a part couldn't be handed on.
    pub(super) fn list<E>(
        &self,
        path: &str,
        hand_on: &mut dyn FnMut(Vec<Entry>, bool) -> Result<(), E>,
    ) -> Result<Result<(), Refusal>, E> {
        let _own = match self.identity.take() {
            Ok(taken) => taken,
            Err(errno) => return Ok(Err(errno.into())),
        };
        let (descriptor, entries) = match self.open_folder(path) {
            Ok(opened) => opened,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut part = Vec::new();
        let (mut count, mut bytes) = (0, 0);
        for found in entries {
            let found = match found {
                Ok(found) => found,
                Err(errno) => return Ok(Err(errno.into())),
            };
            let name = found.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            // Gone since it was listed: a guest is still running.
            let Ok(seen) = rustix::fs::statat(&descriptor, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            count += 1;
            if count > MOST_ENTRIES {
                return Ok(Err(Errno::TOOBIG.into()));
            }
            let name = name.to_bytes().to_vec();
            bytes += name.len() + 16;
            part.push(Entry { name, kind: kind(&seen), size: u64::try_from(seen.st_size).unwrap_or(0) });
            if bytes > BYTES_PER_PART {
                hand_on(std::mem::take(&mut part), true)?;
                bytes = 0;
            }
        }
        hand_on(part, false).map(Ok)
    }

    fn open_folder(&self, path: &str) -> Result<(OwnedFd, rustix::fs::Dir), Refusal> {
        let (mut folder, names) = self.locate(path)?;
        for name in names {
            folder = enter(&folder, name).map_err(|errno| match errno {
                Errno::NOTDIR | Errno::LOOP => Refusal::NotFolder,
                other => other.into(),
            })?;
        }
        let readable = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = rustix::fs::openat(&folder, ".", readable, Mode::empty())?;
        let entries = rustix::fs::Dir::read_from(&descriptor)?;
        Ok((descriptor, entries))
    }
}

/// What is done about a folder that isn't there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Refused,
    Made,
}

/// Never through a link, never waiting, never taking a terminal, and for nobody else.
const QUIETLY: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Enters a folder, if it is one: with these flags a link is none.
fn enter(folder: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty())
}

fn link(errno: Errno) -> Refusal {
    match errno {
        Errno::LOOP | Errno::ISDIR | Errno::NXIO => Refusal::NotRegular,
        other => other.into(),
    }
}

/// Who may read, and who may write.
const READERS: Mode = Mode::RUSR.union(Mode::RGRP).union(Mode::ROTH);
const WRITERS: Mode = Mode::WUSR.union(Mode::WGRP).union(Mode::WOTH);

/// That it is a regular file which somebody may use in this way: whoever may everything, as root inside, keeps to what a file
/// says that nobody may.
fn check_regular(file: OwnedFd, anybody: Mode) -> Result<(OwnedFd, u64), Refusal> {
    let seen = rustix::fs::fstat(&file)?;
    match FileType::from_raw_mode(seen.st_mode) {
        FileType::RegularFile if !Mode::from_raw_mode(seen.st_mode).intersects(anybody) => Err(Errno::ACCESS.into()),
        FileType::RegularFile if seen.st_nlink == 1 => Ok((file, u64::try_from(seen.st_size).unwrap_or(0))),
        FileType::RegularFile => Err(Refusal::SeveralNames),
        _ => Err(Refusal::NotRegular),
    }
}

fn kind(seen: &Stat) -> EntryKind {
    match FileType::from_raw_mode(seen.st_mode) {
        FileType::RegularFile if seen.st_nlink == 1 => EntryKind::File,
        FileType::Directory => EntryKind::Folder,
        _ => EntryKind::Other,
    }
}

/// Puts something in place, where there is nothing yet but perhaps the folder itself.
pub(super) fn put(placed: &Placed<'_>) -> Result<(), Errno> {
    let Placed { path, mode, owner: (user, group), what } = *placed;
    let made = match what {
        What::Folder => rustix::fs::mkdir(path, Mode::RWXU),
        What::Link(to) => rustix::fs::symlink(to, path),
        What::File(content) => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | QUIETLY;
            rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).and_then(|file| write_all(&file, content))
        }
        What::More(content) => {
            let flags = OFlags::WRONLY | OFlags::APPEND | QUIETLY;
            return rustix::fs::open(path, flags, Mode::empty()).and_then(|file| write_all(&file, content));
        }
    };
    match made {
        Err(Errno::EXIST) if what == What::Folder => return Ok(()),
        made => made?,
    }
    if !matches!(what, What::Link(_)) {
        rustix::fs::chmod(path, Mode::from_raw_mode(mode))?;
    }
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
    match rustix::fs::chownat(CWD, path, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW) {
        // Nobody inside has such an id.
        Err(Errno::INVAL) => Ok(()),
        given => given,
    }
}

/// Writes all of it.
pub(super) fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(0) => return Err(Errno::IO),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Reads some of it; nothing at its end.
pub(super) fn read(file: &OwnedFd, room: &mut [u8]) -> Result<usize, Refusal> {
    loop {
        match rustix::io::read(file, &mut *room) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}
