//! The queue's rules, as one state machine that every engine uses.
//!
//! Invariant: it does no I/O and has no clock; the same calls with the same times give the same answers. A task is in exactly
//! one of its states, and in exactly the indices that belong to that state.

mod project;
#[cfg(test)]
mod tests;

use crucible_core::{
    CancelledTask, DeadTask, Enqueued, EvaluationId, Flow, GivenBack, Lease, LeaseKey, LeaseRequest, LeaseToken,
    Priority, ProjectId, QueueStatistics, Task, TaskCounts,
};
use project::{Place, Projects, Slot};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The longest that anything waits or lasts. Whatever is asked for beyond is this.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86400);

/// A moment that much later.
fn later(now: Instant, by: Duration) -> Instant {
    now.checked_add(by.min(LONGEST)).unwrap_or(now)
}

/// A task's place in the order in which they came. Given once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sequence(pub(crate) i64);

#[derive(Debug)]
enum State {
    Waiting { since: Instant },
    Delayed { due: Instant },
    Leased { token: LeaseToken, until: Instant },
    Dead { reason: Box<str> },
}

#[derive(Debug)]
struct Entry {
    slot: Slot,
    sequence: Sequence,
    priority: Priority,
    attempt: u32,
    arrived: Instant,
    state: State,
}

impl Entry {
    const fn place(&self) -> Place {
        Place { priority: self.priority, sequence: self.sequence }
    }
}

/// A task that stays, as it is from now on, for whoever keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) sequence: Sequence,
    pub(crate) task: Task,
}

/// What became of leases, for whoever keeps the tasks.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged {
    /// The tasks that are gone.
    pub(crate) gone: Vec<Sequence>,
    pub(crate) lost: Vec<LeaseKey>,
}

/// All tasks of a queue.
#[derive(Debug)]
pub(crate) struct QueueState {
    tasks: FxHashMap<EvaluationId, Entry>,
    projects: Projects,
    delayed: BTreeMap<(Instant, Sequence), EvaluationId>,
    leases: BTreeMap<(Instant, LeaseToken), EvaluationId>,
    dead: BTreeMap<EvaluationId, ()>,
    flow: Flow,
    next_sequence: Sequence,
    next_token: LeaseToken,
}

impl Default for QueueState {
    fn default() -> Self {
        Self {
            tasks: FxHashMap::default(),
            projects: Projects::default(),
            delayed: BTreeMap::new(),
            leases: BTreeMap::new(),
            dead: BTreeMap::new(),
            flow: Flow::Open,
            next_sequence: Sequence(1),
            next_token: LeaseToken(1),
        }
    }
}

impl QueueState {
    pub(crate) const fn flow(&self) -> Flow {
        self.flow
    }

    pub(crate) const fn set_flow(&mut self, flow: Flow) {
        self.flow = flow;
    }

    pub(crate) fn contains(&self, id: EvaluationId) -> bool {
        self.tasks.contains_key(&id)
    }

    /// The next task's place in the order. Not given again.
    pub(crate) const fn take_sequence(&mut self) -> Sequence {
        let taken = self.next_sequence;
        self.next_sequence = Sequence(taken.0.saturating_add(1));
        taken
    }

    /// Takes a task in that has its place already.
    pub(crate) fn insert(&mut self, now: Instant, task: Task, sequence: Sequence) -> Enqueued {
        if self.contains(task.id) {
            return Enqueued::Known;
        }
        self.next_sequence = self.next_sequence.max(Sequence(sequence.0.saturating_add(1)));
        let slot = self.projects.slot(&task.project);
        let state = State::Delayed { due: now };
        let Task { id, priority, attempt, delay, .. } = task;
        self.projects.counts(slot).delayed += 1;
        self.tasks.insert(id, Entry { slot, sequence, priority, attempt, arrived: now, state });
        self.put_off(id, now, delay);
        Enqueued::Added
    }

    pub(crate) fn enqueue(&mut self, now: Instant, task: Task) -> Enqueued {
        if self.contains(task.id) {
            return Enqueued::Known;
        }
        let sequence = self.take_sequence();
        self.insert(now, task, sequence)
    }

    /// Takes a task in that was buried before.
    pub(crate) fn insert_dead(&mut self, now: Instant, task: Task, sequence: Sequence, reason: &str) {
        let id = task.id;
        if self.insert(now, Task { delay: LONGEST, ..task }, sequence) == Enqueued::Added {
            self.leave(id);
            self.lay_to_rest(id, reason);
        }
    }

    /// Lets a task whose state is counted, and in no index, wait or be delayed.
    fn put_off(&mut self, id: EvaluationId, now: Instant, delay: Duration) {
        let Some(entry) = self.tasks.get_mut(&id) else { return };
        uncount(self.projects.counts(entry.slot), &entry.state);
        if delay.is_zero() {
            entry.state = State::Waiting { since: now };
            self.projects.add(entry.slot, entry.place(), id);
        } else {
            let due = later(now, delay);
            entry.state = State::Delayed { due };
            self.delayed.insert((due, entry.sequence), id);
        }
        count(self.projects.counts(entry.slot), &entry.state);
    }

