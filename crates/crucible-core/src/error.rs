//! The one error type of Crucible's own failures: kind, operation, message, mend and source.
//!
//! A guest's failure is never an `Error`; it is an [`Outcome`](crate::Outcome).

use std::error::Error as StdError;
use std::fmt;

/// A result whose error is Crucible's own failure.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it is; each kind has one exit code and one HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong and stays wrong: a limit out of range, a path that leaves the work folder.
    InvalidInput,
    /// Something that the request names isn't there: a file, a language, an interpreter.
    NotFound,
    /// The policy, or what the backend can enforce, forbids it.
    Refused,
    /// The policy holds it until a person decides.
    Held,
    /// This machine can't do it as it is set up.
    Unavailable,
    /// Reading or writing on the host failed.
    Io,
    /// The configuration is wrong.
    Configuration,
    /// What is asked for contradicts what is there: another request has the same idempotency key.
    Conflict,
    /// Nobody knows who asks: no key, or one that opens nothing.
    Unauthenticated,
    /// The service, or a project's share of it, has too much to do. Later the same request may be taken.
    Overloaded,
    /// The sandbox was lost, or a part of Crucible broke its word. Another try may help.
    Infrastructure,
}

impl ErrorKind {
    /// Whether the same request may succeed later without anyone changing anything.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Infrastructure | Self::Overloaded)
    }

    /// The name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::NotFound => "not_found",
            Self::Refused => "refused",
            Self::Held => "held",
            Self::Unavailable => "unavailable",
            Self::Io => "io",
            Self::Configuration => "configuration",
            Self::Conflict => "conflict",
            Self::Unauthenticated => "unauthenticated",
            Self::Overloaded => "overloaded",
            Self::Infrastructure => "infrastructure",
        }
    }
}

/// Crucible's own failure. `Display` gives the message alone; print the chain of [`std::error::Error::source`] at the edge.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    operation: &'static str,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure of `kind` while doing `operation` («open the file», in the imperative).
    #[must_use]
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl Into<String>) -> Self {
        Self { kind, operation, message: message.into(), hint: None, source: None }
    }

    /// Adds the mend: what the person can do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What was being done.
    #[must_use]
    pub const fn operation(&self) -> &'static str {
        self.operation
    }

    /// The mend, where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
