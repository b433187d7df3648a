//! What there is to look at: files, what is in folders, and standard input, read with a bound.
//!
//! Invariant: in a folder no link is followed and nothing is opened but regular files, so that a hostile folder can
//! neither lead out of itself nor make the scan wait. What a person names is opened as it is.

use crucible_core::{Error, ErrorKind};
use crucible_scan::report::uri_reference;
use rustix::fs::OFlags;
use std::ffi::OsString;
use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

/// How much of a file is read, in bytes.
pub(super) const MOST_BYTES: u64 = 32 << 20;

/// The most files that are looked at, and ten times as many entries are walked past.
const MOST_FILES: usize = 100_000;
const MOST_ENTRIES: usize = 10 * MOST_FILES;

/// The deepest that folders are walked.
const DEEPEST: usize = 64;

/// What standard input is called.
const STANDARD_INPUT: &str = "<stdin>";

/// Folders in which version control keeps what isn't in the working tree.
const VERSION_CONTROL: [&str; 3] = [".git", ".hg", ".svn"];

/// Where bytes come from.
#[derive(Debug)]
enum Origin {
    StandardInput,
    /// A person named it.
    Named(PathBuf),
    /// It was found in a folder.
    Walked(PathBuf),
}

/// Something to look at.
#[derive(Debug)]
pub(super) struct Source {
    /// Its name for findings.
    pub(super) name: String,
    /// Its name as a URI reference.
    pub(super) uri: String,
    origin: Origin,
}

/// Something in a folder that isn't looked at.
#[derive(Debug)]
pub(super) struct Skipped {
    pub(super) name: String,
    pub(super) reason: &'static str,
}

/// Something that couldn't be read.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) name: String,
    pub(super) uri: String,
    pub(super) error: Error,
}

/// Everything that was named, and what is in it.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) found: Vec<Source>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) failures: Vec<Failure>,
}

impl Sources {
    /// Finds what these paths mean, in their order, folders by name.
    pub(super) fn of(paths: &[OsString]) -> Self {
        let mut sources = Self::default();
        for path in paths {
            if path == "-" {
                let (name, uri) = (STANDARD_INPUT.to_owned(), uri_reference(STANDARD_INPUT.as_bytes()));
                sources.found.push(Source { name, uri, origin: Origin::StandardInput });
                continue;
            }
            let path = PathBuf::from(path);
            match std::fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => sources.walk(path),
                Ok(_) => sources.found.push(Source::new(Origin::Named(path.clone()), &path)),
                Err(error) => sources.failures.push(Failure::new(&path, error)),
            }
        }
        sources
    }

    fn walk(&mut self, folder: PathBuf) {
        let mut seen = 0;
        let mut open: Vec<(PathBuf, Option<FileType>, usize)> = vec![(folder, None, 0)];
        while let Some((path, kind, depth)) = open.pop() {
            let is_folder = kind.is_none_or(|kind| kind.is_dir());
            if let Some(reason) = self.reason_to_skip(&path, kind, depth) {
                self.skip(&path, reason);
            } else if !is_folder {
                self.found.push(Source::new(Origin::Walked(path.clone()), &path));
            } else {
                match entries(&path, MOST_ENTRIES - seen) {
                    Ok((entries, Rest::None)) => {
                        seen += entries.len();
                        // The first by name has to be the next that is taken.
                        open.extend(entries.into_iter().rev().map(|(path, kind)| (path, Some(kind), depth + 1)));
                    }
                    Ok((_, Rest::Some)) => self.skip(&path, "there is too much in it, and in what was walked before"),
                    Err(error) => self.failures.push(Failure::new(&path, error)),
                }
            }
        }
    }

    fn reason_to_skip(&self, path: &Path, kind: Option<FileType>, depth: usize) -> Option<&'static str> {
        // What was named itself is walked whatever it is called.
        let kind = kind?;
        let is_version_control =
            || path.file_name().is_some_and(|name| VERSION_CONTROL.iter().any(|known| name == *known));
        if kind.is_symlink() {
            Some("it is a symbolic link")
        } else if kind.is_dir() && is_version_control() {
            Some("it is a version control folder; name it to have it looked at")
        } else if kind.is_dir() && depth > DEEPEST {
            Some("it is nested too deeply")
        } else if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
            Some("it is no regular file")
        } else if kind.is_file() && self.found.len() >= MOST_FILES {
            Some("there are too many files")
        } else {
            None
        }
    }

    fn skip(&mut self, path: &Path, reason: &'static str) {
        self.skipped.push(Skipped { name: path.to_string_lossy().into_owned(), reason });
    }
}

