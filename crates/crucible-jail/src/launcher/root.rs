//! Prepares a root folder once, as a tree of mounts, to be copied into any number of sandboxes with one call.

use super::{Launcher, Step};
use crate::plan::{Failure, RootEntry};
use crate::sys;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dev, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};
use std::ffi::CString;
use std::io::Write;

pub(super) const READ_ONLY: u64 = 0x1;
pub(super) const NO_SUID: u64 = 0x2;
pub(super) const NO_DEV: u64 = 0x4;
pub(super) const NO_EXEC: u64 = 0x8;
pub(super) const NO_SYMLINK_FOLLOW: u64 = 0x20_0000;
const AT_EMPTY_PATH: u32 = 0x1000;
const AT_RECURSIVE: u32 = 0x8000;

/// Where the root of that number is prepared.
fn path_of(roots: &str, number: u32) -> String {
    format!("{roots}/{number}")
}

impl Launcher {
    pub(super) fn prepare_root(&self, number: u32, entries: &[RootEntry]) -> Result<(), Failure> {
        let mounts = self.mounts.as_ref().ok_or(Errno::INVAL).step("prepare a root before Begin")?;
        mounts.among_host_mounts(|roots| prepare(&path_of(roots, number), entries))
    }

    /// Takes a root that was prepared elsewhere.
    #[cfg(feature = "zygote")]
    pub(super) fn adopt_root(&self, number: u32, root: &OwnedFd) -> Result<(), Failure> {
        let mounts = self.mounts.as_ref().ok_or(Errno::INVAL).step("take a root before there is a place for it")?;
        mounts.among_host_mounts(|roots| {
            let path = path_of(roots, number);
            std::fs::create_dir(&path).step("make the folder of a root")?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let place = rustix::fs::open(&*path, flags, Mode::empty()).step("open the folder of a root")?;
            attach(root, &place).step("attach a root")
        })
    }

    /// Copies a prepared root for a sandbox.
    pub(super) fn copy_root(&self, number: u32) -> Result<OwnedFd, Failure> {
        let mounts = self.mounts.as_ref().ok_or(Errno::INVAL).step("start a sandbox before Begin")?;
        mounts.among_host_mounts(|roots| copy_tree(&path_of(roots, number)).step("copy the prepared root"))
    }
}

fn prepare(path: &str, entries: &[RootEntry]) -> Result<(), Failure> {
    std::fs::create_dir(path).step("make the folder of a root")?;
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).step("open a tmpfs for a root")?;
    for (key, value) in [("size", "1m"), ("nr_inodes", "4096"), ("mode", "755")] {
        rustix::mount::fsconfig_set_string(context.as_fd(), key, value).step("bound the tmpfs of a root")?;
    }
    rustix::mount::fsconfig_create(context.as_fd()).step("make the tmpfs of a root")?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOATIME;
    let mount = rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags)
        .step("mount the tmpfs of a root")?;
    rustix::mount::move_mount(mount.as_fd(), "", rustix::fs::CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .step("attach the tmpfs of a root")?;
    let root = Root { folder: mount };
    for entry in entries {
        root.add(entry)?;
    }
    seal(root.folder.as_fd(), 0, READ_ONLY | NO_SUID | NO_DEV | NO_EXEC).step("make a root read-only")
}

/// Sets flags on the mount that an open descriptor stands for.
fn seal(mount: BorrowedFd<'_>, at_flags: u32, flags: u64) -> Result<(), Errno> {
    sys::set_mount_attributes(mount, &CString::default(), AT_EMPTY_PATH | at_flags, flags)
}

/// A root being filled. Every path is resolved inside it, so that a symbolic link made earlier can't lead out of it.
struct Root {
    folder: OwnedFd,
}

