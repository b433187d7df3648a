//! The event bus in memory.
//!
//! Invariant: whoever publishes holds each subscriber's lock only to put events into its bounded buffer. Once the buffer is full,
//! what comes is counted as missed, until the subscriber has been told so: it never gets an event after a gap that it wasn't
//! told of.

use async_trait::async_trait;
use crucible_core::{
    Check, Component, Delivery, EvaluationId, EventBus, EventFilter, GlobalNumber, NewEvent, Passed, ProjectId,
    SelfTest, StoredEvent, Subscription,
};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::SystemTime;
use tokio::sync::Notify;

/// How many events wait for one subscriber at most.
const BUFFER: usize = 8192;

#[derive(Debug, Default)]
struct Buffer {
    events: VecDeque<Arc<StoredEvent>>,
    missed: Option<Missed>,
    is_closed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Missed {
    from: GlobalNumber,
    to: GlobalNumber,
    count: u64,
}

#[derive(Debug)]
struct Listener {
    filter: EventFilter,
    most: usize,
    buffer: Mutex<Buffer>,
    ready: Notify,
}

impl Listener {
    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_in<'a>(&self, events: impl Iterator<Item = &'a Arc<StoredEvent>>) {
        let mut wanted = events.filter(|event| self.filter.wants(event)).peekable();
        if wanted.peek().is_none() {
            return;
        }
        let mut buffer = self.buffer();
        for event in wanted {
            if let Some(missed) = &mut buffer.missed {
                (missed.to, missed.count) = (event.global, missed.count + 1);
            } else if buffer.events.len() >= self.most {
                buffer.missed = Some(Missed { from: event.global, to: event.global, count: 1 });
            } else {
                buffer.events.push_back(Arc::clone(event));
            }
        }
        drop(buffer);
        self.ready.notify_one();
    }
}

#[derive(Debug, Default)]
struct Listeners {
    /// Those of one evaluation, found by it: there may be many, and most events are none of theirs.
    of_one: FxHashMap<EvaluationId, Vec<Arc<Listener>>>,
    of_many: Vec<Arc<Listener>>,
}

/// An event bus in memory.
#[derive(Debug)]
pub struct MemoryBus {
    listeners: Arc<RwLock<Listeners>>,
    buffer: usize,
}

impl Default for MemoryBus {
    fn default() -> Self {
        Self::with_buffer(BUFFER)
    }
}

impl MemoryBus {
    /// A bus on which so many events at most wait for each subscriber.
    #[must_use]
    pub fn with_buffer(buffer: usize) -> Self {
        Self { listeners: Arc::default(), buffer }
    }
}

impl Drop for MemoryBus {
    fn drop(&mut self) {
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        for listener in listeners.of_many.iter().chain(listeners.of_one.values().flatten()) {
            listener.buffer().is_closed = true;
            listener.ready.notify_one();
        }
    }
}

#[async_trait]
impl Component for MemoryBus {
    fn name(&self) -> &'static str {
        "events"
    }

    async fn self_test(&self) -> SelfTest {
        let bus = Self::with_buffer(1);
        let mut listener = bus.subscribe(EventFilter::default());
        let event = |number| {
            let NewEvent { at, kind, body } =
                NewEvent { at: SystemTime::UNIX_EPOCH, kind: "self_test".into(), body: bytes::Bytes::new() };
            let (project, evaluation) = (ProjectId::default(), EvaluationId::generate());
            Arc::new(StoredEvent { global: GlobalNumber(number), project, evaluation, number: 1, at, kind, body })
        };
        let events = [event(1), event(2)];
        bus.publish(&events);
        let (first, second) = (listener.next().await, listener.next().await);
        let delivered = matches!(&first, Some(Delivery::Events(got)) if got[..] == events[..1]);
        let told = matches!(second, Some(Delivery::Missed { from: GlobalNumber(2), to: GlobalNumber(2), count: 1 }));
        let checks = vec![
            Check::new("an event is delivered", Passed::from(delivered), format!("{} delivered", u8::from(delivered))),
            Check::new("what was missed is told", Passed::from(told), format!("{} told", u8::from(told))),
        ];
        SelfTest { component: self.name().to_owned(), checks }
    }
}

impl EventBus for MemoryBus {
    fn publish(&self, events: &[Arc<StoredEvent>]) {
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        for listener in &listeners.of_many {
            listener.take_in(events.iter());
        }
        if listeners.of_one.is_empty() {
            return;
        }
        for of_same in events.chunk_by(|one, other| one.evaluation == other.evaluation) {
            let Some(of_one) = of_same.first().and_then(|event| listeners.of_one.get(&event.evaluation)) else {
                continue;
            };
            for listener in of_one {
                listener.take_in(of_same.iter());
            }
        }
    }

    fn subscribe(&self, filter: EventFilter) -> Box<dyn Subscription> {
        let one = filter.evaluation;
        let listener = Arc::new(Listener { filter, most: self.buffer, buffer: Mutex::default(), ready: Notify::new() });
        let mut listeners = self.listeners.write().unwrap_or_else(PoisonError::into_inner);
        match one {
            Some(id) => listeners.of_one.entry(id).or_default().push(Arc::clone(&listener)),
            None => listeners.of_many.push(Arc::clone(&listener)),
        }
        Box::new(MemorySubscription { listener, listeners: Arc::downgrade(&self.listeners) })
    }
}

struct MemorySubscription {
    listener: Arc<Listener>,
    listeners: Weak<RwLock<Listeners>>,
}

#[async_trait]
impl Subscription for MemorySubscription {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            {
                let mut buffer = self.listener.buffer();
                if !buffer.events.is_empty() {
                    return Some(Delivery::Events(mem::take(&mut buffer.events).into()));
                }
                if let Some(Missed { from, to, count }) = buffer.missed.take() {
                    return Some(Delivery::Missed { from, to, count });
                }
                if buffer.is_closed {
                    return None;
                }
            }
            self.listener.ready.notified().await;
        }
    }
}

impl Drop for MemorySubscription {
    fn drop(&mut self) {
        let Some(listeners) = self.listeners.upgrade() else { return };
        let mut listeners = listeners.write().unwrap_or_else(PoisonError::into_inner);
        let is_other = |other: &Arc<Listener>| !Arc::ptr_eq(other, &self.listener);
        let Some(id) = self.listener.filter.evaluation else {
            listeners.of_many.retain(is_other);
            return;
        };
        if let Some(of_one) = listeners.of_one.get_mut(&id) {
            of_one.retain(is_other);
            if of_one.is_empty() {
                listeners.of_one.remove(&id);
            }
        }
    }
}
