//! The durable queue.
//!
//! Invariant: what was answered without an error is as it was after any crash, by the store where that brings tasks back. The
//! rules are [`QueueState`]'s, which is in memory; rows change on the writer's thread alone, in the order in which the state does.
//! Leases are in memory alone: whoever had one is gone with the process, and their result is decided by the store's token. An
//! error leaves undecided which of the two a task is after the next start: as it was before, or as it was asked to be.

use super::failure::{Done, Failure};
use super::folder::{Shared, SqliteFolder};
use super::writer::Lasting;
use crate::memory::{SharedState, draining, lease_state, passes_a_task};
use crate::queue::{Acknowledged, Kept, QueueState, Sequence};
use async_trait::async_trait;
use crucible_core::{
    CancelledTask, Check, Clock, Component, DeadTask, Enqueued, EvaluationId, Flow, GivenBack, Lease, LeaseKey,
    LeaseRequest, LeaseState, Passed, Priority, ProjectId, Queue, QueueStatistics, Result, SelfTest, Task,
};
use rusqlite::{Connection, params};
use rustc_hash::FxHashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const OPERATION: &str = "use the queue";

/// A queue whose tasks are in the database.
#[derive(Debug)]
pub struct SqliteQueue {
    shared: Arc<Shared>,
    memory: Arc<Memory>,
}

/// Which tasks have rows.
#[derive(Debug)]
enum Rows {
    /// All.
    All,
    /// Those of which a store doesn't know all: that they are delayed, were given back or are buried. These are they.
    Needed(Mutex<FxHashSet<Sequence>>),
}

#[derive(Debug)]
struct Memory {
    state: SharedState,
    /// Tasks that are being written and aren't in the state yet.
    coming: Mutex<FxHashSet<EvaluationId>>,
    rows: Rows,
}

impl Memory {
    fn coming(&self) -> MutexGuard<'_, FxHashSet<EvaluationId>> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What one that is to be written must survive.
    const fn lasting(&self) -> Lasting {
        match self.rows {
            Rows::All => Lasting::Machine,
            Rows::Needed(_) => Lasting::Process,
        }
    }

    /// A row is about to be written.
    fn gets_row(&self, sequence: Sequence) {
        if let Rows::Needed(rows) = &self.rows {
            rows.lock().unwrap_or_else(PoisonError::into_inner).insert(sequence);
        }
    }

    /// Those that may have rows, which are about to be taken away.
    fn lose_rows(&self, mut gone: Vec<Sequence>) -> Vec<Sequence> {
        if let Rows::Needed(rows) = &self.rows {
            let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
            gone.retain(|sequence| rows.remove(sequence));
        }
        gone
    }

    /// Changes a task that stays, and is about to be written.
    fn keep(&self, change: impl FnOnce(&mut QueueState, Instant) -> Option<Kept>) -> Option<Kept> {
        let (now, mut state) = (self.state.now(), self.state.lock());
        let kept = change(&mut state, now)?;
        // Before anybody else can take it out, who then knows that there is a row to be taken away.
        self.gets_row(kept.sequence);
        Some(kept)
    }
}

/// What one call to enqueue brings.
struct Incoming {
    answers: Vec<Enqueued>,
    tasks: Vec<(Sequence, Task)>,
}

fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn since_1970(time: SystemTime) -> i64 {
    microseconds(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn write(connection: &Connection, sequence: Sequence, task: &Task, wall: i64, reason: Option<&str>) -> Done<()> {
    let delay = microseconds(task.delay);
    let mut statement = connection.prepare_cached(
        "INSERT INTO tasks (sequence, id, project, priority, attempt, delay, due, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (sequence) DO UPDATE SET
            attempt = excluded.attempt, delay = excluded.delay, due = excluded.due, reason = excluded.reason",
    )?;
    let due = wall.saturating_add(delay);
    let (id, project, priority) = (task.id.to_bytes(), task.project.as_str(), task.priority.0);
    statement.execute(params![sequence.0, id, project, priority, task.attempt, delay, due, reason])?;
    Ok(())
}

fn delete(connection: &Connection, sequences: &[Sequence]) -> Done<()> {
    let mut statement = connection.prepare_cached("DELETE FROM tasks WHERE sequence = ?")?;
    for sequence in sequences {
        statement.execute([sequence.0])?;
    }
    Ok(())
}

struct Row {
    sequence: Sequence,
    task: Task,
    due: i64,
    reason: Option<String>,
}

fn rows(connection: &Connection) -> Done<Vec<Row>> {
    let sql = "SELECT sequence, id, project, priority, attempt, delay, due, reason FROM tasks ORDER BY sequence";
    let mut statement = connection.prepare(sql)?;
    let mut found = statement.query([])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let project: ProjectId = row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?.parse()?;
        let delay = Duration::from_micros(u64::try_from(row.get::<_, i64>(5)?).unwrap_or(0));
        let id = EvaluationId::from_bytes(row.get(1)?);
        let task = Task { id, project, priority: Priority(row.get(3)?), attempt: row.get(4)?, delay };
        rows.push(Row { sequence: Sequence(row.get(0)?), task, due: row.get(6)?, reason: row.get(7)? });
    }
    Ok(rows)
}

impl SqliteQueue {
    /// The queue of a folder, with what is in it.
    ///
    /// # Errors
    /// `Io` where that can't be read.
    pub async fn load(folder: &SqliteFolder, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::load_with(folder, clock, |_| Rows::All).await
    }

    async fn load_with(
        folder: &SqliteFolder,
        clock: Arc<dyn Clock>,
        kept: impl FnOnce(&[Row]) -> Rows + Send,
    ) -> Result<Self> {
        let shared = folder.shared();
        let rows = shared.readers.read(rows).await.map_err(|failure| failure.told(OPERATION))?;
        let memory = Memory { state: SharedState::new(clock), coming: Mutex::default(), rows: kept(&rows) };
        let (now, wall) = (memory.state.now(), since_1970(memory.state.clock().wall()));
        {
            let mut state = memory.state.lock();
            for Row { sequence, task, due, reason } in rows {
                match reason {
                    Some(reason) => state.insert_dead(now, task, sequence, &reason),
                    None => {
                        // A clock that was set back makes nothing wait for longer than it was to wait at all.
                        let left = Duration::from_micros(u64::try_from(due.saturating_sub(wall)).unwrap_or(0));
                        let task = Task { delay: left.min(task.delay), ..task };
                        state.insert(now, task, sequence);
                    }
                }
            }
        }
        Ok(Self { shared, memory: Arc::new(memory) })
    }

    /// The queue of a folder, for whoever queues at each start what a store has as unfinished. It keeps only what the store can't
    /// bring back, and answers without a sync: what it answered survives its process, and what the end of the machine takes are
    /// delays.
    ///
    /// # Errors
    /// As [`SqliteQueue::load`].
    pub async fn load_beside_store(folder: &SqliteFolder, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::load_with(folder, clock, |rows| Rows::Needed(Mutex::new(rows.iter().map(|row| row.sequence).collect())))
            .await
    }

    /// Gives the tasks to workers at once. Of one that is to wait a store doesn't know for how long.
    async fn enqueue_beside_store(&self, tasks: Vec<Task>, wall: i64) -> Result<Vec<Enqueued>> {
        let (mut answers, mut delayed) = (Vec::with_capacity(tasks.len()), Vec::new());
        {
            let (now, mut state) = (self.memory.state.now(), self.memory.state.lock());
            for task in tasks {
                let sequence = state.take_sequence();
                let answer = state.insert(now, task.clone(), sequence);
                answers.push(answer);
                if answer == Enqueued::Added && !task.delay.is_zero() {
                    self.memory.gets_row(sequence);
                    delayed.push(Kept { sequence, task });
                }
            }
        }
        self.memory.state.tell();
        if delayed.is_empty() {
            return Ok(answers);
        }
        let write = move |memory: &Memory, connection: &Connection| {
            for Kept { sequence, task } in delayed {
                // Of one that was worked off or cancelled already nobody takes a row away any more.
                let is_there = memory.state.lock().contains(task.id);
                if is_there {
                    write(connection, sequence, &task, wall, None)?;
                }
            }
            Ok(answers)
        };
        self.change(write, |_, _| ()).await
    }

    /// Takes tasks out of the state, and their rows away.
    async fn take_out<T: Send + 'static>(
        &self,
        take: impl FnOnce(&mut QueueState, Instant) -> (T, Vec<Sequence>) + Send + 'static,
    ) -> Result<T> {
        if matches!(self.memory.rows, Rows::All) {
            let write = move |memory: &Memory, connection: &Connection| {
                let now = memory.state.now();
                let (answer, gone) = take(&mut memory.state.lock(), now);
                delete(connection, &gone)?;
                Ok(answer)
            };
            return self.change(write, |_, _| ()).await;
        }
        let now = self.memory.state.now();
        let (answer, gone) = take(&mut self.memory.state.lock(), now);
        self.memory.state.tell();
        let gone = self.memory.lose_rows(gone);
        if !gone.is_empty() {
            self.change(move |_, connection| delete(connection, &gone), |_, _| ()).await?;
        }
        Ok(answer)
    }

    /// Changes something on the writer's thread.
    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Memory, &Connection) -> Done<T> + Send + 'static,
        after: impl FnOnce(&Memory, &Done<T>) + Send + 'static,
    ) -> Result<T> {
        let (memory, then) = (Arc::clone(&self.memory), Arc::clone(&self.memory));
        let work = move |connection: &Connection| work(&memory, connection);
        let after = move |done: &Done<T>| {
            after(&then, done);
            then.state.tell();
        };
        self.shared
            .writer
            .write_then(self.memory.lasting(), work, after)
            .await
            .map_err(|failure| failure.told(OPERATION))
    }
}

