//! Webhooks on the wire.

use super::evaluation::EvaluationEvent;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What to make a webhook of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWebhook {
    /// The address that is told: `https://...`.
    pub url: String,
    /// What it is told of: `finished`, `failed`, `cancelled`, `dead`, `rejected`, `held`; all of these where it is empty.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// The project of whose evaluations it is told; the key's own where it is left out.
    #[serde(default)]
    pub project: Option<String>,
}

/// Whether a webhook is to be told of anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetWebhook {
    /// Whether it is.
    pub enabled: bool,
}

/// A webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    /// Its id.
    pub id: String,
    /// The project of whose evaluations it is told.
    pub project: String,
    /// The address.
    pub url: String,
    /// What it is told of; empty for everything that there is to be told.
    pub kinds: Vec<String>,
    /// `on`, `off`, or `broken`: too many deliveries in a row were given up, or the address said that it is gone.
    pub state: String,
    /// When it was made, by RFC 3339.
    pub created_at: String,
    /// Events that it was told.
    pub delivered: u64,
    /// Events that it wasn't told, after the last try.
    pub given_up: u64,
    /// How often the next one was tried in vain.
    pub failures: u32,
    /// When that is tried again, by RFC 3339.
    pub next_try_at: Option<String>,
    /// When the last one was told, by RFC 3339.
    pub last_delivered_at: Option<String>,
    /// Why the last try failed.
    pub last_error: Option<String>,
}

/// A webhook that was just made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedWebhook {
    /// What signs deliveries, `whsec_` and base64. It is told this once.
    pub secret: String,
    /// The webhook.
    pub webhook: Webhook,
}

/// Webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookList {
    /// The oldest first.
    pub webhooks: Vec<Webhook>,
}

/// What came of trying a webhook out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookTried {
    /// Whether the address said that it has it.
    pub delivered: bool,
    /// Why it wasn't.
    pub error: Option<String>,
}

/// What an address is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WebhookMessage {
    /// What it is about: `evaluation.finished`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened, by RFC 3339.
    pub timestamp: String,
    /// The event.
    pub data: EvaluationEvent,
}
