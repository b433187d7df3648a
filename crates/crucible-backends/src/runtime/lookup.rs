//! Which interpreter the caller means: the first of the language's names in the caller's `PATH`.
//!
//! Entries of `PATH` that aren't absolute are passed over: what lies in the current folder is often the untrusted
//! program itself. Nothing is executed here.

use super::choice;
use super::elf;
use crucible_core::{Error, ErrorKind, Language, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const OPERATION: &str = "find the interpreter";

/// The caller's environment, as far as it decides which interpreter is meant.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    /// Every environment variable.
    pub(super) environment: BTreeMap<OsString, OsString>,
    /// The current folder, where there is one.
    pub(super) directory: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    pub(super) fn of_this_process() -> Self {
        Self { environment: env::vars_os().collect(), directory: env::current_dir().ok() }
    }

    /// An environment variable.
    pub(super) fn variable(&self, name: &str) -> Option<&OsStr> {
        self.environment.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    fn search_path(&self) -> Vec<PathBuf> {
        let path = self.variable("PATH").unwrap_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"));
        env::split_paths(path).filter(|folder| folder.is_absolute()).collect()
    }
}

/// What tells a file from another one, and from what it was before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of a file, links followed; `None` where there is none.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// An executable that may be the interpreter, or a script that chooses one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Candidate {
    /// Where it was found.
    pub(super) path: PathBuf,
    /// Where that leads.
    real: PathBuf,
    /// Whether it only stands in for an interpreter that it chooses.
    pub(super) chooses: bool,
    stamp: Stamp,
    /// What else its choice depends on; empty for one that doesn't choose.
    choice: Vec<String>,
}

/// Finds the language's interpreter; `None` for a language that has none.
pub(super) fn find(surroundings: &Surroundings, language: &Language) -> Result<Option<Candidate>> {
    if language.interpreters.is_empty() {
        return Ok(None);
    }
    let search = surroundings.search_path();
    let mut absolute = Vec::new();
    for name in &language.interpreters {
        let given = Path::new(name);
        if given.is_absolute() {
            absolute.push(name.as_str());
            if let Some(found) = candidate(surroundings, given) {
                return Ok(Some(found));
            }
        } else if name.is_empty() || name.contains('/') {
            let message =
                format!("the interpreter {name:?} of {} is neither a name nor an absolute path", language.title);
            return Err(Error::new(ErrorKind::Configuration, OPERATION, message));
        } else if let Some(found) = search.iter().find_map(|folder| candidate(surroundings, &folder.join(given))) {
            return Ok(Some(found));
        }
    }
    Err(missing(language, &absolute, &search))
}

fn candidate(surroundings: &Surroundings, path: &Path) -> Option<Candidate> {
    let is_file = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    if !is_file || rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_err() {
        return None;
    }
    let path: PathBuf = path.components().collect();
    let real = fs::canonicalize(&path).ok()?;
    let stamp = Stamp::of(&real)?;
    let is_elf = elf::is_elf(&real);
    // Most stand-ins are scripts; those of mise and volta aren't.
    let chooses = !is_elf || path.iter().any(|part| part == "shims" || part == ".volta");
    let choice = if chooses { choice::made_from(surroundings, &path) } else { Vec::new() };
    Some(Candidate { path, real, chooses, stamp, choice })
}

fn missing(language: &Language, absolute: &[&str], search: &[PathBuf]) -> Error {
    let mut places: Vec<String> = absolute.iter().map(|path| (*path).to_owned()).collect();
    if absolute.len() < language.interpreters.len() {
        let folders: Vec<String> = search.iter().map(|folder| folder.display().to_string()).collect();
        places.push(format!("PATH ({})", folders.join(":")));
    }
    let names: Vec<&str> = language.interpreters.iter().map(String::as_str).collect();
    let message =
        format!("{} isn't on this machine: no {}; looked in {}", language.title, names.join(" or "), places.join(", "));
    let error = Error::new(ErrorKind::NotFound, OPERATION, message);
    if language.install_hint.is_empty() { error } else { error.with_hint(&language.install_hint) }
}