/// Whether there is more than was listed.
enum Rest {
    None,
    Some,
}

fn entries(folder: &Path, most: usize) -> io::Result<(Vec<(PathBuf, FileType)>, Rest)> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entries.len() >= most {
            return Ok((entries, Rest::Some));
        }
        entries.push((entry.path(), entry.file_type()?));
    }
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    Ok((entries, Rest::None))
}

impl Source {
    fn new(origin: Origin, path: &Path) -> Self {
        Self { name: path.to_string_lossy().into_owned(), uri: uri(path), origin }
    }

    /// Its bytes; the first [`MOST_BYTES`] and one more where there are more.
    ///
    /// # Errors
    /// `NotFound` or `Io`, with the name.
    #[expect(clippy::result_large_err, reason = "once for each file")]
    pub(super) fn read(&self) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        let read = match &self.origin {
            Origin::StandardInput => io::stdin().lock().take(MOST_BYTES + 1).read_to_end(&mut bytes),
            Origin::Named(path) => File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes)),
            Origin::Walked(path) => {
                open_regular(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
            }
        };
        match (read, &self.origin) {
            (Ok(_), _) => Ok(bytes),
            (Err(error), Origin::Named(path) | Origin::Walked(path)) => Err(Failure::new(path, error)),
            (Err(error), Origin::StandardInput) => Err(Failure::new(Path::new(STANDARD_INPUT), error)),
        }
    }
}

/// Opens what was a regular file when its folder was read. It may have been put in the place of one meanwhile.
fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file any more")) }
}

impl Failure {
    fn new(path: &Path, source: io::Error) -> Self {
        let name = path.to_string_lossy().into_owned();
        let (kind, message) = if source.kind() == io::ErrorKind::NotFound {
            (ErrorKind::NotFound, format!("there is no file '{name}'"))
        } else {
            (ErrorKind::Io, format!("can't read '{name}'"))
        };
        let error = Error::new(kind, "read a file", message);
        let error = if kind == ErrorKind::Io { error.with_source(source) } else { error };
        Self { name, uri: uri(path), error }
    }
}

/// Relative to the current folder where it is below it, else absolute.
fn uri(path: &Path) -> String {
    let current = std::env::current_dir().unwrap_or_default();
    let relative = path.strip_prefix(&current).unwrap_or(path);
    let plain: PathBuf = relative.components().filter(|part| *part != Component::CurDir).collect();
    let leads_out = plain.components().any(|part| part == Component::ParentDir);
    uri_reference(if leads_out { current.join(plain) } else { plain }.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_relative_below_the_current_folder_and_absolute_elsewhere() {
        let current = std::env::current_dir().unwrap();
        assert_eq!(uri(Path::new("./src/./a b.rs")), "src/a%20b.rs");
        assert_eq!(uri(&current.join("src/lib.rs")), "src/lib.rs");
        assert_eq!(uri(Path::new("/nowhere/a.py")), "file:///nowhere/a.py");
        assert!(uri(Path::new("../a.py")).starts_with("file:///"), "{}", uri(Path::new("../a.py")));
    }

    #[test]
    fn a_folder_is_walked_by_name_and_what_is_no_file_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("b/.git")).unwrap();
        std::fs::create_dir(at("c")).unwrap();
        for name in ["a.py", "b/z.py", "b/a.py", "b/.git/config", ".hidden.py"] {
            std::fs::write(at(name), "x").unwrap();
        }
        std::os::unix::fs::symlink("..", at("b/loop")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", at("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let sources = Sources::of(&[folder.path().into()]);
        let names = |name: &str| name.strip_prefix(&format!("{}/", folder.path().display())).unwrap().to_owned();
        let found: Vec<_> = sources.found.iter().map(|source| names(&source.name)).collect();
        assert_eq!(found, [".hidden.py", "a.py", "b/a.py", "b/z.py"]);
        let skipped: Vec<_> = sources.skipped.iter().map(|skipped| names(&skipped.name)).collect();
        assert_eq!(skipped, ["b/.git", "b/loop", "fifo", "link"]);
        assert!(sources.failures.is_empty());
    }

    #[test]
    fn what_was_swapped_after_the_walk_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.py");
        std::fs::write(&path, "x").unwrap();
        let sources = Sources::of(&[folder.path().into()]);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert_eq!(sources.found[0].read().unwrap_err().error.kind(), ErrorKind::Io);
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(sources.found[0].read().unwrap_err().error.kind(), ErrorKind::Io);
    }
}
