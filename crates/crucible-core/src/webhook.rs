//! Webhooks: addresses that a project wants to be told at when an evaluation comes to its end or waits for a person.
//!
//! Invariant: an address is told of each event in the order of their numbers, at least once, or the event is counted as given
//! up. How far it was told outlives this process. Its secret signs what it is told, and never leaves again.

use crate::bus::{GlobalNumber, StoredEvent};
use crate::component::Component;
use crate::error::Result;
use crate::id::WebhookId;
use crate::tenancy::ProjectId;
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// What signs deliveries.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(pub Vec<u8>);

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

/// Whether an address is told of anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookState {
    /// It is.
    On,
    /// Somebody switched it off. What happens meanwhile is told once it is on again, as far as it is still kept.
    Off,
    /// Too many deliveries in a row were given up, or the address said that it is gone.
    Broken,
}

impl WebhookState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::On, Self::Off, Self::Broken];

    /// The name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Broken => "broken",
        }
    }
}

/// How far an address was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookProgress {
    /// The last event that it was told of, or that is given up or of no interest to it.
    pub cursor: GlobalNumber,
    /// How often the next one was tried in vain.
    pub failures: u32,
    /// When it is tried again; `None` for at once.
    pub next_try: Option<SystemTime>,
    /// Events that were told.
    pub delivered: u64,
    /// Events that were given up.
    pub given_up: u64,
    /// Events that were given up since the last one that was told.
    pub given_up_in_a_row: u32,
    /// When the last one was told.
    pub last_delivered: Option<SystemTime>,
    /// Why the last try failed; `None` where it didn't.
    pub last_error: Option<String>,
}

/// An address that is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// The project of whose evaluations it is told.
    pub project: ProjectId,
    /// The address.
    pub url: String,
    /// What signs what it is told.
    pub secret: WebhookSecret,
    /// The kinds of events that it wants, of [`WEBHOOK_KINDS`]; empty for all of those.
    pub kinds: BTreeSet<String>,
    /// When it was made.
    pub created: SystemTime,
    /// Whether it is told of anything.
    pub state: WebhookState,
    /// How far it was told.
    pub progress: WebhookProgress,
}

/// The kinds of events that addresses are told of: those after which an evaluation waits for a person or is over.
pub const WEBHOOK_KINDS: [&str; 6] = ["finished", "failed", "cancelled", "dead", "rejected", "held"];

impl Webhook {
    /// Whether it wants to hear of an event.
    #[must_use]
    pub fn wants(&self, event: &StoredEvent) -> bool {
        self.kinds.is_empty() || self.kinds.contains(event.kind.as_ref())
    }
}

/// Keeps addresses and how far they were told.
#[async_trait]
pub trait WebhookStore: Component {
    /// Keeps a new one.
    ///
    /// # Errors
    /// `Overloaded` where its project has as many as it may have; `InvalidInput` where it is too long; `Io`.
    async fn add_webhook(&self, webhook: Webhook) -> Result<()>;

    /// Those of a project, or all, the oldest first.
    ///
    /// # Errors
    /// `Io`.
    async fn webhooks(&self, project: Option<&ProjectId>) -> Result<Vec<Webhook>>;

    /// Those that are on and have something that may be told now.
    ///
    /// # Errors
    /// `Io`.
    async fn due_webhooks(&self, now: SystemTime) -> Result<Vec<Webhook>>;

    /// When the next one is tried again; `None` where none waits.
    ///
    /// # Errors
    /// `Io`.
    async fn next_webhook(&self) -> Result<Option<SystemTime>>;

    /// Switches one on or off. Switched on, it is tried at once.
    ///
    /// # Errors
    /// `NotFound`; `Io`.
    async fn set_webhook(&self, project: Option<&ProjectId>, id: WebhookId, state: WebhookState) -> Result<Webhook>;

    /// Forgets one.
    ///
    /// # Errors
    /// `NotFound`; `Io`.
    async fn remove_webhook(&self, project: Option<&ProjectId>, id: WebhookId) -> Result<()>;

    /// Notes how far one was told, and whether it goes on. One that isn't there any more, or was switched off meanwhile, stays so.
    ///
    /// # Errors
    /// `Io`.
    async fn note_webhook(&self, id: WebhookId, state: WebhookState, progress: WebhookProgress) -> Result<()>;

    /// A project's events of [`WEBHOOK_KINDS`] after a number, in order.
    ///
    /// # Errors
    /// `Io`.
    async fn webhook_events(
        &self,
        project: &ProjectId,
        after: GlobalNumber,
        most: usize,
    ) -> Result<Vec<Arc<StoredEvent>>>;
}
