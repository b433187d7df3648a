//! Taking evaluations in: each is looked at, counted against what its project may have, kept, and then queued.

use super::{MOST_BATCH, Service, kind};
use crate::admission;
use crucible_core::{
    Created, Error, ErrorKind, EvaluationId, EvaluationSpec, NewEvaluation, Priority, ProjectId, Quotas, Result, Task,
};
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
}

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
            let Submission { spec, labels, idempotency_key, priority, delay } = submission;
            if let Err(error) = admission::admit(&self.parts.engine, &spec) {
                // A backend that is out for a while is waited for.
                if error.kind() != ErrorKind::Unavailable {
                    all.push(Err(error));
                    continue;
                }
            }
            all.push(Ok(Submitted::New(spec.id)));
            tasks.push(Task { delay, ..Task::new(spec.id, project.clone(), priority) });
            let first_event = self.event(kind::SUBMITTED);
            let project = project.clone();
            new.push(NewEvaluation { spec, project, labels, idempotency_key, priority, at, first_event });
        }
        let created = self.parts.store.create(new).await?;
        let mut accepted = Vec::with_capacity(tasks.len());
        let kept = all.iter_mut().filter(|one| one.is_ok());
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

fn overloaded(message: String) -> Error {
    Error::new(ErrorKind::Overloaded, OPERATION, message).with_hint("try again later")
}
