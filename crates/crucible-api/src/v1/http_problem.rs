//! A failure as an HTTP answer: a problem document by RFC 9457.

use super::problem::ProblemDetail;
use crucible_core as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of a problem document.
pub const PROBLEM_TYPE: &str = "application/problem+json";

/// A problem document. It holds what the caller can use; the chain of causes stays inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HttpProblem {
    /// Which kind of problem, as a URI: `urn:crucible:problem:` and the kind.
    #[serde(rename = "type")]
    pub uri: String,
    /// The kind in words: the same for every problem of the kind.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time, and where in the request.
    pub detail: String,
    /// What failed, as everywhere else.
    pub error: ProblemDetail,
}

impl HttpProblem {
    /// An error as it is told over HTTP.
    #[must_use]
    pub fn of(error: &core::Error) -> Self {
        let (status, title) = match error.kind() {
            core::ErrorKind::InvalidInput => (400, "the request is wrong"),
            core::ErrorKind::NotFound => (404, "something named isn't there"),
            core::ErrorKind::Refused => (403, "it is not allowed"),
            core::ErrorKind::Held => (409, "it is held for review"),
            core::ErrorKind::Conflict => (409, "it contradicts what is there"),
            core::ErrorKind::Unauthenticated => (401, "it isn't known who asks"),
            core::ErrorKind::Overloaded => (429, "there is too much to do"),
            core::ErrorKind::Unavailable => (503, "this machine can't do it"),
            _ => (500, "the service failed"),
        };
        Self::with_status(error, status, title)
    }

    /// An error under a status of its own.
    #[must_use]
    pub fn with_status(error: &core::Error, status: u16, title: &str) -> Self {
        let error = ProblemDetail::from(error);
        Self {
            uri: format!("urn:crucible:problem:{}", error.kind),
            title: title.to_owned(),
            status,
            detail: error.message.clone(),
            error,
        }
    }
}

impl ProblemDetail {
    /// The error that this tells of, for whoever asked over a wire.
    #[must_use]
    pub fn to_error(&self, operation: &'static str) -> core::Error {
        let kind = match self.kind.as_str() {
            "invalid_input" => core::ErrorKind::InvalidInput,
            "not_found" => core::ErrorKind::NotFound,
            "refused" => core::ErrorKind::Refused,
            "held" => core::ErrorKind::Held,
            "unavailable" => core::ErrorKind::Unavailable,
            "io" => core::ErrorKind::Io,
            "configuration" => core::ErrorKind::Configuration,
            "conflict" => core::ErrorKind::Conflict,
            "unauthenticated" => core::ErrorKind::Unauthenticated,
            "overloaded" => core::ErrorKind::Overloaded,
            _ => core::ErrorKind::Infrastructure,
        };
        let error = core::Error::new(kind, operation, self.message.clone());
        match &self.hint {
            Some(hint) => error.with_hint(hint.clone()),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_goes_over_the_wire_and_back_with_its_kind_and_mend() {
        let error = core::Error::new(core::ErrorKind::Refused, "fork", "it can't").with_hint("use the jail");
        let problem = HttpProblem::of(&error);
        assert_eq!((problem.status, problem.uri.as_str()), (403, "urn:crucible:problem:refused"));
        let back = problem.error.to_error("fork");
        assert_eq!((back.kind(), back.to_string().as_str(), back.hint()), (error.kind(), "it can't", error.hint()));
    }
}
