//! Making, listing and revoking keys.

use crate::api::Api;
use crate::caller::{Access, Caller, KeyRing, make_key};
use crate::path::{self, Id};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use crucible_api::v1::{CreateKey, CreatedKey, Key, KeyList, Object};
use crucible_core::{Error, ErrorKind, KeyRecord, Result, Role, rfc3339};
use std::time::SystemTime;

/// A key as it is told: without what opens anything.
#[must_use]
pub fn told(key: &KeyRecord) -> Key {
    Key {
        id: key.id.to_string(),
        name: key.name.clone(),
        role: key.role.to_string(),
        project: key.project.to_string(),
        created_at: rfc3339(key.created),
        revoked_at: key.revoked.map(rfc3339),
        last_used_at: key.last_used.map(rfc3339),
    }
}

fn ring(api: &Api) -> Result<&KeyRing> {
    match &api.access {
        Access::Keys(ring) => Ok(ring),
        Access::Local => Err(Error::new(ErrorKind::Conflict, "look at keys", "this service was started without keys")
            .with_hint("start it with --auth keys")),
    }
}

/// List keys
#[utoipa::path(get, path = "/v1/keys", tag = "keys",
    responses((status = 200, description = "All of them, revoked ones too", body = KeyList)))]
pub(crate) async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<KeyList>, Problem> {
    caller.needs(Role::Admin)?;
    let keys = ring(&api)?.store().keys(None).await?;
    Ok(Json(KeyList { keys: keys.iter().map(told).collect() }))
}

/// Make a key
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = CreateKey,
    responses((status = 201, description = "The key. It is told this once", body = CreatedKey)))]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    request: Result<Json<Object<CreateKey>>, JsonRejection>,
) -> Result<(StatusCode, Json<CreatedKey>), Problem> {
    caller.needs(Role::Admin)?;
    let Json(Object(CreateKey { name, role, project })) = request?;
    let project = project.map_or_else(|| Ok(caller.project.clone()), |project| project.parse())?;
    let (secret, record) = make_key(&name, project, role.parse()?)?;
    ring(&api)?.store().add_key(record.clone()).await?;
    Ok((StatusCode::CREATED, Json(CreatedKey { secret, key: told(&record) })))
}

/// Revoke a key
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys", params(("id" = String, Path, description = "Its id")),
    responses((status = 204, description = "It opens nothing any more")))]
pub(crate) async fn revoke(State(api): State<Api>, caller: Caller, Id(id): Id) -> Result<StatusCode, Problem> {
    caller.needs(Role::Admin)?;
    let ring = ring(&api)?;
    let id = path::id(&id, "find the key", "key")?;
    ring.store().revoke_key(id, SystemTime::now()).await?;
    ring.forget();
    Ok(StatusCode::NO_CONTENT)
}
