//! Taking evaluations in: each is looked at, counted against what its project may have, kept, and then queued.

use super::{MOST_BATCH, Service, kind};
use crate::{admission, hash};
use crucible_core::{
    Backend, Created, Error, ErrorKind, EvaluationId, EvaluationSpec, EvaluationState, NewEvaluation, Priority,
    ProjectId, Query, Quotas, Result, Task,
};
use crucible_evidence::policy_hash;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

const OPERATION: &str = "submit the evaluation";
/// What is meant by a day in a quota.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

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
const RESERVED: &str = "crucible.";
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
    /// Takes one evaluation in. When this returns it is kept, and will have a result.
    ///
    /// # Errors
    /// Those of admission (`InvalidInput`, `NotFound`, `Refused`); `Conflict` where its idempotency key was used for another
    /// request; `Overloaded` where too many wait; `Unavailable` while the service drains; `Io`.
    pub async fn submit(&self, project: &ProjectId, quotas: Quotas, submission: Submission) -> Result<Submitted> {
        let mut submitted = self.submit_all(project, quotas, vec![submission]).await?;
        submitted.pop().unwrap_or_else(|| Err(Error::new(ErrorKind::Infrastructure, OPERATION, "nothing became of it")))
    }

    /// Takes many evaluations in, in one transaction, and says of each what became of it. What is wrong with one says nothing
    /// about the others.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable` or `Io`, and then none is taken; `InvalidInput` for more than [`MOST_BATCH`].
    pub async fn submit_all(
        &self,
        project: &ProjectId,
        quotas: Quotas,
        submissions: Vec<Submission>,
    ) -> Result<Vec<Result<Submitted>>> {
        if submissions.len() > MOST_BATCH {
            let message = format!("{} evaluations at once are more than {MOST_BATCH}", submissions.len());
            return Err(Error::new(ErrorKind::InvalidInput, OPERATION, message));
        }
        self.check_room(project, quotas, submissions.len()).await?;
        let at = SystemTime::now();
        let (mut all, mut new, mut tasks) = (Vec::with_capacity(submissions.len()), Vec::new(), Vec::new());
        for submission in submissions {
            let Submission { spec, mut labels, idempotency_key, priority, delay, reuse } = submission;
            let admitted = match admission::admit(&self.parts.engine, &spec) {
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
        let created = self.parts.store.create(new).await?;
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
        // Where this fails, or the process dies before it, recovery does it: the store has them.
        if !accepted.is_empty() {
            self.parts.queue.enqueue(accepted).await?;
        }
        Ok(all)
    }

    /// Submits an evaluation again, as a new one, with the same specification but no review.
    ///
    /// # Errors
    /// `NotFound`, and those of [`Service::submit`].
    pub async fn rerun(&self, project: Option<&ProjectId>, id: EvaluationId, quotas: Quotas) -> Result<Submitted> {
        let before = self.parts.store.get(project, id).await?.summary;
        let mut spec = self.parts.store.specification(project, id).await?;
        (spec.id, spec.review) = (EvaluationId::generate(), None);
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

    /// Refuses what is too much for this service, or for the project.
    async fn check_room(&self, project: &ProjectId, quotas: Quotas, more: usize) -> Result<()> {
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        let counts = self.parts.queue.statistics().await?.all;
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
    match labels.keys().find(|name| name.starts_with(RESERVED)) {
        None => Ok(()),
        Some(name) => {
            let message = format!("labels: {name:?} begins with {RESERVED:?}, as only Crucible's own do");
            Err(Error::new(ErrorKind::InvalidInput, OPERATION, message))
        }
    }
}

fn overloaded(message: String) -> Error {
    Error::new(ErrorKind::Overloaded, OPERATION, message).with_hint("try again later")
}
