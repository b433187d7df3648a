//! Tells addresses of what came to its end, as their projects asked for it.
//!
//! Invariant: each address is told in order, one event at a time, and again until it has it or the last try failed; how far that
//! is stands in the store. An address that fails holds up itself and no other. Nothing on an evaluation's way waits for any of it.

use async_trait::async_trait;
use crucible_core::{
    Error, EventBus, EventFilter, StoredEvent, WEBHOOK_KINDS, Webhook, WebhookId, WebhookState, WebhookStore,
};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long to wait after each try that failed. After the last one the event is given up.
pub const WEBHOOK_WAITS: [Duration; 9] = {
    const MINUTE: u64 = 60;
    [
        Duration::from_secs(5),
        Duration::from_secs(30),
        Duration::from_secs(2 * MINUTE),
        Duration::from_secs(10 * MINUTE),
        Duration::from_secs(30 * MINUTE),
        Duration::from_secs(60 * MINUTE),
        Duration::from_secs(2 * 60 * MINUTE),
        Duration::from_secs(4 * 60 * MINUTE),
        Duration::from_secs(8 * 60 * MINUTE),
    ]
};
/// So many given up in a row, and an address isn't told any more.
const MOST_GIVEN_UP: u32 = 3;
/// How many addresses are told at one time.
const MOST_AT_ONCE: usize = 16;
/// How many events an address is told before others have their turn.
const PAGE: usize = 100;
/// What comes within such a time is looked for once.
const MOMENT: Duration = Duration::from_millis(50);
/// How long to wait where the store fails, and the least between two looks at what is to be tried again.
const SECOND: Duration = Duration::from_secs(1);

/// What became of bringing an event to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Brought {
    /// It has it.
    Delivered,
    /// It doesn't have it, or didn't say so.
    Failed {
        /// Why, for whoever made the webhook.
        why: String,
        /// How long it wants to be left alone.
        wait: Option<Duration>,
    },
    /// It said that it will never want any again.
    Gone,
}

/// Brings events to addresses.
#[async_trait]
pub trait Courier: Send + Sync {
    /// Brings one. It bounds by itself how long that takes.
    async fn bring(&self, webhook: &Webhook, event: &StoredEvent) -> Brought;
}

/// Tells addresses.
pub struct Webhooks {
    store: Arc<dyn WebhookStore>,
    bus: Arc<dyn EventBus>,
    courier: Arc<dyn Courier>,
    waits: Vec<Duration>,
    changed: Notify,
    /// Where nobody wants to be told, nobody looks.
    has_any: AtomicBool,
}

impl Webhooks {
    /// Of a store's addresses, by a courier.
    #[must_use]
    pub fn new(store: Arc<dyn WebhookStore>, bus: Arc<dyn EventBus>, courier: Arc<dyn Courier>) -> Self {
        let has_any = AtomicBool::new(true);
        Self { store, bus, courier, waits: WEBHOOK_WAITS.to_vec(), changed: Notify::new(), has_any }
    }

    /// The same with other times to wait.
    #[must_use]
    pub fn with_waits(mut self, waits: Vec<Duration>) -> Self {
        self.waits = waits;
        self
    }

    /// The addresses.
    #[must_use]
    pub fn store(&self) -> &dyn WebhookStore {
        self.store.as_ref()
    }

    /// Brings one event to one address now, whatever is known of it.
    pub async fn try_out(&self, webhook: &Webhook, event: &StoredEvent) -> Brought {
        self.courier.bring(webhook, event).await
    }

    /// Has it look again: an address was added or changed.
    pub fn look_again(&self) {
        self.has_any.store(true, Ordering::SeqCst);
        self.changed.notify_one();
    }

