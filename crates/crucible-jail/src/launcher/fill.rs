//! Copies what a root shows into folders of a sandbox's own.
//!
//! Invariant: it is done by the sandbox's own init, in its user namespace, so that what the host's other users may not read isn't
//! copied, and everything that is belongs to root inside. Links are copied, not followed; what isn't a file, a folder or a
//! link is left out. How much it is, the writable file system bounds.

use rustix::buffer::spare_capacity;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// How deep folders are.
const MOST_LEVELS: u32 = 32;
/// What only root inside may read of it.
const PRIVATE: [&[u8]; 2] = [b"shadow", b"gshadow"];

/// Copies everything in a folder into another one.
pub(super) fn copy(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    copy_below(from, to, MOST_LEVELS)
}

fn copy_below(from: &OwnedFd, to: &OwnedFd, levels: u32) -> Result<(), Errno> {
    let below = levels.checked_sub(1).ok_or(Errno::NAMETOOLONG)?;
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let seen = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mut mode = Mode::from_raw_mode(seen.st_mode & 0o777);
        let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match FileType::from_raw_mode(seen.st_mode) {
            FileType::Symlink => rustix::fs::symlinkat(rustix::fs::readlinkat(from, name, Vec::new())?, to, name)?,
            FileType::Directory => {
                let Some(source) = readable(rustix::fs::openat(from, name, read | OFlags::DIRECTORY, Mode::empty()))?
                else {
                    continue;
                };
                rustix::fs::mkdirat(to, name, Mode::RWXU)?;
                let target = rustix::fs::openat(to, name, read | OFlags::DIRECTORY, Mode::empty())?;
                copy_below(&source, &target, below)?;
                rustix::fs::fchmod(&target, mode)?;
            }
            FileType::RegularFile => {
                let Some(source) = readable(rustix::fs::openat(from, name, read, Mode::empty()))? else { continue };
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let target = rustix::fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
                copy_bytes(&source, &target)?;
                if PRIVATE.contains(&name.to_bytes()) {
                    mode = Mode::RUSR | Mode::WUSR;
                }
                rustix::fs::fchmod(&target, mode)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// What may be read; nothing where it may not.
fn readable(opened: Result<OwnedFd, Errno>) -> Result<Option<OwnedFd>, Errno> {
    match opened {
        Err(Errno::ACCESS) => Ok(None),
        opened => opened.map(Some),
    }
}

fn copy_bytes(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    let mut bytes = Vec::with_capacity(64 << 10);
    while rustix::io::read(from, spare_capacity(&mut bytes))? > 0 {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let written = rustix::io::write(to, rest)?;
            rest = rest.get(written..).unwrap_or_default();
        }
        bytes.clear();
    }
    Ok(())
}
