//! Probes of mounts, roots, devices and programs with more rights.

use super::{Attempt, parameter};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

/// Folders that a guest may be able to write to.
const FOLDERS: [&str; 4] = ["/work", "/tmp", "/dev/shm", "."];

/// Makes folders of this probe's own, named after the nonce.
fn own_folders(attempt: &Attempt) -> Vec<PathBuf> {
    let named = FOLDERS.iter().map(|folder| PathBuf::from(folder).join(&attempt.nonce));
    named.filter(|folder| std::fs::create_dir(folder).is_ok()).collect()
}

/// Mounts an empty tmpfs of 64 KiB. A guest that can mount can hide and fake files for whatever looks at its folders, and
/// reaches much kernel code. Harmless: on folders of its own, and in the mount namespace that it is in.
pub(super) fn mount(attempt: &mut Attempt) {
    for folder in own_folders(attempt) {
        attempt.answer(rustix::mount::mount("probe", &folder, "tmpfs", MountFlags::NODEV, c"size=64k"));
        attempt.answer(mount_by_new_calls(&folder));
        attempt.answer(rustix::mount::mount_bind(".", &folder));
    }
    let tree = rustix::mount::open_tree(CWD, "/", OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC);
    attempt.hold(tree);
}

fn mount_by_new_calls(folder: &Path) -> Result<(), Errno> {
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&context, "size", "64k")?;
    rustix::mount::fsconfig_create(&context)?;
    let mount = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NODEV)?;
    rustix::mount::move_mount(&mount, "", CWD, folder, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Makes the root's mount writable, and notes access times no more, which shows where it was writable before. A read-only
/// root is what keeps a guest from changing the interpreter of others. Harmless: only the mount's flags change, in the
/// mount namespace that it is in, and nothing is written.
pub(super) fn remount(attempt: &mut Attempt) {
    attempt.answer(rustix::mount::mount_remount("/", MountFlags::BIND | MountFlags::NOATIME, c""));
}

/// Makes a folder of its own its root. A guest with another root can feed faked files to whatever has more rights than it.
/// Harmless: its own root alone changes.
pub(super) fn chroot(attempt: &mut Attempt) {
    for folder in own_folders(attempt) {
        attempt.answer(rustix::process::chroot(&folder));
    }
}

/// Makes device nodes and opens them. A node for a disk would be the disk. Harmless: the nodes are the null device and a
/// whiteout, which is no device at all but is made by the same call, and which needs no privilege.
pub(super) fn device_node(attempt: &mut Attempt) {
    for folder in own_folders(attempt) {
        for (name, major, minor) in [("null", 1, 3), ("whiteout", 0, 0)] {
            let path = folder.join(name);
            let device = rustix::fs::makedev(major, minor);
            attempt.answer(rustix::fs::mknodat(CWD, &path, FileType::CharacterDevice, Mode::RUSR, device));
            attempt.hold(rustix::fs::open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()));
            attempt.hold(rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()));
        }
    }
}

/// Becomes the program at CANARY_PATH, which is this very program, setuid to the canary's user. Such programs are how a
/// guest would gain another user's rights. Harmless: the user has no rights, and the program only holds.
pub(super) fn set_id(attempt: &mut Attempt) {
    if let Some(path) = parameter("CANARY_PATH") {
        let error = std::process::Command::new(path).args(["hold", &attempt.nonce]).exec();
        attempt.tell_line(&format!("not executed: {}", error.kind()));
    }
}