    /// Takes a task out of the index of its state. Its state stays, and stays counted.
    fn leave(&mut self, id: EvaluationId) {
        let Some(entry) = self.tasks.get(&id) else { return };
        match &entry.state {
            State::Waiting { .. } => self.projects.remove(entry.slot, entry.place()),
            State::Delayed { due } => drop(self.delayed.remove(&(*due, entry.sequence))),
            State::Leased { token, until } => {
                self.leases.remove(&(*until, *token));
                self.projects.lease_ended(entry.slot);
            }
            State::Dead { .. } => drop(self.dead.remove(&id)),
        }
    }

    fn lay_to_rest(&mut self, id: EvaluationId, reason: &str) {
        let Some(entry) = self.tasks.get_mut(&id) else { return };
        let counts = self.projects.counts(entry.slot);
        uncount(counts, &entry.state);
        entry.state = State::Dead { reason: reason.into() };
        count(counts, &entry.state);
        self.dead.insert(id, ());
    }

    /// Takes a task out altogether.
    fn forget(&mut self, id: EvaluationId) -> Option<Entry> {
        self.leave(id);
        let entry = self.tasks.remove(&id)?;
        uncount(self.projects.counts(entry.slot), &entry.state);
        self.projects.free_if_empty(entry.slot);
        Some(entry)
    }

    /// What has become due by now: delays that are over, leases that ran out.
    fn advance(&mut self, now: Instant) {
        while let Some((&(due, sequence), &id)) = self.delayed.first_key_value()
            && due <= now
        {
            self.delayed.remove(&(due, sequence));
            self.put_off(id, due, Duration::ZERO);
        }
        while let Some((&(until, _), &id)) = self.leases.first_key_value()
            && until <= now
        {
            self.leave(id);
            if let Some(entry) = self.tasks.get_mut(&id) {
                entry.attempt = entry.attempt.saturating_add(1);
            }
            self.put_off(id, until, Duration::ZERO);
        }
    }

    /// Whether something can be leased now.
    pub(crate) fn has_work(&mut self, now: Instant) -> bool {
        self.advance(now);
        self.flow != Flow::Paused && self.projects.next().is_some()
    }

