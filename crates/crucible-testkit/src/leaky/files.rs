//! The files of a leaky sandbox: right as far as a plain process has it in its hand, or wrong on purpose.

use super::Leak;
use crucible_core::{Error, ErrorKind, FileContent, FileEntry, FileKind, GuestPath, Result};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

pub(super) struct Files<'a> {
    pub(super) folder: &'a Path,
    pub(super) leak: Leak,
}

fn told(operation: &'static str, path: &GuestPath, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::Refused,
    };
    Error::new(kind, operation, format!("{path} can't be used")).with_source(error)
}

fn refused(operation: &'static str, path: &GuestPath) -> Error {
    Error::new(ErrorKind::Refused, operation, format!("{path} is not of the kind that is asked for"))
}

fn kind(metadata: &fs::Metadata) -> FileKind {
    match metadata {
        folder if folder.is_dir() => FileKind::Directory,
        file if file.is_file() && file.nlink() == 1 => FileKind::File,
        _ => FileKind::Other,
    }
}

impl Files<'_> {
    /// Where a path lies on the host. Nothing keeps an absolute one inside.
    pub(super) fn on_host(&self, path: &GuestPath) -> PathBuf {
        match path.within_work() {
            Some(below) => self.folder.join(below),
            None => PathBuf::from(path.as_str()),
        }
    }

    /// Whether the way to a path goes through a link.
    fn has_link(&self, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(self.folder) else { return false };
        let mut way = self.folder.to_owned();
        below.components().any(|part| {
            way.push(part);
            matches!(part, Component::Normal(_)) && fs::symlink_metadata(&way).is_ok_and(|seen| seen.is_symlink())
        })
    }

    fn honest(&self) -> bool {
        self.leak != Leak::LinksFollowed
    }

    pub(super) fn write(&self, path: &GuestPath, content: &[u8], executable: bool) -> Result<()> {
        let operation = "write a file";
        let host = self.on_host(path);
        if self.honest() && self.has_link(&host) {
            return Err(refused(operation, path));
        }
        let write = || {
            fs::create_dir_all(host.parent().unwrap_or(&host))?;
            let cut = self.leak != Leak::FilesNotCut;
            let mut file = OpenOptions::new().write(true).create(true).truncate(cut).open(&host)?;
            io::Write::write_all(&mut file, content)?;
            let executable = executable && self.leak != Leak::ExecutableBitLost;
            file.set_permissions(fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }))
        };
        write().map_err(|error| told(operation, path, error))
    }

    pub(super) fn read(&self, path: &GuestPath) -> Result<FileContent> {
        let operation = "open a file";
        let host = self.on_host(path);
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
        let open = || OpenOptions::new().read(true).custom_flags(nonblocking).open(&host);
        if self.honest() {
            match fs::symlink_metadata(&host) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.leak == Leak::MissingFilesEmpty => {
                    return Ok(FileContent { size: 0, bytes: Box::new(io::Cursor::new(Vec::new())) });
                }
                Err(error) => return Err(told(operation, path, error)),
                Ok(seen) if kind(&seen) != FileKind::File || self.has_link(&host) => {
                    return Err(refused(operation, path));
                }
                Ok(_) => {}
            }
        }
        let file: File = open().map_err(|error| told(operation, path, error))?;
        let size = file.metadata().map_err(|error| told(operation, path, error))?.len();
        if self.leak == Leak::BytesChanged {
            let bytes = fs::read(&host).map_err(|error| told(operation, path, error))?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            return Ok(FileContent { size, bytes: Box::new(io::Cursor::new(text.into_bytes())) });
        }
        Ok(FileContent { size, bytes: Box::new(tokio::fs::File::from_std(file)) })
    }

    pub(super) fn list(&self, path: &GuestPath) -> Result<Vec<FileEntry>> {
        let operation = "list a folder";
        let host = self.on_host(path);
        if self.honest() && self.has_link(&host) {
            return Err(refused(operation, path));
        }
        let list = || -> io::Result<Vec<FileEntry>> {
            fs::read_dir(&host)?
                .map(|entry| {
                    let entry = entry?;
                    let seen = entry.metadata()?;
                    Ok(FileEntry { name: entry.file_name().into_vec(), kind: kind(&seen), size: seen.len() })
                })
                .collect()
        };
        let mut entries = list().map_err(|error| told(operation, path, error))?;
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        if self.leak == Leak::ListsUnsorted {
            entries.reverse();
        }
        Ok(entries)
    }
}
