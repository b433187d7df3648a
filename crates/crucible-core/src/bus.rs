//! The event bus: who hears at once of what was committed.
//!
//! Invariant: whoever publishes never waits for whoever listens. A subscriber that is slow is told what it missed, by number,
//! and reads that in the store; nothing is lost that was committed, and nothing is delivered that wasn't.

use crate::component::Component;
use crate::id::EvaluationId;
use crate::tenancy::ProjectId;
use async_trait::async_trait;
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

/// An event's place among all events of a store, beginning with 1. Numbers grow and are never used again; some may be left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GlobalNumber(pub u64);

/// Something that happened, to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// When, for people.
    pub at: SystemTime,
    /// What kind of thing, in a short word: `sandbox_created`.
    pub kind: Cow<'static, str>,
    /// The rest, as its writer wrote it.
    pub body: Bytes,
}

/// Something that happened, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place among all events.
    pub global: GlobalNumber,
    /// Whose it is.
    pub project: ProjectId,
    /// To which evaluation.
    pub evaluation: EvaluationId,
    /// Its place among the evaluation's events: 1, 2, 3, with none left out.
    pub number: u64,
    /// When, for people.
    pub at: SystemTime,
    /// What kind of thing.
    pub kind: Cow<'static, str>,
    /// The rest, as its writer wrote it.
    pub body: Bytes,
}

/// Which events somebody wants. What isn't given is no condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of this project.
    pub project: Option<ProjectId>,
    /// Of this evaluation.
    pub evaluation: Option<EvaluationId>,
    /// Of these kinds; empty for all.
    pub kinds: BTreeSet<String>,
}

impl EventFilter {
    /// Whether an event is wanted.
    #[must_use]
    pub fn wants(&self, event: &StoredEvent) -> bool {
        self.evaluation.is_none_or(|id| id == event.evaluation)
            && self.project.as_ref().is_none_or(|project| *project == event.project)
            && (self.kinds.is_empty() || self.kinds.contains(event.kind.as_ref()))
    }
}

/// What a subscriber gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Events that it wanted, by number.
    Events(Vec<Arc<StoredEvent>>),
    /// It was too slow for these. Whatever comes next has a higher number.
    Missed {
        /// The first that it missed.
        from: GlobalNumber,
        /// The last.
        to: GlobalNumber,
        /// How many.
        count: u64,
    },
}

/// What one subscriber listens by. Dropping it ends that.
#[async_trait]
pub trait Subscription: Send {
    /// Waits for what comes next; `None` once the bus is gone. Dropping the future loses nothing.
    async fn next(&mut self) -> Option<Delivery>;
}

/// Tells subscribers at once of events that were committed.
#[async_trait]
pub trait EventBus: Component {
    /// Tells of events. They come in the order of their numbers; it never waits.
    fn publish(&self, events: &[Arc<StoredEvent>]);

    /// Listens to what is published from now on.
    fn subscribe(&self, filter: EventFilter) -> Box<dyn Subscription>;
}
