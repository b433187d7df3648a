//! Where a value came from, and the reading of files that a person named.

use crucible_core::{Error, ErrorKind, Result};
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A text that holds settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// One that is part of the binary, by its name.
    Embedded(&'static str),
    /// A file.
    File(Arc<PathBuf>),
}

impl Source {
    pub(crate) fn file(path: impl Into<PathBuf>) -> Self {
        Self::File(Arc::new(path.into()))
    }

    /// `file:line`, as people and editors read it.
    pub(crate) fn at(&self, line: usize) -> String {
        match self {
            Self::Embedded(name) => format!("built-in {name}:{line}"),
            Self::File(path) => format!("{}:{line}", path.display()),
        }
    }

    pub(crate) fn origin(&self, line: usize) -> Origin {
        match self {
            Self::Embedded(name) => Origin::Default { name, line },
            Self::File(path) => Origin::File { path: Arc::clone(path), line },
        }
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The defaults that are part of the binary.
    Default {
        /// The name of the embedded file.
        name: &'static str,
        /// The line in it.
        line: usize,
    },
    /// A file.
    File {
        /// Its path.
        path: Arc<PathBuf>,
        /// The line in it.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        variable: &'static str,
    },
    /// A flag on the command line, or a call of the builder.
    Flag {
        /// The flag.
        flag: &'static str,
    },
}

impl Origin {
    /// The kind of origin in one word: `default`, `file`, `environment` or `flag`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Default { .. } => "default",
            Self::File { .. } => "file",
            Self::Environment { .. } => "environment",
            Self::Flag { .. } => "flag",
        }
    }

    /// Whose mistake a wrong value is: the request's, or the configuration's.
    pub(crate) const fn error_kind(&self) -> ErrorKind {
        match self {
            Self::Flag { .. } => ErrorKind::InvalidInput,
            Self::Default { .. } | Self::File { .. } | Self::Environment { .. } => ErrorKind::Configuration,
        }
    }

    /// A path as this origin means it: relative to the folder of the file that names it, else to the current one.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        match self {
            Self::File { path: file, .. } => file.parent().unwrap_or(Path::new("")).join(path),
            Self::Default { .. } | Self::Environment { .. } | Self::Flag { .. } => PathBuf::from(path),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default { name, line } => write!(f, "default ({name}:{line})"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment { variable } => f.write_str(variable),
            Self::Flag { flag } => f.write_str(flag),
        }
    }
}

/// Whether a person who wrote `text` meant a file rather than a name.
#[must_use]
pub fn is_file(text: &str) -> bool {
    text.contains('/') || Path::new(text).extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml"))
}

/// The most bytes that a file of settings may have.
const MAX_BYTES: u64 = 1 << 20;

/// Reads a file of settings that a person named.
///
/// # Errors
/// `kind` for a missing or unreadable file, one that isn't UTF-8, or one of more than 1 MiB.
pub(crate) fn read_settings(path: &Path, what: &'static str, kind: ErrorKind) -> Result<String> {
    let fail = |message: String| Error::new(kind, "read a file of settings", message);
    let file = std::fs::File::open(path)
        .map_err(|e| fail(format!("can't open the {what} {}", path.display())).with_source(e))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| fail(format!("can't read the {what} {}", path.display())).with_source(e))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(fail(format!("the {what} {} is longer than 1MiB", path.display())));
    }
    String::from_utf8(bytes).map_err(|e| fail(format!("the {what} {} is not UTF-8", path.display())).with_source(e))
}
