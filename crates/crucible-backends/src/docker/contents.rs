//! What root inside finds in folders of its own: what the image has there, and users.
//!
//! The folders are file systems in memory that cover the image's, and nobody in a container may mount anything, so that their
//! contents come through the daemon and the agent.
//!
//! Invariant: an image's files are hostile. What is read of them is bounded, no set-id bit is kept, and they are put in place by
//! the agent, which has no more rights than the container's root.

use super::container::Need;
use super::images::Image;
use super::made::Made;
use crate::agent::translate;
use crate::users;
use crucible_agent::host::{AgentClient, Placed, What};
use crucible_core::{Error, ErrorKind, Result, Users};
use crucible_jail::plan::{GUEST_ID, HOST_NAME, ROOTS_FOLDERS};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

const OPERATION: &str = "fill the sandbox's folders";
/// The most bytes that an image may have in all these folders, and the most files, folders and links.
const MOST_BYTES: usize = 128 << 20;
const MOST_ENTRIES: usize = 100_000;
/// What container daemons put there themselves, read-only.
const OF_THE_DAEMON: [&str; 3] = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
const PERMISSIONS: u32 = 0o1777;
/// A link that is no longer takes no more than an inode.
const LONGEST_OF_INODE: usize = 128;

/// One thing in a folder, by its path.
struct Entry {
    mode: u32,
    owner: (u32, u32),
    what: Kind,
}

enum Kind {
    Folder,
    Link(String),
    /// Shared by all of its names, of which a hostile image may have many.
    File(Arc<[u8]>),
}

/// Everything in the folders of an image, parents before children.
pub(super) struct Contents(BTreeMap<String, Entry>);

impl Contents {
    /// Reads them of a container that isn't started yet.
    pub(super) async fn of(container: &Made, image: &Image) -> Result<Self> {
        let mut entries = BTreeMap::new();
        let mut left = MOST_BYTES;
        for (folder, ..) in ROOTS_FOLDERS {
            let archive = container.archive(folder, left).await?;
            left = left.saturating_sub(archive.len());
            let read = tokio::task::spawn_blocking(move || {
                let mut found = BTreeMap::new();
                unpack(&archive, &mut found).map(|()| found)
            });
            let found = read.await.map_err(|source| {
                Error::new(ErrorKind::Infrastructure, OPERATION, "reading the image broke off").with_source(source)
            })?;
            entries.extend(found.map_err(unreadable)?);
        }
        if entries.len() > MOST_ENTRIES {
            return Err(too_much(image));
        }
        let own = |what, mode| Entry { mode, owner: (0, 0), what };
        for path in users::folders(Users::Root) {
            entries.entry((*path).to_owned()).or_insert_with(|| own(Kind::Folder, 0o755));
        }
        for (path, content) in users::files(Users::Root, GUEST_ID, HOST_NAME) {
            for (end, _) in path.match_indices('/').skip(2) {
                let above = path.get(..end).unwrap_or_default().to_owned();
                entries.entry(above).or_insert_with(|| own(Kind::Folder, 0o755));
            }
            // An image of somebody's has users of its own.
            if image.language.is_some() || !entries.contains_key(&path) {
                let mode = if path == "/etc/shadow" { 0o600 } else { 0o644 };
                entries.insert(path, own(Kind::File(content.into()), mode));
            }
        }
        entries.entry("/var/tmp".to_owned()).or_insert_with(|| own(Kind::Link("/tmp".to_owned()), 0o777));
        entries.retain(|path, _| !OF_THE_DAEMON.contains(&path.as_str()));
        Ok(Self(entries))
    }

    /// What a folder takes of room.
    pub(super) fn need(&self, folder: &str) -> Need {
        let is_in = |path: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        let all = self.0.iter().filter(|(path, _)| is_in(path));
        all.fold(Need::default(), |need, (_, entry)| {
            need.and(match &entry.what {
                Kind::Folder => 0,
                Kind::Link(to) if to.len() < LONGEST_OF_INODE => 0,
                Kind::Link(to) => to.len() as u64,
                Kind::File(content) => content.len() as u64,
            })
        })
    }

    /// Has the agent put them in place.
    pub(super) async fn put(&self, agent: &AgentClient) -> Result<()> {
        let entries = self.0.iter().map(|(path, entry)| Placed {
            path,
            mode: entry.mode,
            owner: entry.owner,
            what: match &entry.what {
                Kind::Folder => What::Folder,
                Kind::Link(to) => What::Link(to),
                Kind::File(content) => What::File(content),
            },
        });
        agent.put(entries).await.map_err(|error| translate(OPERATION, error))
    }
}

/// The error of a disk limit that has no room for them.
pub(super) fn no_room(image: &str) -> Error {
    let message =
        format!("what the image {image} has in /etc, /home, /root, /run and /var doesn't fit into the disk limit");
    Error::new(ErrorKind::InvalidInput, OPERATION, message)
        .with_hint("raise --disk, or the limit `inodes` of the configuration")
}

