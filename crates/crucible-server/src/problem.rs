//! Failures as answers.

use axum::Json;
use axum::extract::Request;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use crucible_api::v1::{HttpProblem, PROBLEM_TYPE};
use crucible_core::{Error, ErrorKind};

/// Seconds after which a caller may try again where there was too much to do.
const RETRY_AFTER: &str = "5";

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

impl Problem {
    /// What isn't said to be JSON.
    pub(crate) fn not_json() -> Self {
        of_rejection(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type: it isn't application/json".to_owned())
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
    let (status, title) = match status {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => (415, "the body isn't JSON"),
        _ => (400, "the request is wrong"),
    };
    Problem(Box::new(HttpProblem::with_status(&error, status, title)))
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.0)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
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

/// What is answered where something broke that never should.
pub(crate) fn broke_down() -> Response {
    let error =
        Error::new(ErrorKind::Infrastructure, "answer the request", "something went wrong in the service itself");
    Problem::from(error).into_response()
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
