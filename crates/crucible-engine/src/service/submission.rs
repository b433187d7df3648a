//! Taking evaluations in: each is looked at, counted against what its project may have, kept, and then queued.

use super::{MOST_BATCH, Patience, Service, kind};
use crate::{admission, hash};
use crucible_core::{
    Backend, Created, Error, ErrorKind, EvaluationId, EvaluationSpec, EvaluationState, Flow, NewEvaluation, Priority,
    ProjectId, Query, Quotas, Result, StoredEvaluation, Task,
};
use crucible_evidence::policy_hash;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

const OPERATION: &str = "submit the evaluation";
/// What is meant by a day in a quota.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Labels of one evaluation, and bytes of a label's name or value.
const MOST_LABELS: usize = 32;
const LONGEST_LABEL: usize = 256;
/// Bytes of an idempotency key.
const LONGEST_KEY: usize = 200;

/// An evaluation that somebody asks for.
#[derive(Clone, Debug)]
pub struct Submission {
    /// What is to be run.
    pub spec: EvaluationSpec,
    /// What it can be found by.
    pub labels: BTreeMap<String, String>,
    /// Given again with the same request, it gives the same evaluation.
    pub idempotency_key: Option<String>,
    /// What goes first.
    pub priority: Priority,
    /// How long it is to wait at least.
    pub delay: Duration,
    /// Whether an earlier result may stand for it.
    pub reuse: Reuse,
}

/// Whether the result of an earlier evaluation may stand for a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// It is run.
    #[default]
    Never,
    /// Whoever asks says that its result depends on nothing but what Crucible knows: one of the same project whose program,
    /// input, limits, policy, backend and machine were the same stands for it.
    IfTheSame,
}

/// What labels begin with that are Crucible's own.
pub const RESERVED_LABELS: &str = "crucible.";
/// The label by which an earlier evaluation is found that was the same.
const SAME: &str = "crucible.same";
/// The label that names the evaluation of which one is a rerun.
const RERUN_OF: &str = "crucible.rerun_of";

/// What became of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It is kept, and waits.
    New(EvaluationId),
    /// It was asked for before.
    Existing(EvaluationId),
}

impl Submitted {
    /// The evaluation.
    #[must_use]
    pub const fn id(self) -> EvaluationId {
        match self {
            Self::New(id) | Self::Existing(id) => id,
        }
    }
}

impl Service {
    /// Takes one evaluation in. When this returns it is kept, and will have a result. It may have one already.
    ///
    /// # Errors
    /// Those of admission (`InvalidInput`, `NotFound`, `Refused`); `Conflict` where its idempotency key was used for another
    /// request; `Overloaded` where too many wait; `Unavailable` while the service drains, or can't keep anything.
    pub async fn submit(&self, project: &ProjectId, quotas: Quotas, submission: Submission) -> Result<Submitted> {
        let mut submitted = self.submit_all(project, quotas, vec![submission]).await?;
        let nothing = || Err(Error::new(ErrorKind::Infrastructure, OPERATION, "nothing became of it"));
        let submitted = submitted.pop().unwrap_or_else(nothing)?;
        // Within the request's span: so its id leads to the evaluation's, and that to all that is said of the run.
        tracing::info!(evaluation = %submitted.id(), "accepted");
        Ok(submitted)
    }

    /// Takes one evaluation in, waits for it as [`Service::wait_for`] does, and gives it as it is then.
    ///
    /// # Errors
    /// Those of [`Service::submit`] and [`Service::wait_for`].
    pub async fn submit_and_wait(
        &self,
        project: &ProjectId,
        quotas: Quotas,
        submission: Submission,
        patience: &Patience,
    ) -> Result<StoredEvaluation> {
        // Before anything can happen to it, so that nobody has to look what did.
        let events = self.watch(submission.spec.id);
        match self.submit(project, quotas, submission).await? {
            Submitted::New(id) => self.wait_on(events, Some(project), id, patience).await,
            Submitted::Existing(id) => self.wait_for(Some(project), id, patience).await,
        }
    }

    /// Takes many evaluations in, in one transaction, and says of each what became of it. What is wrong with one says nothing
    /// about the others.
    ///
    /// # Errors
    /// `Overloaded` or `Unavailable`, and then none is taken; `InvalidInput` for more than [`MOST_BATCH`].
    pub async fn submit_all(
        &self,
        project: &ProjectId,
        quotas: Quotas,
        submissions: Vec<Submission>,
    ) -> Result<Vec<Result<Submitted>>> {
        let submitted = self.take_in(project, quotas, submissions).await?;
        // They may run meanwhile; they are accepted when the disk has them. What is refused keeps nothing.
        if submitted.iter().any(Result::is_ok) {
            self.parts.store.sync().await.map_err(cannot_keep)?;
        }
        Ok(submitted)
    }