#[async_trait]
impl Component for SqliteQueue {
    fn name(&self) -> &'static str {
        "queue"
    }

    async fn self_test(&self) -> SelfTest {
        let rules = passes_a_task(self.memory.state.clock());
        let written = self
            .change(
                |_, connection| {
                    let task = Task::new(EvaluationId::generate(), ProjectId::default(), Priority::default());
                    write(connection, Sequence(i64::MAX), &task, 0, None)?;
                    delete(connection, &[Sequence(i64::MAX)])
                },
                |_, _| (),
            )
            .await;
        let seen = written.as_ref().map_or_else(ToString::to_string, |()| "written, synced and taken back".to_owned());
        let written = Check::new("a task can be written", Passed::from(written.is_ok()), seen)
            .with_mend("look whether the disk is full, and at the folder's permissions");
        SelfTest { component: self.name().to_owned(), checks: vec![rules, written] }
    }
}

#[async_trait]
impl Queue for SqliteQueue {
    async fn enqueue(&self, tasks: Vec<Task>) -> Result<Vec<Enqueued>> {
        let wall = since_1970(self.memory.state.clock().wall());
        if self.memory.state.lock().flow() == Flow::Draining {
            return Err(draining());
        }
        if matches!(self.memory.rows, Rows::Needed(_)) {
            return self.enqueue_beside_store(tasks, wall).await;
        }
        let ids: Vec<EvaluationId> = tasks.iter().map(|task| task.id).collect();
        let write = move |memory: &Memory, connection: &Connection| {
            let mut incoming = Incoming { answers: Vec::with_capacity(tasks.len()), tasks: Vec::new() };
            {
                let (mut state, mut coming) = (memory.state.lock(), memory.coming());
                for task in tasks {
                    if state.contains(task.id) || !coming.insert(task.id) {
                        incoming.answers.push(Enqueued::Known);
                    } else {
                        incoming.answers.push(Enqueued::Added);
                        incoming.tasks.push((state.take_sequence(), task));
                    }
                }
            }
            let written =
                incoming.tasks.iter().try_for_each(|(sequence, task)| write(connection, *sequence, task, wall, None));
            if let Err(failure) = written {
                // Whoever brings the same in the same transaction isn't told that it is there.
                let mut coming = memory.coming();
                for (_, task) in &incoming.tasks {
                    coming.remove(&task.id);
                }
                return Err(failure);
            }
            Ok(incoming)
        };
        let done = self.change(write, move |memory, done| {
            let now = memory.state.now();
            let (mut state, mut coming) = (memory.state.lock(), memory.coming());
            for id in ids {
                coming.remove(&id);
            }
            for (sequence, task) in done.iter().flat_map(|incoming| &incoming.tasks) {
                state.insert(now, task.clone(), *sequence);
            }
        });
        Ok(done.await?.answers)
    }

