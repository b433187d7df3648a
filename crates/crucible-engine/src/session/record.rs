//! What the host saw of a sandbox that stays open: so far while it lives, and for good once it has ended.
//!
//! Invariant: nothing in it is the guest's word but what is marked so, and it is there after the sandbox's end, however that came.

use super::warden::Ask;
use super::{EndReason, Session};
use crate::behavior::{Reached, Screened, Seen, behavior};
use crate::patience::{SET_UP, within};
use crate::tripwire::Armed;
use crate::validity;
use crucible_core::{
    Behavior, Counters, Error, ErrorKind, Evidence, LimitKind, Monitoring, Observed, Observer, PostureRecord,
    PostureSummary, Result, Sandbox, Start, TripwireRecord, Usage, Validity, ValidityReason,
};
use crucible_evidence::{AttestationIndex, Protection, policy_hash};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What the host saw of a sandbox.
#[derive(Clone, Debug)]
pub struct SessionRecord {
    /// Why it ended; `None` while it lives.
    pub ended: Option<EndReason>,
    /// What it used.
    pub usage: Usage,
    /// Limits at which the host saw the guest refused, or ended.
    pub limits_observed: BTreeSet<LimitKind>,
    /// What it did.
    pub behavior: Vec<Behavior>,
    /// How well it was watched.
    pub monitoring: Monitoring,
    /// What was planted in it.
    pub tripwires: Vec<TripwireRecord>,
    /// Whether what came of it says something about the task.
    pub validity: Validity,
    /// Why, where it isn't simply valid.
    pub validity_reasons: BTreeSet<ValidityReason>,
    /// What it was protected by. No hash of code: what would be run in it, nobody knew when it was made.
    pub evidence: Evidence,
}

/// What there is to say of the machine and its attestations.
#[derive(Clone)]
pub(super) struct Witness {
    pub(super) kernel: String,
    pub(super) attestations: Arc<dyn AttestationIndex>,
}

/// What was seen up to a moment.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    usage: Usage,
    counters: Counters,
    observed: Vec<Observed>,
    monitoring: Monitoring,
    tripwires: Vec<TripwireRecord>,
    reasons: BTreeSet<ValidityReason>,
    pub(super) after: Option<PostureSummary>,
}

impl Sight {
    pub(super) fn because(&mut self, reason: ValidityReason) {
        self.reasons.insert(reason);
    }
}

impl Session {
    /// What the host saw of it until now, or until its end. Planted files that are read by [`Session::read_file`] count as touched.
    ///
    /// # Errors
    /// `Infrastructure` where it ended before anything could be seen.
    pub async fn seen(&self) -> Result<SessionRecord> {
        if let Some(sight) = self.last_sight.get() {
            return Ok(self.told(sight));
        }
        let (answer, answered) = oneshot::channel();
        if self.asks.send(Ask(answer)).await.is_ok()
            && let Ok(sight) = answered.await
        {
            return Ok(self.told(&sight));
        }
        // It is about to end, or something is left of it; what was seen of it is there in either case.
        let _ = self.ended().await;
        self.last_sight.get().map(|sight| self.told(sight)).ok_or_else(|| {
            Error::new(ErrorKind::Infrastructure, "look at the sandbox", "nothing was seen of the sandbox's end")
        })
    }

    fn told(&self, sight: &Sight) -> SessionRecord {
        let Sight { usage, counters, observed, monitoring, tripwires, reasons, after } = sight.clone();
        let mut limits_observed = counters.refused;
        if counters.out_of_memory_kills > 0 {
            limits_observed.insert(LimitKind::Memory);
        }
        let reached: Vec<_> = limits_observed.iter().map(|limit| Reached { limit: *limit, at: None }).collect();
        let behavior = behavior(&Seen {
            observed: &observed,
            started: self.created.into_std(),
            limits: self.limits(),
            reached: &reached,
            tripwires: &tripwires,
            screened: Screened::Not,
        });
        let capabilities = self.backend.capabilities();
        let policy = &self.spec.policy;
        let protection = Protection { backend: self.backend.as_ref(), layers: &self.layers, policy };
        let evidence = Evidence {
            isolation: capabilities.isolation,
            layers: self.layers.clone(),
            limits: capabilities.limits.clone(),
            kernel: self.witness.kernel.clone(),
            backend_version: self.backend.version(),
            interpreter: self.interpreter.clone(),
            policy: policy.name.clone(),
            policy_hash: policy_hash(policy),
            code_hash: String::new(),
            former_runs: 0,
            start: Start::Cold,
            posture: Some(PostureRecord { before: self.looked.clone(), after }),
            attestation: self.witness.attestations.latest(&protection),
        };
        SessionRecord {
            ended: self.end_reason(),
            usage,
            limits_observed,
            behavior,
            monitoring,
            tripwires,
            validity: validity::decide(&reasons),
            validity_reasons: reasons,
            evidence,
        }
    }

    /// What is seen of a sandbox now. What can't be read any more is left as it is when nothing happened.
    pub(super) async fn sight(&self, sandbox: &dyn Sandbox, observer: &mut dyn Observer, armed: &mut Armed) -> Sight {
        let counters = within(SET_UP, "read the counters", sandbox.counters()).await.unwrap_or_default();
        let tripwires = self.tripwires.records(armed, &[]);
        let mut reasons = BTreeSet::new();
        let is_touched = tripwires.iter().any(|tripwire| tripwire.touched.is_some());
        reasons.extend(is_touched.then_some(ValidityReason::TripwireTouched));
        reasons.extend(sandbox.loss().and_then(|loss| validity::of_loss(loss, &counters)));
        Sight {
            usage: self.usage_of(&counters),
            counters,
            observed: observer.seen(),
            monitoring: observer.monitoring().clone(),
            tripwires,
            reasons,
            after: None,
        }
    }
}
