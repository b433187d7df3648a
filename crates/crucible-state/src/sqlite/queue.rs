//! The durable queue.
//!
//! Invariant: what was answered without an error is as it was after any crash. The rules are [`QueueState`]'s, which is in memory;
//! every change of a task is made on the writer's thread, so that the rows and the state change in the same order. Leases
//! are in memory alone: whoever had one is gone with the process, and their result is decided by the store's token. An error
//! leaves undecided which of the two a task is after the next start: as it was before, or as it was asked to be.

use super::failure::{Done, Failure};
use super::folder::{Shared, SqliteFolder};
use super::writer::Lasting;
use crate::memory::{SharedState, draining, lease_state, passes_a_task};
use crate::queue::{Kept, Sequence};
use async_trait::async_trait;
use crucible_core::{
    CancelledTask, Check, Clock, Component, DeadTask, Enqueued, EvaluationId, Flow, GivenBack, Lease, LeaseKey,
    LeaseRequest, LeaseState, Passed, Priority, ProjectId, Queue, QueueStatistics, Result, SelfTest, Task,
};
use rusqlite::{Connection, params};
use rustc_hash::FxHashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const OPERATION: &str = "use the queue";

/// A queue whose tasks are in the database.
#[derive(Debug)]
pub struct SqliteQueue {
    shared: Arc<Shared>,
    memory: Arc<Memory>,
    lasting: Lasting,
}

#[derive(Debug)]
struct Memory {
    state: SharedState,
    /// Tasks that are being written and aren't in the state yet.
    coming: Mutex<FxHashSet<EvaluationId>>,
}

impl Memory {
    fn coming(&self) -> MutexGuard<'_, FxHashSet<EvaluationId>> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
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

fn insert(connection: &Connection, sequence: Sequence, task: &Task, wall: i64) -> Done<()> {
    let delay = microseconds(task.delay);
    let mut statement = connection.prepare_cached(
        "INSERT INTO tasks (sequence, id, project, priority, attempt, delay, due) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?;
    let due = wall.saturating_add(delay);
    let (id, project, priority) = (task.id.to_bytes(), task.project.as_str(), task.priority.0);
    statement.execute(params![sequence.0, id, project, priority, task.attempt, delay, due])?;
    Ok(())
}

fn delete(connection: &Connection, sequences: &[Sequence]) -> Done<()> {
    let mut statement = connection.prepare_cached("DELETE FROM tasks WHERE sequence = ?")?;
    for sequence in sequences {
        statement.execute([sequence.0])?;
    }
    Ok(())
}

fn update(connection: &Connection, kept: Kept, delay: Duration, wall: i64, reason: Option<&str>) -> Done<()> {
    let sql = "UPDATE tasks SET attempt = ?, delay = ?, due = ?, reason = ? WHERE sequence = ?";
    let (delay, mut statement) = (microseconds(delay), connection.prepare_cached(sql)?);
    statement.execute(params![kept.attempt, delay, wall.saturating_add(delay), reason, kept.sequence.0])?;
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
        let shared = folder.shared();
        let memory = Memory { state: SharedState::new(clock), coming: Mutex::default() };
        let rows = shared.readers.read(rows).await.map_err(|failure| failure.told(OPERATION))?;
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
        Ok(Self { shared, memory: Arc::new(memory), lasting: Lasting::Machine })
    }

    /// The same, for whoever queues at each start what a store has as unfinished: it answers without a sync. What it answered
    /// survives its process; what the end of the machine takes, the store brings back.
    #[must_use]
    pub fn restored_from_a_store(mut self) -> Self {
        self.lasting = Lasting::Process;
        self
    }

    /// Gives the tasks to workers already while they are written: where that fails, the store has them still.
    async fn enqueue_at_once(&self, tasks: Vec<Task>, wall: i64) -> Result<Vec<Enqueued>> {
        let mut incoming = Incoming { answers: Vec::with_capacity(tasks.len()), tasks: Vec::new() };
        {
            let (now, mut state) = (self.memory.state.now(), self.memory.state.lock());
            for task in tasks {
                let sequence = state.take_sequence();
                let answer = state.insert(now, task.clone(), sequence);
                incoming.answers.push(answer);
                if answer == Enqueued::Added {
                    incoming.tasks.push((sequence, task));
                }
            }
        }
        self.memory.state.tell();
        let write = move |memory: &Memory, connection: &Connection| {
            for (sequence, task) in incoming.tasks {
                // One that was worked off already has no row to be taken away any more.
                let is_there = memory.state.lock().contains(task.id);
                if is_there {
                    insert(connection, sequence, &task, wall)?;
                }
            }
            Ok(incoming.answers)
        };
        self.change(write, |_, _| ()).await
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
        self.shared.writer.write_then(self.lasting, work, after).await.map_err(|failure| failure.told(OPERATION))
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
                    insert(connection, Sequence(i64::MAX), &task, 0)?;
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
        if self.lasting == Lasting::Process {
            return self.enqueue_at_once(tasks, wall).await;
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
                incoming.tasks.iter().try_for_each(|(sequence, task)| insert(connection, *sequence, task, wall));
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
        let write = move |memory: &Memory, connection: &Connection| {
            let now = memory.state.now();
            let done = memory.state.lock().acknowledge(now, &leases);
            delete(connection, &done.gone)?;
            Ok(done.lost)
        };
        self.change(write, |_, _| ()).await
    }

    async fn give_back(&self, lease: LeaseKey, why: GivenBack, delay: Duration) -> Result<LeaseState> {
        let write = move |memory: &Memory, connection: &Connection| {
            let (now, wall) = (memory.state.now(), since_1970(memory.state.clock().wall()));
            let kept = memory.state.lock().give_back(now, &lease, why, delay);
            kept.map_or(Ok(()), |kept| update(connection, kept, delay, wall, None))?;
            Ok(lease_state(kept))
        };
        self.change(write, |_, _| ()).await
    }

    async fn bury(&self, lease: LeaseKey, reason: String) -> Result<LeaseState> {
        let write = move |memory: &Memory, connection: &Connection| {
            let now = memory.state.now();
            let kept = memory.state.lock().bury(now, &lease, &reason);
            kept.map_or(Ok(()), |kept| update(connection, kept, Duration::ZERO, 0, Some(&reason)))?;
            Ok(lease_state(kept))
        };
        self.change(write, |_, _| ()).await
    }

    async fn cancel(&self, id: EvaluationId) -> Result<CancelledTask> {
        let write = move |memory: &Memory, connection: &Connection| {
            let now = memory.state.now();
            let (was, sequence) = memory.state.lock().cancel(now, id);
            delete(connection, sequence.as_slice())?;
            Ok(was)
        };
        self.change(write, |_, _| ()).await
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
            let now = memory.state.now();
            let mut revived = Vec::new();
            for id in ids {
                let kept = memory.state.lock().revive(now, id);
                if let Some(kept) = kept {
                    update(connection, kept, Duration::ZERO, 0, None)?;
                    revived.push(id);
                }
            }
            Ok::<_, Failure>(revived)
        };
        self.change(write, |_, _| ()).await
    }
}
