//! Runtimes: interpreters that are WebAssembly, installed in a folder of the user's own.
//!
//! Invariant: a module is used only if it is the very one that Crucible knows by its hash. Where it came from decides nothing.

mod archive;
mod install;
#[cfg(test)]
mod tests;

use super::private::PrivateFolder;
use super::snapshot::Recipe;
use crucible_core::{Error, ErrorKind, HostPath, Result, nearest};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

const KNOWN: &str = include_str!("runtimes.toml");

/// The most that a module may be.
const LARGEST_MODULE: u64 = 256 << 20;

/// A runtime that Crucible knows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownRuntime {
    /// What people call it.
    pub title: String,
    /// The package's version.
    pub version: String,
    /// The module's licence.
    pub license: String,
    source: Source,
    member: String,
    sha256: String,
    pub(super) program: String,
    #[serde(default)]
    pub(super) commands: Vec<String>,
    /// How a snapshot of it is made, where one can be.
    pub(super) snapshot: Option<Recipe>,
}

/// Where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Source {
    /// A package of npm's registry.
    Npm {
        package: String,
        /// SHA-512 of the package's archive, as npm's lock files have it.
        integrity: String,
    },
    /// A wheel of Python's package index.
    Pypi {
        package: String,
        /// SHA-256 of the wheel.
        sha256: String,
    },
}

impl KnownRuntime {
    /// The digest that its module has.
    pub(super) fn digest(&self) -> &str {
        &self.sha256
    }

    /// The package that it comes in, with its version.
    #[must_use]
    pub fn package(&self) -> String {
        match &self.source {
            Source::Npm { package, .. } => format!("npm {package}@{}", self.version),
            Source::Pypi { package, .. } => format!("PyPI {package}=={}", self.version),
        }
    }
}

/// Every runtime that Crucible knows, by name.
///
/// # Errors
/// `Configuration`; a test keeps the embedded table sound.
pub fn known() -> Result<BTreeMap<String, KnownRuntime>> {
    toml::from_str(KNOWN).map_err(|error| {
        Error::new(ErrorKind::Configuration, "read the table of runtimes", "the built-in table can't be read")
            .with_source(error)
    })
}

fn find_known(name: &str) -> Result<KnownRuntime> {
    let mut known = known()?;
    known.remove(name).ok_or_else(|| {
        let shown: String = name.chars().take(64).collect();
        let error = Error::new(ErrorKind::NotFound, "find the runtime", format!("there is no runtime {shown:?}"));
        match nearest(name, known.keys().map(String::as_str)) {
            Some(near) => error.with_hint(format!("did you mean '{near}'?")),
            None => error.with_hint(format!("known: {}", known.keys().cloned().collect::<Vec<_>>().join(", "))),
        }
    })
}

/// A runtime that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledRuntime {
    /// Its name.
    pub name: String,
    /// What is known of it.
    pub known: KnownRuntime,
    /// Its module's file.
    pub module: PathBuf,
    /// The module's size in bytes.
    pub bytes: u64,
}

