//! The queue: which evaluation is worked on next, and by whom.
//!
//! Invariant: a task that was taken in is there until it is acknowledged, cancelled or buried, whatever happens to those who
//! work on it; no task has two leases at one time. A task has no content: that is the store's, and the store alone decides
//! whose result counts, by tokens of its own.

use crate::component::Component;
use crate::error::Result;
use crate::id::EvaluationId;
use crate::tenancy::ProjectId;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// What goes first: the higher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Priority(pub i8);

/// Something to be worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Which evaluation.
    pub id: EvaluationId,
    /// Whose.
    pub project: ProjectId,
    /// What goes first.
    pub priority: Priority,
    /// How often it was tried already.
    pub attempt: u32,
    /// How long it has to wait before it may be leased. A duration, since a time of day would change with the clock.
    pub delay: Duration,
}

impl Task {
    /// A task that was never tried and may be leased at once.
    #[must_use]
    pub const fn new(id: EvaluationId, project: ProjectId, priority: Priority) -> Self {
        Self { id, project, priority, attempt: 0, delay: Duration::ZERO }
    }
}

/// Whether a task was new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// It is in the queue now.
    Added,
    /// It was there before, in whatever state, and stays as it was.
    Known,
}

/// Names one lease among all that a queue ever gave. It isn't the store's fencing token, which alone decides about results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseToken(pub u64);

impl fmt::Display for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a worker asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRequest {
    /// Who works on it, for the record.
    pub worker: String,
    /// The most tasks at once.
    pub most: usize,
    /// How long until a task is given to somebody else.
    pub duration: Duration,
}

/// A task that nobody else is given while the lease lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What is to be worked on.
    pub task: Task,
    /// This lease.
    pub token: LeaseToken,
    /// Until when it lasts, unless it is extended.
    pub until: Instant,
    /// How long the task waited since it last could have been leased.
    pub waited: Duration,
}

impl Lease {
    /// What it is named by.
    #[must_use]
    pub const fn key(&self) -> LeaseKey {
        LeaseKey { id: self.task.id, token: self.token }
    }
}

/// Names a lease of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseKey {
    /// The task.
    pub id: EvaluationId,
    /// The lease.
    pub token: LeaseToken,
}

/// Whether a lease was still good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// It was, and what was asked for is done.
    Good,
    /// It had run out, or the task was cancelled. Nothing was changed.
    Lost,
}

/// Why a task is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenBack {
    /// It was tried: the next one is another attempt.
    Tried,
    /// It was not: the worker stops, or can't do it now.
    Untried,
}

/// What a task was when it was cancelled. It is in the queue no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelledTask {
    /// It waited, or was delayed.
    Waiting,
    /// Somebody worked on it; their lease is lost.
    Leased,
    /// It was buried.
    Dead,
    /// It wasn't there.
    Unknown,
}

/// What a queue lets through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    /// Tasks come in and are leased.
    #[default]
    Open,
    /// Tasks come in; none is leased. Leases that were given stay good.
    Paused,
    /// No new task comes in, by an error of the kind `Unavailable`; those that are there are leased until none is left.
    Draining,
}

impl Flow {
    /// The name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paused => "paused",
            Self::Draining => "draining",
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How many tasks of one project there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskCounts {
    /// May be leased.
    pub waiting: u64,
    /// May be leased later.
    pub delayed: u64,
    /// Are worked on.
    pub leased: u64,
    /// Are buried.
    pub dead: u64,
}

/// What is in a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueStatistics {
    /// What it lets through.
    pub flow: Flow,
    /// All tasks.
    pub all: TaskCounts,
    /// How long the task that waits longest has waited; `None` where none waits.
    pub oldest: Option<Duration>,
    /// The tasks of each project that has any.
    pub projects: BTreeMap<ProjectId, TaskCounts>,
}

/// A task that isn't tried any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadTask {
    /// The task.
    pub task: Task,
    /// Why.
    pub reason: String,
}

/// Holds tasks and hands them out: by priority, then fairly between projects (the one with the fewest leases is next), then
/// in the order in which they came.
///
/// A lease that runs out ends by itself; the task is handed out again with a new token, as another attempt. What a method has
/// answered survives the queue's process, for an implementation that says that it is durable; leases, `flow` and the
/// projects' bounds don't.
#[async_trait]
pub trait Queue: Component {
    /// Takes tasks in, all or none, and says of each whether it was new.
    ///
    /// # Errors
    /// `Unavailable` while it is draining; `Io`.
    async fn enqueue(&self, tasks: Vec<Task>) -> Result<Vec<Enqueued>>;

    /// Hands out what can be worked on now; none where nothing can.
    ///
    /// # Errors
    /// `Io`.
    async fn lease(&self, request: LeaseRequest) -> Result<Vec<Lease>>;

    /// Waits until something may be there to be leased. It may be gone again by the time it is asked for.
    async fn wait_for_work(&self);

    /// Makes leases last so long from now on, and gives those that are lost.
    ///
    /// # Errors
    /// `Io`.
    async fn extend(&self, leases: Vec<LeaseKey>, duration: Duration) -> Result<Vec<LeaseKey>>;

    /// Ends tasks that are done with, and gives the leases that were lost, whose tasks stay as they are.
    ///
    /// # Errors
    /// `Io`.
    async fn acknowledge(&self, leases: Vec<LeaseKey>) -> Result<Vec<LeaseKey>>;

    /// Gives a task back, to be leased again no sooner than after `delay`.
    ///
    /// # Errors
    /// `Io`.
    async fn give_back(&self, lease: LeaseKey, why: GivenBack, delay: Duration) -> Result<LeaseState>;

    /// Puts a task aside that isn't to be tried any more.
    ///
    /// # Errors
    /// `Io`.
    async fn bury(&self, lease: LeaseKey, reason: String) -> Result<LeaseState>;

    /// Takes a task out, whatever its state.
    ///
    /// # Errors
    /// `Io`.
    async fn cancel(&self, id: EvaluationId) -> Result<CancelledTask>;

    /// Opens, pauses or drains it. Not remembered by the next process.
    ///
    /// # Errors
    /// `Io`.
    async fn set_flow(&self, flow: Flow) -> Result<()>;

    /// Bounds how many leases a project has at one time; `None` lifts the bound. Not remembered by the next process.
    ///
    /// # Errors
    /// `Io`.
    async fn set_most_running(&self, project: ProjectId, most: Option<u32>) -> Result<()>;

    /// What is in it.
    ///
    /// # Errors
    /// `Io`.
    async fn statistics(&self) -> Result<QueueStatistics>;

    /// What was buried, by id, beginning after one.
    ///
    /// # Errors
    /// `Io`.
    async fn dead(&self, after: Option<EvaluationId>, most: usize) -> Result<Vec<DeadTask>>;

    /// Lets buried tasks wait again, as if they had never been tried, and says which of the ids were such.
    ///
    /// # Errors
    /// `Io`.
    async fn revive(&self, ids: Vec<EvaluationId>) -> Result<Vec<EvaluationId>>;
}
