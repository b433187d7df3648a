//! Fills folders of a sandbox's own with what its root shows there, which they are going to cover.
//!
//! Invariant: what is the root's own is copied and belongs to root inside; links are copied, not followed. What is mounted in it,
//! of the host, isn't copied: whoever fills decides how it is shown again, as read-only as it was.

use rustix::buffer::spare_capacity;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Dev, Dir, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::ffi::CStr;

/// How deep folders are.
const MOST_LEVELS: u32 = 32;
/// What only root inside may read of it.
const PRIVATE: [&[u8]; 2] = [b"shadow", b"gshadow"];

/// Something that is mounted in a folder that is going to be covered.
pub struct Mounted<'a> {
    /// Where, in the terms of the path that [`fill`] was given.
    pub path: Vec<u8>,
    /// The folder that it is mounted in, as the root shows it.
    pub folder: &'a OwnedFd,
    /// Its name there.
    pub name: &'a CStr,
}

/// Copies everything in a folder into another one, but for what is mounted there: of that an empty folder or file is made, and
/// `keep` is told. `path` is the folder's. What is copied is given to `owner`, or stays this process's own.
///
/// # Errors
/// The kernel's, or that of `keep`; `ENAMETOOLONG` where folders are too deep.
pub fn fill(
    path: &str,
    from: &OwnedFd,
    to: &OwnedFd,
    owner: Option<(Uid, Gid)>,
    keep: &mut dyn FnMut(Mounted<'_>) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let roots = rustix::fs::fstat(from)?.st_dev;
    Filling { roots, owner, keep }.fill(path.as_bytes(), from, to, MOST_LEVELS)
}

struct Filling<'a> {
    /// The file system of the root itself.
    roots: Dev,
    owner: Option<(Uid, Gid)>,
    keep: &'a mut dyn FnMut(Mounted<'_>) -> Result<(), Errno>,
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
                    if let Some((user, group)) = self.owner {
                        rustix::fs::chownat(to, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
                    }
                }
                FileType::Directory => {
                    rustix::fs::mkdirat(to, name, Mode::RWXU)?;
                    let (source, target) = (folder(from, name)?, folder(to, name)?);
                    if seen.st_dev == self.roots {
                        self.fill(&path, &source, &target, below)?;
                    } else {
                        (self.keep)(Mounted { path, folder: from, name })?;
                    }
                    self.finish(&target, mode)?;
                }
                FileType::RegularFile => {
                    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let target = rustix::fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
                    if seen.st_dev == self.roots {
                        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                        copy_bytes(&rustix::fs::openat(from, name, flags, Mode::empty())?, &target)?;
                    } else {
                        (self.keep)(Mounted { path, folder: from, name })?;
                    }
                    let is_private = PRIVATE.contains(&name.to_bytes());
                    self.finish(&target, if is_private { Mode::RUSR | Mode::WUSR } else { mode })?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives what was made its permissions and its owner.
    fn finish(&self, made: impl AsFd, mode: Mode) -> Result<(), Errno> {
        // Before it is somebody else's.
        rustix::fs::fchmod(&made, mode)?;
        match self.owner {
            Some((user, group)) => rustix::fs::fchown(made, Some(user), Some(group)),
            None => Ok(()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn a_copy_has_files_folders_links_and_permissions_and_private_tables_are_roots_alone() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(from.path().join("below")).unwrap();
        fs::write(from.path().join("below/tool"), "tool").unwrap();
        fs::set_permissions(from.path().join("below/tool"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(from.path().join("shadow"), "root:*:").unwrap();
        fs::set_permissions(from.path().join("shadow"), fs::Permissions::from_mode(0o644)).unwrap();
        symlink("/no/such/place", from.path().join("link")).unwrap();
        let open = |path: &std::path::Path| {
            rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
        };
        let owner = (rustix::process::geteuid(), rustix::process::getegid());
        let mut mounted = 0;
        let mut keep = |_: Mounted<'_>| {
            mounted += 1;
            Ok(())
        };
        fill("/etc", &open(from.path()), &open(to.path()), Some(owner), &mut keep).unwrap();
        assert_eq!(mounted, 0);
        assert_eq!(fs::read_to_string(to.path().join("below/tool")).unwrap(), "tool");
        let mode = |name: &str| fs::metadata(to.path().join(name)).unwrap().mode() & 0o777;
        assert_eq!((mode("below/tool"), mode("shadow")), (0o755, 0o600));
        assert_eq!(fs::read_link(to.path().join("link")).unwrap().to_str(), Some("/no/such/place"));
    }
}
