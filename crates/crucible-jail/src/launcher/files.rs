//! Requests about files in the guest's folders. Paths are the supervisor's, what lies at them is the guest's: nothing is
//! followed, nothing blocks, and only regular files with one name are handed out.

use crate::plan::{Entry, EntryKind, InitMessage, Refusal};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// The most bytes of names in one message, well below the longest packet.
const BYTES_PER_PART: usize = 16 << 10;
/// The most entries that a folder is listed with.
const MOST_ENTRIES: usize = 100_000;

type Folders = [(&'static str, OwnedFd)];

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno.raw_os_error())
    }
}

/// The guest's folder that a path lies in, and the rest of the path: `.` for the folder itself.
fn locate<'a>(folders: &'a Folders, path: &'a str) -> Result<(&'a OwnedFd, &'a str), Refusal> {
    folders
        .iter()
        .find_map(|(prefix, folder)| {
            let rest = path.strip_prefix(prefix)?;
            if rest.is_empty() { Some((folder, ".")) } else { rest.strip_prefix('/').map(|rest| (folder, rest)) }
        })
        .ok_or(Refusal::Outside)
}

fn open_beneath(folder: &OwnedFd, path: &str, flags: OFlags, mode: u32) -> Result<OwnedFd, Errno> {
    let resolve =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    loop {
        match rustix::fs::openat2(
            folder,
            path,
            flags | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::from_raw_mode(mode),
            resolve,
        ) {
            // A rename elsewhere raced with the walk.
            Err(Errno::AGAIN) => {}
            other => return other,
        }
    }
}

/// That it is a regular file which somebody may use in this way: whoever may everything, as root inside, keeps to what a file says
/// that nobody may.
fn check_regular(file: OwnedFd, anybody: Mode) -> Result<OwnedFd, Refusal> {
    let seen = rustix::fs::fstat(&file)?;
    match FileType::from_raw_mode(seen.st_mode) {
        FileType::RegularFile if !Mode::from_raw_mode(seen.st_mode).intersects(anybody) => Err(Errno::ACCESS.into()),
        FileType::RegularFile if seen.st_nlink == 1 => Ok(file),
        FileType::RegularFile => Err(Refusal::SeveralNames),
        _ => Err(Refusal::NotRegular),
    }
}

/// Who may read, and who may write.
const READERS: Mode = Mode::RUSR.union(Mode::RGRP).union(Mode::ROTH);
const WRITERS: Mode = Mode::WUSR.union(Mode::WGRP).union(Mode::WOTH);

/// Opens a regular file for reading.
pub(super) fn open(folders: &Folders, path: &str) -> Result<OwnedFd, Refusal> {
    let (folder, path) = locate(folders, path)?;
    // Looked at before it is opened: opening a pipe or a device can have effects.
    let seen = open_beneath(folder, path, OFlags::PATH, 0).map_err(link_is_not_regular)?;
    drop(check_regular(seen, READERS)?);
    let opened = open_beneath(folder, path, OFlags::RDONLY | OFlags::NONBLOCK, 0).map_err(link_is_not_regular)?;
    check_regular(opened, READERS)
}

fn link_is_not_regular(errno: Errno) -> Refusal {
    if errno == Errno::LOOP { Refusal::NotRegular } else { errno.into() }
}

