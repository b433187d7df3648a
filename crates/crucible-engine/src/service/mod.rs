//! The service: evaluations that are accepted, kept, queued, run when there is room, and recorded, whatever happens to this
//! process meanwhile.
//!
//! Invariants: what was accepted has exactly one final result. It is committed in the store under a fencing token before the
//! queue hears of it; so a process that dies at any moment leaves work that is done again, and never a second result. Nothing
//! is tried again but what Crucible itself failed at.
//!
//! It names no store, queue or bus, and knows no wire format: documents are written by the [`Records`] that it is given.

mod attempt;
mod beginning;
mod breaker;
mod dispatcher;
mod fresh;
mod health;
mod places;
mod recorder;
mod records;
mod recovery;
mod running;
mod settings;
mod submission;

pub use breaker::Breakers;
pub use dispatcher::Drained;
pub use health::{ComponentHealth, Health, PastTest, Starter};
pub use records::{Records, kind};
pub use recovery::Recovered;
pub use settings::{MOST_BATCH, ServiceSettings};
pub use submission::{RESERVED_LABELS, Reuse, Submission, Submitted, check_labels};

use crate::engine::Engine;
use crucible_core::{
    BackendSetting, CancelledEvaluation, Change, Decided, Delivery, Document, Error, ErrorKind, EvaluationId,
    EvaluationState, EventBus, EventFilter, NewEvent, ProjectId, Queue, Quotas, Result, Review, ReviewDecision, Store,
    StoredEvaluation, Subscription, Task,
};
use fresh::Fresh;
use places::BackendPlaces;
use running::Running;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The parts that a service is made of.
pub struct ServiceParts {
    /// Runs evaluations.
    pub engine: Arc<Engine>,
    /// Keeps them.
    pub store: Arc<dyn Store>,
    /// Says which is next.
    pub queue: Arc<dyn Queue>,
    /// Tells of events that the store has committed.
    pub bus: Arc<dyn EventBus>,
    /// Writes documents.
    pub records: Arc<dyn Records>,
    /// Knows which backends are out of use: the engine's own.
    pub breakers: Arc<Breakers>,
    /// What this machine is called.
    pub node: String,
}

/// How long somebody waits.
#[derive(Clone, Debug)]
pub struct Patience {
    until: Instant,
    ends: CancellationToken,
}

impl Patience {
    /// Waits so long from now on, and no longer than until `ends` is cancelled.
    #[must_use]
    pub fn of(time: Duration, ends: CancellationToken) -> Self {
        Self { until: Instant::now() + time, ends }
    }

    /// `None` where it came to its end before.
    async fn wait<T>(&self, something: impl Future<Output = T>) -> Option<T> {
        self.ends.run_until_cancelled(tokio::time::timeout_at(self.until, something)).await?.ok()
    }
}

/// Accepts, runs and records evaluations.
pub struct Service {
    parts: ServiceParts,
    settings: ServiceSettings,
    running: Running,
    fresh: Fresh,
    /// One permit for each evaluation that may run.
    places: Arc<Semaphore>,
    /// One permit for each MiB that evaluations may have together.
    memory: Semaphore,
    /// What runs on each backend, and how many may.
    places_on: BackendPlaces,
    /// Held while a project's evaluations are counted against its quotas and then kept.
    counting: tokio::sync::Mutex<()>,
    /// What is accepted and couldn't be queued yet.
    stranded: Mutex<Vec<Task>>,
    /// How many each project may have running, where that is bounded, as the queue knows it.
    bounds: Mutex<BTreeMap<ProjectId, u32>>,
}

impl Service {
    /// A service that runs nothing yet: [`Service::dispatch`] does.
    #[must_use]
    pub fn new(parts: ServiceParts, settings: ServiceSettings) -> Self {
        let places = Arc::new(Semaphore::new(settings.most_running));
        let memory = Semaphore::new(settings.memory_mib());
        let places_on = BackendPlaces::default();
        settings.most_running_on.iter().for_each(|(name, most)| places_on.bound(name, Some(*most)));
        let (stranded, bounds, counting) = (Mutex::default(), Mutex::default(), tokio::sync::Mutex::default());
        let (running, fresh) = (Running::default(), Fresh::default());
        Self { parts, settings, running, fresh, places, memory, places_on, counting, stranded, bounds }
    }

    fn stranded(&self) -> MutexGuard<'_, Vec<Task>> {
        self.stranded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bounds(&self) -> MutexGuard<'_, BTreeMap<ProjectId, u32>> {
        self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it is made of.
    #[must_use]
    pub const fn parts(&self) -> &ServiceParts {
        &self.parts
    }

    /// What it goes by.
    #[must_use]
    pub const fn settings(&self) -> &ServiceSettings {
        &self.settings
    }

    /// Destroys what stands ready, and waits for what is being put away. For the end, when nothing runs any more.
    pub async fn drain_pool(&self) {
        self.parts.engine.drain_pool().await;
    }

    /// How many evaluations run now.
    #[must_use]
    pub fn running_now(&self) -> usize {
        self.running.count()
    }

    fn event(&self, kind: &'static str) -> NewEvent {
        self.parts.records.plain(kind, SystemTime::now())
    }

    /// A change at this moment, which is told of by one event.
    fn change(&self, kind: &'static str) -> Change {
        Change { events: vec![self.event(kind)], ..Change::at(SystemTime::now()) }
    }

