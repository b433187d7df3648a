//! What projects may have.

use crate::api::Api;
use crate::caller::Caller;
use crate::path::Id;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use crucible_api::v1::{Object, Project, ProjectList, ProjectQuotas};
use crucible_core::{Error, ErrorKind, ProjectId, Quotas, Role};

/// The largest bound.
const LARGEST: u64 = 1_000_000_000;

fn told((project, quotas): (ProjectId, Quotas)) -> Project {
    let Quotas { most_running, most_queued, most_per_day } = quotas;
    Project { project: project.to_string(), quotas: ProjectQuotas { most_running, most_queued, most_per_day } }
}

/// List projects that have quotas of their own
#[utoipa::path(get, path = "/v1/projects", tag = "projects",
    responses((status = 200, description = "Each with its quotas", body = ProjectList)))]
pub(crate) async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<ProjectList>, Problem> {
    caller.needs(Role::Admin)?;
    Ok(Json(ProjectList { projects: api.projects.projects().await?.into_iter().map(told).collect() }))
}

/// Set what a project may have
#[utoipa::path(put, path = "/v1/projects/{project}", tag = "projects", params(("project" = String, Path, description = "Its name")),
    request_body = ProjectQuotas, responses((status = 200, description = "As it is now", body = Project)))]
pub(crate) async fn set(
    State(api): State<Api>,
    caller: Caller,
    Id(project): Id,
    request: Result<Json<Object<ProjectQuotas>>, JsonRejection>,
) -> Result<Json<Project>, Problem> {
    caller.needs(Role::Admin)?;
    let Json(Object(ProjectQuotas { most_running, most_queued, most_per_day })) = request?;
    let all = [most_running.map(u64::from), most_queued, most_per_day];
    if let Some(number) = all.into_iter().flatten().find(|number| *number > LARGEST) {
        let message = format!("{number} is more than {LARGEST}; null is no bound");
        return Err(Error::new(ErrorKind::InvalidInput, "read the request", message).into());
    }
    let (project, quotas): (ProjectId, _) = (project.parse()?, Quotas { most_running, most_queued, most_per_day });
    api.projects.set_quotas(&project, quotas).await?;
    api.service.heed([(project.clone(), quotas)]).await?;
    Ok(Json(told((project, quotas))))
}
