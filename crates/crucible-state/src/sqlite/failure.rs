//! What goes wrong with the database and its files, so that everyone who waited for the same commit can be told.

use crate::documents::Malformed;
use crucible_core::{Error, ErrorKind};
use std::io;

/// Why something can't be done.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    kind: ErrorKind,
    message: String,
    hint: Option<&'static str>,
}

pub(super) type Done<T> = Result<T, Failure>;

impl Failure {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    pub(super) fn unavailable(message: String) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    pub(super) fn damaged(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Io, message)
            .hint("`crucible store check` says what is damaged; a backup has what was there")
    }

    pub(super) fn stopped() -> Self {
        Self::new(ErrorKind::Infrastructure, "the thread that writes the database has ended")
    }

    pub(super) const fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    pub(super) fn told(self, operation: &'static str) -> Error {
        let error = Error::new(self.kind, operation, self.message);
        match self.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let message = format!("the database can't be used: {error}");
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::new(ErrorKind::Io, message).hint("the disk is full: make room on it"),
            Some(ErrorCode::ReadOnly) => Self::new(ErrorKind::Io, message).hint("its file can't be written to"),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::damaged(message),
            _ => Self::new(ErrorKind::Io, message),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let failure = Self::new(ErrorKind::Io, format!("a file of the store can't be used: {error}"));
        match error.kind() {
            io::ErrorKind::StorageFull => failure.hint("the disk is full: make room on it"),
            _ => failure,
        }
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        Self::damaged(format!("what is kept can't be read: {malformed}"))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}
