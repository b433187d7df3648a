//! The engine: backends, languages and bounds handed in, evaluations out.

use crate::admission;
use crate::egress::{Internet, Outside};
use crate::evaluation;
use crate::languages::LanguageTable;
use crate::pool::{Pool, PoolCounts, PoolSettings};
use crate::service::Breakers;
use async_trait::async_trait;
use crucible_core::{
    Backend, BaselineStore, Error, ErrorKind, EvaluationSpec, EventSink, HeldEvaluation, Limits, Outcome, ProjectId,
    Result, Scanner,
};
use crucible_evidence::{AttestationIndex, NoAttestations};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::io::AsyncRead;
use tokio_util::sync::CancellationToken;

/// What is recorded about the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// The kernel's release, as `uname -r` says it.
    pub kernel: String,
}

/// What connects one evaluation with its caller.
pub struct RunIo<'a> {
    /// Standard input as it comes; without it, the bytes of the specification are given.
    pub stdin: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Takes what happens, in order. A slow one slows the guest's output down; it doesn't hold up limits or clearing
    /// away, but the outcome is handed over only after it has taken the last event.
    pub events: &'a dyn EventSink,
    /// Ends the guest when it is cancelled; the evaluation then gives an outcome as ever.
    pub cancel: CancellationToken,
    /// Whose it is. What is made ahead for one project is used for no other.
    pub project: Option<ProjectId>,
}

/// What a program has to wait for before it is looked at and started, while its sandbox is made ready.
#[async_trait]
pub(crate) trait Clearance: Send + Sync {
    /// Answers when it may be. It may never be asked, and several times.
    ///
    /// # Errors
    /// What the evaluation is to fail with instead. Nothing of the program has run then.
    async fn cleared(&self) -> Result<()>;
}

/// Nobody has to be waited for.
struct Clear;

#[async_trait]
impl Clearance for Clear {
    async fn cleared(&self) -> Result<()> {
        Ok(())
    }
}

/// What came of an evaluation that could be held.
#[derive(Debug)]
pub enum Evaluated {
    /// It ran, or was denied.
    Finished(Box<Outcome>),
    /// It waits for a person, and nothing of it has run.
    Held(Box<HeldEvaluation>),
}

/// Runs evaluations on the backends it was given.
pub struct Engine {
    backends: RwLock<Arc<[Arc<dyn Backend>]>>,
    languages: LanguageTable,
    maximum: Limits,
    node: NodeFacts,
    attestations: Arc<dyn AttestationIndex>,
    scanner: Option<Arc<dyn Scanner>>,
    outside: Arc<dyn Outside>,
    baselines: Option<Arc<dyn BaselineStore>>,
    breakers: Option<Arc<Breakers>>,
    pool: Option<Arc<Pool>>,
}

impl Engine {
    /// An engine with these backends. For `auto` the first one is taken that isolates and admits the request.
    /// `maximum` is the most that a request may ask for. It knows no attestations and no earlier runs, and looks at no program before it runs:
    /// it refuses policies that decide by what is found.
    #[must_use]
    pub fn new(backends: Vec<Arc<dyn Backend>>, languages: LanguageTable, maximum: Limits, node: NodeFacts) -> Self {
        let attestations = Arc::new(NoAttestations);
        Self {
            backends: RwLock::new(backends.into()),
            languages,
            maximum,
            node,
            attestations,
            scanner: None,
            outside: Arc::new(Internet),
            baselines: None,
            breakers: None,
            pool: None,
        }
    }

    /// The same engine, whose records name the attestations that cover them.
    #[must_use]
    pub fn with_attestations(mut self, attestations: Arc<dyn AttestationIndex>) -> Self {
        self.attestations = attestations;
        self
    }

    /// The same engine, which looks at every program before it runs.
    #[must_use]
    pub fn with_scanner(mut self, scanner: Arc<dyn Scanner>) -> Self {
        self.scanner = Some(scanner);
        self
    }

    /// The same engine, which reaches what allow-lists let out in another way than by this machine's own network.
    #[must_use]
    pub fn with_outside(mut self, outside: Arc<dyn Outside>) -> Self {
        self.outside = outside;
        self
    }

    /// The same engine, which compares runs that have a label with earlier ones.
    #[must_use]
    pub fn with_baselines(mut self, baselines: Arc<dyn BaselineStore>) -> Self {
        self.baselines = Some(baselines);
        self
    }

    /// The same engine, which uses no backend that is out of use.
    #[must_use]
    pub fn with_breakers(mut self, breakers: Arc<Breakers>) -> Self {
        self.breakers = Some(breakers);
        self
    }

    /// The same engine, which makes sandboxes before they are asked for. Only for who runs more than one program: what is made
    /// ahead costs as much as what is made on request, and goes on being made beside what runs.
    #[must_use]
    pub fn with_pool(mut self, settings: PoolSettings) -> Self {
        self.pool = Some(Pool::new(settings));
        self
    }

    pub(crate) const fn pool(&self) -> Option<&Arc<Pool>> {
        self.pool.as_ref()
    }

    /// What the pool did so far; nothing where there is none.
    #[must_use]
    pub fn pool_counts(&self) -> Option<PoolCounts> {
        self.pool.as_ref().map(|pool| pool.counts())
    }

