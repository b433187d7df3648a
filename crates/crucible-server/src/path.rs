//! What a path names, read so that one that can't be read is answered by a problem document, as everything is.

use crate::problem::Problem;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use crucible_core::{Error, ErrorKind};
use std::str::FromStr;

/// The id in a path, as it stands there.
pub(crate) struct Id(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
        // What isn't even text names nothing.
        read.map(|Path(id)| Self(id))
            .map_err(|_| Error::new(ErrorKind::NotFound, "find the resource", "the path names nothing").into())
    }
}

/// Reads an id. What isn't any names nothing: `find` says what was looked for, `what` what there isn't.
pub(crate) fn id<T: FromStr>(text: &str, find: &'static str, what: &str) -> Result<T, Error> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(64).collect();
        Error::new(ErrorKind::NotFound, find, format!("there is no {what} {shown:?}"))
    })
}
