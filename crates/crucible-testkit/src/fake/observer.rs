//! What a fake host sees of a fake guest.

use async_trait::async_trait;
use crucible_core::{Monitoring, Observation, Observed, Observer};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Everything that was seen of one sandbox, with who waits for more.
#[derive(Debug, Default)]
pub(super) struct Sight {
    seen: Mutex<Vec<Observed>>,
    more: Notify,
}

impl Sight {
    pub(super) fn add(&self, observation: Observation) {
        let mut seen = self.seen();
        let is_it =
            |known: &&mut Observed| (known.first.kind, &known.first.name) == (observation.kind, &observation.name);
        match seen.iter_mut().find(is_it) {
            Some(known) => known.count += 1,
            None => seen.push(Observed { first: observation, count: 1 }),
        }
        drop(seen);
        self.more.notify_one();
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Observed>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells of it.
#[derive(Debug)]
pub(super) struct FakeObserver {
    sight: Arc<Sight>,
    /// How many were told one by one.
    told: usize,
    monitoring: Monitoring,
}

impl FakeObserver {
    pub(super) const fn new(sight: Arc<Sight>, monitoring: Monitoring) -> Self {
        Self { sight, told: 0, monitoring }
    }
}

#[async_trait]
impl Observer for FakeObserver {
    async fn next(&mut self) -> Observation {
        loop {
            let next = self.sight.seen().get(self.told).map(|observed| observed.first.clone());
            if let Some(next) = next {
                self.told += 1;
                return next;
            }
            // What came meanwhile has left its notice.
            self.sight.more.notified().await;
        }
    }

    fn monitoring(&self) -> &Monitoring {
        &self.monitoring
    }

    fn seen(&mut self) -> Vec<Observed> {
        self.sight.seen().clone()
    }
}
