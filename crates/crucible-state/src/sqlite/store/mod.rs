//! The store.
//!
//! Invariant: a step is decided by what the writer's thread reads in the transaction that makes it. Its events are in the same
//! transaction, and go to the bus after the commit, in the order of their numbers. Large documents are files that lie on the
//! disk before anything refers to them.

mod care;
mod create;
mod documents;
mod ended;
mod events;
mod keys;
mod operation;
mod query;
mod rows;
mod steps;
mod webhooks;

use super::blobs::Writing;
use super::failure::{Done, Failure};
use super::folder::{Shared, SqliteFolder};
use super::writer::Lasting;
use async_trait::async_trait;
use create::Prepared;
use crucible_core::{
    CancelledEvaluation, Change, Check, Component, Created, Decided, Error, ErrorKind, EvaluationId, EvaluationSpec,
    EvaluationState, EvaluationSummary, EventBus, FencingToken, FinalState, GlobalNumber, NewEvaluation, NewEvent,
    Page, Passed, ProjectId, ProjectUse, Query, Result, Review, SelfTest, Started, Step, Store, StoredEvaluation,
    StoredEvent, Unfinished,
};
use documents::PackedChange;
pub(super) use ended::Ended;
use rusqlite::Connection;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const OPERATION: &str = "use the store";
/// The most that one page of anything has.
const MOST_ON_A_PAGE: usize = 10_000;

/// The store of a folder.
#[derive(Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
    bus: Arc<dyn EventBus>,
    quotas: Arc<keys::KnownQuotas>,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// A moment as the database has it.
fn microseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

fn time(microseconds: i64) -> SystemTime {
    let since = Duration::from_micros(u64::try_from(microseconds).unwrap_or(0));
    UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
}

/// A number as the database has it.
fn signed(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn not_found(id: EvaluationId) -> Failure {
    Failure::new(ErrorKind::NotFound, format!("there is no evaluation {id}"))
}

impl SqliteStore {
    /// The store of a folder. What is committed is told to the bus.
    #[must_use]
    pub fn new(folder: &SqliteFolder, bus: Arc<dyn EventBus>) -> Self {
        Self { shared: folder.shared(), bus, quotas: Arc::default() }
    }

    async fn read<T: Send + 'static>(&self, work: impl FnOnce(&Connection) -> Done<T> + Send + 'static) -> Result<T> {
        self.shared.readers.read(work).await.map_err(|failure| failure.told(OPERATION))
    }

    async fn write<T: Send + 'static>(&self, work: impl FnOnce(&Connection) -> Done<T> + Send + 'static) -> Result<T> {
        self.shared.writer.write(work).await.map_err(|failure| failure.told(OPERATION))
    }

    /// Writes something with events, which the bus hears of once they are committed, after `before` has. Until then no file is
    /// removed that was written for it, whether or not anyone waits.
    async fn write_and_tell<T: Send + 'static>(
        &self,
        lasting: Lasting,
        guard: Option<Writing>,
        work: impl FnOnce(&Connection) -> Done<(T, Vec<Arc<StoredEvent>>)> + Send + 'static,
        before: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T> {
        let bus = Arc::clone(&self.bus);
        let tell = move |done: &Done<(T, Vec<Arc<StoredEvent>>)>| {
            if let Ok((answer, events)) = done {
                before(answer);
                bus.publish(events);
            }
            drop(guard);
        };
        let done = self.shared.writer.write_then(lasting, work, tell).await;
        done.map(|(done, _)| done).map_err(|failure| failure.told(OPERATION))
    }

    /// Makes a step with a change, whose large documents are written first.
    async fn step<T: Send + 'static>(
        &self,
        lasting: Lasting,
        change: Change,
        work: impl FnOnce(&Connection, PackedChange) -> Done<(T, Vec<Arc<StoredEvent>>)> + Send + 'static,
    ) -> Result<T> {
        let guard = self.shared.blobs.writing().await;
        let packed = documents::pack_change(&self.shared.blobs, &guard, change).await;
        let packed = packed.map_err(|failure| failure.told(OPERATION))?;
        self.write_and_tell(lasting, Some(guard), move |connection| work(connection, packed), |_| ()).await
    }

    /// Ends a try. A final evaluation may be known from then on, and before anybody hears of its end.
    async fn end_try(
        &self,
        id: EvaluationId,
        token: FencingToken,
        state: EvaluationState,
        change: Change,
    ) -> Result<Step> {
        let guard = self.shared.blobs.writing().await;
        let packed = documents::pack_change(&self.shared.blobs, &guard, change).await;
        let packed = packed.map_err(|failure| failure.told(OPERATION))?;
        let shared = Arc::clone(&self.shared);
        let know = move |(_, whole): &(Step, Option<StoredEvaluation>)| {
            shared.ended.know(whole.as_ref().filter(|whole| whole.summary.state.is_final()));
        };
        let work = move |connection: &Connection| steps::end_try(connection, id, token, state, &packed);
        self.write_and_tell(Lasting::Machine, Some(guard), work, know).await.map(|(step, _)| step)
    }
}

