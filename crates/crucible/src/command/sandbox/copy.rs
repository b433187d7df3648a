//! Copies files into a sandbox and out of it, piece by piece.
//!
//! Invariants: names from a sandbox are hostile: one that isn't a plain name never becomes a path here. A file appears here
//! whole or not at all, in the place of a link and never through it. How deep and how many is bounded.

use super::{Open, Whose};
use crate::arguments::{CopyArguments, CopyPlace, Folders, SandboxPath};
use crate::command::runtime;
use crate::exit::Exit;
use crate::output;
use crucible_api::client::{Found, Upload};
use crucible_api::v1::{FileEntry, FileKind, FileList};
use crucible_core::{Error, ErrorKind, GuestPath, Result};
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncRead, AsyncWriteExt};

/// How deep folders are followed.
const DEEPEST: usize = 64;
/// How many files are copied at once.
const MOST: usize = 100_000;

const IN: &str = "copy into the sandbox";
const OUT: &str = "copy out of the sandbox";

/// Copies.
///
/// # Errors
/// Crucible's own failures.
pub(super) fn copy(whose: &Whose, arguments: &CopyArguments) -> Result<Exit> {
    let runtime = runtime()?;
    let done = match (&arguments.source, &arguments.destination) {
        (CopyPlace::Sandbox(source), CopyPlace::Local(destination)) => {
            runtime.block_on(bring_out(whose, source, Some(destination), arguments.folders()))
        }
        (CopyPlace::Sandbox(source), CopyPlace::Standard) => {
            runtime.block_on(bring_out(whose, source, None, arguments.folders()))
        }
        (CopyPlace::Local(source), CopyPlace::Sandbox(destination)) => {
            runtime.block_on(put_in(whose, Some(source), destination, arguments.folders()))
        }
        (CopyPlace::Standard, CopyPlace::Sandbox(destination)) => {
            runtime.block_on(put_in(whose, None, destination, arguments.folders()))
        }
        (CopyPlace::Sandbox(_), CopyPlace::Sandbox(_)) => {
            Err(wrong("both paths are in sandboxes", "copy to a file here in between"))
        }
        _ => Err(wrong("neither path is in a sandbox", "one of them is ID:PATH")),
    };
    // A thread of the runtime may wait for standard input for ever.
    runtime.shutdown_background();
    done
}

fn wrong(message: &str, hint: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, "copy a file", message).with_hint(hint)
}

fn failed(operation: &'static str, message: String) -> impl FnOnce(io::Error) -> Error {
    move |error| {
        let kind = if error.kind() == io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Io };
        Error::new(kind, operation, message).with_source(error)
    }
}

/// Counts what is copied, and what isn't.
#[derive(Default)]
struct Tally {
    copied: usize,
    refused: usize,
}

impl Tally {
    fn count(&mut self) -> Result<()> {
        self.copied += 1;
        if self.copied > MOST {
            return Err(wrong(&format!("there are more than {MOST} files"), "copy an archive instead"));
        }
        Ok(())
    }

    fn refuse(&mut self, what: &str, why: &str) {
        self.refused += 1;
        // A hostile sandbox could make any number of them.
        if self.refused <= 20 {
            output::warning(&format!("{what}: {why}; it was left out"));
        }
    }

    /// Not all of what was asked for was copied where something was left out.
    fn exit(&self, operation: &'static str) -> Result<Exit> {
        match self.refused {
            0 => Ok(Exit::Success),
            refused => Err(Error::new(ErrorKind::Refused, operation, format!("{refused} entries were left out"))),
        }
    }
}

async fn put_in(whose: &Whose, source: Option<&PathBuf>, destination: &SandboxPath, folders: Folders) -> Result<Exit> {
    let path = destination.path()?;
    let Some(source) = source else {
        if destination.says_folder() {
            return Err(wrong("standard input has no name of its own", "say ID:PATH with the file's name"));
        }
        let open = whose.find(&destination.id).await?;
        let upload = Upload { content: Box::new(tokio::io::stdin()), length: None, executable: false };
        open.client.write_file(&open.id, path.as_str(), upload).await?;
        return Ok(Exit::Success);
    };
    let shown = source.display();
    let seen = std::fs::metadata(source).map_err(failed(IN, format!("can't look at '{shown}'")))?;
    if seen.is_dir() && folders == Folders::Refused {
        return Err(wrong(&format!("'{shown}' is a folder"), "-r copies it with all that is in it"));
    }
    let open = whose.find(&destination.id).await?;
    let into_folder = destination.says_folder() || is_folder(&open, &path).await?;
    let target = if into_folder { below(&path, plain_name(source)?)? } else { path };
    let mut tally = Tally::default();
    if seen.is_dir() {
        put_folder(&open, source, &target, &mut tally).await?;
    } else {
        put_file(&open, source, &seen, &target).await?;
    }
    tally.exit(IN)
}

