//! Takes work from the queue when there is room for it, and keeps its leases while it runs.

use super::Service;
use crucible_core::LeaseRequest;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long to wait where the queue fails.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How a dispatcher ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// All that ran came to its end.
    Completely,
    /// Some was ended and waits to be run again.
    PutBack,
}

impl Service {
    /// Runs what the queue has, until `stop`. What runs then may come to its end within `patience`; the rest is ended and put
    /// back into the queue.
    pub async fn dispatch(self: &Arc<Self>, stop: CancellationToken, patience: Duration) -> Drained {
        let mut attempts = JoinSet::new();
        // Ends with this, however this ends.
        let mut heart = JoinSet::new();
        heart.spawn(Arc::clone(self).keep_leases());
        while let Some(place) = stop.run_until_cancelled(Arc::clone(&self.places).acquire_owned()).await {
            let Ok(first) = place else { break };
            let mut places = vec![first];
            while let Ok(more) = Arc::clone(&self.places).try_acquire_owned() {
                places.push(more);
            }
            let request =
                LeaseRequest { worker: self.parts.node.clone(), most: places.len(), duration: self.settings.lease };
            let leases = match self.parts.queue.lease(request).await {
                Ok(leases) => leases,
                Err(error) => {
                    tracing::error!(%error, "the queue gives no work");
                    drop(places);
                    let _stopped = stop.run_until_cancelled(tokio::time::sleep(AFTER_FAILURE)).await.is_none();
                    continue;
                }
            };
            let is_idle = leases.is_empty();
            for (lease, place) in leases.into_iter().zip(places) {
                let service = Arc::clone(self);
                attempts.spawn(async move {
                    service.attempt(lease).await;
                    drop(place);
                });
            }
            while attempts.try_join_next().is_some() {}
            if is_idle {
                let _stopped = stop.run_until_cancelled(self.parts.queue.wait_for_work()).await.is_none();
            }
        }
        self.drain(attempts, patience).await
    }

    async fn drain(&self, mut attempts: JoinSet<()>, patience: Duration) -> Drained {
        let all = async { while attempts.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_ok() {
            return Drained::Completely;
        }
        tracing::warn!(running = self.running_now(), "what still runs is ended, and put back into the queue");
        self.running.stop_all();
        while attempts.join_next().await.is_some() {}
        Drained::PutBack
    }

    /// Extends the leases of all that runs here, for as long as it does, and queues what couldn't be queued before.
    async fn keep_leases(self: Arc<Self>) {
        let mut beat = tokio::time::interval(self.settings.lease / 3);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            self.enqueue_stranded().await;
            let leases = self.running.leases();
            if leases.is_empty() {
                continue;
            }
            match self.parts.queue.extend(leases, self.settings.lease).await {
                Ok(lost) => lost.into_iter().for_each(|lease| self.running.lose(lease)),
                Err(error) => tracing::error!(%error, "leases can't be extended"),
            }
        }
    }
}
