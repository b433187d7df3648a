//! What an evaluation was asked for as, asking for it again, and the attestation that covers it.

use crate::api::Api;
use crate::caller::Caller;
use crate::evaluations::{evaluation_id, quotas};
use crate::path::Id;
use crate::problem::Problem;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use crucible_api::v1::{Accepted, EvaluationState, Object, RerunEvaluation, SubmitEvaluation};
use crucible_core::{Error, ErrorKind, Role};
use crucible_engine::RESERVED_LABELS;
use serde::Deserialize;

/// Show what an evaluation was asked for as
///
/// Given to `POST /v1/evaluations` it asks for the same: every limit is in it, and its labels but for Crucible's own.
#[utoipa::path(get, path = "/v1/evaluations/{id}/specification", tag = "evaluations", params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "Program, files, limits and all else", body = SubmitEvaluation)))]
pub(crate) async fn specification(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
) -> std::result::Result<Json<SubmitEvaluation>, Problem> {
    let id = evaluation_id(&id)?;
    let store = &api.service.parts().store;
    let spec = store.specification(caller.sees(), id).await?;
    let summary = store.get(caller.sees(), id).await?.summary;
    let mut labels = summary.labels;
    labels.retain(|name, _| !name.starts_with(RESERVED_LABELS));
    Ok(Json(SubmitEvaluation { labels, priority: summary.priority.0, ..SubmitEvaluation::from(&spec) }))
}

/// What a rerun is to differ in. There may be no body at all.
fn differing(headers: &HeaderMap, body: &Bytes) -> std::result::Result<RerunEvaluation, Problem> {
    if body.is_empty() {
        return Ok(RerunEvaluation::default());
    }
    let read = Json::<Object<RerunEvaluation>>::from_bytes(body).map(|Json(Object(rerun))| rerun);
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().ends_with("json")));
    if is_json { Ok(read?) } else { Err(Problem::not_json()) }
}

/// Submit an evaluation again
///
/// As a new one, with the same specification, labels and priority; on another backend where one is named.
#[utoipa::path(post, path = "/v1/evaluations/{id}/rerun", tag = "evaluations", params(("id" = String, Path, description = "Its id")),
    request_body = Option<RerunEvaluation>,
    responses((status = 202, description = "The new one", body = Accepted)))]
pub(crate) async fn rerun(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    headers: HeaderMap,
    body: Bytes,
) -> std::result::Result<Response, Problem> {
    caller.needs(Role::Submitter)?;
    let id = evaluation_id(&id)?;
    let RerunEvaluation { backend } = differing(&headers, &body)?;
    let store = &api.service.parts().store;
    // An administrator may ask for one of another project, which it counts against.
    let project = store.get(caller.sees(), id).await?.summary.project;
    let backend = match backend {
        Some(name) => Some(api.specs.backend(&name, &store.specification(caller.sees(), id).await?)?),
        None => None,
    };
    let id = api.service.rerun(caller.sees(), id, backend, quotas(&api, &project).await?).await?.id();
    let place = [(header::LOCATION, format!("/v1/evaluations/{id}"))];
    let accepted = Accepted { id: id.to_string(), state: EvaluationState::Queued };
    Ok((StatusCode::ACCEPTED, place, Json(accepted)).into_response())
}

/// The part of an outcome that names the attestation.
#[derive(Deserialize)]
struct Attested {
    evidence: AttestedEvidence,
}

#[derive(Deserialize)]
struct AttestedEvidence {
    attestation: Option<String>,
}

/// Show the attestation that covers an evaluation
///
/// What the attack suite found about this node as it was when the evaluation ran: a DSSE envelope with an in-toto statement,
/// for `crucible attest verify`.
#[utoipa::path(get, path = "/v1/evaluations/{id}/attestation", tag = "evaluations", params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "The envelope, as a file", content_type = "application/vnd.in-toto+json", body = Object)))]
pub(crate) async fn attestation(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
) -> std::result::Result<Response, Problem> {
    let id = evaluation_id(&id)?;
    let outcome = api.service.parts().store.get(caller.sees(), id).await?.outcome;
    let missing = || Error::new(ErrorKind::NotFound, "find the attestation", format!("none covers evaluation {id}"));
    let named = outcome.and_then(|outcome| serde_json::from_slice::<Attested>(&outcome.body).ok());
    let name = named.and_then(|outcome| outcome.evidence.attestation).ok_or_else(missing)?;
    let finding = tokio::task::spawn_blocking(move || api.catalogue.attestation(&name));
    let broke_off = |_| Err(Error::new(ErrorKind::Infrastructure, "find the attestation", "the search broke off"));
    let envelope = finding.await.unwrap_or_else(broke_off)?.ok_or_else(missing)?;
    let disposition = format!("attachment; filename=\"attestation-{id}.intoto.json\"");
    let disposition = HeaderValue::from_str(&disposition)
        .map_err(|_| Error::new(ErrorKind::Infrastructure, "name the attestation", "its name can't be told"))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/vnd.in-toto+json")),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    Ok((headers, envelope).into_response())
}