    /// Keeps what is submitted, and queues it.
    async fn take_in(
        &self,
        project: &ProjectId,
        quotas: Quotas,
        submissions: Vec<Submission>,
    ) -> Result<Vec<Result<Submitted>>> {
        if submissions.len() > MOST_BATCH {
            let message = format!("{} evaluations at once are more than {MOST_BATCH}", submissions.len());
            return Err(Error::new(ErrorKind::InvalidInput, OPERATION, message));
        }
        // Nobody else may take what is counted as free, until it is taken.
        let is_counted = quotas.most_queued.is_some() || quotas.most_per_day.is_some();
        let counted = if is_counted { Some(self.counting.lock().await) } else { None };
        self.check_room(project, quotas, submissions.len()).await?;
        self.bound_running(project, quotas).await?;
        let at = SystemTime::now();
        let (mut all, mut new, mut tasks) = (Vec::with_capacity(submissions.len()), Vec::new(), Vec::new());
        for submission in submissions {
            let Submission { spec, mut labels, idempotency_key, priority, delay, reuse } = submission;
            let described = check_description(&labels, idempotency_key.as_deref());
            let admitted = match described.and_then(|()| admission::admit(&self.parts.engine, &spec)) {
                Ok(admitted) => Some(admitted),
                // A backend that is out for a while is waited for.
                Err(error) if error.kind() == ErrorKind::Unavailable => None,
                Err(error) => {
                    all.push(Err(error));
                    continue;
                }
            };
            if let (Reuse::IfTheSame, Some(admitted)) = (reuse, &admitted) {
                let same = self.sameness(&spec, admitted.backend.as_ref());
                if let Some(id) = self.find_same(project, &same).await? {
                    all.push(Ok(Submitted::Existing(id)));
                    continue;
                }
                labels.insert(SAME.to_owned(), same);
            }
            all.push(Ok(Submitted::New(spec.id)));
            tasks.push(Task { delay, ..Task::new(spec.id, project.clone(), priority) });
            let first_event = self.event(kind::SUBMITTED);
            let project = project.clone();
            new.push(NewEvaluation { spec, project, labels, idempotency_key, priority, at, first_event });
        }
        // Where each is wrong, or was there before, there is nothing to be kept.
        if new.is_empty() {
            return Ok(all);
        }
        let copies = self.fresh.copies(new.iter().map(|new| &new.spec));
        let created = self.parts.store.create(new).await.map_err(cannot_keep)?;
        drop(counted);
        let mut accepted = Vec::with_capacity(tasks.len());
        let kept = all.iter_mut().filter(|one| matches!(one, Ok(Submitted::New(_))));
        for ((one, created), task) in kept.zip(created).zip(tasks) {
            match created {
                Created::New => accepted.push(task),
                Created::Existing(id) => *one = Ok(Submitted::Existing(id)),
                Created::Conflict(id) => {
                    let message = format!("idempotency_key: it was used for another request, which is {id}");
                    *one = Err(Error::new(ErrorKind::Conflict, OPERATION, message));
                }
            }
        }
        for copy in copies.into_iter().filter(|copy| accepted.iter().any(|task| task.id == copy.id)) {
            self.fresh.keep(copy);
        }
        self.enqueue(accepted).await;
        Ok(all)
    }

    /// Submits an evaluation again, as a new one, with the same specification but no review, and on another backend
    /// where one is named. The quotas are those of its project.
    ///
    /// # Errors
    /// `NotFound`, and those of [`Service::submit`].
    pub async fn rerun(
        &self,
        project: Option<&ProjectId>,
        id: EvaluationId,
        backend: Option<String>,
        quotas: Quotas,
    ) -> Result<Submitted> {
        let before = self.parts.store.get(project, id).await?.summary;
        let mut spec = self.parts.store.specification(project, id).await?;
        (spec.id, spec.review) = (EvaluationId::generate(), None);
        spec.backend = backend.unwrap_or(spec.backend);
        let mut labels = before.labels;
        labels.remove(SAME);
        labels.insert(RERUN_OF.to_owned(), id.to_string());
        let (idempotency_key, delay, reuse) = (None, Duration::ZERO, Reuse::Never);
        let submission = Submission { spec, labels, idempotency_key, priority: before.priority, delay, reuse };
        self.submit(&before.project, quotas, submission).await
    }

    /// Everything that a result depends on, in one word.
    fn sameness(&self, spec: &EvaluationSpec, backend: &dyn Backend) -> String {
        let (version, digest) = (backend.version(), backend.runtime_digest().unwrap_or_default());
        let kernel = &self.parts.engine.node().kernel;
        hash::of_everything(spec, &policy_hash(&spec.policy), &[backend.name(), &version, &digest, kernel])
    }

    async fn find_same(&self, project: &ProjectId, same: &str) -> Result<Option<EvaluationId>> {
        let query = Query {
            project: Some(project.clone()),
            state: Some(EvaluationState::Finished),
            validity: Some("valid".to_owned()),
            label: Some((SAME.to_owned(), same.to_owned())),
            limit: 1,
            ..Query::default()
        };
        Ok(self.parts.store.list(query).await?.items.first().map(|found| found.id))
    }