    /// Has a sandbox stand ready for programs of a project's like this one from now on, and returns when it does. Nothing of the program is run.
    ///
    /// # Errors
    /// Those of an evaluation's admission, and what keeps the sandbox from being made.
    pub async fn keep_ready(&self, spec: &EvaluationSpec, project: Option<&ProjectId>) -> Result<()> {
        let Some(pool) = &self.pool else { return Ok(()) };
        let limits = spec.policy.limits_for(&spec.limits);
        let spec = EvaluationSpec { limits, ..spec.clone() };
        let admitted = admission::admit(self, &spec)?;
        match evaluation::kind(self, &spec, &admitted, project) {
            kind if evaluation::may_be_warm(&spec) => pool.keep_ready(&kind).await,
            _ => Ok(()),
        }
    }

    /// Destroys what the pool has ready, and makes no more.
    pub async fn drain_pool(&self) {
        if let Some(pool) = &self.pool {
            pool.drain().await;
        }
    }

    /// Whether a backend may be used now.
    pub(crate) fn check_usable(&self, backend: &str) -> Result<()> {
        self.breakers.as_ref().map_or(Ok(()), |breakers| breakers.check(backend))
    }

    /// The name of the backend on which an evaluation will run, unless what is found in it demands another one.
    ///
    /// # Errors
    /// Those of an evaluation's admission.
    pub(crate) fn backend_for(&self, spec: &EvaluationSpec) -> Result<String> {
        Ok(admission::admit(self, spec)?.backend.name().to_owned())
    }

    /// The backends, in the order of preference.
    #[must_use]
    pub fn backends(&self) -> Arc<[Arc<dyn Backend>]> {
        Arc::clone(&self.backends.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Uses a backend from now on, in the place of the one with its name; one with a name of its own comes last. What runs on
    /// the former one comes to its end there.
    pub fn replace_backend(&self, backend: Arc<dyn Backend>) {
        let mut backends = self.backends.write().unwrap_or_else(PoisonError::into_inner);
        let mut all = backends.to_vec();
        match all.iter_mut().find(|known| known.name() == backend.name()) {
            Some(known) => *known = backend,
            None => all.push(backend),
        }
        *backends = all.into();
        if let Some(pool) = &self.pool {
            pool.keep_only(&backends);
        }
    }

    /// The languages that programs may be written in.
    #[must_use]
    pub const fn languages(&self) -> &LanguageTable {
        &self.languages
    }

    /// The most that a request may ask for.
    #[must_use]
    pub const fn maximum(&self) -> &Limits {
        &self.maximum
    }

    /// What is recorded about the machine.
    #[must_use]
    pub const fn node(&self) -> &NodeFacts {
        &self.node
    }

    /// Knows which attestation covers a run.
    pub(crate) fn attestations(&self) -> &dyn AttestationIndex {
        self.attestations.as_ref()
    }

    /// The same, for whoever outlives a call.
    pub(crate) fn attestations_shared(&self) -> Arc<dyn AttestationIndex> {
        Arc::clone(&self.attestations)
    }

    pub(crate) const fn outside(&self) -> &Arc<dyn Outside> {
        &self.outside
    }

    /// Looks at programs before they run.
    pub(crate) const fn scanner(&self) -> Option<&Arc<dyn Scanner>> {
        self.scanner.as_ref()
    }

    /// Knows earlier runs.
    pub(crate) fn baselines(&self) -> Option<&dyn BaselineStore> {
        self.baselines.as_deref()
    }

    /// Runs one evaluation from its admission to the destruction of its sandbox. Whatever the guest does is an outcome.
    ///
    /// Dropping the future ends the guest, without waiting until it is gone. An outcome is given only when every process of the
    /// guest is dead, and without a pool only when nothing of the sandbox is left: where it can't be cleared away, that failure is
    /// the result. With a pool what is left is put away beside what goes on.
    ///
    /// # Errors
    /// `InvalidInput`, `NotFound` or `Configuration` where the request can't be understood; `Refused` where policy and
    /// backend don't go together; `Unavailable` where no backend can be used; `Held` where the policy wants a person to
    /// decide, for which [`Engine::evaluate_or_hold`] is; `Infrastructure` where the backend failed or the sandbox was lost
    /// without a limit to explain it.
    pub async fn evaluate(&self, spec: EvaluationSpec, io: RunIo<'_>) -> Result<Outcome> {
        match self.evaluate_or_hold(spec, io).await? {
            Evaluated::Finished(outcome) => Ok(*outcome),
            Evaluated::Held(held) => {
                let reason = held.admission.reasons.first().map(|reason| format!(": {}", reason.message));
                let message = format!(
                    "policy '{}' holds this program for review{}",
                    held.spec.policy.name,
                    reason.unwrap_or_default()
                );
                Err(Error::new(ErrorKind::Held, "let the program in", message)
                    .with_hint("it runs once its specification has the review of somebody who approved it"))
            }
        }
    }

    /// As [`Engine::evaluate`], and gives a program that its policy holds back to be kept until somebody has decided. It then
    /// runs, or is denied, with that review in its specification.
    ///
    /// # Errors
    /// As [`Engine::evaluate`], but for `Held`.
    pub async fn evaluate_or_hold(&self, spec: EvaluationSpec, io: RunIo<'_>) -> Result<Evaluated> {
        self.evaluate_once_clear(spec, io, &Clear).await
    }

    /// As [`Engine::evaluate_or_hold`]; the program isn't started before `clearance` lets it.
    pub(crate) async fn evaluate_once_clear(
        &self,
        spec: EvaluationSpec,
        io: RunIo<'_>,
        clearance: &dyn Clearance,
    ) -> Result<Evaluated> {
        evaluation::evaluate(self, spec, io, clearance).await
    }
}
