//! From a language's table entry to the host files that its programs need: the interpreter, and the read-only view to
//! build a private root from.
//!
//! Every entry has the same path inside as on the host, symbolic links are recreated as they are, and no bind lies
//! below another one or behind a link. Nothing here mounts anything or looks at the sandbox.

mod cache;
mod choice;
mod elf;
mod libraries;
mod lookup;
mod probe;
mod resolve;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use cache::Cache;
use crucible_core::{Language, Result};
pub(crate) use lookup::Stamp;
use lookup::Surroundings;
use resolve::Resolver;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The language table that Crucible comes with, as TOML: `[languages.NAME]` each.
pub const DEFAULT_LANGUAGES: &str = include_str!("languages.toml");

/// What a language's programs need of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// The interpreter, for a language that has one.
    pub interpreter: Option<HostInterpreter>,
    /// The read-only view, sorted so that parents come before children, without duplicates.
    pub entries: Vec<RuntimeEntry>,
}

/// An interpreter as it was found on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostInterpreter {
    /// Its absolute path, the same inside.
    pub path: String,
    /// Its version, where the probe told it.
    pub version: Option<String>,
}

/// One part of the read-only view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuntimeEntry {
    /// A folder with all that is in it, or a single file.
    Bind {
        /// Where it is on the host, without links on the way.
        source: PathBuf,
        /// Where it is inside.
        target: String,
    },
    /// A symbolic link.
    Symlink {
        /// Where the link is.
        target: String,
        /// What it says, byte for byte as on the host.
        points_to: String,
    },
}

/// What a person wants to know about a language on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The interpreter, for a language that has one; with its version wherever it tells one.
    pub interpreter: Option<HostInterpreter>,
    /// How many entries the read-only view has.
    pub entries: usize,
    /// Why answers can't be remembered, if that is so.
    pub cache_problem: Option<String>,
}

/// Finds the interpreter and all that the language's programs need, remembering the answer in the folder `cache`.
/// Whatever is wrong with that folder costs time and nothing else.
///
/// # Errors
/// `NotFound` without the interpreter; `Unavailable` where it can't tell what it needs; `Configuration` for an unusable
/// table entry; `Io` where the host's files can't be looked at.
pub fn resolve(language: &Language, cache: Option<&Path>) -> Result<Runtime> {
    resolver(cache).resolve(language)
}

/// Finds the interpreter, and its version even where that takes running it.
///
/// # Errors
/// As [`resolve()`].
pub fn describe(language: &Language, cache: Option<&Path>) -> Result<Description> {
    resolver(cache).describe(language)
}

fn resolver(cache: Option<&Path>) -> Resolver<'_> {
    Resolver { surroundings: Surroundings::of_this_process(), cache, patience: probe::PATIENCE }
}
