//! Whose turn it is: the waiting tasks of each project, and the order of the projects among each other.
//!
//! Invariant: a project is in the order exactly while it has a task that waits and fewer leases than its bound, under the
//! priority of its first task and the number of its leases. A slot without tasks and bound is used again.

use super::Sequence;
use crucible_core::{EvaluationId, Priority, ProjectId, TaskCounts};
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// A project's number, while it has tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot(usize);

/// A waiting task's place among those of its project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) priority: Priority,
    pub(super) sequence: Sequence,
}

impl Place {
    const fn key(self) -> (Reverse<Priority>, Sequence) {
        (Reverse(self.priority), self.sequence)
    }
}

/// A project's place among the projects: by its first task's priority, by how much it has already, and by whose turn was
/// longer ago.
type Turn = (Reverse<Priority>, u64, u64, Slot);

#[derive(Debug)]
struct Project {
    name: ProjectId,
    waiting: BTreeMap<(Reverse<Priority>, Sequence), EvaluationId>,
    /// How many leases it has.
    running: u64,
    most_running: Option<u32>,
    /// When it was last given one.
    served: u64,
    counts: TaskCounts,
    /// Under what it is in the order.
    turn: Option<Turn>,
}

#[derive(Debug, Default)]
pub(super) struct Projects {
    slots: Vec<Project>,
    names: FxHashMap<ProjectId, Slot>,
    free: Vec<Slot>,
    order: BTreeSet<Turn>,
    served: u64,
    /// Where counts go that belong to no project. There are none.
    stray: TaskCounts,
}

impl Projects {
    /// The slot of a project, which is made where it has none.
    pub(super) fn slot(&mut self, name: &ProjectId) -> Slot {
        if let Some(slot) = self.names.get(name) {
            return *slot;
        }
        let project = Project {
            name: name.clone(),
            waiting: BTreeMap::new(),
            running: 0,
            most_running: None,
            served: self.served,
            counts: TaskCounts::default(),
            turn: None,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.slots.get_mut(slot.0) {
                    *place = project;
                }
                slot
            }
            None => {
                self.slots.push(project);
                Slot(self.slots.len() - 1)
            }
        };
        self.names.insert(name.clone(), slot);
        slot
    }

    pub(super) fn counts(&mut self, slot: Slot) -> &mut TaskCounts {
        match self.slots.get_mut(slot.0) {
            Some(project) => &mut project.counts,
            None => &mut self.stray,
        }
    }

    pub(super) fn name(&self, slot: Slot) -> ProjectId {
        self.slots.get(slot.0).map(|project| project.name.clone()).unwrap_or_default()
    }

    pub(super) fn add(&mut self, slot: Slot, place: Place, id: EvaluationId) {
        if let Some(project) = self.slots.get_mut(slot.0) {
            project.waiting.insert(place.key(), id);
        }
        self.reorder(slot);
    }

    pub(super) fn remove(&mut self, slot: Slot, place: Place) {
        if let Some(project) = self.slots.get_mut(slot.0) {
            project.waiting.remove(&place.key());
        }
        self.reorder(slot);
    }

    /// Notes that a lease of a project has ended.
    pub(super) fn lease_ended(&mut self, slot: Slot) {
        if let Some(project) = self.slots.get_mut(slot.0) {
            project.running = project.running.saturating_sub(1);
        }
        self.reorder(slot);
    }

    pub(super) fn set_most_running(&mut self, name: &ProjectId, most: Option<u32>) {
        let slot = self.slot(name);
        if let Some(project) = self.slots.get_mut(slot.0) {
            project.most_running = most;
        }
        self.reorder(slot);
        self.free_if_empty(slot);
    }

    pub(super) fn next(&self) -> Option<Slot> {
        self.order.first().map(|(_, _, _, slot)| *slot)
    }

    /// Takes the task whose turn it is; its project has one more lease.
    pub(super) fn take_next(&mut self) -> Option<(Slot, EvaluationId)> {
        let slot = self.next()?;
        self.served += 1;
        let project = self.slots.get_mut(slot.0)?;
        let (_, id) = project.waiting.pop_first()?;
        project.running += 1;
        project.served = self.served;
        self.reorder(slot);
        Some((slot, id))
    }

    fn reorder(&mut self, slot: Slot) {
        let Some(project) = self.slots.get_mut(slot.0) else { return };
        let has_room = project.most_running.is_none_or(|most| project.running < u64::from(most));
        let first = project.waiting.first_key_value().filter(|_| has_room);
        let turn = first.map(|((priority, _), _)| (*priority, project.running, project.served, slot));
        if turn == project.turn {
            return;
        }
        if let Some(before) = project.turn {
            self.order.remove(&before);
        }
        if let Some(turn) = turn {
            self.order.insert(turn);
        }
        project.turn = turn;
    }

    /// Lets a slot be used again that nothing is known of any more.
    pub(super) fn free_if_empty(&mut self, slot: Slot) {
        let Some(project) = self.slots.get(slot.0) else { return };
        if project.counts == TaskCounts::default() && project.most_running.is_none() {
            // A slot is freed once: its name goes with it.
            if self.names.remove(&project.name).is_some() {
                self.free.push(slot);
            }
        }
    }

    /// The first waiting task of each project and priority: among them is the one that came first.
    pub(super) fn heads(&self) -> impl Iterator<Item = EvaluationId> {
        self.slots.iter().flat_map(|project| {
            let mut next = project.waiting.first_key_value();
            std::iter::from_fn(move || {
                let (&(priority, _), &id) = next?;
                let beyond = (std::ops::Bound::Excluded((priority, Sequence(i64::MAX))), std::ops::Bound::Unbounded);
                next = project.waiting.range(beyond).next();
                Some(id)
            })
        })
    }

    #[cfg(test)]
    pub(super) const fn slots_used(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn all_counts(&self) -> impl Iterator<Item = (ProjectId, TaskCounts)> {
        let counted = |slot: &Slot| self.slots.get(slot.0).map(|project| project.counts);
        self.names.iter().filter_map(move |(name, slot)| {
            counted(slot).filter(|counts| *counts != TaskCounts::default()).map(|counts| (name.clone(), counts))
        })
    }
}
