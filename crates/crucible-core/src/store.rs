//! The store: what was asked for, how far it is, and what came of it.
//!
//! Invariant: an evaluation gets one final result. Whoever runs it has a fencing token of the store's, and whatever they write is
//! taken only while that token is the latest. Every change and the events that tell of it are one transaction; the store hands
//! committed events to the bus, in order. Documents are opaque: their writer says what format they have.

use crate::admission::Review;
use crate::bus::{GlobalNumber, NewEvent, StoredEvent};
use crate::component::Component;
use crate::error::Result;
use crate::id::EvaluationId;
use crate::queue::Priority;
use crate::spec::EvaluationSpec;
use crate::tenancy::ProjectId;
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How far an evaluation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvaluationState {
    /// It waits to be run.
    Queued,
    /// It waits for a person.
    Held,
    /// Somebody runs it.
    Running,
    /// It has an outcome.
    Finished,
    /// Crucible failed to run it, for good.
    Failed,
    /// Somebody took it back.
    Cancelled,
    /// It was tried too often.
    Dead,
}

impl EvaluationState {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Queued, Self::Held, Self::Running, Self::Finished, Self::Failed, Self::Cancelled, Self::Dead];

    /// The name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Held => "held",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }

    /// Whether it stays so.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Held | Self::Running => false,
            Self::Finished | Self::Failed | Self::Cancelled | Self::Dead => true,
        }
    }

    /// Whether whoever waits for a result is answered: it has one, or it is a person's turn.
    #[must_use]
    pub const fn ends_waiting(self) -> bool {
        self.is_final() || matches!(self, Self::Held)
    }
}

impl fmt::Display for EvaluationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The states in which an evaluation stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FinalState {
    /// It has an outcome.
    Finished,
    /// Crucible failed to run it, for good.
    Failed,
    /// Somebody took it back.
    Cancelled,
    /// It was tried too often.
    Dead,
}

impl From<FinalState> for EvaluationState {
    fn from(state: FinalState) -> Self {
        match state {
            FinalState::Finished => Self::Finished,
            FinalState::Failed => Self::Failed,
            FinalState::Cancelled => Self::Cancelled,
            FinalState::Dead => Self::Dead,
        }
    }
}

/// Names one try of one evaluation. A later try has a higher one, and makes those before it stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(pub u64);

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Something that is kept as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What it is, with a version: `crucible.result.v1`.
    pub format: String,
    /// Its bytes.
    pub body: Bytes,
}

/// What evaluations can be found by or are listed with, in short words that their writer chose. What is `None` stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexed {
    /// The backend that ran it.
    pub backend: Option<String>,
    /// How it ended.
    pub status: Option<String>,
    /// Whether the result says something.
    pub validity: Option<String>,
    /// What was decided before it ran.
    pub verdict: Option<String>,
    /// How long its program ran.
    pub wall: Option<Duration>,
}

/// What a step writes along with the state. What is `None` stays as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When, for the record.
    pub at: SystemTime,
    /// What it can be found by.
    pub indexed: Indexed,
    /// What came of it.
    pub outcome: Option<Document>,
    /// Why Crucible failed.
    pub failure: Option<Document>,
    /// Why it was let in, held or denied.
    pub admission: Option<Document>,
    /// What is told of it, in the same transaction.
    pub events: Vec<NewEvent>,
}

impl Change {
    /// Nothing but the time.
    #[must_use]
    pub fn at(at: SystemTime) -> Self {
        Self { at, indexed: Indexed::default(), outcome: None, failure: None, admission: None, events: Vec::new() }
    }
}

/// An evaluation to be kept, whose state will be [`EvaluationState::Queued`].
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvaluation {
    /// What to run. Its id is the evaluation's.
    pub spec: EvaluationSpec,
    /// Whose it is.
    pub project: ProjectId,
    /// What it can be found by.
    pub labels: BTreeMap<String, String>,
    /// Given again with the same request, it gives the same evaluation.
    pub idempotency_key: Option<String>,
    /// What goes first.
    pub priority: Priority,
    /// When it was asked for.
    pub at: SystemTime,
    /// What is told of it.
    pub first_event: NewEvent,
}

/// What became of one new evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is kept.
    New,
    /// The same was asked for before, with the same key: as this one.
    Existing(EvaluationId),
    /// Something else was asked for before with the same key, as this one; or the id is another's.
    Conflict(EvaluationId),
}

/// Whether somebody wants a running evaluation to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancellation {
    /// Nobody does.
    NotRequested,
    /// Somebody does; whoever runs it finishes it as cancelled.
    Requested,
}

