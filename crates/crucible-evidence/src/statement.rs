//! The in-toto statement: one subject, which is a fingerprint by its digest, and what is attested of it.
//!
//! Reading checks that the parts agree with each other. It says nothing about who made it; the envelope does.

use crate::canonical::{self, Sha256Digest};
use crate::predicate::{Counts, IsolationAttestation};
use crate::verify::VerifyError;
use crucible_core::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The type of every in-toto statement of version 1.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The type of our predicate. A change that an old reader would misread gets a new number.
pub const PREDICATE_TYPE: &str = "urn:crucible:attestation:isolation:v1";
/// What the subject is called. Only its digest says which one it is.
const SUBJECT: &str = "crucible-fingerprint";
const ALGORITHM: &str = "sha256";

#[derive(Serialize)]
struct Statement<'a> {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: [Subject; 1],
    #[serde(rename = "predicateType")]
    predicate_type: &'static str,
    predicate: &'a IsolationAttestation,
}

#[derive(Serialize, Deserialize)]
struct Subject {
    name: String,
    digest: BTreeMap<String, String>,
}

/// The bytes to sign.
///
/// # Errors
/// `Infrastructure` for what JSON can't hold.
pub(crate) fn write(predicate: &IsolationAttestation) -> Result<Vec<u8>> {
    let digest = [(ALGORITHM.to_owned(), predicate.fingerprint.digest()?.to_string())].into();
    canonical::json(&Statement {
        kind: STATEMENT_TYPE,
        subject: [Subject { name: SUBJECT.to_owned(), digest }],
        predicate_type: PREDICATE_TYPE,
        predicate,
    })
}

/// Reads what was signed: the fingerprint's digest and what is attested of it. Fields that nobody knows are passed over,
/// as in-toto asks, but count for the fingerprint's digest.
pub(crate) fn read(payload: &[u8]) -> Result<(Sha256Digest, IsolationAttestation), VerifyError> {
    let malformed = |error: &dyn std::fmt::Display| VerifyError::NotAStatement { reason: error.to_string() };
    let value: Value = serde_json::from_slice(payload).map_err(|error| malformed(&error))?;
    let kind = |key: &str| value.get(key).and_then(Value::as_str);
    match kind("_type") {
        Some(STATEMENT_TYPE) => {}
        found => return Err(VerifyError::UnknownStatement { found: shorten(found.unwrap_or("none")) }),
    }
    match kind("predicateType") {
        Some(PREDICATE_TYPE) => {}
        found => return Err(VerifyError::UnknownPredicate { found: shorten(found.unwrap_or("none")) }),
    }
    let subjects: Vec<Subject> = value
        .get("subject")
        .cloned()
        .map(serde_json::from_value)
        .transpose()
        .map_err(|error| malformed(&error))?
        .unwrap_or_default();
    let [subject] = subjects.as_slice() else {
        return Err(malformed(&format_args!("it has {} subjects in place of one", subjects.len())));
    };
    let claimed: Sha256Digest = subject
        .digest
        .get(ALGORITHM)
        .ok_or_else(|| malformed(&"its subject has no sha256 digest"))?
        .parse()
        .map_err(|error| malformed(&error))?;
    let predicate = value.get("predicate").ok_or_else(|| malformed(&"it has no predicate"))?;
    let fingerprint = predicate.get("fingerprint").ok_or_else(|| malformed(&"it has no fingerprint"))?;
    let found = canonical::json(fingerprint).map_err(|error| malformed(&error))?;
    if Sha256Digest::of(&found) != claimed {
        return Err(VerifyError::WrongSubject);
    }
    let predicate = IsolationAttestation::deserialize(predicate).map_err(|error| malformed(&error))?;
    if predicate.properties.is_empty() {
        return Err(malformed(&"it attests nothing"));
    }
    let counted = Counts::of(predicate.properties.iter().map(|property| property.verdict));
    if counted != predicate.counts {
        return Err(VerifyError::WrongCounts);
    }
    if predicate.finished < predicate.started {
        return Err(malformed(&"it finished before it started"));
    }
    Ok((claimed, predicate))
}

/// As much of a stranger's text as goes into a message.
pub(crate) fn shorten(text: &str) -> String {
    const LONGEST: usize = 80;
    let shown: String = text.chars().take(LONGEST).collect();
    if shown.len() < text.len() { format!("{shown}…") } else { shown }
}
