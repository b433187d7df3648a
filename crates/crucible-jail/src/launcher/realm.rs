//! The launcher's own surroundings, made once: for an ordinary user a user namespace in which it is root; for everyone a
//! private mount namespaces, and a time namespace for its children.

use super::{Step, root};
use crate::plan::Failure;
use crate::sys;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags};
use rustix::thread::{ClockId, LinkNameSpaceType};

/// Folders that exist on every Linux and that nothing bound into a sandbox comes from; the first that takes a mount is used.
pub(super) const PLACES: &[&str] = &["/sys", "/mnt", "/srv", "/media", "/opt"];

/// Makes a user namespace. Without spare ids the launcher's own id is mapped to 0 in it, which any user may do.
pub(super) fn enter_user_namespace(spare_ids: bool) -> Result<(), Failure> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    sys::unshare(libc::CLONE_NEWUSER).step("make a user namespace")?;
    if !spare_ids {
        write("/proc/self/uid_map", &format!("0 {uid} 1"))?;
        write("/proc/self/setgroups", "deny")?;
        write("/proc/self/gid_map", &format!("0 {gid} 1"))?;
        become_root_of_the_user_namespace()?;
    }
    Ok(())
}

/// Takes id 0 of the namespace once it is mapped.
pub(super) fn become_root_of_the_user_namespace() -> Result<(), Failure> {
    // Refused where one id is mapped without privilege; the supplementary groups then stay, and the record says so.
    let _groups_dropped = rustix::thread::set_thread_groups(&[]).is_ok();
    let (user, group) = (rustix::process::Uid::ROOT, rustix::process::Gid::ROOT);
    rustix::thread::set_thread_res_gid(group, group, group).step("become group 0 of the user namespace")?;
    rustix::thread::set_thread_res_uid(user, user, user).step("become user 0 of the user namespace")
}

/// The launcher's two mount namespaces. It lives in the small one, so that a clone of it is copied and given up quickly
/// however many mounts the host has, and looks into the other one for what it binds.
pub(super) struct Mounts {
    /// Where the launcher came from. Only weakened sandboxes go there.
    original: OwnedFd,
    host: OwnedFd,
    small: OwnedFd,
    /// Where the prepared roots are in the host's.
    roots: &'static str,
}

/// Where a sandbox's root is attached in the small mount namespace, before the sandbox's init makes it its own.
pub(super) const PLACE_OF_ROOT: &str = "/root";

impl Mounts {
    /// Makes both and enters the small one. Nothing travels back from either. At one of the places, something can be attached
    /// in each.
    pub(super) fn make(places: &'static [&'static str]) -> Result<Self, Failure> {
        let original = own_mount_namespace()?;
        sys::unshare(libc::CLONE_NEWNS).step("make a mount namespace")?;
        rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .step("make the mounts private")?;
        let host = own_mount_namespace()?;
        let roots = attach_at_first(places, &small_file_system()?).step("attach the file system for prepared roots")?;

        sys::unshare(libc::CLONE_NEWNS).step("make a small mount namespace")?;
        let root = small_file_system()?;
        for name in ["proc", "root"] {
            rustix::fs::mkdirat(&root, name, Mode::from_raw_mode(0o755)).step("make the small root's folders")?;
        }
        let open = |name| rustix::fs::openat(&root, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let proc = root::copy_tree("/proc").step("bind /proc")?;
        attach_at_first(places, &root).step("attach the small root")?;
        root::attach(&proc, &open("proc").step("open the small root's folders")?).step("attach /proc")?;
        rustix::process::fchdir(&root).step("enter the small root")?;
        rustix::process::pivot_root(".", ".").step("pivot into the small root")?;
        rustix::mount::unmount(".", UnmountFlags::DETACH).step("leave the host's mounts")?;
        rustix::process::chdir("/").step("enter the small root again")?;
        Ok(Self { original, host, small: own_mount_namespace()?, roots })
    }

    /// Does something where the host's mounts are, and comes back.
    pub(super) fn among_host_mounts<T>(&self, work: impl FnOnce(&str) -> Result<T, Failure>) -> Result<T, Failure> {
        enter(&self.host).step("enter the host's mounts")?;
        let result = work(self.roots);
        enter(&self.small).step("leave the host's mounts")?;
        result
    }
}

impl Mounts {
    /// Goes back to where the launcher came from.
    pub(super) fn enter_original(&self) -> Result<(), Failure> {
        enter(&self.original).step("enter the original mounts")
    }

    /// Comes back from there.
    pub(super) fn enter_small(&self) -> Result<(), Failure> {
        enter(&self.small).step("leave the original mounts")
    }
}

fn enter(namespace: &OwnedFd) -> Result<(), Errno> {
    rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))
}

fn own_mount_namespace() -> Result<OwnedFd, Failure> {
    rustix::fs::open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .step("open the mount namespace")
}

/// A file system in memory with room for folders and links only.
fn small_file_system() -> Result<OwnedFd, Failure> {
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).step("open a small tmpfs")?;
    rustix::mount::fsconfig_set_string(context.as_fd(), "size", "1m").step("bound a small tmpfs")?;
    rustix::mount::fsconfig_create(context.as_fd()).step("make a small tmpfs")?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).step("mount a small tmpfs")
}

/// Attaches a mount to the first of some folders that is there. Returns which.
fn attach_at_first(places: &'static [&'static str], mount: &OwnedFd) -> Result<&'static str, Errno> {
    let mut last = Errno::NOENT;
    for path in places {
        match rustix::mount::move_mount(
            mount.as_fd(),
            "",
            rustix::fs::CWD,
            *path,
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        ) {
            Ok(()) => return Ok(path),
            Err(errno) => last = errno,
        }
    }
    Err(last)
}

/// Makes a time namespace for the children, in which the machine has just started.
pub(super) fn enter_time_namespace() -> Result<(), Failure> {
    sys::unshare(libc::CLONE_NEWTIME).step("make a time namespace")?;
    let monotonic = rustix::time::clock_gettime(ClockId::Monotonic).tv_sec;
    let boot_time = rustix::time::clock_gettime(ClockId::Boottime).tv_sec;
    write("/proc/self/timens_offsets", &format!("monotonic -{monotonic} 0\nboottime -{boot_time} 0\n"))
}

fn write(path: &str, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).step(&format!("write {path}"))
}
