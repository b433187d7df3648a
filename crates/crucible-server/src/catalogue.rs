//! What the service goes by: policies, rules, settings; and who asks.

use crate::api::Api;
use crate::caller::{Access, Caller};
use crate::path::Id;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use crucible_api::v1::{Me, PolicyEntry, PolicyList, PolicyText, RuleList, SettingEntry, SettingList};
use crucible_core::{Policy, Result, Role};

/// Knows what the service goes by.
pub trait Catalogue: Send + Sync {
    /// The policies that requests may name.
    ///
    /// # Errors
    /// `Configuration` where the one that is configured can't be read.
    fn policies(&self) -> Result<Vec<PolicyEntry>>;

    /// One of them, with all that it says.
    ///
    /// # Errors
    /// `NotFound`; as [`Catalogue::policies`].
    fn policy(&self, name: &str) -> Result<PolicyText>;

    /// Reads a policy that somebody writes. No file is read.
    ///
    /// # Errors
    /// `InvalidInput`, naming the line.
    fn read_policy(&self, text: &str) -> Result<Policy>;

    /// The rules that programs are looked at by.
    fn rules(&self) -> RuleList;

    /// The settings that the service was started with.
    fn settings(&self) -> Vec<SettingEntry>;

    /// An attestation's envelope, by its id; `None` where there is none.
    ///
    /// # Errors
    /// `Io`, `Unavailable`.
    fn attestation(&self, id: &str) -> Result<Option<Vec<u8>>>;
}

/// Show who asks
#[utoipa::path(get, path = "/v1/me", tag = "service",
    responses((status = 200, description = "The key's name, project and role", body = Me)))]
pub(crate) async fn me(State(api): State<Api>, caller: Caller) -> Json<Me> {
    Json(Me {
        key: caller.key.map(|key| key.to_string()),
        name: caller.name,
        project: caller.project.to_string(),
        role: caller.role.to_string(),
        keys_required: matches!(api.access, Access::Keys(_)),
        node: api.service.parts().node.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// List policies
#[utoipa::path(get, path = "/v1/policies", tag = "catalogue",
    responses((status = 200, description = "Those that requests may name", body = PolicyList)))]
pub(crate) async fn policies(
    State(api): State<Api>,
    _caller: Caller,
) -> std::result::Result<Json<PolicyList>, Problem> {
    Ok(Json(PolicyList { policies: api.catalogue.policies()? }))
}

/// Show a policy
#[utoipa::path(get, path = "/v1/policies/{name}", tag = "catalogue", params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "All that it says", body = PolicyText)))]
pub(crate) async fn policy(
    State(api): State<Api>,
    _caller: Caller,
    Id(name): Id,
) -> std::result::Result<Json<PolicyText>, Problem> {
    Ok(Json(api.catalogue.policy(&name)?))
}

/// List rules
#[utoipa::path(get, path = "/v1/rules", tag = "catalogue",
    responses((status = 200, description = "Those that programs are looked at by", body = RuleList)))]
pub(crate) async fn rules(State(api): State<Api>, _caller: Caller) -> Json<RuleList> {
    Json(api.catalogue.rules())
}

/// List settings
///
/// They are of the start; what was changed since by other routes isn't in them.
#[utoipa::path(get, path = "/v1/settings", tag = "service",
    responses((status = 200, description = "Each with its value and where that comes from", body = SettingList)))]
pub(crate) async fn settings(
    State(api): State<Api>,
    caller: Caller,
) -> std::result::Result<Json<SettingList>, Problem> {
    caller.needs(Role::Admin)?;
    Ok(Json(SettingList { settings: api.catalogue.settings() }))
}