/// An evaluation without its documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluationSummary {
    /// Its id.
    pub id: EvaluationId,
    /// Whose it is.
    pub project: ProjectId,
    /// How far it is.
    pub state: EvaluationState,
    /// Whether somebody wants it to end.
    pub cancellation: Cancellation,
    /// What goes first.
    pub priority: Priority,
    /// The program's language, where it is a source text.
    pub language: Option<String>,
    /// How often it was started.
    pub attempt: u32,
    /// The node that runs it, or did last.
    pub node: Option<String>,
    /// What it can be found by.
    pub labels: BTreeMap<String, String>,
    /// What else it can be found by.
    pub indexed: Indexed,
    /// When it was asked for.
    pub created: SystemTime,
    /// When it was last started.
    pub started: Option<SystemTime>,
    /// When it got its final state.
    pub finished: Option<SystemTime>,
    /// Grows with each change.
    pub version: u64,
}

/// An evaluation as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvaluation {
    /// All but its documents.
    pub summary: EvaluationSummary,
    /// What a person decided, where it was held.
    pub review: Option<Review>,
    /// What came of it.
    pub outcome: Option<Document>,
    /// Why Crucible failed.
    pub failure: Option<Document>,
    /// Why it was let in, held or denied.
    pub admission: Option<Document>,
}

/// In which order evaluations are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListOrder {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
}

/// Which evaluations are to be listed. What is `None` is no condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Whose; `None` for all projects, which only an administrator may see.
    pub project: Option<ProjectId>,
    /// How far.
    pub state: Option<EvaluationState>,
    /// How they ended.
    pub status: Option<String>,
    /// What ran them.
    pub backend: Option<String>,
    /// Whether the result says something.
    pub validity: Option<String>,
    /// What was decided before they ran.
    pub verdict: Option<String>,
    /// A label, with its value.
    pub label: Option<(String, String)>,
    /// A piece of their id, of a label's name or of its value, whatever its case among ASCII letters.
    pub search: Option<String>,
    /// Which come first.
    pub order: ListOrder,
    /// Asked for at this time or later.
    pub created_from: Option<SystemTime>,
    /// Asked for before this time.
    pub created_before: Option<SystemTime>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// The most on one page; a store may give fewer.
    pub limit: usize,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next one begins; `None` on the last. Opaque.
    pub next: Option<String>,
}

/// Whether an evaluation was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// It is running, by whoever has this token alone.
    Started {
        /// For all that is written of this try.
        token: FencingToken,
        /// 1 for the first.
        attempt: u32,
    },
    /// Somebody wants it to end: it is to be finished as cancelled with this token, without being run.
    CancelRequested {
        /// For the end.
        token: FencingToken,
    },
    /// It can't be, in this state. Nothing was changed.
    Refused(EvaluationState),
}

/// What became of a step of whoever runs an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is committed.
    Committed,
    /// Somebody else runs it, or it has a final state. Nothing was changed.
    Stale,
    /// Somebody wants it to end: it is to be finished as cancelled. Nothing was changed.
    CancelRequested,
}

/// What became of a person's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// It is committed; the evaluation has this state now.
    Committed(EvaluationState),
    /// It isn't held, but in this state. Nothing was changed.
    NotHeld(EvaluationState),
}

/// What became of a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelledEvaluation {
    /// Nothing of it was running: it is cancelled.
    Cancelled,
    /// It is running: whoever runs it is to end it. The change was not written.
    Requested,
    /// It had a final state, which it keeps.
    AlreadyFinal(EvaluationState),
}

/// An evaluation that has no final state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Its id.
    pub id: EvaluationId,
    /// Whose.
    pub project: ProjectId,
    /// How far it is.
    pub state: EvaluationState,
    /// What goes first.
    pub priority: Priority,
}

/// What a project has, for its quotas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProjectUse {
    /// Evaluations that wait.
    pub queued: u64,
    /// Evaluations that run.
    pub running: u64,
    /// Evaluations asked for since a time.
    pub created: u64,
}

/// Keeps evaluations.
#[async_trait]
pub trait Store: Component {
    /// Keeps new evaluations, in one transaction, and says of each what became of it. When it answers, everybody sees them and
    /// they survive the end of this process; that of the machine, once [`Store::sync`] has answered.
    ///
    /// # Errors
    /// `InvalidInput` for one that can't be kept (too large, too many labels, a key that is too long), and none is; `Io`.
    async fn create(&self, evaluations: Vec<NewEvaluation>) -> Result<Vec<Created>>;

