//! A read-only view of the host in the making: paths go in, binds and symbolic links come out.
//!
//! Each path is walked component by component, as the kernel would, and every symbolic link on the way is kept. So a
//! bind's path never leads through a link, and a link's own path doesn't either. A path that can't be reached is left out
//! and remembered as absent. The view never opens or reads a file.

use super::RuntimeEntry;
use crucible_core::{Error, ErrorKind, Result};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The most links followed for one path: the kernel's own bound.
const MAX_LINKS: usize = 40;
/// The sandbox makes these itself, so nothing of the host may be put there.
const KERNEL_FOLDERS: [&str; 3] = ["/proc", "/sys", "/dev"];
/// Stores in which a package's files lie in folders of their own that refer to each other: all of it or nothing.
const PACKAGE_STORES: [&str; 2] = ["/nix/store", "/gnu/store"];

const OPERATION: &str = "collect the language's files";

enum Part {
    Folder,
    File,
    Link(String),
}

/// Where a path leads.
struct Walked {
    /// The same place without links on the way.
    real: PathBuf,
    is_folder: bool,
    /// The links on the way, with what they say.
    links: Vec<(PathBuf, String)>,
}

/// The view being built.
pub(super) struct View {
    root: PathBuf,
    parts: BTreeMap<PathBuf, Part>,
    absent: BTreeSet<PathBuf>,
}

impl View {
    /// An empty view of the host whose root folder is `root`: `/`, except in tests.
    pub(super) fn of(root: &Path) -> Self {
        Self { root: root.to_owned(), parts: BTreeMap::new(), absent: BTreeSet::new() }
    }

    /// Adds a file or folder, with the links on the way. Gives its path without links, or `None` where there is no such
    /// file.
    pub(super) fn add(&mut self, path: &Path) -> Result<Option<PathBuf>> {
        if !path.is_absolute() {
            let message = format!("the path {} isn't absolute", path.display());
            return Err(Error::new(ErrorKind::Configuration, OPERATION, message));
        }
        let Some(Walked { real, is_folder, links }) = self.walk(path)? else {
            self.absent.insert(path.to_owned());
            return Ok(None);
        };
        if real == Path::new("/") {
            let message =
                format!("the path {} is the whole machine, which is never given to a sandbox", path.display());
            return Err(Error::new(ErrorKind::Configuration, OPERATION, message));
        }
        for (place, points_to) in links {
            self.parts.insert(place, Part::Link(points_to));
        }
        for store in PACKAGE_STORES {
            if real.starts_with(store) {
                self.parts.insert(PathBuf::from(store), Part::Folder);
            }
        }
        self.parts.insert(real.clone(), if is_folder { Part::Folder } else { Part::File });
        Ok(Some(real))
    }

    /// Follows a path to its end: where it ends, whether that is a folder, and the links on the way.
    fn walk(&self, path: &Path) -> Result<Option<Walked>> {
        let mut links = Vec::new();
        let mut ahead = steps(path);
        let mut here = PathBuf::from("/");
        let mut is_folder = true;
        while let Some(step) = ahead.pop_front() {
            if !is_folder && step != ".." {
                return Ok(None);
            }
            if step == ".." {
                here.pop();
                is_folder = true;
                continue;
            }
            let place = here.join(&step);
            if KERNEL_FOLDERS.iter().any(|folder| place == Path::new(folder)) {
                let message = format!(
                    "the path {} lies in {}, which every sandbox has of its own",
                    path.display(),
                    place.display()
                );
                return Err(Error::new(ErrorKind::Configuration, OPERATION, message));
            }
            let on_host = on(&self.root, &place);
            let kind = match fs::symlink_metadata(&on_host) {
                Ok(metadata) => metadata.file_type(),
                Err(error) if is_unreachable(&error) => return Ok(None),
                Err(error) => return Err(cannot_read(&place, error)),
            };
            if kind.is_symlink() {
                if links.len() == MAX_LINKS {
                    return Ok(None);
                }
                let points_to = fs::read_link(&on_host).map_err(|error| cannot_read(&place, error))?;
                for step in steps(&points_to).into_iter().rev() {
                    ahead.push_front(step);
                }
                if points_to.is_absolute() {
                    here = PathBuf::from("/");
                }
                links.push((place, text(&points_to)?));
                continue;
            }
            if !kind.is_dir() && !kind.is_file() {
                let message = format!("{} is neither a file nor a folder", place.display());
                return Err(Error::new(ErrorKind::Configuration, OPERATION, message));
            }
            is_folder = kind.is_dir();
            here = place;
        }
        Ok(Some(Walked { real: here, is_folder, links }))
    }

    /// The entries, parents before children and none below a folder that is there as a whole; and the paths that were
    /// asked for in vain.
    pub(super) fn finish(self) -> Result<(Vec<RuntimeEntry>, Vec<PathBuf>)> {
        let mut entries = Vec::with_capacity(self.parts.len());
        let mut covering: Option<&Path> = None;
        for (place, part) in &self.parts {
            if covering.is_some_and(|folder| place.starts_with(folder)) {
                continue;
            }
            let target = text(place)?;
            match part {
                Part::Link(points_to) => entries.push(RuntimeEntry::Symlink { target, points_to: points_to.clone() }),
                Part::File | Part::Folder => entries.push(RuntimeEntry::Bind { source: on(&self.root, place), target }),
            }
            if matches!(part, Part::Folder) {
                covering = Some(place);
            }
        }
        Ok((entries, self.absent.into_iter().collect()))
    }
}

/// Where a path of the host whose root folder is `root` really is.
pub(super) fn on(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix("/").map_or_else(|_| path.to_owned(), |rest| root.join(rest))
}

fn steps(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

fn is_unreachable(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | NotADirectory | PermissionDenied | InvalidFilename)
}

fn cannot_read(place: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Io, OPERATION, format!("can't look at {}", place.display())).with_source(error)
}

/// A path as text.
pub(super) fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        let message = format!("the path {} isn't UTF-8, so a sandbox can't have it", path.display());
        Error::new(ErrorKind::Unavailable, OPERATION, message)
    })
}
