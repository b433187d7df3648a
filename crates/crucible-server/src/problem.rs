//! Failures as answers.

use axum::Json;
use axum::extract::Request;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use crucible_api::v1::{HttpProblem, PROBLEM_TYPE};
use crucible_core::{Error, ErrorKind, SandboxId};

/// A failure on its way to the caller.
#[derive(Debug)]
pub(crate) struct Problem(Box<HttpProblem>);

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self(Box::new(HttpProblem::of(&error)))
    }
}

impl Problem {
    /// What doesn't fit.
    pub(crate) fn too_large(message: String) -> Self {
        let error = Error::new(ErrorKind::InvalidInput, "read the request", message);
        Self(Box::new(HttpProblem::with_status(&error, 413, "the body is too large")))
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        of_rejection(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        of_rejection(rejection.status(), rejection.body_text())
    }
}

fn of_rejection(status: StatusCode, text: String) -> Problem {
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::too_large(format!("the body is larger than {} bytes", crate::MOST_BODY));
    }
    let error = Error::new(ErrorKind::InvalidInput, "read the request", text);
    Problem(Box::new(HttpProblem::with_status(&error, 400, "the request is wrong")))
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.0)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
        response
    }
}

/// Refuses a body that says itself that it is too large, before any of it is read. One that doesn't say is cut off later.
pub(crate) async fn refuse_large_bodies(request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let most = u64::try_from(crate::MOST_BODY).unwrap_or(u64::MAX);
    match length.and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length > most => {
            Problem::too_large(format!("the body is larger than {most} bytes")).into_response()
        }
        _ => next.run(request).await,
    }
}

/// Reads an id. One that isn't any names nothing.
pub(crate) fn sandbox_id(text: &str) -> Result<SandboxId, Problem> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(64).collect();
        Error::new(ErrorKind::NotFound, "find the sandbox", format!("there is no sandbox {shown:?}")).into()
    })
}

pub(crate) async fn no_such_route(uri: Uri) -> Problem {
    let shown: String = uri.path().chars().take(256).collect();
    Error::new(ErrorKind::NotFound, "find the resource", format!("there is nothing at {shown:?}")).into()
}

pub(crate) async fn no_such_method(method: Method) -> Problem {
    let error =
        Error::new(ErrorKind::InvalidInput, "read the request", format!("{method} is no method of this resource"));
    Problem(Box::new(HttpProblem::with_status(&error, 405, "the method is not allowed")))
}