    /// Waits until an evaluation has a final state or is held, the time is over, or it isn't to be waited for any more, and gives
    /// it as it is then.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn wait_for(
        &self,
        project: Option<&ProjectId>,
        id: EvaluationId,
        patience: &Patience,
    ) -> Result<StoredEvaluation> {
        // Before it is looked at, so that no change is missed.
        let events = self.watch(id);
        let evaluation = self.parts.store.get(project, id).await?;
        if evaluation.summary.state.ends_waiting() {
            return Ok(evaluation);
        }
        self.wait_on(events, project, id, patience).await
    }

    /// What is told of an evaluation from now on.
    fn watch(&self, id: EvaluationId) -> Box<dyn Subscription> {
        self.parts.bus.subscribe(EventFilter { evaluation: Some(id), ..EventFilter::default() })
    }

    /// As [`Service::wait_for`], for one that wasn't over when `events` began.
    async fn wait_on(
        &self,
        mut events: Box<dyn Subscription>,
        project: Option<&ProjectId>,
        id: EvaluationId,
        patience: &Patience,
    ) -> Result<StoredEvaluation> {
        loop {
            let is_last_look = loop {
                match patience.wait(events.next()).await {
                    // Reading it for each step on the way would take the processor from the run.
                    Some(Some(Delivery::Events(told)))
                        if !told.iter().any(|event| kind::is_end_of_waiting(&event.kind)) => {}
                    Some(Some(_)) => break false,
                    // The time is over, or the service is about to be gone.
                    Some(None) | None => break true,
                }
            };
            let evaluation = self.parts.store.get(project, id).await?;
            if is_last_look || evaluation.summary.state.ends_waiting() {
                return Ok(evaluation);
            }
        }
    }

    /// Has projects run no more at one time than their quotas say. To be called at the start, since the queue doesn't keep it.
    ///
    /// # Errors
    /// `Io`.
    pub async fn heed(&self, quotas: impl IntoIterator<Item = (ProjectId, Quotas)> + Send) -> Result<()> {
        for (project, quotas) in quotas.into_iter().collect::<Vec<_>>() {
            self.bound_running(&project, quotas).await?;
        }
        Ok(())
    }

    /// Does what an operator decided about a backend. What runs on it comes to its end there.
    pub fn set_backend(&self, backend: &str, setting: BackendSetting) {
        self.parts.breakers.switch(backend, setting.switch);
        self.places_on.bound(backend, setting.most_running.and_then(|most| usize::try_from(most).ok()));
    }

    /// How many evaluations run on a backend now, and how many may at one time where that is bounded.
    #[must_use]
    pub fn running_on(&self, backend: &str) -> (usize, Option<usize>) {
        self.places_on.of(backend)
    }

    /// Cancels an evaluation: it is ended where it runs, and never starts where it waits.
    ///
    /// # Errors
    /// As [`Store::cancel`].
    pub async fn cancel(&self, project: Option<&ProjectId>, id: EvaluationId) -> Result<CancelledEvaluation> {
        let cancelled = self.parts.store.cancel(project, id, self.change(kind::CANCELLED)).await?;
        match cancelled {
            CancelledEvaluation::Cancelled => {
                self.fresh.take(id);
                // It would find out when it is leased; so it doesn't have to wait for that.
                self.parts.queue.cancel(id).await?;
            }
            CancelledEvaluation::Requested => self.running.cancel(id),
            CancelledEvaluation::AlreadyFinal(_) => {}
        }
        Ok(cancelled)
    }

    /// Keeps a person's decision about a held evaluation. An approved one is queued.
    ///
    /// # Errors
    /// `NotFound`; `Refused` where it isn't held; `InvalidInput` for a decision without a reason or a name; `Io`.
    pub async fn decide(
        &self,
        project: Option<&ProjectId>,
        id: EvaluationId,
        review: Review,
    ) -> Result<EvaluationState> {
        let operation = "decide about the evaluation";
        if review.reason.trim().is_empty() || review.by.trim().is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, operation, "a decision needs a reason and a name"));
        }
        let now = self.parts.store.get(project, id).await?.summary;
        if now.state != EvaluationState::Held {
            return Err(not_held(now.state));
        }
        let is_approved = review.decision == ReviewDecision::Approved;
        let mut change = self.change(if is_approved { kind::APPROVED } else { kind::REJECTED });
        if !is_approved {
            // Nothing runs: the outcome says that it was denied, by whom and why.
            let mut spec = self.parts.store.specification(project, id).await?;
            spec.review = Some(review.clone());
            let io = crate::RunIo {
                stdin: None,
                events: &crucible_core::Discard,
                cancel: CancellationToken::new(),
                project: None,
            };
            let outcome = self.parts.engine.evaluate(spec, io).await?;
            attempt::record(&mut change, &outcome, self.parts.records.as_ref())?;
        }
        match self.parts.store.decide(project, id, review, change).await? {
            Decided::Committed(state) => {
                if state == EvaluationState::Queued {
                    let task = Task { attempt: now.attempt, ..Task::new(id, now.project, now.priority) };
                    self.enqueue(vec![task]).await;
                }
                Ok(state)
            }
            Decided::NotHeld(state) => Err(not_held(state)),
        }
    }

    fn breakers(&self) -> &Breakers {
        &self.parts.breakers
    }

    /// What becomes of one that can't be run any more: a document that says why.
    fn failure(&self, error: &Error) -> Document {
        self.parts.records.failure(error)
    }
}

fn not_held(state: EvaluationState) -> Error {
    Error::new(ErrorKind::Conflict, "decide about the evaluation", format!("it isn't held, but {state}"))
}