    /// Waits until all that was created before survives the end of the machine, too.
    ///
    /// # Errors
    /// `Io`: it may survive, or not.
    async fn sync(&self) -> Result<()>;

    /// What is to be run, with its review where it has one. `project` is whose it must be; `None` for whoever serves all.
    ///
    /// # Errors
    /// `NotFound`; `Io`.
    async fn specification(&self, project: Option<&ProjectId>, id: EvaluationId) -> Result<EvaluationSpec>;

    /// One evaluation with everything but its specification.
    ///
    /// # Errors
    /// `NotFound`; `Io`.
    async fn get(&self, project: Option<&ProjectId>, id: EvaluationId) -> Result<StoredEvaluation>;

    /// Evaluations, in the order that is asked for.
    ///
    /// # Errors
    /// `InvalidInput` for a cursor that isn't this store's; `Io`.
    async fn list(&self, query: Query) -> Result<Page<EvaluationSummary>>;

    /// Evaluations without a final state, by id, beginning after one: what is to be put into a queue that was lost.
    ///
    /// # Errors
    /// `Io`.
    async fn unfinished(&self, after: Option<EvaluationId>, most: usize) -> Result<Vec<Unfinished>>;

    /// What a project has now, and how many it asked for since then.
    ///
    /// # Errors
    /// `Io`.
    async fn project_use(&self, project: &ProjectId, since: SystemTime) -> Result<ProjectUse>;

    /// Notes that an evaluation is being started on a node. One that is running already is started anew: whoever ran it
    /// before has a stale token from then on.
    ///
    /// # Errors
    /// `NotFound`; `Io`.
    async fn start(&self, id: EvaluationId, node: String, change: Change) -> Result<Started>;

    /// Gives an evaluation its final state.
    ///
    /// # Errors
    /// `NotFound`; `Io`.
    async fn finish(&self, id: EvaluationId, token: FencingToken, state: FinalState, change: Change) -> Result<Step>;

    /// Lets a running evaluation wait again.
    ///
    /// # Errors
    /// As [`Store::finish`].
    async fn requeue(&self, id: EvaluationId, token: FencingToken, change: Change) -> Result<Step>;

    /// Lets a running evaluation wait for a person.
    ///
    /// # Errors
    /// As [`Store::finish`].
    async fn hold(&self, id: EvaluationId, token: FencingToken, change: Change) -> Result<Step>;

    /// Keeps a person's decision about a held evaluation: approved, it is queued, and its specification has the review;
    /// rejected, it is finished, with the outcome that the change has. Of several who decide at the same time exactly one does.
    ///
    /// # Errors
    /// `NotFound`; `Io`.
    async fn decide(
        &self,
        project: Option<&ProjectId>,
        id: EvaluationId,
        review: Review,
        change: Change,
    ) -> Result<Decided>;

    /// Cancels an evaluation, or has whoever runs it do so.
    ///
    /// # Errors
    /// `NotFound`; `Io`.
    async fn cancel(
        &self,
        project: Option<&ProjectId>,
        id: EvaluationId,
        change: Change,
    ) -> Result<CancelledEvaluation>;

    /// Adds events of whoever runs an evaluation.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` for one that is too large; `Io`.
    async fn append(&self, id: EvaluationId, token: FencingToken, events: Vec<NewEvent>) -> Result<Step>;

    /// An evaluation's events after a number, in order. Fewer than `most` may come while there are more; none only at the end.
    ///
    /// # Errors
    /// `NotFound`; `Io`.
    async fn events(
        &self,
        project: Option<&ProjectId>,
        id: EvaluationId,
        after: u64,
        most: usize,
    ) -> Result<Vec<Arc<StoredEvent>>>;

    /// The events of a project, or of all, after a number, in order. As many as [`Store::events`].
    ///
    /// # Errors
    /// `Io`.
    async fn firehose(
        &self,
        project: Option<&ProjectId>,
        after: GlobalNumber,
        most: usize,
    ) -> Result<Vec<Arc<StoredEvent>>>;

    /// The number of the latest event; 0 where there was none.
    ///
    /// # Errors
    /// `Io`.
    async fn latest_event(&self) -> Result<GlobalNumber>;
}

#[cfg(test)]
mod tests {
    use super::{EvaluationState, FinalState};

    #[test]
    fn the_final_states_are_those_that_stay() {
        let finals = [FinalState::Finished, FinalState::Failed, FinalState::Cancelled, FinalState::Dead];
        let finals = finals.map(EvaluationState::from);
        for state in EvaluationState::ALL {
            assert_eq!(state.is_final(), finals.contains(&state), "{state}");
        }
    }
}
