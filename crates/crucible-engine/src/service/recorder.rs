//! Takes a run's events as they come, and has them kept in batches: all of a short run with its result, those of a longer one
//! after a moment.
//!
//! Invariant: events are kept in their order. A store that is slow or fails holds up the program's output, and never the
//! clearing away.

use super::Service;
use super::beginning::Beginning;
use async_trait::async_trait;
use crucible_core::{EvaluationId, Event, EventSink, NewEvent, Step};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long an event may wait to be kept.
const MOMENT: Duration = Duration::from_millis(25);
/// Bytes of output after which it doesn't wait.
const FULL: usize = 256 << 10;
/// Bytes that may wait altogether; from then on the program does.
const MOST: usize = 4 << 20;

#[derive(Default)]
struct Waiting {
    events: Vec<NewEvent>,
    bytes: usize,
    is_stale: bool,
}

/// Keeps the events of one run.
pub(super) struct Recorder<'a> {
    service: &'a Service,
    id: EvaluationId,
    beginning: &'a Beginning,
    waiting: Mutex<Waiting>,
    came: Notify,
    kept: Notify,
    /// Ends the run where somebody else has it by now.
    stop: CancellationToken,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(
        service: &'a Service,
        id: EvaluationId,
        beginning: &'a Beginning,
        stop: CancellationToken,
    ) -> Self {
        let (came, kept) = (Notify::new(), Notify::new());
        Self { service, id, beginning, waiting: Mutex::default(), came, kept, stop }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Waiting) -> T) -> T {
        look(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps what comes, until the run is over. What came last is left for its result.
    pub(super) async fn keep(&self, over: CancellationToken) {
        while over.run_until_cancelled(self.came.notified()).await.is_some() {
            let is_little = self.with(|waiting| waiting.bytes) < FULL;
            if is_little && over.run_until_cancelled(tokio::time::sleep(MOMENT)).await.is_none() {
                return;
            }
            let events = self.take();
            if events.is_empty() {
                continue;
            }
            // Where this is no try, nothing of a program is told.
            let Some(token) = self.beginning.token().await else { return };
            match self.service.parts.store.append(self.id, token, events).await {
                Ok(Step::Committed) => {}
                Ok(Step::CancelRequested) => self.service.running.cancel(self.id),
                Ok(Step::Stale) => {
                    self.with(|waiting| waiting.is_stale = true);
                    self.stop.cancel();
                }
                // The result is what counts; that some of the way there is missing is told here.
                Err(error) => tracing::error!(evaluation = %self.id, %error, "events can't be kept"),
            }
            self.kept.notify_waiters();
        }
    }

    /// What hasn't been kept yet.
    pub(super) fn take(&self) -> Vec<NewEvent> {
        self.with(|waiting| {
            waiting.bytes = 0;
            std::mem::take(&mut waiting.events)
        })
    }
}

#[async_trait]
impl EventSink for Recorder<'_> {
    async fn publish(&self, _evaluation: EvaluationId, event: Event) {
        let event = self.service.parts.records.event(&event, SystemTime::now());
        loop {
            let room = self.kept.notified();
            let mut room = std::pin::pin!(room);
            // Before looking, so that what is kept meanwhile isn't missed.
            room.as_mut().enable();
            let is_full = self.with(|waiting| waiting.bytes >= MOST && !waiting.is_stale);
            if !is_full {
                break;
            }
            room.await;
        }
        self.with(|waiting| {
            waiting.bytes = waiting.bytes.saturating_add(event.body.len());
            if !waiting.is_stale {
                waiting.events.push(event);
            }
        });
        self.came.notify_one();
    }
}
