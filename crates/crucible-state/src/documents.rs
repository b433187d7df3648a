//! Specifications and reviews as JSON, with a version each.
//!
//! Invariant: what is written reads back as the same, and whatever else is read is an error with its reason.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crucible_core::{
    Error, EvaluationId, EvaluationSpec, GuestPath, InputFile, Limits, Policy, Program, Review, ReviewDecision,
    Tripwire,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What can't be read, and why.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("it isn't what it should be: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it holds what isn't base64: {0}")]
    Base64(#[from] base64::DecodeError),
    #[error("it holds what can't be: {0}")]
    Value(#[from] Error),
    #[error("it is of another evaluation")]
    OtherId,
}

/// Which file it is, and of which version. Another one isn't read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Format {
    #[serde(rename = "crucible.held.v1")]
    Held,
    #[serde(rename = "crucible.specification.v1")]
    Specification,
    #[serde(rename = "crucible.review.v1")]
    Review,
}

/// Milliseconds since 1970.
pub(crate) fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn time(milliseconds: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds)).unwrap_or(UNIX_EPOCH)
}

pub(crate) fn check(found: Format, expected: Format) -> Result<(), Malformed> {
    if found == expected {
        return Ok(());
    }
    Err(Malformed::Json(serde::de::Error::custom("it is another kind of file")))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredSpecification {
    format: Format,
    id: EvaluationId,
    program: StoredProgram,
    backend: String,
    stdin_base64: String,
    files: Vec<StoredFile>,
    collect: Vec<GuestPath>,
    /// Each as on the command line.
    tripwires: Vec<String>,
    env: BTreeMap<String, String>,
    limits: Limits,
    policy: Policy,
    label: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StoredProgram {
    Source { language: String, code_base64: String, args: Vec<String> },
    Command { argv: Vec<String> },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredFile {
    path: GuestPath,
    content_base64: String,
    executable: bool,
}

/// A specification without its review, which has a file of its own.
pub(crate) fn write_specification(spec: &EvaluationSpec) -> Result<Vec<u8>, Malformed> {
    let program = match &spec.program {
        Program::Source { language, code, args } => {
            StoredProgram::Source { language: language.clone(), code_base64: STANDARD.encode(code), args: args.clone() }
        }
        Program::Command { argv } => StoredProgram::Command { argv: argv.clone() },
    };
    let file = |file: &InputFile| StoredFile {
        path: file.path.clone(),
        content_base64: STANDARD.encode(&file.content),
        executable: file.executable,
    };
    let tripwire = |tripwire: &Tripwire| format!("{}={}", tripwire.kind(), tripwire.name());
    Ok(serde_json::to_vec(&StoredSpecification {
        format: Format::Specification,
        id: spec.id,
        program,
        backend: spec.backend.clone(),
        stdin_base64: STANDARD.encode(&spec.stdin),
        files: spec.files.iter().map(file).collect(),
        collect: spec.collect.clone(),
        tripwires: spec.tripwires.iter().map(tripwire).collect(),
        env: spec.env.clone(),
        limits: spec.limits.clone(),
        policy: spec.policy.clone(),
        label: spec.label.as_ref().map(|label| label.as_str().to_owned()),
    })?)
}

pub(crate) fn read_specification(bytes: &[u8], expected: EvaluationId) -> Result<EvaluationSpec, Malformed> {
    let stored: StoredSpecification = serde_json::from_slice(bytes)?;
    check(stored.format, Format::Specification)?;
    if stored.id != expected {
        return Err(Malformed::OtherId);
    }
    let program = match stored.program {
        StoredProgram::Source { language, code_base64, args } => {
            Program::Source { language, code: STANDARD.decode(code_base64)?, args }
        }
        StoredProgram::Command { argv } => Program::Command { argv },
    };
    let file = |StoredFile { path, content_base64, executable }| {
        Ok(InputFile { path, content: STANDARD.decode(content_base64)?, executable })
    };
    Ok(EvaluationSpec {
        id: stored.id,
        program,
        backend: stored.backend,
        stdin: STANDARD.decode(stored.stdin_base64)?,
        files: stored.files.into_iter().map(file).collect::<Result<_, Malformed>>()?,
        collect: stored.collect,
        tripwires: stored.tripwires.iter().map(|text| text.parse()).collect::<Result<_, Error>>()?,
        env: stored.env,
        limits: stored.limits,
        policy: stored.policy,
        review: None,
        label: stored.label.map(|label| label.parse()).transpose()?,
    })
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredReview {
    format: Format,
    decision: ReviewDecision,
    by: String,
    reason: String,
    at_ms: u64,
}

pub(crate) fn write_review(review: &Review) -> Result<Vec<u8>, Malformed> {
    let Review { decision, by, reason, at } = review.clone();
    let stored = StoredReview { format: Format::Review, decision, by, reason, at_ms: milliseconds(at) };
    Ok(serde_json::to_vec(&stored)?)
}

pub(crate) fn read_review(bytes: &[u8]) -> Result<Review, Malformed> {
    let stored: StoredReview = serde_json::from_slice(bytes)?;
    check(stored.format, Format::Review)?;
    let StoredReview { decision, by, reason, at_ms, .. } = stored;
    Ok(Review { decision, by, reason, at: time(at_ms) })
}