    /// Tells addresses until `stop`, and then brings to its end what is on its way.
    pub async fn deliver(self: Arc<Self>, stop: CancellationToken) {
        let kinds = WEBHOOK_KINDS.iter().map(|kind| (*kind).to_owned()).collect();
        let mut ends = self.bus.subscribe(EventFilter { kinds, ..EventFilter::default() });
        let (mut busy, mut told) = (HashSet::new(), JoinSet::new());
        loop {
            // Before it is looked, so that one which is added meanwhile isn't passed over.
            let next = if self.has_any.swap(false, Ordering::SeqCst) {
                self.begin(&mut busy, &mut told, &stop).await.unwrap_or_else(|error| {
                    tracing::error!(%error, "webhooks can't be looked at");
                    self.has_any.store(true, Ordering::SeqCst);
                    Some(SystemTime::now())
                })
            } else {
                None
            };
            let wait = next.map(|next| next.duration_since(SystemTime::now()).unwrap_or_default().max(SECOND));
            tokio::select! {
                () = stop.cancelled() => break,
                end = ends.next() => {
                    if end.is_none() || stop.run_until_cancelled(tokio::time::sleep(MOMENT)).await.is_none() {
                        break;
                    }
                }
                () = self.changed.notified() => {}
                Some(done) = told.join_next() => {
                    if let Ok(id) = done {
                        busy.remove(&id);
                    }
                }
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
            }
        }
        while told.join_next().await.is_some() {}
    }

    /// Begins to tell those for whom there is something, and says when to look again at the latest.
    async fn begin(
        self: &Arc<Self>,
        busy: &mut HashSet<WebhookId>,
        told: &mut JoinSet<WebhookId>,
        stop: &CancellationToken,
    ) -> Result<Option<SystemTime>, Error> {
        let due = self.store.due_webhooks(SystemTime::now()).await?;
        for webhook in due {
            if busy.len() >= MOST_AT_ONCE {
                break;
            }
            if busy.insert(webhook.id) {
                let (webhooks, stop) = (Arc::clone(self), stop.clone());
                told.spawn(async move {
                    let id = webhook.id;
                    if let Err(error) = webhooks.tell(webhook, stop).await {
                        tracing::error!(webhook = %id, %error, "how far a webhook was told can't be kept");
                        tokio::time::sleep(SECOND).await;
                    }
                    id
                });
            }
        }
        let is_on = |webhook: &Webhook| webhook.state == WebhookState::On;
        if !busy.is_empty() || self.store.webhooks(None).await?.iter().any(is_on) {
            self.has_any.store(true, Ordering::SeqCst);
        }
        self.store.next_webhook().await
    }

    /// Tells one address of a page of events, or until it fails.
    async fn tell(&self, webhook: Webhook, stop: CancellationToken) -> Result<(), Error> {
        let mut progress = webhook.progress.clone();
        let events = self.store.webhook_events(&webhook.project, progress.cursor, PAGE).await?;
        for event in events {
            if stop.is_cancelled() {
                break;
            }
            let mut state = WebhookState::On;
            if !webhook.wants(&event) {
                progress.cursor = event.global;
                continue;
            }
            let brought = self.courier.bring(&webhook, &event).await;
            let now = SystemTime::now();
            match brought {
                Brought::Delivered => {
                    progress.cursor = event.global;
                    progress.delivered = progress.delivered.saturating_add(1);
                    (progress.failures, progress.given_up_in_a_row, progress.next_try) = (0, 0, None);
                    (progress.last_delivered, progress.last_error) = (Some(now), None);
                }
                Brought::Failed { why, wait } => {
                    tracing::warn!(webhook = %webhook.id, evaluation = %event.evaluation, why, "a webhook wasn't told");
                    progress.last_error = Some(why);
                    let usual = usize::try_from(progress.failures).ok().and_then(|failed| self.waits.get(failed));
                    if let Some(usual) = usual {
                        progress.failures += 1;
                        progress.next_try = now.checked_add(wait.unwrap_or_default().max(*usual));
                    } else {
                        progress.cursor = event.global;
                        progress.given_up = progress.given_up.saturating_add(1);
                        progress.given_up_in_a_row = progress.given_up_in_a_row.saturating_add(1);
                        (progress.failures, progress.next_try) = (0, None);
                        if progress.given_up_in_a_row >= MOST_GIVEN_UP {
                            state = WebhookState::Broken;
                        }
                    }
                }
                Brought::Gone => {
                    progress.last_error = Some("it answered 410: it is gone".to_owned());
                    state = WebhookState::Broken;
                }
            }
            self.store.note_webhook(webhook.id, state, progress.clone()).await?;
            if state != WebhookState::On || progress.next_try.is_some() {
                return Ok(());
            }
        }
        self.store.note_webhook(webhook.id, WebhookState::On, progress).await
    }
}
