//! How many evaluations run on each backend, and how many may: a bound that can change while they run.
//!
//! Invariant: nothing that runs is ended by a lower bound; nothing new is begun until fewer run.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

#[derive(Default)]
struct OnBackend {
    running: usize,
    most: Option<usize>,
}

/// Counts what runs on backends.
#[derive(Default)]
pub(super) struct BackendPlaces {
    backends: Mutex<BTreeMap<String, OnBackend>>,
    changed: Notify,
}

/// A place on a backend, for as long as it is held.
pub(super) struct BackendPlace<'a> {
    places: &'a BackendPlaces,
    backend: String,
}

impl BackendPlaces {
    fn backends(&self) -> MutexGuard<'_, BTreeMap<String, OnBackend>> {
        self.backends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bounds a backend, or doesn't any more.
    pub(super) fn bound(&self, backend: &str, most: Option<usize>) {
        self.backends().entry(backend.to_owned()).or_default().most = most;
        self.changed.notify_waiters();
    }

    /// How many run on a backend, and how many may.
    pub(super) fn of(&self, backend: &str) -> (usize, Option<usize>) {
        self.backends().get(backend).map_or((0, None), |found| (found.running, found.most))
    }

    fn try_take(&self, backend: &str) -> Option<BackendPlace<'_>> {
        let mut backends = self.backends();
        let found = backends.entry(backend.to_owned()).or_default();
        if found.most.is_some_and(|most| found.running >= most) {
            return None;
        }
        found.running += 1;
        Some(BackendPlace { places: self, backend: backend.to_owned() })
    }

    /// Waits for a place.
    pub(super) async fn take(&self, backend: &str) -> BackendPlace<'_> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Before looking, so that what changes meanwhile isn't missed.
            changed.as_mut().enable();
            if let Some(place) = self.try_take(backend) {
                return place;
            }
            changed.await;
        }
    }
}

impl Drop for BackendPlace<'_> {
    fn drop(&mut self) {
        if let Some(found) = self.places.backends().get_mut(&self.backend) {
            found.running = found.running.saturating_sub(1);
        }
        self.places.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_bound_holds_for_what_is_new_and_can_change_while_others_wait() {
        let places = Arc::new(BackendPlaces::default());
        let (first, second) = (places.take("jail").await, places.take("jail").await);
        places.bound("jail", Some(1));
        assert_eq!(places.of("jail"), (2, Some(1)));
        assert!(places.try_take("jail").is_none() && places.try_take("wasm").is_some());
        drop(first);
        assert!(places.try_take("jail").is_none());
        let waiting = {
            let places = Arc::clone(&places);
            tokio::spawn(async move { drop(places.take("jail").await) })
        };
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        places.bound("jail", None);
        waiting.await.unwrap();
        drop(second);
        assert_eq!(places.of("jail"), (0, None));
    }
}
