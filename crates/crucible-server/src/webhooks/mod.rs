//! Making, listing, changing and trying out webhooks.

mod courier;

pub use courier::{HttpCourier, Reachable};

use crate::api::Api;
use crate::caller::Caller;
use crate::path::{self, Id};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use crucible_api::v1::{self, CreateWebhook, CreatedWebhook, Object, SetWebhook, WebhookList, WebhookTried};
use crucible_core::{
    Error, ErrorKind, EvaluationId, GlobalNumber, ProjectId, Result, Role, StoredEvent, WEBHOOK_KINDS, Webhook,
    WebhookId, WebhookProgress, WebhookSecret, WebhookState, rfc3339,
};
use crucible_engine::{Brought, Webhooks};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

/// What a secret begins with, by the standard.
const PREFIX: &str = "whsec_";
/// Random bytes of a secret.
const RANDOM: usize = 32;

/// Webhooks and who brings them.
pub struct WebhookParts {
    /// Tells addresses.
    pub webhooks: Arc<Webhooks>,
    /// Knows where it may go.
    pub courier: Arc<HttpCourier>,
}

fn told(webhook: &Webhook) -> v1::Webhook {
    let progress = &webhook.progress;
    v1::Webhook {
        id: webhook.id.to_string(),
        project: webhook.project.to_string(),
        url: webhook.url.clone(),
        kinds: webhook.kinds.iter().cloned().collect(),
        state: webhook.state.as_str().to_owned(),
        created_at: rfc3339(webhook.created),
        delivered: progress.delivered,
        given_up: progress.given_up,
        failures: progress.failures,
        next_try_at: progress.next_try.map(rfc3339),
        last_delivered_at: progress.last_delivered.map(rfc3339),
        last_error: progress.last_error.clone(),
    }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, "read the request", message)
}

fn webhook_id(text: &str) -> Result<WebhookId> {
    path::id(text, "find the webhook", "webhook")
}

/// List webhooks
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks",
    responses((status = 200, description = "Each with how far it was told", body = WebhookList)))]
pub(crate) async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<WebhookList>, Problem> {
    let webhooks = api.webhooks.webhooks.store().webhooks(caller.sees()).await?;
    Ok(Json(WebhookList { webhooks: webhooks.iter().map(told).collect() }))
}

/// Make a webhook
///
/// Its address is told of what happens from now on.
#[utoipa::path(post, path = "/v1/webhooks", tag = "webhooks", request_body = CreateWebhook,
    responses((status = 201, description = "The webhook, and the secret that signs. It is told this once", body = CreatedWebhook)))]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    request: Result<Json<Object<CreateWebhook>>, JsonRejection>,
) -> Result<(StatusCode, Json<CreatedWebhook>), Problem> {
    caller.needs(Role::Submitter)?;
    let Json(Object(CreateWebhook { url, kinds, project })) = request?;
    api.webhooks.courier.check(&url)?;
    if let Some(other) = kinds.iter().find(|kind| !WEBHOOK_KINDS.contains(&kind.as_str())) {
        let shown: String = other.chars().take(64).collect();
        return Err(wrong(format!("kinds: {shown:?} is none of {}", WEBHOOK_KINDS.join(", "))).into());
    }
    let project: ProjectId = project.map_or_else(|| Ok(caller.project.clone()), |project| project.parse())?;
    if !caller.sees_those_of(&project) {
        return Err(
            Error::new(ErrorKind::Refused, "make the webhook", "project: it is another one than the key's").into()
        );
    }
    let mut secret = vec![0; RANDOM];
    getrandom::fill(&mut secret).map_err(|error| {
        Error::new(ErrorKind::Infrastructure, "make the webhook", format!("no random bytes: {error}"))
    })?;
    let shown = format!("{PREFIX}{}", STANDARD.encode(&secret));
    let cursor = api.service.parts().store.latest_event().await?;
    let webhook = Webhook {
        id: WebhookId::generate(),
        project,
        url,
        secret: WebhookSecret(secret),
        kinds: kinds.into_iter().collect(),
        created: SystemTime::now(),
        state: WebhookState::On,
        progress: WebhookProgress { cursor, ..WebhookProgress::default() },
    };
    let answer = CreatedWebhook { secret: shown, webhook: told(&webhook) };
    api.webhooks.webhooks.store().add_webhook(webhook).await?;
    api.webhooks.webhooks.look_again();
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Switch a webhook on or off
///
/// What happens while it is off is told once it is on again, as far as it is still kept.
#[utoipa::path(put, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path, description = "Its id")),
    request_body = SetWebhook, responses((status = 200, description = "As it is now", body = v1::Webhook)))]
pub(crate) async fn set(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    request: Result<Json<Object<SetWebhook>>, JsonRejection>,
) -> Result<Json<v1::Webhook>, Problem> {
    caller.needs(Role::Submitter)?;
    let Json(Object(SetWebhook { enabled })) = request?;
    let state = if enabled { WebhookState::On } else { WebhookState::Off };
    let webhook = api.webhooks.webhooks.store().set_webhook(caller.sees(), webhook_id(&id)?, state).await?;
    api.webhooks.webhooks.look_again();
    Ok(Json(told(&webhook)))
}

/// Remove a webhook
#[utoipa::path(delete, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path, description = "Its id")),
    responses((status = 204, description = "Nothing is told there any more")))]
pub(crate) async fn remove(State(api): State<Api>, caller: Caller, Id(id): Id) -> Result<StatusCode, Problem> {
    caller.needs(Role::Submitter)?;
    api.webhooks.webhooks.store().remove_webhook(caller.sees(), webhook_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Try a webhook out
///
/// Its address is told `evaluation.ping`, once and at once.
#[utoipa::path(post, path = "/v1/webhooks/{id}/test", tag = "webhooks", params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "Whether it was told", body = WebhookTried)))]
pub(crate) async fn try_out(State(api): State<Api>, caller: Caller, Id(id): Id) -> Result<Json<WebhookTried>, Problem> {
    caller.needs(Role::Submitter)?;
    let id = webhook_id(&id)?;
    let webhooks = api.webhooks.webhooks.store().webhooks(caller.sees()).await?;
    let missing = || Error::new(ErrorKind::NotFound, "find the webhook", format!("there is no webhook {id}"));
    let webhook = webhooks.into_iter().find(|webhook| webhook.id == id).ok_or_else(missing)?;
    let event = StoredEvent {
        global: GlobalNumber(0),
        project: webhook.project.clone(),
        evaluation: EvaluationId::from_bytes([0; 16]),
        number: 0,
        at: SystemTime::now(),
        kind: Cow::Borrowed("ping"),
        body: Bytes::from_static(b"{}"),
    };
    let error = match api.webhooks.webhooks.try_out(&webhook, &event).await {
        Brought::Delivered => None,
        Brought::Failed { why, .. } => Some(why),
        Brought::Gone => Some("it answered 410: it is gone".to_owned()),
    };
    Ok(Json(WebhookTried { delivered: error.is_none(), error }))
}
