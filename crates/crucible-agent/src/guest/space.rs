//! The file system in memory that a guest writes to, in a kernel of the guest's own.
//!
//! Invariant: it is bounded, and everything that can be written lies on it. What is mounted in a folder that it covers is shown
//! again as it was.

use crate::protocol::{Content, Owner, Space, SpaceFolder};
use crucible_inside::fill::{self, Mounted};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;
use rustix::process::{Gid, Uid};
use std::ffi::CString;

/// Makes it, and has all its folders lie on it.
pub(super) fn make(space: &Space, owner: Option<Owner>) -> Result<(), Errno> {
    let Space { bytes, folders } = space;
    let (first, others) = folders.split_first().ok_or(Errno::INVAL)?;
    let options = CString::new(format!("size={bytes},mode=0755")).map_err(|_| Errno::INVAL)?;
    let flags = MountFlags::NODEV | MountFlags::NOSUID;
    rustix::mount::mount("tmpfs", &*first.path, "tmpfs", flags, &*options)?;
    let part = |number: usize| format!("{}/{number}", first.path);
    let owner = owner.map(|owner| (Uid::from_raw(owner.user), Gid::from_raw(owner.group)));
    for (number, folder) in folders.iter().enumerate() {
        begin(folder, &part(number), owner)?;
    }
    for (number, folder) in others.iter().enumerate() {
        // With what is mounted in it.
        rustix::mount::mount_bind_recursive(part(number + 1), &*folder.path)?;
    }
    // Last, since it hides the others.
    rustix::mount::mount_bind(part(0), &*first.path)
}

/// Makes a folder's part of it, with what it begins with.
fn begin(folder: &SpaceFolder, part: &str, owner: Option<(Uid, Gid)>) -> Result<(), Errno> {
    rustix::fs::mkdir(part, Mode::RWXU)?;
    if folder.content == Content::OfRoot {
        let open = |path: &str| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::open(path, flags, Mode::empty())
        };
        let mut keep = |mounted: Mounted<'_>| {
            let below = mounted.path.strip_prefix(folder.path.as_bytes()).ok_or(Errno::INVAL)?;
            let place = [part.as_bytes(), below].concat();
            rustix::mount::mount_bind_recursive(mounted.path.as_slice(), place.as_slice())
        };
        fill::fill(&folder.path, &open(&folder.path)?, &open(part)?, owner, &mut keep)?;
    }
    // Before it is somebody else's.
    rustix::fs::chmod(part, Mode::from_raw_mode(folder.mode))?;
    match owner {
        Some((user, group)) => rustix::fs::chown(part, Some(user), Some(group)),
        None => Ok(()),
    }
}
