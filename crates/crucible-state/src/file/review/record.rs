//! Why evaluations are held, as JSON with a version.
//!
//! Invariant: what is written reads back as the same, and whatever else is read is an error with its reason.

use crate::documents::{Format, Malformed, check, milliseconds, time};
use crucible_core::{AdmissionRecord, BehaviorKind, Decision, DecisionReason, EvaluationId, Finding, Region, Severity};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::SystemTime;

/// Why an evaluation is held, without what is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Screening {
    pub(super) id: EvaluationId,
    pub(super) at: SystemTime,
    pub(super) policy: String,
    pub(super) program: String,
    pub(super) findings: Vec<Finding>,
    pub(super) admission: AdmissionRecord,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredScreening {
    format: Format,
    id: EvaluationId,
    at_ms: u64,
    policy: String,
    program: String,
    decision: Decision,
    reasons: Vec<StoredReason>,
    rules_digest: Option<String>,
    findings: Vec<StoredFinding>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredReason {
    decision: Decision,
    clause: String,
    message: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredFinding {
    rule: String,
    severity: Severity,
    group: String,
    file: String,
    region: [u64; 4],
    message: String,
    does: String,
    foreshadows: BTreeSet<BehaviorKind>,
}

impl From<&Finding> for StoredFinding {
    fn from(finding: &Finding) -> Self {
        let Finding { rule, severity, group, file, region, message, does, foreshadows } = finding.clone();
        let region = [region.line, region.column, region.end_line, region.end_column];
        Self { rule, severity, group, file, region, message, does, foreshadows }
    }
}

impl From<StoredFinding> for Finding {
    fn from(stored: StoredFinding) -> Self {
        let StoredFinding { rule, severity, group, file, region, message, does, foreshadows } = stored;
        let [line, column, end_line, end_column] = region;
        let region = Region { line, column, end_line, end_column };
        Self { rule, severity, group, file, region, message, does, foreshadows }
    }
}

impl Screening {
    pub(super) fn write(&self) -> Result<Vec<u8>, Malformed> {
        let Self { id, at, policy, program, findings, admission } = self;
        let reason =
            |DecisionReason { decision, clause, message }: DecisionReason| StoredReason { decision, clause, message };
        Ok(serde_json::to_vec(&StoredScreening {
            format: Format::Held,
            id: *id,
            at_ms: milliseconds(*at),
            policy: policy.clone(),
            program: program.clone(),
            decision: admission.decision,
            reasons: admission.reasons.iter().cloned().map(reason).collect(),
            rules_digest: admission.rules_digest.clone(),
            findings: findings.iter().map(StoredFinding::from).collect(),
        })?)
    }

    pub(super) fn read(bytes: &[u8], expected: EvaluationId) -> Result<Self, Malformed> {
        let stored: StoredScreening = serde_json::from_slice(bytes)?;
        check(stored.format, Format::Held)?;
        let reason = |StoredReason { decision, clause, message }| DecisionReason { decision, clause, message };
        let screening = Self {
            id: stored.id,
            at: time(stored.at_ms),
            policy: stored.policy,
            program: stored.program,
            findings: stored.findings.into_iter().map(Finding::from).collect(),
            admission: AdmissionRecord {
                decision: stored.decision,
                reasons: stored.reasons.into_iter().map(reason).collect(),
                review: None,
                rules_digest: stored.rules_digest,
            },
        };
        if screening.id == expected { Ok(screening) } else { Err(Malformed::OtherId) }
    }
}
