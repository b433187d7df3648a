//! What a path names, read so that one that can't be read is answered by a problem document, as everything is.

use crate::problem::Problem;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use crucible_core::{Error, ErrorKind};

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