/// Makes a file for writing, and the folders above it, replacing a regular file with one name.
pub(super) fn create(folders: &Folders, path: &str, mode: u32) -> Result<OwnedFd, Refusal> {
    let (folder, path) = locate(folders, path)?;
    for (end, _) in path.match_indices('/') {
        let above = path.get(..end).unwrap_or_default();
        match open_beneath(folder, above, OFlags::PATH | OFlags::DIRECTORY, 0) {
            Err(Errno::NOENT) => make_folder(folder, above)?,
            Err(errno) => return Err(link_is_not_regular(errno)),
            Ok(_) => {}
        }
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NONBLOCK;
    let file = check_regular(
        open_beneath(folder, path, flags, mode).map_err(|errno| match errno {
            Errno::LOOP | Errno::ISDIR | Errno::NXIO => Refusal::NotRegular,
            other => other.into(),
        })?,
        WRITERS,
    )?;
    rustix::fs::ftruncate(&file, 0)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
    Ok(file)
}

fn make_folder(folder: &OwnedFd, path: &str) -> Result<(), Errno> {
    let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
    let parent = open_beneath(folder, parent, OFlags::PATH | OFlags::DIRECTORY, 0)?;
    match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

/// Looks at what a path names, without opening or following it.
pub(super) fn stat(folders: &Folders, path: &str) -> Result<Entry, Refusal> {
    let (folder, below) = locate(folders, path)?;
    let flags = OFlags::PATH;
    // A link is opened as itself, so that it can be looked at.
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let (above, name) = below.rsplit_once('/').unwrap_or((".", below));
    let above = open_beneath(folder, above, flags | OFlags::DIRECTORY, 0)?;
    let seen = rustix::fs::openat2(&above, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), resolve)?;
    let seen = rustix::fs::fstat(&seen)?;
    let name = path.rsplit('/').next().unwrap_or_default().as_bytes().to_vec();
    Ok(Entry { name, kind: kind(&seen), size: u64::try_from(seen.st_size).unwrap_or(0) })
}

/// Removes a file, a link or an empty folder. The guest's own folders stay.
pub(super) fn remove(folders: &Folders, path: &str) -> Result<(), Refusal> {
    let (folder, below) = locate(folders, path)?;
    if below == "." {
        return Err(Errno::BUSY.into());
    }
    let (above, name) = below.rsplit_once('/').unwrap_or((".", below));
    let above = open_beneath(folder, above, OFlags::PATH | OFlags::DIRECTORY, 0)?;
    match rustix::fs::unlinkat(&above, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => Ok(rustix::fs::unlinkat(&above, name, AtFlags::REMOVEDIR)?),
        other => Ok(other?),
    }
}

/// Removes files, and opens one that has no name in the first folder.
pub(super) fn renew(folders: &Folders, files: &[String]) -> Result<OwnedFd, Refusal> {
    files.iter().try_for_each(|path| remove(folders, path))?;
    let (_, folder) = folders.first().ok_or(Refusal::Outside)?;
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(folder, ".", flags, Mode::RUSR | Mode::WUSR)?)
}

/// Lists a folder in parts, each handed on before the next is read: what a guest made must not fill the init's memory.
///
/// # Errors
/// The inner error says why it can't be listed, the outer one that a part couldn't be handed on.
pub(super) fn list<E>(
    folders: &Folders,
    path: &str,
    hand_on: &mut dyn FnMut(InitMessage) -> Result<(), E>,
) -> Result<Result<(), Refusal>, E> {
    let mut entries = match open_folder(folders, path) {
        Ok(entries) => entries,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut part = Vec::new();
    let (mut count, mut bytes) = (0, 0);
    loop {
        let entry = match entries.next() {
            Ok(Some(entry)) => entry,
            Ok(None) => return hand_on(InitMessage::Listing { entries: part, more: false }).map(Ok),
            Err(errno) => return Ok(Err(errno.into())),
        };
        count += 1;
        if count > MOST_ENTRIES {
            return Ok(Err(Errno::TOOBIG.into()));
        }
        bytes += entry.name.len() + 32;
        part.push(entry);
        if bytes > BYTES_PER_PART {
            hand_on(InitMessage::Listing { entries: std::mem::take(&mut part), more: true })?;
            bytes = 0;
        }
    }
}

/// A folder being read.
struct OpenFolder {
    descriptor: OwnedFd,
    entries: rustix::fs::Dir,
}

fn open_folder(folders: &Folders, path: &str) -> Result<OpenFolder, Refusal> {
    let (folder, path) = locate(folders, path)?;
    let descriptor =
        open_beneath(folder, path, OFlags::RDONLY | OFlags::DIRECTORY, 0).map_err(|errno| match errno {
            Errno::NOTDIR | Errno::LOOP => Refusal::NotFolder,
            other => other.into(),
        })?;
    let entries = rustix::fs::Dir::read_from(&descriptor)?;
    Ok(OpenFolder { descriptor, entries })
}

impl OpenFolder {
    fn next(&mut self) -> Result<Option<Entry>, Errno> {
        for found in self.entries.by_ref() {
            let found = found?;
            let name = found.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            // Gone since it was listed: a guest is still running.
            let Ok(seen) = rustix::fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let size = u64::try_from(seen.st_size).unwrap_or(0);
            return Ok(Some(Entry { name: name.to_bytes().to_vec(), kind: kind(&seen), size }));
        }
        Ok(None)
    }
}

fn kind(seen: &Stat) -> EntryKind {
    match FileType::from_raw_mode(seen.st_mode) {
        FileType::RegularFile if seen.st_nlink == 1 => EntryKind::File,
        FileType::Directory => EntryKind::Folder,
        _ => EntryKind::Other,
    }
}