async fn is_folder(open: &Open, path: &GuestPath) -> Result<bool> {
    match open.client.read_file(&open.id, path.as_str()).await {
        Ok(found) => Ok(matches!(found, Found::Folder(_))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Refused) => Ok(false),
        Err(error) => Err(error),
    }
}

fn plain_name(path: &Path) -> Result<&str> {
    let name = path.file_name().and_then(OsStr::to_str);
    name.ok_or_else(|| wrong(&format!("'{}' has no name of its own", path.display()), "say ID:PATH with a name"))
}

fn below(folder: &GuestPath, name: &str) -> Result<GuestPath> {
    GuestPath::parse(&format!("{}/{name}", folder.as_str().trim_end_matches('/')))
}

async fn put_file(open: &Open, source: &Path, seen: &Metadata, target: &GuestPath) -> Result<()> {
    let shown = source.display();
    if !seen.is_file() {
        return Err(wrong(&format!("'{shown}' is not a regular file"), "`-` copies from standard input"));
    }
    let file = File::open(source).map_err(failed(IN, format!("can't open '{shown}'")))?;
    let upload = Upload {
        content: Box::new(tokio::fs::File::from_std(file)),
        length: Some(seen.len()),
        executable: seen.permissions().mode() & 0o100 != 0,
    };
    open.client.write_file(&open.id, target.as_str(), upload).await
}

async fn put_folder(open: &Open, source: &Path, target: &GuestPath, tally: &mut Tally) -> Result<()> {
    let mut waiting = vec![(source.to_owned(), target.clone(), 0)];
    while let Some((folder, target, depth)) = waiting.pop() {
        let shown = folder.display().to_string();
        let entries = std::fs::read_dir(&folder).map_err(failed(IN, format!("can't list '{shown}'")))?;
        for entry in entries {
            let entry = entry.map_err(failed(IN, format!("can't list '{shown}'")))?;
            let path = entry.path();
            let shown = path.display().to_string();
            let seen = entry.metadata().map_err(failed(IN, format!("can't look at '{shown}'")))?;
            let name = entry.file_name();
            let Some(inside) = name.to_str().and_then(|name| below(&target, name).ok()) else {
                tally.refuse(&shown, "its name can't be one in a sandbox");
                continue;
            };
            if seen.is_dir() {
                if depth + 1 > DEEPEST {
                    return Err(wrong(&format!("folders are more than {DEEPEST} deep"), "copy an archive instead"));
                }
                waiting.push((path, inside, depth + 1));
            } else if seen.is_file() {
                tally.count()?;
                put_file(open, &path, &seen, &inside).await?;
            } else {
                tally.refuse(&shown, "it is neither file nor folder");
            }
        }
    }
    Ok(())
}

async fn bring_out(
    whose: &Whose,
    source: &SandboxPath,
    destination: Option<&PathBuf>,
    folders: Folders,
) -> Result<Exit> {
    let path = source.path()?;
    let open = whose.find(&source.id).await?;
    let found = open.client.read_file(&open.id, path.as_str()).await?;
    let Some(destination) = destination else {
        let Found::File(mut content) = found else {
            return Err(wrong(&format!("{path} is a folder"), "a folder can't go to standard output"));
        };
        let mut stdout = tokio::io::stdout();
        let copied = async {
            tokio::io::copy(&mut content, &mut stdout).await?;
            stdout.flush().await
        };
        return copied.await.map(|()| Exit::Success).or_else(|error| output::unwritable(error, "the file"));
    };
    let name = path.as_str().rsplit('/').next().filter(|name| !name.is_empty());
    let is_dir = std::fs::metadata(destination).is_ok_and(|seen| seen.is_dir());
    let target = match (is_dir, name) {
        (true, Some(name)) => destination.join(name),
        _ => destination.clone(),
    };
    let mut tally = Tally::default();
    match found {
        Found::File(content) => bring_file(content, &target).await?,
        Found::Folder(_) if folders == Folders::Refused => {
            return Err(wrong(&format!("{path} is a folder"), "-r copies it with all that is in it"));
        }
        Found::Folder(list) => bring_folder(&open, &path, list, target, &mut tally).await?,
    }
    tally.exit(OUT)
}

