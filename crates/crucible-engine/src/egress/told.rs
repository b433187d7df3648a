//! What the proxy tells of a run, beside what the backend sees.

use async_trait::async_trait;
use crucible_core::{BehaviorKind, Monitoring, Observation, Observed, Observer, Source};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// The most that are told apart.
const MOST: usize = 256;

/// What was told, in the order of first times.
#[derive(Default)]
pub(crate) struct Told {
    all: Mutex<Vec<Observed>>,
    news: Notify,
}

impl Told {
    /// Tells of a connection that was made or refused.
    pub(super) fn tell(&self, kind: BehaviorKind, name: &str) {
        let mut all = self.lock();
        let known = |all: &[Observed], kind, name: &str| {
            all.iter().position(|seen| seen.first.kind == kind && seen.first.name == name)
        };
        let (mut kind, mut name) = (kind, name);
        let mut found = known(&all, kind, name);
        if found.is_none() && all.len() >= MOST {
            (kind, name) = (BehaviorKind::Flooded, "requests to the proxy");
            found = known(&all, kind, name);
        }
        match found.and_then(|index| all.get_mut(index)) {
            Some(seen) => seen.count = seen.count.saturating_add(1),
            None => {
                let first = Observation { kind, name: name.to_owned(), source: Source::Host, at: Instant::now() };
                all.push(Observed { first, count: 1 });
                drop(all);
                self.news.notify_one();
            }
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<Observed>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a backend sees and what the proxy tells, together.
pub(crate) struct Observing {
    backend: Box<dyn Observer>,
    told: Option<Arc<Told>>,
    heard: usize,
}

impl Observing {
    pub(crate) const fn new(backend: Box<dyn Observer>, told: Option<Arc<Told>>) -> Self {
        Self { backend, told, heard: 0 }
    }
}

#[async_trait]
impl Observer for Observing {
    async fn next(&mut self) -> Observation {
        let Some(told) = &self.told else { return self.backend.next().await };
        loop {
            let next = told.lock().get(self.heard).map(|seen| seen.first.clone());
            if let Some(next) = next {
                self.heard += 1;
                return next;
            }
            tokio::select! {
                seen = self.backend.next() => return seen,
                () = told.news.notified() => {}
            }
        }
    }

    fn monitoring(&self) -> &Monitoring {
        self.backend.monitoring()
    }

    fn seen(&mut self) -> Vec<Observed> {
        let mut all = self.backend.seen();
        all.extend(self.told.iter().flat_map(|told| told.lock().clone()));
        all.sort_by_key(|seen| seen.first.at);
        all
    }
}