#[async_trait]
impl Component for SqliteStore {
    fn name(&self) -> &'static str {
        "store"
    }

    async fn self_test(&self) -> SelfTest {
        let told = |done: &Result<()>| done.as_ref().map_or_else(ToString::to_string, |()| "done".to_owned());
        let read = self.read(|connection| events::latest(connection).map(|_| ())).await;
        let written = self
            .write(|connection| {
                // Something that takes a page and leaves nothing.
                connection.execute("INSERT OR REPLACE INTO projects (name) VALUES (' self-test')", [])?;
                connection.execute("DELETE FROM projects WHERE name = ' self-test'", [])?;
                Ok(())
            })
            .await;
        let blob = {
            let guard = self.shared.blobs.writing().await;
            let blobs = self.shared.blobs.clone();
            let tried = tokio::task::spawn_blocking(move || blobs.try_out(&guard));
            tried.await.unwrap_or_else(|_| Err(Failure::stopped())).map_err(|failure| failure.told(OPERATION))
        };
        let mend = "look whether the disk is full, and at the folder's permissions; `crucible store check` looks through everything";
        let check =
            |name: &str, done: &Result<()>| Check::new(name, Passed::from(done.is_ok()), told(done)).with_mend(mend);
        let checks = vec![
            check("the database can be read", &read),
            check("the database can be written", &written),
            check("a document can be written and read", &blob),
        ];
        SelfTest { component: self.name().to_owned(), checks }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn create(&self, evaluations: Vec<NewEvaluation>) -> Result<Vec<Created>> {
        let guard = self.shared.blobs.writing().await;
        let prepared = create::prepare(&self.shared.blobs, &guard, evaluations).await;
        let prepared: Vec<Prepared> = prepared.map_err(|failure| failure.told(OPERATION))?;
        let work = move |connection: &Connection| create::insert(connection, prepared);
        self.write_and_tell(Lasting::Process, Some(guard), work, |_| ()).await
    }

    async fn sync(&self) -> Result<()> {
        self.shared.log.sync().await.map_err(|failure| failure.told(OPERATION))
    }

    async fn specification(&self, project: Option<&ProjectId>, id: EvaluationId) -> Result<EvaluationSpec> {
        let (project, blobs) = (project.cloned(), self.shared.blobs.clone());
        self.read(move |connection| documents::specification(connection, &blobs, project.as_ref(), id)).await
    }

    async fn get(&self, project: Option<&ProjectId>, id: EvaluationId) -> Result<StoredEvaluation> {
        if let Some(known) = self.shared.ended.get(id) {
            let is_its_own = project.is_none_or(|project| *project == known.summary.project);
            return if is_its_own { Ok(known) } else { Err(not_found(id).told(OPERATION)) };
        }
        let (project, blobs) = (project.cloned(), self.shared.blobs.clone());
        self.read(move |connection| rows::get(connection, &blobs, project.as_ref(), id)).await
    }

    async fn list(&self, query: Query) -> Result<Page<EvaluationSummary>> {
        self.read(move |connection| query::list(connection, &query)).await
    }

    async fn unfinished(&self, after: Option<EvaluationId>, most: usize) -> Result<Vec<Unfinished>> {
        self.read(move |connection| query::unfinished(connection, after, most)).await
    }

    async fn project_use(&self, project: &ProjectId, since: SystemTime) -> Result<ProjectUse> {
        let project = project.clone();
        self.read(move |connection| query::project_use(connection, &project, since)).await
    }

    async fn start(&self, id: EvaluationId, node: String, change: Change) -> Result<Started> {
        // A machine that ends takes with it whoever had the token that is forgotten.
        self.step(Lasting::Process, change, move |connection, change| steps::start(connection, id, &node, &change))
            .await
    }

    async fn finish(&self, id: EvaluationId, token: FencingToken, state: FinalState, change: Change) -> Result<Step> {
        self.end_try(id, token, state.into(), change).await
    }

    async fn requeue(&self, id: EvaluationId, token: FencingToken, change: Change) -> Result<Step> {
        self.end_try(id, token, EvaluationState::Queued, change).await
    }

    async fn hold(&self, id: EvaluationId, token: FencingToken, change: Change) -> Result<Step> {
        self.end_try(id, token, EvaluationState::Held, change).await
    }

    async fn decide(
        &self,
        project: Option<&ProjectId>,
        id: EvaluationId,
        review: Review,
        change: Change,
    ) -> Result<Decided> {
        let project = project.cloned();
        self.step(Lasting::Machine, change, move |connection, change| {
            steps::decide(connection, project.as_ref(), id, &review, &change)
        })
        .await
    }

    async fn cancel(
        &self,
        project: Option<&ProjectId>,
        id: EvaluationId,
        change: Change,
    ) -> Result<CancelledEvaluation> {
        let project = project.cloned();
        self.step(Lasting::Machine, change, move |connection, change| {
            steps::cancel(connection, project.as_ref(), id, &change)
        })
        .await
    }

    async fn append(&self, id: EvaluationId, token: FencingToken, events: Vec<NewEvent>) -> Result<Step> {
        // What a program wrote so far is told again by the next try.
        let work = move |connection: &Connection| steps::append(connection, id, token, &events);
        self.write_and_tell(Lasting::Process, None, work, |_| ()).await
    }

    async fn events(
        &self,
        project: Option<&ProjectId>,
        id: EvaluationId,
        after: u64,
        most: usize,
    ) -> Result<Vec<Arc<StoredEvent>>> {
        let project = project.cloned();
        self.read(move |connection| events::of_one(connection, project.as_ref(), id, after, most)).await
    }

    async fn firehose(
        &self,
        project: Option<&ProjectId>,
        after: GlobalNumber,
        most: usize,
    ) -> Result<Vec<Arc<StoredEvent>>> {
        let project = project.cloned();
        self.read(move |connection| events::of_all(connection, project.as_ref(), after, most)).await
    }

    async fn latest_event(&self) -> Result<GlobalNumber> {
        self.read(events::latest).await
    }
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(ErrorKind::InvalidInput, message)
}

/// A folder's own error, for what takes a folder.
fn invalid_error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, OPERATION, message)
}
