//! After a start: whatever the store knows as unfinished is in the queue.

use super::Service;
use crucible_core::{Enqueued, EvaluationState, Result, Task};

/// How many are looked at together.
const PAGE: usize = 1000;

/// What was found unfinished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Were queued, and weren't in the queue.
    pub queued: u64,
    /// Were running on a process that is gone.
    pub interrupted: u64,
    /// Wait for a person.
    pub held: u64,
}

impl Service {
    /// Puts into the queue what is unfinished and isn't there. To be called before anything is dispatched, by the only
    /// process that works on this store.
    ///
    /// # Errors
    /// `Io`; `Unavailable` while the queue drains.
    pub async fn recover(&self) -> Result<Recovered> {
        let (mut recovered, mut after) = (Recovered::default(), None);
        loop {
            let page = self.parts.store.unfinished(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(recovered) };
            after = Some(last.id);
            let (mut tasks, mut states) = (Vec::new(), Vec::new());
            for unfinished in page {
                if unfinished.state == EvaluationState::Held {
                    recovered.held += 1;
                    continue;
                }
                // How often it failed only the queue knows, which then has it. How often it was begun says nothing about that.
                tasks.push(Task::new(unfinished.id, unfinished.project, unfinished.priority));
                states.push(unfinished.state);
            }
            for (enqueued, state) in self.parts.queue.enqueue(tasks).await?.into_iter().zip(states) {
                match state {
                    EvaluationState::Running => recovered.interrupted += 1,
                    _ if enqueued == Enqueued::Added => recovered.queued += 1,
                    _ => {}
                }
            }
        }
    }
}
