//! The launcher's own surroundings, made once: for an ordinary user a user namespace in which it is root; for everyone a
//! private mount namespace with a small file system for prepared roots, and a time namespace for its children.

use super::Step;
use crate::plan::Failure;
use crate::sys;
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags};
use rustix::thread::ClockId;

/// Folders that exist on every Linux and that nothing bound into a sandbox comes from; the first that takes a mount is used.
const SCRATCH: &[&str] = &["/sys", "/mnt", "/srv", "/media", "/opt"];

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

/// Makes a mount namespace from which nothing travels back, and a small file system in it. Returns where that is.
pub(super) fn enter_mount_namespace() -> Result<&'static str, Failure> {
    sys::unshare(libc::CLONE_NEWNS).step("make a mount namespace")?;
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .step("make the mounts private")?;
    let context =
        rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).step("open a tmpfs for prepared roots")?;
    rustix::mount::fsconfig_set_string(context.as_fd(), "size", "1m").step("bound the tmpfs for prepared roots")?;
    rustix::mount::fsconfig_create(context.as_fd()).step("make the tmpfs for prepared roots")?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let mount = rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .step("mount the tmpfs for prepared roots")?;
    let mut last = Errno::NOENT;
    for path in SCRATCH {
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
    Err(last).step("attach the tmpfs for prepared roots")
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