    async fn lease(&self, request: LeaseRequest) -> Result<Vec<Lease>> {
        let now = self.memory.state.now();
        Ok(self.memory.state.lock().lease(now, &request))
    }

    async fn wait_for_work(&self) {
        self.memory.state.wait_for_work().await;
    }

    async fn extend(&self, leases: Vec<LeaseKey>, duration: Duration) -> Result<Vec<LeaseKey>> {
        let now = self.memory.state.now();
        let lost = self.memory.state.lock().extend(now, &leases, duration);
        Ok(lost)
    }

    async fn acknowledge(&self, leases: Vec<LeaseKey>) -> Result<Vec<LeaseKey>> {
        self.take_out(move |state, now| {
            let Acknowledged { gone, lost } = state.acknowledge(now, &leases);
            (lost, gone)
        })
        .await
    }

    async fn give_back(&self, lease: LeaseKey, why: GivenBack, delay: Duration) -> Result<LeaseState> {
        let write = move |memory: &Memory, connection: &Connection| {
            let wall = since_1970(memory.state.clock().wall());
            let kept = memory.keep(|state, now| state.give_back(now, &lease, why, delay));
            kept.iter().try_for_each(|kept| write(connection, kept.sequence, &kept.task, wall, None))?;
            Ok(lease_state(kept.as_ref()))
        };
        self.change(write, |_, _| ()).await
    }

    async fn bury(&self, lease: LeaseKey, reason: String) -> Result<LeaseState> {
        let write = move |memory: &Memory, connection: &Connection| {
            let kept = memory.keep(|state, now| state.bury(now, &lease, &reason));
            kept.iter().try_for_each(|kept| write(connection, kept.sequence, &kept.task, 0, Some(&reason)))?;
            Ok(lease_state(kept.as_ref()))
        };
        self.change(write, |_, _| ()).await
    }

    async fn cancel(&self, id: EvaluationId) -> Result<CancelledTask> {
        self.take_out(move |state, now| {
            let (was, sequence) = state.cancel(now, id);
            (was, sequence.into_iter().collect())
        })
        .await
    }

    async fn set_flow(&self, flow: Flow) -> Result<()> {
        self.memory.state.lock().set_flow(flow);
        self.memory.state.tell();
        Ok(())
    }

    async fn set_most_running(&self, project: ProjectId, most: Option<u32>) -> Result<()> {
        self.memory.state.lock().set_most_running(&project, most);
        self.memory.state.tell();
        Ok(())
    }

    async fn statistics(&self) -> Result<QueueStatistics> {
        let now = self.memory.state.now();
        Ok(self.memory.state.lock().statistics(now))
    }

    async fn dead(&self, after: Option<EvaluationId>, most: usize) -> Result<Vec<DeadTask>> {
        Ok(self.memory.state.lock().dead(after, most))
    }

    async fn revive(&self, ids: Vec<EvaluationId>) -> Result<Vec<EvaluationId>> {
        let write = move |memory: &Memory, connection: &Connection| {
            let mut revived = Vec::new();
            for id in ids {
                if let Some(kept) = memory.keep(|state, now| state.revive(now, id)) {
                    write(connection, kept.sequence, &kept.task, 0, None)?;
                    revived.push(id);
                }
            }
            Ok::<_, Failure>(revived)
        };
        self.change(write, |_, _| ()).await
    }
}
