//! Brings files out of a sandbox in which every process is dead.
//!
//! Invariant: names, kinds, sizes and contents are the guest's and so hostile; how much is read, how deep and how long is
//! bounded here whatever a backend says. What isn't brought out is named with the reason.
//!
//! It doesn't write anything on the host.

use crate::patience::{SET_UP, within};
use crucible_core::{
    CollectedFile, Error, ErrorKind, FileContent, FileEntry, FileKind, GuestPath, Limits, RefusedFile, Result, Sandbox,
};
use std::collections::BTreeSet;
use tokio::io::AsyncReadExt;

const MOST_DEPTH: usize = 64;
const MOST_FILES: usize = 4096;
const MOST_ENTRIES: usize = 65_536;
const MOST_REFUSED: usize = 4096;
const MOST_SHOWN: usize = 1024;

/// What was brought out, and what wasn't.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Collection {
    pub(crate) files: Vec<CollectedFile>,
    pub(crate) refused: Vec<RefusedFile>,
}

impl Collection {
    /// Nothing, for one reason.
    pub(crate) fn none(paths: &[GuestPath], reason: &str) -> Self {
        let mut collection = Self::default();
        for path in paths {
            collection.refuse(path.as_str(), reason);
        }
        collection
    }

    /// Leaves out files that are there for another purpose.
    pub(crate) fn leave_out(&mut self, is_out: impl Fn(&GuestPath) -> bool, reason: &str) {
        let (out, files) = std::mem::take(&mut self.files).into_iter().partition(|file| is_out(&file.path));
        self.files = files;
        let out: Vec<CollectedFile> = out;
        for file in out {
            self.refuse(file.path.as_str(), reason);
        }
    }

    fn refuse(&mut self, path: &str, reason: impl Into<String>) {
        if self.refused.len() < MOST_REFUSED {
            let path = path.chars().take(MOST_SHOWN).collect();
            self.refused.push(RefusedFile { path, reason: reason.into() });
        } else if self.refused.len() == MOST_REFUSED {
            self.refused.push(RefusedFile { path: "…".to_owned(), reason: "further paths are left out".to_owned() });
        }
    }
}

struct Collector<'a> {
    sandbox: &'a dyn Sandbox,
    limits: &'a Limits,
    collection: Collection,
    seen: BTreeSet<GuestPath>,
    room: u64,
    entries: usize,
}

/// Brings out each path: a file by itself, a folder with all that is below it.
///
/// # Errors
/// Only what the backend failed with. A path that can't be had is in the collection with its reason.
pub(crate) async fn collect(sandbox: &dyn Sandbox, paths: &[GuestPath], limits: &Limits) -> Result<Collection> {
    let mut collector = Collector {
        sandbox,
        limits,
        collection: Collection::default(),
        seen: BTreeSet::new(),
        room: limits.disk.get(),
        entries: 0,
    };
    for path in paths {
        collector.path(path).await?;
    }
    Ok(collector.collection)
}

/// Whether a failure is about the path, or about the backend.
fn reason_to_refuse(error: Error) -> Result<String> {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::Refused | ErrorKind::InvalidInput => Ok(error.to_string()),
        _ => Err(error),
    }
}

impl Collector<'_> {
    async fn path(&mut self, path: &GuestPath) -> Result<()> {
        // A guest can't swap one for the other between the two calls: it is dead.
        match within(SET_UP, "open a file to collect", self.sandbox.read_file(path)).await {
            Ok(content) => self.file(path, content).await,
            Err(error) => {
                let reason = reason_to_refuse(error)?;
                match self.list(path).await {
                    Ok(entries) => self.folder(path, entries).await,
                    Err(error) => {
                        reason_to_refuse(error)?;
                        self.collection.refuse(path.as_str(), reason);
                        Ok(())
                    }
                }
            }
        }
    }

    async fn list(&self, path: &GuestPath) -> Result<Vec<FileEntry>> {
        within(SET_UP, "list a folder to collect", self.sandbox.list_files(path)).await
    }

    async fn folder(&mut self, root: &GuestPath, entries: Vec<FileEntry>) -> Result<()> {
        let mut folders = vec![(root.clone(), entries, 1)];
        while let Some((folder, entries, depth)) = folders.pop() {
            for entry in entries {
                self.entries += 1;
                if self.entries > MOST_ENTRIES || self.collection.files.len() >= MOST_FILES {
                    let reason = format!("more than {MOST_FILES} files or {MOST_ENTRIES} names are not brought out");
                    self.collection.refuse(folder.as_str(), reason);
                    return Ok(());
                }
                let Some(path) = child(&folder, &entry.name) else {
                    let shown = format!("{folder}/{}", entry.name.escape_ascii());
                    self.collection.refuse(&shown, "its name is not UTF-8, has control characters or is too long");
                    continue;
                };
                match entry.kind {
                    FileKind::File => self.entry(&path).await?,
                    FileKind::Directory if depth >= MOST_DEPTH => {
                        let reason = format!("folders deeper than {MOST_DEPTH} are not brought out");
                        self.collection.refuse(path.as_str(), reason);
                    }
                    FileKind::Directory => match self.list(&path).await {
                        Ok(entries) => folders.push((path, entries, depth + 1)),
                        Err(error) => self.collection.refuse(path.as_str(), reason_to_refuse(error)?),
                    },
                    FileKind::Other => {
                        self.collection.refuse(path.as_str(), "it is not a regular file with one name");
                    }
                }
            }
        }
        Ok(())
    }

    async fn entry(&mut self, path: &GuestPath) -> Result<()> {
        match within(SET_UP, "open a file to collect", self.sandbox.read_file(path)).await {
            Ok(content) => self.file(path, content).await,
            Err(error) => {
                self.collection.refuse(path.as_str(), reason_to_refuse(error)?);
                Ok(())
            }
        }
    }

    async fn file(&mut self, path: &GuestPath, content: FileContent) -> Result<()> {
        if !self.seen.insert(path.clone()) {
            return Ok(());
        }
        if self.collection.files.len() >= MOST_FILES {
            self.collection.refuse(path.as_str(), format!("more than {MOST_FILES} files are not brought out"));
            return Ok(());
        }
        let file_size = self.limits.file_size;
        let most = file_size.get().min(self.room);
        let too_large = || match content.size > file_size.get() || most == file_size.get() {
            true => format!("it is larger than the limit of {file_size} for one file"),
            false => format!("all files together are larger than the disk limit of {}", self.limits.disk),
        };
        if content.size > most {
            let reason = too_large();
            self.collection.refuse(path.as_str(), reason);
            return Ok(());
        }
        let mut bytes = Vec::new();
        let mut limited = content.bytes.take(most.saturating_add(1));
        within(SET_UP, "read a file to collect", async {
            limited.read_to_end(&mut bytes).await.map_err(|error| {
                let message = format!("{path} could not be read");
                Error::new(ErrorKind::Infrastructure, "read a file to collect", message).with_source(error)
            })
        })
        .await?;
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if size > most {
            self.collection.refuse(path.as_str(), "it grew past the limit while it was read");
            return Ok(());
        }
        self.room -= size;
        self.collection.files.push(CollectedFile { path: path.clone(), content: bytes });
        Ok(())
    }
}

/// The path of a folder's entry, if its name can be one. A backend's word isn't taken for it.
fn child(folder: &GuestPath, name: &[u8]) -> Option<GuestPath> {
    let name = std::str::from_utf8(name).ok()?;
    if name.is_empty() || name == "." || name == ".." || name.contains('/') {
        return None;
    }
    GuestPath::parse(&format!("{folder}/{name}")).ok()
}