impl InstalledRuntime {
    /// Reads the module, which is then known to be the right one.
    ///
    /// # Errors
    /// `Io` where it can't be read, `Refused` where it is another one, with the mend.
    pub(super) fn read(&self) -> Result<Vec<u8>> {
        let operation = "read the runtime's module";
        let mut content = Vec::new();
        let read =
            std::fs::File::open(&self.module).and_then(|file| file.take(LARGEST_MODULE).read_to_end(&mut content));
        read.map_err(|error| {
            Error::new(ErrorKind::Io, operation, format!("{} can't be read", self.module.display())).with_source(error)
        })?;
        if hex(&Sha256::digest(&content)) != self.known.sha256 {
            let message = format!("{} isn't the module that {} has", self.module.display(), self.known.package());
            return Err(Error::new(ErrorKind::Refused, operation, message).with_hint(install_hint(&self.name)));
        }
        Ok(content)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn install_hint(name: &str) -> String {
    format!("install it with: crucible runtime install {name}")
}

/// The folder in which runtimes are installed.
#[derive(Clone, Debug)]
pub struct RuntimeFolder {
    path: HostPath,
}

impl RuntimeFolder {
    /// The folder at a path, whether or not it is there yet.
    #[must_use]
    pub const fn new(path: HostPath) -> Self {
        Self { path }
    }

    /// The runtimes that are installed. One that Crucible doesn't know, or doesn't know any more, isn't among them.
    ///
    /// # Errors
    /// `Unavailable` where the folder isn't the caller's alone.
    pub fn list(&self) -> Result<Vec<InstalledRuntime>> {
        if self.open()?.is_none() {
            return Ok(Vec::new());
        }
        let installed = |(name, known): (String, KnownRuntime)| self.look(name, known).transpose();
        known()?.into_iter().filter_map(installed).collect()
    }

    /// One that is installed.
    ///
    /// # Errors
    /// `NotFound` where it isn't, with the command that installs it; else as [`RuntimeFolder::list`].
    pub fn get(&self, name: &str) -> Result<InstalledRuntime> {
        let known = find_known(name)?;
        let title = known.title.clone();
        let found = if self.open()?.is_some() { self.look(name.to_owned(), known)? } else { None };
        found.ok_or_else(|| {
            let message = format!("the runtime '{name}' ({title}) isn't installed");
            Error::new(ErrorKind::NotFound, "find the runtime", message).with_hint(install_hint(name))
        })
    }

    /// Brings a runtime by its registry's ordinary client, checks it, and puts it in its place.
    ///
    /// # Errors
    /// `NotFound` for an unknown name; `Unavailable` without the client, or where that fetches nothing; `Refused` where what
    /// came isn't what is known; `Io` where it can't be written. Nothing is left behind in any case.
    pub fn install(&self, name: &str) -> Result<InstalledRuntime> {
        let known = find_known(name)?;
        let module = install::fetch(&known)?;
        self.keep(name, &module)?;
        self.get(name)
    }

    /// Puts a module in its place.
    pub(super) fn keep(&self, name: &str, module: &[u8]) -> Result<()> {
        let failed = |error| {
            let message = format!("the module can't be kept in {}", self.path);
            let hint = "see that there is room on the disk, and that the folder is yours alone (chmod 700)";
            Error::new(ErrorKind::Io, "keep the runtime", message).with_source(error).with_hint(hint)
        };
        let folder = PrivateFolder::open_or_create(self.path.as_path()).map_err(failed)?;
        folder.write(&file_name(name), 0o444, module).map_err(failed)
    }

    /// Removes a runtime.
    ///
    /// # Errors
    /// As [`RuntimeFolder::get`]; `Io` where it can't be removed.
    pub fn remove(&self, name: &str) -> Result<InstalledRuntime> {
        let installed = self.get(name)?;
        let removed = PrivateFolder::open(self.path.as_path()).and_then(|folder| folder.remove(&file_name(name)));
        removed.map_err(|error| {
            let message = format!("{} can't be removed", installed.module.display());
            Error::new(ErrorKind::Io, "remove the runtime", message).with_source(error)
        })?;
        Ok(installed)
    }

    fn open(&self) -> Result<Option<PrivateFolder>> {
        match PrivateFolder::open(self.path.as_path()) {
            Ok(folder) => Ok(Some(folder)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unusable(error)),
        }
    }

    fn unusable(&self, error: io::Error) -> Error {
        let message = format!("the folder of runtimes {} can't be used", self.path);
        Error::new(ErrorKind::Unavailable, "look for runtimes", message)
            .with_source(error)
            .with_hint("it has to be a folder of yours that nobody else may enter: chmod 700 closes it")
    }

    fn look(&self, name: String, known: KnownRuntime) -> Result<Option<InstalledRuntime>> {
        let module = self.path.as_path().join(file_name(&name));
        match size_of(&module) {
            Ok(Some(bytes)) => Ok(Some(InstalledRuntime { name, known, module, bytes })),
            Ok(None) => Ok(None),
            Err(error) => Err(self.unusable(error)),
        }
    }
}

fn size_of(file: &Path) -> io::Result<Option<u64>> {
    match std::fs::symlink_metadata(file) {
        Ok(seen) => Ok(seen.is_file().then_some(seen.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn file_name(name: &str) -> String {
    format!("{name}.wasm")
}
