//! One try of one evaluation: from its lease to the commit of what came of it.
//!
//! Invariant: the store is told first, the queue after it. Between the two the task is leased again at worst, and whoever gets
//! it finds the final state.

use super::beginning::Beginning;
use super::recorder::Recorder;
use super::running::{Place, Stop};
use super::{Records, Service, breaker, kind};
use crate::engine::{Evaluated, RunIo};
use crucible_core::{
    Cancellation, Change, Error, ErrorKind, EvaluationId, EvaluationSpec, FencingToken, FinalState, GivenBack, Indexed,
    Lease, Outcome, Result, Started, Status, Step, Validity,
};
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// How often a result is tried to be committed.
const COMMITS: u32 = 5;
/// How long to wait before it is tried again.
const BEFORE_COMMIT: Duration = Duration::from_millis(500);

/// Puts an outcome into a change, with what it can be found by.
pub(super) fn record(change: &mut Change, outcome: &Outcome, records: &dyn Records) -> Result<()> {
    change.outcome = Some(records.outcome(outcome)?);
    change.indexed = Indexed {
        backend: Some(outcome.backend.clone()),
        status: Some(status(outcome.status).to_owned()),
        validity: Some(validity(outcome.validity).to_owned()),
        verdict: Some(outcome.admission.decision.as_str().to_owned()),
        wall: Some(outcome.usage.wall),
    };
    Ok(())
}

const fn status(status: Status) -> &'static str {
    match status {
        Status::Exited { .. } => "exited",
        Status::Signaled { .. } => "signaled",
        Status::TimedOut => "timed_out",
        Status::OutOfMemory => "out_of_memory",
        Status::LimitExceeded { .. } => "limit_exceeded",
        Status::Denied => "denied",
        Status::Cancelled => "cancelled",
    }
}

const fn validity(validity: Validity) -> &'static str {
    match validity {
        Validity::Valid => "valid",
        Validity::InfrastructureFailure => "infrastructure_failure",
        Validity::SabotageSuspected => "sabotage_suspected",
    }
}

/// What is to become of a try.
enum Conclusion {
    Final(FinalState, Box<Change>),
    /// It waits for a person.
    Held(Box<Change>),
    /// It is tried again after a while.
    Again(GivenBack, Duration, Box<Change>),
    /// It is somebody else's.
    Nothing,
}

impl Service {
    /// Makes a try of what was leased.
    pub(super) async fn attempt(&self, lease: Lease) {
        let span = tracing::info_span!("evaluation", id = %lease.task.id, project = %lease.task.project);
        async {
            if let Err(error) = self.try_once(&lease).await {
                tracing::error!(%error, "the evaluation is given back: its state can't be kept");
                let delay = self.settings.delay_after(lease.task.attempt.saturating_add(1));
                if let Err(error) = self.parts.queue.give_back(lease.key(), GivenBack::Tried, delay).await {
                    // The lease runs out, and then it is given back.
                    tracing::error!(%error, "the evaluation can't even be given back");
                }
            }
        }
        .instrument(span)
        .await;
    }