    /// Queues what the store has as queued. Where that fails it is done a moment later, or by recovery if the process dies: it
    /// is accepted by then, whatever becomes of the queue.
    pub(super) async fn enqueue(&self, tasks: Vec<Task>) {
        if tasks.is_empty() {
            return;
        }
        if let Err(error) = self.parts.queue.enqueue(tasks.clone()).await {
            tracing::error!(%error, tasks = tasks.len(), "what is accepted can't be queued yet");
            self.stranded().extend(tasks);
        }
    }

    /// Tries again to queue what couldn't be.
    pub(super) async fn enqueue_stranded(&self) {
        let tasks = std::mem::take(&mut *self.stranded());
        self.enqueue(tasks).await;
    }

    /// Has the queue keep to how many a project may have running at one time.
    ///
    /// # Errors
    /// As [`Queue::set_most_running`](crucible_core::Queue::set_most_running).
    pub async fn bound_running(&self, project: &ProjectId, quotas: Quotas) -> Result<()> {
        let known = self.bounds().get(project).copied();
        if known == quotas.most_running {
            return Ok(());
        }
        self.parts.queue.set_most_running(project.clone(), quotas.most_running).await?;
        match quotas.most_running {
            Some(most) => self.bounds().insert(project.clone(), most),
            None => self.bounds().remove(project),
        };
        Ok(())
    }

    /// Refuses what is too much for this service, or for the project.
    async fn check_room(&self, project: &ProjectId, quotas: Quotas, more: usize) -> Result<()> {
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        let queue = self.parts.queue.statistics().await?;
        if queue.flow == Flow::Draining {
            let error = Error::new(ErrorKind::Unavailable, OPERATION, "the queue drains: nothing new comes in");
            return Err(error.with_hint("try again later, or at another service"));
        }
        let counts = queue.all;
        let waiting = counts.waiting.saturating_add(counts.delayed);
        if waiting.saturating_add(more) > self.settings.most_queued {
            let message = format!("{waiting} evaluations wait, of at most {}", self.settings.most_queued);
            return Err(overloaded(message));
        }
        if quotas.most_queued.is_none() && quotas.most_per_day.is_none() {
            return Ok(());
        }
        let since = SystemTime::now().checked_sub(DAY).unwrap_or(SystemTime::UNIX_EPOCH);
        let used = self.parts.store.project_use(project, since).await?;
        let over = |used: u64, most: Option<u64>| most.filter(|most| used.saturating_add(more) > *most);
        if let Some(most) = over(used.queued, quotas.most_queued) {
            let message = format!("project '{project}' has {} evaluations that wait, of at most {most}", used.queued);
            return Err(overloaded(message));
        }
        if let Some(most) = over(used.created, quotas.most_per_day) {
            let message =
                format!("project '{project}' asked for {} evaluations within a day, of at most {most}", used.created);
            return Err(overloaded(message));
        }
        Ok(())
    }
}

/// Refuses labels that are Crucible's own.
///
/// # Errors
/// `InvalidInput`, naming the label.
pub fn check_labels(labels: &BTreeMap<String, String>) -> Result<()> {
    match labels.keys().find(|name| name.starts_with(RESERVED_LABELS)) {
        None => Ok(()),
        Some(name) => {
            let message = format!("labels: {name:?} begins with {RESERVED_LABELS:?}, as only Crucible's own do");
            Err(Error::new(ErrorKind::InvalidInput, OPERATION, message))
        }
    }
}

/// Checks what an evaluation can be found by.
fn check_description(labels: &BTreeMap<String, String>, idempotency_key: Option<&str>) -> Result<()> {
    let refuse = |message: String| Err(Error::new(ErrorKind::InvalidInput, OPERATION, message));
    let own = labels.keys().filter(|name| !name.starts_with(RESERVED_LABELS)).count();
    if own > MOST_LABELS {
        return refuse(format!("labels: there are {own}, of at most {MOST_LABELS}"));
    }
    let is_long = |(name, value): (&String, &String)| name.len() > LONGEST_LABEL || value.len() > LONGEST_LABEL;
    if labels.keys().any(String::is_empty) || labels.iter().any(is_long) {
        return refuse(format!("labels: each has a name, and name and value have {LONGEST_LABEL} bytes at most"));
    }
    if idempotency_key.is_some_and(|key| key.is_empty() || key.len() > LONGEST_KEY) {
        return refuse(format!("idempotency_key: it has 1 to {LONGEST_KEY} bytes"));
    }
    Ok(())
}

/// What can't be kept isn't accepted, and may be later: a full disk is cleared.
fn cannot_keep(error: Error) -> Error {
    if error.kind() != ErrorKind::Io {
        return error;
    }
    let message = format!("nothing can be accepted now, since nothing can be kept: {error}");
    let told = Error::new(ErrorKind::Unavailable, OPERATION, message);
    let told = match error.hint() {
        Some(hint) => told.with_hint(hint.to_owned()),
        None => told,
    };
    told.with_source(error)
}

fn overloaded(message: String) -> Error {
    Error::new(ErrorKind::Overloaded, OPERATION, message).with_hint("try again later")
}
