//! The queue in memory.
//!
//! Invariant: its rules are [`QueueState`]'s; here they only get a lock and a clock. Nothing of it outlives the process.

use crate::queue::QueueState;
use async_trait::async_trait;
use crucible_core::{
    CancelledTask, Check, Clock, Component, DeadTask, Enqueued, Error, ErrorKind, EvaluationId, Flow, GivenBack, Lease,
    LeaseKey, LeaseRequest, LeaseState, Passed, Priority, ProjectId, Queue, QueueStatistics, Result, SelfTest, Task,
};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A queue's state with its lock, its clock, and those who wait for it.
pub(crate) struct SharedState {
    state: Mutex<QueueState>,
    clock: Arc<dyn Clock>,
    changed: Notify,
}

impl fmt::Debug for SharedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedState").field("state", &self.state).finish_non_exhaustive()
    }
}

impl SharedState {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { state: Mutex::default(), clock, changed: Notify::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// Wakes those who wait for work.
    pub(crate) fn tell(&self) {
        self.changed.notify_waiters();
    }

    pub(crate) async fn wait_for_work(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on nothing that is told is missed.
            changed.as_mut().enable();
            let next = {
                let mut state = self.lock();
                if state.has_work(self.now()) {
                    return;
                }
                state.next_due()
            };
            match next {
                Some(due) => {
                    let due = self.clock.sleep_until(due);
                    tokio::select! { () = changed => {}, () = due => {} }
                }
                None => changed.await,
            }
        }
    }
}

/// What a queue answers to whoever brings tasks while it is draining.
pub(crate) fn draining() -> Error {
    Error::new(ErrorKind::Unavailable, "put tasks into the queue", "the queue is draining: it takes nothing new in")
        .with_hint("`open` lets tasks in again")
}

/// A queue in memory.
#[derive(Debug)]
pub struct MemoryQueue {
    shared: SharedState,
}

impl MemoryQueue {
    /// An empty queue.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { shared: SharedState::new(clock) }
    }

    /// Does something that may give others work.
    fn change<T>(&self, change: impl FnOnce(&mut QueueState, Instant) -> T) -> T {
        let now = self.shared.now();
        let done = change(&mut self.shared.lock(), now);
        self.shared.tell();
        done
    }
}

#[async_trait]
impl Component for MemoryQueue {
    fn name(&self) -> &'static str {
        "queue"
    }

    async fn self_test(&self) -> SelfTest {
        SelfTest { component: self.name().to_owned(), checks: vec![passes_a_task(self.shared.clock())] }
    }
}

/// Whether a task goes through the rules as it should, in a queue of its own.
pub(crate) fn passes_a_task(clock: &dyn Clock) -> Check {
    let (now, mut state) = (clock.now(), QueueState::default());
    let task = Task::new(EvaluationId::generate(), ProjectId::default(), Priority::default());
    let request = LeaseRequest { worker: "self-test".to_owned(), most: 2, duration: Duration::from_secs(1) };
    state.enqueue(now, task);
    let leases = state.lease(now, &request);
    let keys: Vec<LeaseKey> = leases.iter().map(Lease::key).collect();
    let again = state.lease(now, &request);
    let done = state.acknowledge(now, &keys);
    let passed = leases.len() == 1 && again.is_empty() && done.gone.len() == 1 && done.lost.is_empty();
    let seen = format!("{} leased, {} leased twice, {} acknowledged", leases.len(), again.len(), done.gone.len());
    Check::new("a task is leased once and acknowledged", Passed::from(passed), seen)
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn enqueue(&self, tasks: Vec<Task>) -> Result<Vec<Enqueued>> {
        self.change(|state, now| {
            if state.flow() == Flow::Draining {
                return Err(draining());
            }
            Ok(tasks.into_iter().map(|task| state.enqueue(now, task)).collect())
        })
    }

    async fn lease(&self, request: LeaseRequest) -> Result<Vec<Lease>> {
        let now = self.shared.now();
        Ok(self.shared.lock().lease(now, &request))
    }

    async fn wait_for_work(&self) {
        self.shared.wait_for_work().await;
    }

    async fn extend(&self, leases: Vec<LeaseKey>, duration: Duration) -> Result<Vec<LeaseKey>> {
        Ok(self.change(|state, now| state.extend(now, &leases, duration)))
    }

    async fn acknowledge(&self, leases: Vec<LeaseKey>) -> Result<Vec<LeaseKey>> {
        Ok(self.change(|state, now| state.acknowledge(now, &leases)).lost)
    }

    async fn give_back(&self, lease: LeaseKey, why: GivenBack, delay: Duration) -> Result<LeaseState> {
        Ok(lease_state(self.change(|state, now| state.give_back(now, &lease, why, delay)).as_ref()))
    }

    async fn bury(&self, lease: LeaseKey, reason: String) -> Result<LeaseState> {
        Ok(lease_state(self.change(|state, now| state.bury(now, &lease, &reason)).as_ref()))
    }

    async fn cancel(&self, id: EvaluationId) -> Result<CancelledTask> {
        Ok(self.change(|state, now| state.cancel(now, id)).0)
    }

    async fn set_flow(&self, flow: Flow) -> Result<()> {
        self.change(|state, _| state.set_flow(flow));
        Ok(())
    }

    async fn set_most_running(&self, project: ProjectId, most: Option<u32>) -> Result<()> {
        self.change(|state, _| state.set_most_running(&project, most));
        Ok(())
    }

    async fn statistics(&self) -> Result<QueueStatistics> {
        let now = self.shared.now();
        Ok(self.shared.lock().statistics(now))
    }

    async fn dead(&self, after: Option<EvaluationId>, most: usize) -> Result<Vec<DeadTask>> {
        Ok(self.shared.lock().dead(after, most))
    }

    async fn revive(&self, ids: Vec<EvaluationId>) -> Result<Vec<EvaluationId>> {
        Ok(self.change(|state, now| ids.into_iter().filter(|id| state.revive(now, *id).is_some()).collect()))
    }
}

pub(crate) const fn lease_state<T>(kept: Option<&T>) -> LeaseState {
    match kept {
        Some(_) => LeaseState::Good,
        None => LeaseState::Lost,
    }
}