    /// When something becomes due that isn't yet.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let delayed = self.delayed.first_key_value().map(|((due, _), _)| *due);
        let leased = self.leases.first_key_value().map(|((until, _), _)| *until);
        delayed.into_iter().chain(leased).min()
    }

    pub(crate) fn lease(&mut self, now: Instant, request: &LeaseRequest) -> Vec<Lease> {
        self.advance(now);
        let mut leases = Vec::new();
        if self.flow == Flow::Paused {
            return leases;
        }
        let until = later(now, request.duration);
        while leases.len() < request.most {
            let Some((slot, id)) = self.projects.take_next() else { break };
            let Some(entry) = self.tasks.get_mut(&id) else { break };
            let token = self.next_token;
            self.next_token = LeaseToken(token.0.saturating_add(1));
            let waited = match entry.state {
                State::Waiting { since } => now.saturating_duration_since(since),
                _ => Duration::ZERO,
            };
            let counts = self.projects.counts(slot);
            uncount(counts, &entry.state);
            entry.state = State::Leased { token, until };
            count(counts, &entry.state);
            self.leases.insert((until, token), id);
            let project = self.projects.name(slot);
            let task = Task { id, project, priority: entry.priority, attempt: entry.attempt, delay: Duration::ZERO };
            leases.push(Lease { task, token, until, waited });
        }
        leases
    }

    fn kept(&self, id: EvaluationId, delay: Duration) -> Option<Kept> {
        let entry = self.tasks.get(&id)?;
        let project = self.projects.name(entry.slot);
        let task = Task { id, project, priority: entry.priority, attempt: entry.attempt, delay };
        Some(Kept { sequence: entry.sequence, task })
    }

    fn is_good(&self, lease: &LeaseKey) -> bool {
        let entry = self.tasks.get(&lease.id);
        matches!(entry, Some(Entry { state: State::Leased { token, .. }, .. }) if *token == lease.token)
    }

    pub(crate) fn extend(&mut self, now: Instant, leases: &[LeaseKey], duration: Duration) -> Vec<LeaseKey> {
        self.advance(now);
        let mut lost = Vec::new();
        for lease in leases {
            match self.tasks.get_mut(&lease.id) {
                Some(Entry { state: State::Leased { token, until }, .. }) if *token == lease.token => {
                    self.leases.remove(&(*until, *token));
                    *until = later(now, duration);
                    self.leases.insert((*until, *token), lease.id);
                }
                _ => lost.push(*lease),
            }
        }
        lost
    }

    pub(crate) fn acknowledge(&mut self, now: Instant, leases: &[LeaseKey]) -> Acknowledged {
        self.advance(now);
        let mut done = Acknowledged::default();
        for lease in leases {
            if !self.is_good(lease) {
                done.lost.push(*lease);
            } else if let Some(entry) = self.forget(lease.id) {
                done.gone.push(entry.sequence);
            }
        }
        done
    }

    /// `None` where the lease is lost.
    pub(crate) fn give_back(
        &mut self,
        now: Instant,
        lease: &LeaseKey,
        why: GivenBack,
        delay: Duration,
    ) -> Option<Kept> {
        self.advance(now);
        if !self.is_good(lease) {
            return None;
        }
        self.leave(lease.id);
        let entry = self.tasks.get_mut(&lease.id)?;
        match why {
            GivenBack::Tried => entry.attempt = entry.attempt.saturating_add(1),
            GivenBack::Untried => {}
        }
        self.put_off(lease.id, now, delay);
        self.kept(lease.id, delay)
    }

    /// `None` where the lease is lost.
    pub(crate) fn bury(&mut self, now: Instant, lease: &LeaseKey, reason: &str) -> Option<Kept> {
        self.advance(now);
        if !self.is_good(lease) {
            return None;
        }
        self.leave(lease.id);
        self.lay_to_rest(lease.id, reason);
        self.kept(lease.id, Duration::ZERO)
    }

    /// What it was, and its place, where it was there.
    pub(crate) fn cancel(&mut self, now: Instant, id: EvaluationId) -> (CancelledTask, Option<Sequence>) {
        self.advance(now);
        let Some(entry) = self.forget(id) else { return (CancelledTask::Unknown, None) };
        let was = match entry.state {
            State::Waiting { .. } | State::Delayed { .. } => CancelledTask::Waiting,
            State::Leased { .. } => CancelledTask::Leased,
            State::Dead { .. } => CancelledTask::Dead,
        };
        (was, Some(entry.sequence))
    }

    pub(crate) fn set_most_running(&mut self, project: &ProjectId, most: Option<u32>) {
        self.projects.set_most_running(project, most);
    }

    pub(crate) fn statistics(&mut self, now: Instant) -> QueueStatistics {
        self.advance(now);
        let oldest = self.projects.heads().filter_map(|id| self.tasks.get(&id)).map(|entry| entry.arrived).min();
        let projects: BTreeMap<ProjectId, TaskCounts> = self.projects.all_counts().collect();
        let all = projects.values().fold(TaskCounts::default(), |sum, counts| TaskCounts {
            waiting: sum.waiting + counts.waiting,
            delayed: sum.delayed + counts.delayed,
            leased: sum.leased + counts.leased,
            dead: sum.dead + counts.dead,
        });
        let oldest = oldest.map(|arrived| now.saturating_duration_since(arrived));
        QueueStatistics { flow: self.flow, all, oldest, projects }
    }

    pub(crate) fn dead(&self, after: Option<EvaluationId>, most: usize) -> Vec<DeadTask> {
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let ids = self.dead.range((from, std::ops::Bound::Unbounded)).map(|(id, ())| *id);
        let told = |id| {
            let entry = self.tasks.get(&id)?;
            let State::Dead { reason } = &entry.state else { return None };
            let (project, delay) = (self.projects.name(entry.slot), Duration::ZERO);
            let task = Task { id, project, priority: entry.priority, attempt: entry.attempt, delay };
            Some(DeadTask { task, reason: reason.to_string() })
        };
        ids.filter_map(told).take(most).collect()
    }

    /// Lets a buried task wait again; `None` for anything else.
    pub(crate) fn revive(&mut self, now: Instant, id: EvaluationId) -> Option<Kept> {
        self.advance(now);
        if !matches!(self.tasks.get(&id)?.state, State::Dead { .. }) {
            return None;
        }
        self.leave(id);
        let entry = self.tasks.get_mut(&id)?;
        entry.attempt = 0;
        entry.arrived = now;
        self.put_off(id, now, Duration::ZERO);
        self.kept(id, Duration::ZERO)
    }
}

fn counter<'a>(counts: &'a mut TaskCounts, state: &State) -> &'a mut u64 {
    match state {
        State::Waiting { .. } => &mut counts.waiting,
        State::Delayed { .. } => &mut counts.delayed,
        State::Leased { .. } => &mut counts.leased,
        State::Dead { .. } => &mut counts.dead,
    }
}

fn count(counts: &mut TaskCounts, state: &State) {
    *counter(counts, state) += 1;
}

fn uncount(counts: &mut TaskCounts, state: &State) {
    let counter = counter(counts, state);
    *counter = counter.saturating_sub(1);
}
