//! Crucible's own failure, as it is told to whoever asked.
//!
//! It holds what the person can use. The chain of causes stays inside: it may name host paths.

use crucible_core as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is answered instead of a result: `{"error": {...}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What went wrong.
    pub error: ProblemDetail,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemDetail {
    /// What kind of failure: `invalid_input`, `not_found`, `refused`, `held`, `unavailable`, `io`, `configuration`,
    /// `conflict`, `unauthenticated`, `overloaded`, `infrastructure`.
    pub kind: String,
    /// What went wrong, in one sentence.
    pub message: String,
    /// What was being done.
    pub operation: String,
    /// What the person can do about it.
    pub hint: Option<String>,
    /// Whether the same request may succeed later without anyone changing anything.
    pub retryable: bool,
}

impl From<&core::Error> for ProblemDetail {
    fn from(error: &core::Error) -> Self {
        Self {
            kind: error.kind().as_str().to_owned(),
            message: error.to_string(),
            operation: error.operation().to_owned(),
            hint: error.hint().map(str::to_owned),
            retryable: error.kind().is_retryable(),
        }
    }
}

impl From<&core::Error> for Problem {
    fn from(error: &core::Error) -> Self {
        Self { error: error.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_every_field_and_keeps_its_causes_to_itself() {
        let error = core::Error::new(core::ErrorKind::Infrastructure, "create the sandbox", "no answer")
            .with_source("secret: /root/x");
        let expected = r#"{"error":{"kind":"infrastructure","message":"no answer","operation":"create the sandbox","hint":null,"retryable":true}}"#;
        assert_eq!(serde_json::to_string(&Problem::from(&error)).unwrap(), expected);
    }
}