impl Root {
    fn add(&self, entry: &RootEntry) -> Result<(), Failure> {
        match entry {
            RootEntry::Directory { path } => self.folder(path).map(drop).step(&format!("make the folder {path}")),
            RootEntry::Symlink { path, points_to } => {
                let (parent, name) = self.parent(path).step(&format!("make the folder above {path}"))?;
                rustix::fs::symlinkat(points_to, &parent, name).step(&format!("make the link {path}"))
            }
            RootEntry::File { path, content } => {
                let file = self.file(path).step(&format!("make the file {path}"))?;
                std::fs::File::from(file).write_all(content).step(&format!("write the file {path}"))
            }
            RootEntry::Device { name, number } => self.device(name, *number).step(&format!("bind the device {name}")),
            RootEntry::Bind { source, target } => self.bind(source, target).step(&format!("bind {source}")),
        }
    }

    /// Opens a path inside the root.
    fn open(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let inside = path.trim_start_matches('/');
        let inside = if inside.is_empty() { "." } else { inside };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.folder, inside, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    /// Opens a folder, making it and those above it where they are missing.
    fn folder(&self, path: &str) -> Result<OwnedFd, Errno> {
        match self.open(path, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => {
                let (parent, name) = self.parent(path)?;
                rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
                self.open(path, OFlags::PATH | OFlags::DIRECTORY)
            }
            other => other,
        }
    }

    /// The folder above a path, made where it is missing, and the path's last name.
    fn parent<'a>(&self, path: &'a str) -> Result<(OwnedFd, &'a str), Errno> {
        let (parent, name) = path.rsplit_once('/').ok_or(Errno::INVAL)?;
        if name.is_empty() || name == ".." || name == "." {
            return Err(Errno::INVAL);
        }
        Ok((self.folder(parent)?, name))
    }

    /// Makes an empty file.
    fn file(&self, path: &str) -> Result<OwnedFd, Errno> {
        let (parent, name) = self.parent(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o644))
    }

    fn bind(&self, source: &str, target: &str) -> Result<(), Errno> {
        // Where the source lies was found out before; a link that has come since isn't followed.
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let source = rustix::fs::openat2(rustix::fs::CWD, source, flags, Mode::empty(), resolve)?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE
            | OpenTreeFlags::AT_EMPTY_PATH;
        let tree = rustix::mount::open_tree(&source, "", flags)?;
        let is_folder = FileType::from_raw_mode(rustix::fs::fstat(&tree)?.st_mode) == FileType::Directory;
        seal(tree.as_fd(), AT_RECURSIVE, READ_ONLY | NO_SUID | NO_DEV)?;
        let place = if is_folder { self.folder(target)? } else { self.file(target)? };
        attach(&tree, &place)
    }

    fn device(&self, name: &str, (major, minor): (u32, u32)) -> Result<(), Errno> {
        let tree = copy_tree(&format!("/dev/{name}"))?;
        let seen = rustix::fs::fstat(&tree)?;
        // Someone could have put another file in its place.
        let expected: Dev = rustix::fs::makedev(major, minor);
        if FileType::from_raw_mode(seen.st_mode) != FileType::CharacterDevice || seen.st_rdev != expected {
            return Err(Errno::NODEV);
        }
        seal(tree.as_fd(), 0, READ_ONLY | NO_SUID | NO_EXEC)?;
        attach(&tree, &self.file(&format!("/dev/{name}"))?)
    }
}

/// Copies a mount, and those below it, without attaching the copy anywhere.
pub(super) fn copy_tree(path: &str) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    rustix::mount::open_tree(rustix::fs::CWD, path, flags)
}

/// Attaches an unattached mount to an open file or folder.
pub(super) fn attach(mount: &OwnedFd, place: &OwnedFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount.as_fd(), "", place.as_fd(), "", flags)
}

/// Makes a folder of a guest on its writable file system.
pub(super) fn make_guest_folder(parent: &OwnedFd, name: &str, mode: u32, owner: u32) -> Result<(), Errno> {
    rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(mode))?;
    // The launcher's umask may have taken bits away.
    rustix::fs::chmodat(parent, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
    let (user, group) = (rustix::process::Uid::from_raw(owner), rustix::process::Gid::from_raw(owner));
    rustix::fs::chownat(parent, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)
}
