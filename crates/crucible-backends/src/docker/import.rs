//! An image of this machine's own runtime: what a language's programs may read in a jail, as a root folder for containers.
//!
//! Invariant: nothing but what the language's entry names goes in, with paths, links and permissions as they are here but
//! for setuid bits, and all of it root's. What this user can't read is left out, as it would be for a guest. It runs
//! nothing but the interpreter's own probe.

use super::Daemon;
use super::error;
use super::images::{INTERPRETER_LABEL, Image, LANGUAGE_LABEL};
use crate::runtime::{self, Runtime, RuntimeEntry};
use bollard::query_parameters::CreateImageOptionsBuilder;
use bytes::Bytes;
use crucible_core::{Error, ErrorKind, HostPath, Language, Result};
use futures_util::TryStreamExt;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

const OPERATION: &str = "make an image of this machine's runtime";
/// How much is handed over at a time.
const PIECE: usize = 256 << 10;
/// Folders that containers have something mounted on.
const FOLDERS: [(&str, u32); 6] =
    [("work", 0o755), ("tmp", 0o1777), ("proc", 0o755), ("sys", 0o755), ("dev", 0o755), ("etc", 0o755)];
/// What programs look themselves up in. A guest's own id is in none of them: each sandbox has another.
const FILES: [(&str, &str); 2] =
    [("etc/passwd", "root:x:0:0:root:/:/usr/sbin/nologin\n"), ("etc/group", "root:x:0:\n")];

/// The name of the image that is made for a language.
#[must_use]
pub fn host_image_name(language: &str) -> String {
    format!("crucible/{}:host", language.to_lowercase())
}

impl Daemon {
    /// Makes an image of what a language needs of this machine, under [`host_image_name`]. An image that had the name keeps
    /// its id alone.
    ///
    /// # Errors
    /// `NotFound` without the interpreter; `Io` where the files can't be read; `Infrastructure` where the daemon is lost.
    pub async fn import_host(&self, name: &str, language: &Language, cache: Option<&HostPath>) -> Result<Image> {
        let runtime = runtime::resolve(language, cache.map(HostPath::as_path))?;
        let image_name = host_image_name(name);
        let mut changes = vec![format!("LABEL {LANGUAGE_LABEL}={}", quoted(name)?)];
        if let Some(interpreter) = &runtime.interpreter {
            changes.push(format!("LABEL {INTERPRETER_LABEL}={}", quoted(&interpreter.path)?));
        }
        let options = CreateImageOptionsBuilder::default()
            .from_src("-")
            // With its tag: Podman passes over one that is given apart from the name.
            .repo(&image_name)
            .message("made of this machine's own runtime")
            .changes(changes)
            .build();
        let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(8);
        let packing = tokio::task::spawn_blocking(move || pack(&runtime, sender));
        let body = bollard::body_try_stream(futures_util::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|piece| (piece, receiver))
        }));
        let made: Result<Vec<_>, _> = self.client.create_image(Some(options), Some(body), None).try_collect().await;
        let packed = packing.await.map_err(|source| {
            Error::new(ErrorKind::Infrastructure, OPERATION, "packing broke off").with_source(source)
        })?;
        // A daemon that gave up is why the files found no taker.
        made.map_err(|source| error::of_daemon(OPERATION, source))?;
        packed.map_err(|source| {
            Error::new(ErrorKind::Io, OPERATION, "the runtime's files can't be read").with_source(source)
        })?;
        self.image(&image_name).await
    }
}

/// A value of a label.
fn quoted(text: &str) -> Result<String> {
    if text.chars().any(|c| c.is_control() || matches!(c, '"' | '\\' | '$' | '\'' | '`')) {
        let message = format!("{:?} can't be told to the daemon", error::shown(text));
        return Err(Error::new(ErrorKind::InvalidInput, OPERATION, message)
            .with_hint("install the interpreter under a path without quotes and backslashes"));
    }
    Ok(format!("\"{text}\""))
}