/// Writes a file beside its place, and puts it there when it is whole.
async fn bring_file(mut content: Box<dyn AsyncRead + Send + Unpin>, target: &Path) -> Result<()> {
    let shown = target.display().to_string();
    let cant_write = || failed(OUT, format!("can't write '{shown}'"));
    if std::fs::symlink_metadata(target).is_ok_and(|seen| seen.is_dir()) {
        return Err(wrong(&format!("'{shown}' is a folder"), "say the file's name, too"));
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let draft = tempfile::Builder::new()
        .prefix(".crucible-")
        .permissions(std::fs::Permissions::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(cant_write())?;
    let copy = draft.as_file().try_clone().map_err(cant_write())?;
    let mut file = tokio::fs::File::from_std(copy);
    tokio::io::copy(&mut content, &mut file).await.map_err(|error| {
        Error::new(ErrorKind::Io, OUT, format!("'{shown}' could not be copied whole")).with_source(error)
    })?;
    file.flush().await.map_err(cant_write())?;
    draft.persist(target).map_err(|error| error.error).map_err(cant_write())?;
    Ok(())
}

async fn bring_folder(open: &Open, path: &GuestPath, list: FileList, target: PathBuf, tally: &mut Tally) -> Result<()> {
    let mut waiting = vec![(path.clone(), list, target, 0)];
    while let Some((folder, list, target, depth)) = waiting.pop() {
        make_folder(&target)?;
        for entry in list.entries {
            let shown = format!("{folder}/{}", entry.name);
            let Some(inside) = safe_name(&entry).and_then(|name| below(&folder, name).ok()) else {
                tally.refuse(&shown, "its name is none that a file here is given");
                continue;
            };
            tally.count()?;
            let found = match entry.kind {
                FileKind::Other => {
                    tally.refuse(&shown, "it is neither file nor folder");
                    continue;
                }
                FileKind::File | FileKind::Directory => open.client.read_file(&open.id, inside.as_str()).await,
            };
            let place = target.join(&entry.name);
            match found {
                Ok(Found::File(content)) => bring_file(content, &place).await?,
                Ok(Found::Folder(_)) if depth + 1 > DEEPEST => {
                    return Err(wrong(&format!("folders are more than {DEEPEST} deep"), "copy an archive instead"));
                }
                Ok(Found::Folder(list)) => waiting.push((inside, list, place, depth + 1)),
                // What is there changes while the guest runs.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Refused) => {
                    tally.refuse(&shown, &error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// A folder is made, or is there already; a link to one isn't followed.
fn make_folder(path: &Path) -> Result<()> {
    let shown = path.display();
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match std::fs::symlink_metadata(path) {
            Ok(seen) if seen.is_dir() => Ok(()),
            _ => Err(wrong(&format!("'{shown}' is there and is no folder"), "choose another place")),
        },
        made => made.map_err(failed(OUT, format!("can't make the folder '{shown}'"))),
    }
}

/// The name of a file from a sandbox, if it can be one here: text, one part, nothing that steers a terminal.
fn safe_name(entry: &FileEntry) -> Option<&str> {
    let name = entry.name.as_str();
    let is_plain = entry.name_base64.is_none()
        && !matches!(name, "" | "." | "..")
        && !name.contains(['/', '\0'])
        && !name.chars().any(output::is_control);
    is_plain.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_name_becomes_one_here() {
        let entry = |name: &str, base64: Option<&str>| FileEntry {
            name: name.to_owned(),
            name_base64: base64.map(str::to_owned),
            kind: FileKind::File,
            size: 0,
        };
        for name in ["a", ".hidden", "ü b", "-rf", "a\\b"] {
            assert_eq!(safe_name(&entry(name, None)), Some(name));
        }
        for name in ["", ".", "..", "../x", "a/b", "/etc", "a\0b", "a\nb", "\x1b[2J", "\u{202e}x"] {
            assert_eq!(safe_name(&entry(name, None)), None, "{name:?}");
        }
        assert_eq!(safe_name(&entry("\u{fffd}", Some("/w=="))), None);
    }
}
