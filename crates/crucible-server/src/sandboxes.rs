//! Making, listing, showing, forking and removing sandboxes.

use crate::path::Id;
use crate::problem::Problem;
use crate::{Caller, SandboxService, page_limit};
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use crucible_api::v1::{
    CreateSandbox, Object, Sandbox, SandboxList, SandboxRecord, SandboxState, SandboxUsage, monitoring,
    sandbox_protection,
};
use crucible_core::{Error, ErrorKind, LiveFeature, Role, SandboxId, rfc3339};
use crucible_engine::{Session, SessionRecord};
use serde::Deserialize;

/// A session as it is told.
pub async fn document(session: &Session) -> Sandbox {
    let (isolation, layers) = sandbox_protection(session.isolation(), session.layers());
    let (busy, commands) = session.activity_now();
    let limits = match serde_json::to_value(session.limits()) {
        Ok(serde_json::Value::Object(limits)) => limits.into_iter().collect(),
        _ => std::collections::BTreeMap::new(),
    };
    let milliseconds = |time: crucible_core::TimeSpan| u64::try_from(time.get().as_millis()).unwrap_or(u64::MAX);
    Sandbox {
        id: session.id().to_string(),
        state: if session.end_reason().is_none() { SandboxState::Open } else { SandboxState::Ending },
        backend: session.backend().to_owned(),
        isolation,
        language: session.language().map(str::to_owned),
        interpreter: session.interpreter().map(str::to_owned),
        policy: session.spec().policy.name.clone(),
        created_at: rfc3339(session.created_at()),
        idle_timeout_ms: milliseconds(session.spec().idle_timeout),
        lifetime_ms: milliseconds(session.spec().lifetime),
        limits,
        features: session.features().iter().map(|feature: &LiveFeature| feature.as_str().to_owned()).collect(),
        layers,
        busy: u64::try_from(busy).unwrap_or(u64::MAX),
        commands,
        usage: session.usage().await.ok().map(|usage| SandboxUsage::from(&usage)),
    }
}

/// Which page of a list is asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// How many; 100 where it isn't said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Where the page before ended.
    cursor: Option<String>,
}

/// List open sandboxes, the oldest first
#[utoipa::path(get, path = "/v1/sandboxes", tag = "sandboxes", params(Page),
    responses((status = 200, description = "One page", body = SandboxList)))]
pub(crate) async fn list(
    State(service): State<SandboxService>,
    caller: Caller,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<SandboxList>, Problem> {
    let Query(Page { limit, cursor }) = page?;
    let limit = page_limit(limit)?;
    let after: Option<SandboxId> = match cursor {
        Some(cursor) => Some(cursor.parse().map_err(|_| {
            Error::new(ErrorKind::InvalidInput, "read the request", "the cursor is none that this service gave")
        })?),
        None => None,
    };
    let mut sessions = service.list(&caller);
    sessions.retain(|session| after.is_none_or(|after| session.id() > after));
    let is_more = sessions.len() > limit;
    sessions.truncate(limit);
    let mut sandboxes = Vec::with_capacity(sessions.len());
    for session in &sessions {
        sandboxes.push(document(session).await);
    }
    let cursor = sandboxes.last().filter(|_| is_more).map(|last| last.id.clone());
    Ok(Json(SandboxList { sandboxes, cursor }))
}

/// Make a sandbox that stays open
#[utoipa::path(post, path = "/v1/sandboxes", tag = "sandboxes", request_body = CreateSandbox,
    responses((status = 201, description = "It", body = Sandbox)))]
pub(crate) async fn create(
    State(service): State<SandboxService>,
    caller: Caller,
    request: Result<Json<Object<CreateSandbox>>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    caller.needs(Role::Submitter)?;
    let Json(Object(request)) = request?;
    let session = service.open(&caller, &request).await?;
    Ok(created(document(&session).await))
}

fn created(sandbox: Sandbox) -> impl IntoResponse {
    let place = format!("/v1/sandboxes/{}", sandbox.id);
    (StatusCode::CREATED, [(header::LOCATION, place)], Json(sandbox))
}

/// Show a sandbox
#[utoipa::path(get, path = "/v1/sandboxes/{id}", tag = "sandboxes", params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "It", body = Sandbox)))]
pub(crate) async fn show(
    State(service): State<SandboxService>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<Sandbox>, Problem> {
    let session = service.find(&caller, &id)?;
    Ok(Json(document(&session).await))
}

/// Tell what the host saw of a sandbox
///
/// Until now, or until its end, for some time after that. Of the latest 1024 sandboxes that are no more it is known.
#[utoipa::path(get, path = "/v1/sandboxes/{id}/record", tag = "sandboxes", params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "What was seen", body = SandboxRecord)))]
pub(crate) async fn record(
    State(service): State<SandboxService>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<SandboxRecord>, Problem> {
    let session = service.find_also_ended(&caller, &id)?;
    let SessionRecord {
        ended,
        usage,
        limits_observed,
        behavior,
        monitoring: watched,
        tripwires,
        validity,
        validity_reasons,
        evidence,
    } = session.seen().await?;
    Ok(Json(SandboxRecord {
        id: session.id().to_string(),
        backend: session.backend().to_owned(),
        ended: ended.map(|reason| reason.to_string()),
        usage: SandboxUsage::from(&usage),
        limits_observed: limits_observed.iter().map(|limit| limit.as_str().to_owned()).collect(),
        behavior: behavior.iter().map(Into::into).collect(),
        monitoring: monitoring(&watched),
        tripwires: tripwires.iter().map(Into::into).collect(),
        validity: validity.into(),
        validity_reasons: validity_reasons.iter().map(|reason| reason.as_str().to_owned()).collect(),
        evidence: (&evidence).into(),
    }))
}

/// Remove a sandbox
#[utoipa::path(delete, path = "/v1/sandboxes/{id}", tag = "sandboxes", params(("id" = String, Path, description = "Its id")),
    responses((status = 204, description = "Nothing of it is left")))]
pub(crate) async fn destroy(
    State(service): State<SandboxService>,
    caller: Caller,
    Id(id): Id,
) -> Result<StatusCode, Problem> {
    caller.needs(Role::Submitter)?;
    service.find(&caller, &id)?.destroy().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Make another sandbox with the same files
#[utoipa::path(post, path = "/v1/sandboxes/{id}/fork", tag = "sandboxes", params(("id" = String, Path, description = "Its id")),
    responses((status = 201, description = "The other one", body = Sandbox)))]
pub(crate) async fn fork(
    State(service): State<SandboxService>,
    caller: Caller,
    Id(id): Id,
) -> Result<impl IntoResponse, Problem> {
    caller.needs(Role::Submitter)?;
    let session = service.sessions.fork(service.find(&caller, &id)?.id()).await?;
    service.own(&caller, session.id());
    Ok(created(document(&session).await))
}
