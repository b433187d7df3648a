//! Fills folders of a sandbox's own with what its root shows there, which they are going to cover.
//!
//! Invariant: what is the root's own is copied and belongs to root inside; links are copied, not followed. What is mounted in it,
//! of the host, isn't copied: it is mounted again, as read-only as it was.

use super::root;
use rustix::buffer::spare_capacity;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dev, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use std::ffi::CStr;

/// How deep folders are.
const MOST_LEVELS: u32 = 32;
/// What only root inside may read of it.
const PRIVATE: [&[u8]; 2] = [b"shadow", b"gshadow"];

/// What is mounted in folders that are going to be covered: where, below the root, and a copy of the mount.
#[derive(Default)]
pub(super) struct Mounted(Vec<(Vec<u8>, OwnedFd)>);

impl Mounted {
    /// Mounts it again, in the root that is the current folder.
    pub(super) fn attach(&self) -> Result<(), Errno> {
        self.0.iter().try_for_each(|(path, mount)| {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            root::attach(mount, &rustix::fs::open(path.as_slice(), flags, Mode::empty())?)
        })
    }
}

/// Copies everything in a folder into another one, but for what is mounted there. `path` is the folder's, below the root.
pub(super) fn fill(path: &str, from: &OwnedFd, to: &OwnedFd, mounted: &mut Mounted) -> Result<(), Errno> {
    let roots = rustix::fs::fstat(from)?.st_dev;
    Filling { roots, mounted }.fill(path.as_bytes(), from, to, MOST_LEVELS)
}

struct Filling<'a> {
    /// The file system of the root itself.
    roots: Dev,
    mounted: &'a mut Mounted,
}

impl Filling<'_> {
    fn fill(&mut self, path: &[u8], from: &OwnedFd, to: &OwnedFd, levels: u32) -> Result<(), Errno> {
        let below = levels.checked_sub(1).ok_or(Errno::NAMETOOLONG)?;
        for entry in Dir::read_from(from)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let path = [path, b"/", name.to_bytes()].concat();
            let seen = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let mode = Mode::from_raw_mode(seen.st_mode & 0o777);
            match FileType::from_raw_mode(seen.st_mode) {
                FileType::Symlink => {
                    rustix::fs::symlinkat(rustix::fs::readlinkat(from, name, Vec::new())?, to, name)?;
                }
                FileType::Directory => {
                    rustix::fs::mkdirat(to, name, Mode::RWXU)?;
                    let (source, target) = (folder(from, name)?, folder(to, name)?);
                    if seen.st_dev == self.roots {
                        self.fill(&path, &source, &target, below)?;
                    } else {
                        self.keep(path, from, name)?;
                    }
                    rustix::fs::fchmod(&target, mode)?;
                }
                FileType::RegularFile => {
                    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let target = rustix::fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
                    if seen.st_dev == self.roots {
                        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                        copy_bytes(&rustix::fs::openat(from, name, flags, Mode::empty())?, &target)?;
                    } else {
                        self.keep(path, from, name)?;
                    }
                    let is_private = PRIVATE.contains(&name.to_bytes());
                    rustix::fs::fchmod(&target, if is_private { Mode::RUSR | Mode::WUSR } else { mode })?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Keeps what is mounted there.
    fn keep(&mut self, path: Vec<u8>, from: &OwnedFd, name: &CStr) -> Result<(), Errno> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE
            | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
        self.mounted.0.push((path, rustix::mount::open_tree(from, name, flags)?));
        Ok(())
    }
}

fn folder(above: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(above, name, flags, Mode::empty())
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
