//! Care for what the service keeps: looking through it, copying it, forgetting.

use crate::api::Api;
use crate::caller::Caller;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use crucible_api::v1::{Object, StoreBackup, StoreChecked, StoreForget, StoreForgotten};
use crucible_core::{ByteSize, Error, ErrorKind, HostPath, Result, Retention, Role, TimeSpan};
use std::time::SystemTime;

/// Bytes of the longest name of a backup.
const LONGEST_NAME: usize = 100;

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, "read the request", message)
}

/// What may be forgotten, as text says it.
///
/// # Errors
/// `InvalidInput` for what is no time or size, or where neither is given.
pub fn retention(what: &StoreForget) -> Result<Retention> {
    let time = |text: &String| text.parse::<TimeSpan>().map_err(|error| wrong(format!("older_than: {error}")));
    let size = |text: &String| text.parse::<ByteSize>().map_err(|error| wrong(format!("larger_than: {error}")));
    let age = what.older_than.as_ref().map(time).transpose()?;
    let finished_before = age.map(|age| SystemTime::now().checked_sub(age.get()).unwrap_or(SystemTime::UNIX_EPOCH));
    let most_bytes = what.larger_than.as_ref().map(size).transpose()?.map(ByteSize::get);
    if finished_before.is_none() && most_bytes.is_none() {
        return Err(wrong("there is neither older_than nor larger_than"));
    }
    Ok(Retention { finished_before, most_bytes })
}

/// Look through all that is kept
#[utoipa::path(post, path = "/v1/store/check", tag = "store",
    responses((status = 200, description = "What was found", body = StoreChecked)))]
pub(crate) async fn check(State(api): State<Api>, caller: Caller) -> Result<Json<StoreChecked>, Problem> {
    caller.needs(Role::Admin)?;
    Ok(Json(api.care.check().await?.into()))
}

/// Copy all that is kept, while the service goes on
#[utoipa::path(post, path = "/v1/store/backup", tag = "store", request_body = StoreBackup,
    responses((status = 204, description = "The copy is there")))]
pub(crate) async fn backup(
    State(api): State<Api>,
    caller: Caller,
    request: Result<Json<Object<StoreBackup>>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    caller.needs(Role::Admin)?;
    let Json(Object(StoreBackup { name })) = request?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_sound =
        !name.is_empty() && name.len() <= LONGEST_NAME && !name.starts_with('.') && name.bytes().all(is_plain);
    if !is_sound {
        let message = format!("name: it has 1 to {LONGEST_NAME} ASCII letters, digits or -_., and begins with no dot");
        return Err(wrong(message).into());
    }
    let folder = api.backups.as_path().join(name);
    if folder.exists() {
        // The store would name the folder, which is nobody's business.
        let error = Error::new(ErrorKind::Conflict, "make a backup", "name: there is a backup of that name");
        return Err(error.into());
    }
    api.care.backup(&HostPath::new(folder)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forget what is old, or more than there is room for
#[utoipa::path(post, path = "/v1/store/gc", tag = "store", request_body = StoreForget,
    responses((status = 200, description = "What was forgotten", body = StoreForgotten)))]
pub(crate) async fn forget(
    State(api): State<Api>,
    caller: Caller,
    request: Result<Json<Object<StoreForget>>, JsonRejection>,
) -> Result<Json<StoreForgotten>, Problem> {
    caller.needs(Role::Admin)?;
    let Json(Object(what)) = request?;
    Ok(Json(api.care.collect_garbage(retention(&what)?).await?.into()))
}