    async fn try_once(&self, lease: &Lease) -> Result<()> {
        let id = lease.task.id;
        let place = self.running.enter(lease.key());
        let (spec, is_fresh) = match self.specification(id).await {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                tracing::warn!("the queue has an evaluation that the store doesn't");
                return self.acknowledge(lease).await;
            }
            Err(error) => return Err(error),
        };
        if self.waits_for_backend(&spec).await? {
            // Nothing was tried: it only waits for longer.
            let delay = self.settings.while_out;
            return self.parts.queue.give_back(lease.key(), GivenBack::Untried, delay).await.map(drop);
        }
        let beginning = Beginning::default();
        let conclusion = self.begin_and_run(lease, spec, is_fresh, &place, &beginning).await;
        match beginning.into_answer() {
            Ok(Started::Started { token, .. }) => self.conclude(lease, token, conclusion?).await,
            Ok(Started::CancelRequested { token }) => {
                let change = Box::new(self.change(kind::CANCELLED));
                self.conclude(lease, token, Conclusion::Final(FinalState::Cancelled, change)).await
            }
            // Its result was committed, and the queue didn't hear of it; or a person is to decide.
            Ok(Started::Refused(state)) => {
                tracing::debug!(%state, "nothing is to be run");
                self.acknowledge(lease).await
            }
            Err(error) => Err(error),
        }
    }

    /// What is to be run, and whether it was submitted a moment ago and not begun by this process before.
    async fn specification(&self, id: EvaluationId) -> Result<(EvaluationSpec, bool)> {
        match self.fresh.take(id) {
            Some(spec) => Ok((spec, true)),
            None => Ok((self.parts.store.specification(None, id).await?, false)),
        }
    }

    /// Writes down that it begins, and runs it. One that was begun before may have taken a process along, with its sandbox as well as
    /// with its program: for it nothing is made before that is counted.
    async fn begin_and_run(
        &self,
        lease: &Lease,
        spec: EvaluationSpec,
        is_fresh: bool,
        place: &Place<'_>,
        beginning: &Beginning,
    ) -> Result<Conclusion> {
        let written = beginning.write(self, lease.task.id, self.change(kind::STARTED), &place.token);
        let run = self.run(lease, spec, place, beginning);
        if is_fresh {
            return tokio::join!(written, run).1;
        }
        written.await;
        match self.unstarted(beginning).await {
            Some(conclusion) => Ok(conclusion),
            None => run.await,
        }
    }

    /// What is to become of one that isn't to be tried.
    async fn unstarted(&self, beginning: &Beginning) -> Option<Conclusion> {
        if let Some(error) = beginning.is_one_too_many().await {
            return Some(self.given_up(&error));
        }
        beginning.token().await.is_none().then_some(Conclusion::Nothing)
    }

    /// Whether an evaluation has to wait, since what it is to be run on is out of use. One that is to be ended doesn't.
    async fn waits_for_backend(&self, spec: &EvaluationSpec) -> Result<bool> {
        if !self.parts.engine.backend_for(spec).is_err_and(|error| breaker::is_out(&error)) {
            return Ok(false);
        }
        let now = self.parts.store.get(None, spec.id).await?.summary;
        Ok(!now.state.is_final() && now.cancellation == Cancellation::NotRequested)
    }

    async fn acknowledge(&self, lease: &Lease) -> Result<()> {
        self.parts.queue.acknowledge(vec![lease.key()]).await.map(drop)
    }

    /// Runs it, and decides what is to become of it: nothing, where this is no try. An error means that what came of it can't be
    /// written down.
    async fn run(
        &self,
        lease: &Lease,
        spec: EvaluationSpec,
        place: &Place<'_>,
        beginning: &Beginning,
    ) -> Result<Conclusion> {
        let backend = match self.parts.engine.backend_for(&spec) {
            Ok(backend) => backend,
            Err(error) => return Ok(self.after_failure(&error, lease, place, Vec::new())),
        };
        let recorder = Recorder::new(self, lease.task.id, beginning, place.token.clone());
        let evaluated = {
            let io = RunIo {
                stdin: None,
                events: &recorder,
                cancel: place.token.clone(),
                project: Some(lease.task.project.clone()),
            };
            let work = self.parts.engine.evaluate_once_clear(spec.clone(), io, beginning);
            let evaluation = self.with_room(&spec, &backend, &place.token, work);
            let over = CancellationToken::new();
            let running = async {
                let evaluated = evaluation.await;
                over.cancel();
                evaluated
            };
            tokio::join!(running, recorder.keep(over.clone())).0
        };
        let events = recorder.take();
        if let Some(conclusion) = self.unstarted(beginning).await {
            return Ok(conclusion);
        }
        match evaluated {
            Ok(Evaluated::Finished(outcome)) => {
                self.breakers().succeeded(&outcome.backend);
                self.after_outcome(*outcome, lease, place, events)
            }
            Ok(Evaluated::Held(held)) => {
                let mut change = self.change(kind::HELD);
                change.admission = Some(self.parts.records.admission(&held.admission, &held.findings)?);
                change.indexed.verdict = Some(held.admission.decision.as_str().to_owned());
                change.events.splice(0..0, events);
                Ok(Conclusion::Held(Box::new(change)))
            }
            Err(error) => {
                let is_its_fault = matches!(error.kind(), ErrorKind::Infrastructure | ErrorKind::Unavailable);
                if is_its_fault && !breaker::is_out(&error) {
                    self.breakers().failed(&backend, &error);
                }
                Ok(self.after_failure(&error, lease, place, events))
            }
        }
    }

    /// Waits until there is memory for it, and a place on its backend. One that was cancelled meanwhile needs none.
    async fn with_room<T>(
        &self,
        spec: &EvaluationSpec,
        backend: &str,
        cancel: &CancellationToken,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let most = self.settings.memory_mib();
        let wanted = usize::try_from(spec.limits.memory.get().saturating_add(spec.limits.disk.get()) >> 20);
        let wanted = u32::try_from(wanted.unwrap_or(most).clamp(1, most)).unwrap_or(u32::MAX);
        let closed = |_| Error::new(ErrorKind::Infrastructure, "wait for room", "the service is gone");
        let room = async {
            // Whoever waits for a place takes no memory from others meanwhile.
            let place = self.places_on.take(backend).await;
            let memory = self.memory.acquire_many(wanted).await.map_err(closed)?;
            Ok::<_, Error>((memory, place))
        };
        let _room = cancel.run_until_cancelled(room).await.transpose()?;
        work.await
    }

    fn after_outcome(
        &self,
        mut outcome: Outcome,
        lease: &Lease,
        place: &Place<'_>,
        events: Vec<crucible_core::NewEvent>,
    ) -> Result<Conclusion> {
        outcome.timings.queue = lease.waited;
        let was_ended = outcome.status == Status::Cancelled;
        let (state, last) = match place.stop() {
            Some(Stop::LeaseLost) => return Ok(Conclusion::Nothing),
            Some(Stop::NodeStops) if was_ended => {
                let mut change = self.change(kind::PUT_BACK);
                change.events.splice(0..0, events);
                return Ok(Conclusion::Again(GivenBack::Untried, Duration::ZERO, Box::new(change)));
            }
            Some(Stop::Cancelled) if was_ended => (FinalState::Cancelled, kind::CANCELLED),
            _ if outcome.validity == Validity::InfrastructureFailure => {
                let reasons: Vec<_> = outcome.validity_reasons.iter().map(|reason| reason.as_str()).collect();
                let message = format!("the run is no result: {}", reasons.join(", "));
                let error = Error::new(ErrorKind::Infrastructure, "run the evaluation", message);
                self.breakers().failed(&outcome.backend, &error);
                let mut conclusion = self.after_failure(&error, lease, place, events);
                // What there is of it is kept, for whoever looks for the reason.
                if let Conclusion::Final(_, change) | Conclusion::Again(_, _, change) = &mut conclusion {
                    record(change, &outcome, self.parts.records.as_ref())?;
                }
                return Ok(conclusion);
            }
            _ => (FinalState::Finished, kind::FINISHED),
        };
        let at = SystemTime::now();
        let mut change = Change { events, ..Change::at(at) };
        change.events.push(self.parts.records.ended(last, &outcome, at));
        record(&mut change, &outcome, self.parts.records.as_ref())?;
        Ok(Conclusion::Final(state, Box::new(change)))
    }

    fn after_failure(
        &self,
        error: &Error,
        lease: &Lease,
        place: &Place<'_>,
        events: Vec<crucible_core::NewEvent>,
    ) -> Conclusion {
        let told = |kind: &'static str| {
            let at = SystemTime::now();
            let mut events = events.clone();
            events.push(self.parts.records.failed(kind, error, at));
            Box::new(Change { events, failure: Some(self.failure(error)), ..Change::at(at) })
        };
        match place.stop() {
            Some(Stop::LeaseLost) => return Conclusion::Nothing,
            Some(Stop::Cancelled) => return Conclusion::Final(FinalState::Cancelled, told(kind::CANCELLED)),
            Some(Stop::NodeStops) => {
                return Conclusion::Again(GivenBack::Untried, Duration::ZERO, told(kind::PUT_BACK));
            }
            None => {}
        }
        if breaker::is_out(error) {
            return Conclusion::Again(GivenBack::Untried, self.settings.while_out, told(kind::RETRIED));
        }
        let may_help = matches!(error.kind(), ErrorKind::Infrastructure | ErrorKind::Unavailable | ErrorKind::Io);
        if !may_help {
            return Conclusion::Final(FinalState::Failed, told(kind::FAILED));
        }
        // What was interrupted by this node's end was no try.
        let attempt = lease.task.attempt.saturating_add(1);
        if attempt >= self.settings.attempts {
            return Conclusion::Final(FinalState::Dead, told(kind::DEAD));
        }
        tracing::warn!(attempt, error = %error, "Crucible failed; it is tried again");
        Conclusion::Again(GivenBack::Tried, self.settings.delay_after(attempt), told(kind::RETRIED))
    }

    fn given_up(&self, error: &Error) -> Conclusion {
        let at = SystemTime::now();
        let events = vec![self.parts.records.failed(kind::DEAD, error, at)];
        let change = Change { events, failure: Some(self.failure(error)), ..Change::at(at) };
        Conclusion::Final(FinalState::Dead, Box::new(change))
    }

    /// Commits what is to become of it, and then tells the queue.
    async fn conclude(&self, lease: &Lease, token: FencingToken, conclusion: Conclusion) -> Result<()> {
        let (store, queue, id) = (&self.parts.store, &self.parts.queue, lease.task.id);
        match conclusion {
            Conclusion::Nothing => Ok(()),
            Conclusion::Final(state, change) => {
                // What was given up is found in the store; the queue has only what is to be done.
                self.commit(id, || store.finish(id, token, state, Change::clone(&change))).await?;
                self.acknowledge(lease).await
            }
            Conclusion::Held(change) => {
                let step = self.commit(id, || store.hold(id, token, Change::clone(&change))).await?;
                self.unless_cancelled(step, lease, token).await?;
                self.acknowledge(lease).await
            }
            Conclusion::Again(why, delay, change) => {
                let step = self.commit(id, || store.requeue(id, token, Change::clone(&change))).await?;
                if step == Step::CancelRequested {
                    self.unless_cancelled(step, lease, token).await?;
                    return self.acknowledge(lease).await;
                }
                queue.give_back(lease.key(), why, delay).await.map(drop)
            }
        }
    }

    /// Ends as cancelled what somebody wanted to end before it could wait again.
    async fn unless_cancelled(&self, step: Step, lease: &Lease, token: FencingToken) -> Result<()> {
        if step == Step::CancelRequested {
            let change = self.change(kind::CANCELLED);
            let id = lease.task.id;
            let finish = || self.parts.store.finish(id, token, FinalState::Cancelled, change.clone());
            self.commit(id, finish).await?;
        }
        Ok(())
    }

    /// Commits, and again where the store fails: a result is too dear to be lost to a full disk that is about to be cleared.
    async fn commit<F: Future<Output = Result<Step>>>(&self, id: EvaluationId, write: impl Fn() -> F) -> Result<Step> {
        let mut tries = 1;
        loop {
            match write().await {
                Ok(Step::Stale) => {
                    tracing::warn!(evaluation = %id, "the result comes too late: somebody else has it");
                    return Ok(Step::Stale);
                }
                Ok(step) => return Ok(step),
                Err(error) if tries < COMMITS && error.kind() == ErrorKind::Io => {
                    tracing::error!(evaluation = %id, %error, tries, "a result can't be committed yet");
                    tries += 1;
                    tokio::time::sleep(BEFORE_COMMIT * tries).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