/// Hands over what is written, in pieces, to a stream.
struct Pieces {
    piece: Vec<u8>,
    sender: mpsc::Sender<io::Result<Bytes>>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.piece);
        if piece.is_empty() {
            return Ok(());
        }
        self.sender.blocking_send(Ok(piece.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

fn pack(runtime: &Runtime, sender: mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let archive = tar::Builder::new(Pieces { piece: Vec::with_capacity(PIECE), sender: sender.clone() });
    let mut packer = Packer { archive, folders: BTreeSet::new() };
    let packed = packer.runtime(runtime).and_then(|()| packer.archive.into_inner()).and_then(|mut rest| rest.flush());
    if let Err(error) = &packed {
        // So that the daemon doesn't take what came until now for all there is.
        let _told = sender.blocking_send(Err(error.kind().into())).is_ok();
    }
    packed
}

struct Packer<W: Write> {
    archive: tar::Builder<W>,
    /// What is there already.
    folders: BTreeSet<PathBuf>,
}

impl<W: Write> Packer<W> {
    fn runtime(&mut self, runtime: &Runtime) -> io::Result<()> {
        for (path, mode) in FOLDERS {
            self.folder(Path::new(path), mode)?;
        }
        for (path, content) in FILES {
            let length = u64::try_from(content.len()).unwrap_or(u64::MAX);
            self.archive.append_data(&mut header(tar::EntryType::Regular, 0o644, length), path, content.as_bytes())?;
        }
        for entry in &runtime.entries {
            match entry {
                RuntimeEntry::Symlink { target, points_to } => self.link(inside(target), Path::new(points_to))?,
                RuntimeEntry::Bind { source, target } => self.tree(source, inside(target))?,
            }
        }
        Ok(())
    }

    /// A folder or file with all that is in it.
    fn tree(&mut self, source: &Path, target: &Path) -> io::Result<()> {
        let seen = match fs::symlink_metadata(source) {
            Ok(seen) => seen,
            Err(error) if is_left_out(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let (kind, mode) = (seen.file_type(), seen.mode() & 0o777);
        if kind.is_symlink() {
            return self.link(target, &fs::read_link(source)?);
        }
        if kind.is_file() {
            let file = match fs::File::open(source) {
                Ok(file) => file,
                Err(error) if is_left_out(&error) => return Ok(()),
                Err(error) => return Err(error),
            };
            self.above(target)?;
            // A file that grows or shrinks meanwhile must not put what follows out of place.
            let content = io::Read::chain(io::Read::take(file, seen.len()), io::repeat(0));
            let mut header = header(tar::EntryType::Regular, mode, seen.len());
            header.set_mtime(u64::try_from(seen.mtime()).unwrap_or(0));
            return self.archive.append_data(&mut header, target, io::Read::take(content, seen.len()));
        }
        if !kind.is_dir() {
            return Ok(());
        }
        let mut entries: Vec<_> = match fs::read_dir(source) {
            Ok(entries) => entries.collect::<io::Result<_>>()?,
            Err(error) if is_left_out(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.folder(target, mode)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            self.tree(&entry.path(), &target.join(entry.file_name()))?;
        }
        Ok(())
    }

    fn link(&mut self, target: &Path, points_to: &Path) -> io::Result<()> {
        self.above(target)?;
        self.archive.append_link(&mut header(tar::EntryType::Symlink, 0o777, 0), target, points_to)
    }

    fn above(&mut self, target: &Path) -> io::Result<()> {
        match target.parent() {
            Some(above) if above != Path::new("") => self.folder(above, 0o755),
            _ => Ok(()),
        }
    }

    fn folder(&mut self, target: &Path, mode: u32) -> io::Result<()> {
        if target == Path::new("") || self.folders.contains(target) {
            return Ok(());
        }
        self.above(target)?;
        self.folders.insert(target.to_owned());
        self.archive.append_data(&mut header(tar::EntryType::Directory, mode, 0), target, io::empty())
    }
}

/// What isn't there any more, or isn't for this user to read.
fn is_left_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
}

fn inside(target: &str) -> &Path {
    Path::new(target.trim_start_matches('/'))
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// What an archive of this runtime holds: paths with their kinds and permissions.
    async fn packed(runtime: Runtime) -> Vec<(String, tar::EntryType, u32)> {
        let (sender, mut receiver) = mpsc::channel(8);
        let packing = tokio::task::spawn_blocking(move || pack(&runtime, sender));
        let mut all = Vec::new();
        while let Some(piece) = receiver.recv().await {
            all.extend_from_slice(&piece.unwrap());
        }
        packing.await.unwrap().unwrap();
        let mut archive = tar::Archive::new(all.as_slice());
        let entries = archive.entries().unwrap().map(Result::unwrap);
        entries
            .map(|entry| {
                let path = entry.path().unwrap().display().to_string();
                (path, entry.header().entry_type(), entry.header().mode().unwrap())
            })
            .collect()
    }

    #[tokio::test]
    async fn a_runtime_is_packed_with_its_links_and_without_setuid_bits_and_sockets() {
        let folder = tempfile::tempdir().unwrap();
        let long = "d".repeat(120);
        fs::create_dir_all(folder.path().join("lib").join(&long)).unwrap();
        let program = folder.path().join("lib").join(&long).join("program");
        fs::write(&program, "x").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
        std::os::unix::fs::symlink("program", folder.path().join("lib/link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("lib/socket")).unwrap();
        let runtime = Runtime {
            interpreter: None,
            entries: vec![
                RuntimeEntry::Symlink { target: "/bin".to_owned(), points_to: "usr/bin".to_owned() },
                RuntimeEntry::Bind { source: folder.path().join("lib"), target: "/opt/lib".to_owned() },
                RuntimeEntry::Bind { source: "/nowhere-5f1c".into(), target: "/nowhere-5f1c".to_owned() },
            ],
        };
        let entries = packed(runtime).await;
        let find = |path: &str| entries.iter().find(|(name, ..)| name.trim_end_matches('/') == path);
        let inside = format!("opt/lib/{long}/program");
        assert_eq!(find(&inside), Some(&(inside.clone(), tar::EntryType::Regular, 0o755)));
        assert_eq!(find("opt/lib/link").unwrap().1, tar::EntryType::Symlink);
        assert_eq!(find("bin").unwrap().1, tar::EntryType::Symlink);
        assert!(find("opt").is_some() && find("work").is_some() && find("etc/passwd").is_some());
        assert!(find("opt/lib/socket").is_none() && find("nowhere-5f1c").is_none());
    }

    #[test]
    fn a_path_that_would_be_read_otherwise_by_the_daemon_is_refused() {
        assert_eq!(quoted("/usr/bin/python3").unwrap(), "\"/usr/bin/python3\"");
        for text in ["a\"b", "a$b", "a\\", "a\nUSER 0"] {
            assert_eq!(quoted(text).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(host_image_name("Python"), "crucible/python:host");
    }
}
