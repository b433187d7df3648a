//! The evaluations that run here, so that they can be ended, and their leases, so that they can be kept.

use crucible_core::{EvaluationId, LeaseKey};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// Why an evaluation is ended here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Somebody wants it to end.
    Cancelled,
    /// It is somebody else's now.
    LeaseLost,
    /// This node stops.
    NodeStops,
}

struct Entry {
    lease: LeaseKey,
    token: CancellationToken,
    stop: Option<Stop>,
}

/// What runs here.
#[derive(Default)]
pub(super) struct Running(Mutex<HashMap<EvaluationId, Entry>>);

/// One that runs, for as long as this is held.
pub(super) struct Place<'a> {
    running: &'a Running,
    id: EvaluationId,
    pub(super) token: CancellationToken,
}

impl Running {
    fn entries(&self) -> MutexGuard<'_, HashMap<EvaluationId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, lease: LeaseKey) -> Place<'_> {
        let token = CancellationToken::new();
        let entry = Entry { lease, token: token.clone(), stop: None };
        self.entries().insert(lease.id, entry);
        Place { running: self, id: lease.id, token }
    }

    pub(super) fn count(&self) -> usize {
        self.entries().len()
    }

    pub(super) fn leases(&self) -> Vec<LeaseKey> {
        self.entries().values().map(|entry| entry.lease).collect()
    }

    /// Ends one, if it runs here.
    pub(super) fn cancel(&self, id: EvaluationId) {
        self.stop(id, Stop::Cancelled, None);
    }

    /// Ends one whose lease was lost, unless it was leased again meanwhile.
    pub(super) fn lose(&self, lease: LeaseKey) {
        self.stop(lease.id, Stop::LeaseLost, Some(lease));
    }

    /// Ends all, since this node stops.
    pub(super) fn stop_all(&self) {
        for entry in self.entries().values_mut() {
            entry.stop.get_or_insert(Stop::NodeStops);
            entry.token.cancel();
        }
    }

    fn stop(&self, id: EvaluationId, why: Stop, lease: Option<LeaseKey>) {
        if let Some(entry) = self.entries().get_mut(&id)
            && lease.is_none_or(|lease| lease == entry.lease)
        {
            entry.stop.get_or_insert(why);
            entry.token.cancel();
        }
    }
}

impl Place<'_> {
    /// Why it is to end, if it is.
    pub(super) fn stop(&self) -> Option<Stop> {
        self.running.entries().get(&self.id).and_then(|entry| entry.stop)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.running.entries().remove(&self.id);
    }
}
