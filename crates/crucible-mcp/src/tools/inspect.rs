//! What a run did, and what it was protected by.

use super::run::MOST_FINDINGS;
use crate::arguments::OneRun;
use crate::bound::few;
use crate::results::{BehaviorResult, EvidenceResult};
use crate::server::{Call, Whole};
use crucible_core::Result;

/// The most kinds of behaviour that a model is given.
const MOST_BEHAVIOR: usize = 200;

/// What the host saw a run do.
pub(super) fn behavior(mcp: &Whole, given: OneRun, call: &Call) -> Result<BehaviorResult> {
    let run = mcp.runs.find(&call.caller, &given.run_id)?;
    let outcome = run.outcome.clone();
    let (behavior, behavior_left_out) = few(outcome.behavior, MOST_BEHAVIOR);
    let (findings, findings_left_out) = few(outcome.findings, MOST_FINDINGS);
    Ok(BehaviorResult {
        run_id: outcome.id,
        status: outcome.status,
        validity: outcome.validity,
        validity_reasons: outcome.validity_reasons,
        behavior,
        behavior_left_out,
        monitoring: outcome.monitoring,
        tripwires: outcome.tripwires,
        findings,
        findings_left_out,
        usage: outcome.usage,
    })
}

/// What a run was protected by.
pub(super) fn evidence(mcp: &Whole, given: OneRun, call: &Call) -> Result<EvidenceResult> {
    let run = mcp.runs.find(&call.caller, &given.run_id)?;
    Ok(EvidenceResult {
        run_id: run.outcome.id.clone(),
        backend: run.outcome.backend.clone(),
        decision: run.outcome.admission.as_ref().map(|admission| admission.decision.clone()),
        evidence: run.outcome.evidence.clone(),
    })
}