fn too_much(image: &Image) -> Error {
    let message = format!("the image {} has too much in /etc, /home, /root, /run and /var", image.name);
    Error::new(ErrorKind::InvalidInput, OPERATION, message).with_hint(format!(
        "the most are {} MiB and {MOST_ENTRIES} files in all; take a smaller image, or a policy with users = \"guest\"",
        MOST_BYTES >> 20
    ))
}

fn unreadable(source: std::io::Error) -> Error {
    Error::new(ErrorKind::Infrastructure, OPERATION, "what the daemon gives of the image can't be read")
        .with_source(source)
}

/// Reads an archive of one folder: `etc/`, `etc/passwd` and so on. What can't be shown by a file, folder or link is left out, and so
/// are names that aren't UTF-8.
fn unpack(archive: &[u8], entries: &mut BTreeMap<String, Entry>) -> std::io::Result<()> {
    for entry in tar::Archive::new(archive).entries()?.take(MOST_ENTRIES + 1) {
        let mut entry = entry?;
        let Some(path) = path_of(&entry.path()?) else { continue };
        let header = entry.header();
        let id = |id: std::io::Result<u64>| id.ok().and_then(|id| u32::try_from(id).ok()).unwrap_or(0);
        let (mode, owner) = (header.mode()? & PERMISSIONS, (id(header.uid()), id(header.gid())));
        let link = entry.link_name()?.and_then(|to| to.to_str().map(str::to_owned));
        let what = match (entry.header().entry_type(), link) {
            (tar::EntryType::Directory, _) => Kind::Folder,
            (tar::EntryType::Regular, _) => {
                let mut content = Vec::new();
                entry.read_to_end(&mut content)?;
                Kind::File(content.into())
            }
            (tar::EntryType::Symlink, Some(to)) => Kind::Link(to),
            (tar::EntryType::Link, Some(to)) => {
                let other = path_of(std::path::Path::new(&to)).and_then(|other| entries.get(&other));
                match other {
                    Some(Entry { what: Kind::File(content), .. }) => Kind::File(Arc::clone(content)),
                    _ => continue,
                }
            }
            _ => continue,
        };
        entries.insert(path, Entry { mode, owner, what });
    }
    Ok(())
}

/// A path inside, of one in an archive. The folder itself is there already.
fn path_of(path: &std::path::Path) -> Option<String> {
    let names: Option<Vec<&str>> = path
        .components()
        .map(|part| match part {
            std::path::Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect();
    names.filter(|names| names.len() > 1).map(|names| format!("/{}", names.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(add: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        add(&mut builder);
        builder.into_inner().unwrap()
    }

    fn header(kind: tar::EntryType, size: u64, mode: u32) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(mode);
        header.set_uid(7);
        header.set_gid(8);
        header
    }

    #[test]
    fn what_an_image_has_is_read_without_its_set_id_bits_and_never_outside() {
        let bytes = archive(|builder| {
            builder.append_data(&mut header(tar::EntryType::Directory, 0, 0o755), "etc/", &[][..]).unwrap();
            builder.append_data(&mut header(tar::EntryType::Regular, 3, 0o6755), "etc/tool", &b"abc"[..]).unwrap();
            builder.append_link(&mut header(tar::EntryType::Symlink, 0, 0o777), "etc/link", "/x").unwrap();
            builder.append_link(&mut header(tar::EntryType::Link, 0, 0o644), "etc/same", "etc/tool").unwrap();
            builder.append_data(&mut header(tar::EntryType::Char, 0, 0o666), "etc/device", &[][..]).unwrap();
            // The library itself refuses to write such a name.
            let mut outside = header(tar::EntryType::Regular, 0, 0o644);
            outside.as_old_mut().name[..13].copy_from_slice(b"etc/../../out");
            outside.set_cksum();
            builder.append(&outside, &[][..]).unwrap();
        });
        let mut entries = BTreeMap::new();
        unpack(&bytes, &mut entries).unwrap();
        assert_eq!(entries.keys().collect::<Vec<_>>(), ["/etc/link", "/etc/same", "/etc/tool"]);
        let tool = &entries["/etc/tool"];
        assert_eq!((tool.mode, tool.owner), (0o755, (7, 8)));
        assert!(matches!(&entries["/etc/same"].what, Kind::File(content) if **content == *b"abc"));
    }

    #[test]
    fn an_archive_that_is_cut_is_an_error_and_no_panic() {
        let bytes = archive(|builder| {
            builder.append_data(&mut header(tar::EntryType::Regular, 3, 0o755), "etc/tool", &b"abc"[..]).unwrap();
        });
        for length in [0, 1, 511, 512, 513, 515] {
            let _read = unpack(&bytes[..length], &mut BTreeMap::new()).is_ok();
        }
        assert!(unpack(&bytes[..513], &mut BTreeMap::new()).is_err());
    }
}
