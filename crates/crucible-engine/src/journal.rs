//! Puts the events of one evaluation in a line, so that a slow sink slows the guest's output down and nothing else.
//!
//! Invariant: memory is bounded. Output waits for one of a few places; the other events are some hundred at most for
//! each evaluation, however long it runs, and never wait.

use crucible_core::{EvaluationId, Event, EventSink, Stream};
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Pieces of output that may wait for the sink at one time.
const PLACES: usize = 4;

struct Entry {
    event: Event,
    place: Option<OwnedSemaphorePermit>,
}

/// Where events are put in.
pub(crate) struct Journal {
    entries: UnboundedSender<Entry>,
    places: Arc<Semaphore>,
}

/// Where events come out, in order.
pub(crate) struct Readout {
    entries: UnboundedReceiver<Entry>,
}

/// An empty journal. The readout ends when the journal is dropped.
pub(crate) fn open() -> (Journal, Readout) {
    let (sender, receiver) = unbounded_channel();
    (Journal { entries: sender, places: Arc::new(Semaphore::new(PLACES)) }, Readout { entries: receiver })
}

impl Journal {
    /// Puts an event in without waiting.
    pub(crate) fn record(&self, event: Event) {
        self.send(event, None);
    }

    /// Puts output in, waiting for a place. Once the guest is being ended what is left is bounded by its pipes, so
    /// `closing` stops the waiting.
    pub(crate) async fn record_output(&self, stream: Stream, bytes: Vec<u8>, closing: &CancellationToken) {
        let place = tokio::select! {
            biased;
            place = Arc::clone(&self.places).acquire_owned() => place.ok(),
            () = closing.cancelled() => None,
        };
        self.send(Event::OutputProduced { stream, bytes }, place);
    }

    fn send(&self, event: Event, place: Option<OwnedSemaphorePermit>) {
        // The readout lives as long as the evaluation; without one nobody listens any more.
        let _ = self.entries.send(Entry { event, place });
    }
}

impl Readout {
    /// Publishes every event in order until the journal is dropped.
    pub(crate) async fn publish_to(mut self, sink: &dyn EventSink, evaluation: EvaluationId) {
        while let Some(Entry { event, place }) = self.entries.recv().await {
            sink.publish(evaluation, event).await;
            drop(place);
        }
    }
}
