//! Submitting evaluations, and what became of them.

use crate::api::Api;
use crate::caller::Caller;
use crate::page_limit;
use crate::path::{self, Id};
use crate::problem::Problem;
use crate::records::HeldDocument;
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use crucible_api::v1::{
    self, Accepted, BatchAccepted, BatchResult, DecideEvaluation, Evaluation, EvaluationList, EvaluationState,
    HttpProblem, Object, SubmitBatch, SubmitEvaluation,
};
use crucible_core::{
    Cancellation, Document, Error, ErrorKind, EvaluationId, EvaluationSummary, ListOrder, ProjectId, Result, Review,
    ReviewDecision, Role, StoredEvaluation, TimeSpan, rfc3339,
};
use crucible_engine::{MOST_BATCH, Patience, Reuse, Submission, Submitted, check_labels};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};
use utoipa::IntoParams;

/// The longest that a request waits for a result.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Bytes of what is searched for.
const LONGEST_SEARCH: usize = 200;

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, "read the request", message)
}

/// Reads an id. One that isn't any names nothing.
pub(crate) fn evaluation_id(text: &str) -> Result<EvaluationId> {
    path::id(text, "find the evaluation", "evaluation")
}

/// How long to wait for a result.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Waiting {
    /// How long to wait for the result: `30s`. At most 5 minutes.
    #[param(example = "5s")]
    wait: Option<String>,
}

impl Waiting {
    fn time(&self) -> Result<Option<Duration>> {
        let Some(text) = &self.wait else { return Ok(None) };
        let time = text.parse::<TimeSpan>().map_err(|error| wrong(format!("wait: {error}")))?.get();
        if time > LONGEST_WAIT {
            return Err(wrong(format!("wait: {text} is more than {} s", LONGEST_WAIT.as_secs())));
        }
        Ok(Some(time))
    }
}

fn submission(api: &Api, request: SubmitEvaluation) -> Result<Submission> {
    let SubmitEvaluation { labels, idempotency_key, priority, delay, deterministic, .. } = &request;
    check_labels(labels)?;
    let reuse = if *deterministic { Reuse::IfTheSame } else { Reuse::Never };
    let delay = delay.as_ref().map(|text| text.parse::<TimeSpan>().map_err(|error| wrong(format!("delay: {error}"))));
    let (labels, idempotency_key, priority) = (labels.clone(), idempotency_key.clone(), *priority);
    let delay = delay.transpose()?.map_or(Duration::ZERO, TimeSpan::get);
    let spec = api.specs.evaluation_spec(request)?;
    Ok(Submission { spec, labels, idempotency_key, priority: crucible_core::Priority(priority), delay, reuse })
}

pub(crate) async fn quotas(api: &Api, project: &ProjectId) -> Result<crucible_core::Quotas> {
    Ok(api.projects.quotas(project).await?.unwrap_or_default())
}

/// Submit an evaluation
#[utoipa::path(post, path = "/v1/evaluations", tag = "evaluations", params(Waiting,
        ("idempotency-key" = Option<String>, Header, description = "The same as `idempotency_key` in the body")),
    request_body = SubmitEvaluation,
    responses(
        (status = 200, description = "It has come to its end within the time", body = Evaluation),
        (status = 202, description = "It is accepted and will have a result", body = Accepted)))]
pub(crate) async fn submit(
    State(api): State<Api>,
    caller: Caller,
    waiting: Result<Query<Waiting>, QueryRejection>,
    headers: HeaderMap,
    request: Result<Json<Object<SubmitEvaluation>>, JsonRejection>,
) -> Result<Response, Problem> {
    caller.needs(Role::Submitter)?;
    let wait = waiting?.0.time()?;
    let Json(Object(mut request)) = request?;
    if let Some(key) = headers.get("idempotency-key") {
        let key = key.to_str().map_err(|_| wrong("Idempotency-Key: it isn't text"))?.to_owned();
        if request.idempotency_key.get_or_insert_with(|| key.clone()) != &key {
            return Err(wrong("idempotency_key: the header Idempotency-Key says another one").into());
        }
    }
    let submission = submission(&api, request)?;
    let (project, quotas) = (&caller.project, quotas(&api, &caller.project).await?);
    let place = |id: EvaluationId| [(header::LOCATION, format!("/v1/evaluations/{id}"))];
    let accepted = |id: EvaluationId, state| {
        let accepted = Accepted { id: id.to_string(), state };
        (StatusCode::ACCEPTED, place(id), Json(accepted)).into_response()
    };
    let Some(wait) = wait else {
        let submitted = api.service.submit(project, quotas, submission).await?;
        return Ok(accepted(submitted.id(), state_of(&api, submitted).await?));
    };
    let now = api.service.submit_and_wait(project, quotas, submission, &patience(&api, wait)).await?;
    let (id, state) = (now.summary.id, now.summary.state);
    if state.ends_waiting() { Ok((place(id), document(&now)?).into_response()) } else { Ok(accepted(id, state.into())) }
}

/// Nobody waits for longer than this service goes on.
fn patience(api: &Api, time: Duration) -> Patience {
    Patience::of(time, api.closing.clone())
}

/// Submit many evaluations at once
///
/// What is wrong with one says nothing about the others.
#[utoipa::path(post, path = "/v1/evaluations:batch", tag = "evaluations", request_body = SubmitBatch,
    responses(
        (status = 200, description = "What became of each", body = BatchAccepted)))]
pub(crate) async fn submit_batch(
    State(api): State<Api>,
    caller: Caller,
    request: Result<Json<Object<SubmitBatch>>, JsonRejection>,
) -> Result<Json<BatchAccepted>, Problem> {
    caller.needs(Role::Submitter)?;
    let Json(Object(SubmitBatch { evaluations })) = request?;
    if evaluations.is_empty() || evaluations.len() > MOST_BATCH {
        return Err(wrong(format!("evaluations: there are {}, not 1 to {MOST_BATCH}", evaluations.len())).into());
    }
    let read: Vec<Result<Submission>> = evaluations.into_iter().map(|request| submission(&api, request)).collect();
    let (mut good, mut results) = (Vec::new(), Vec::with_capacity(read.len()));
    for one in read {
        results.push(one.map(|submission| good.push(submission)));
    }
    let submitted = api.service.submit_all(&caller.project, quotas(&api, &caller.project).await?, good).await?;
    let mut submitted = submitted.into_iter();
    let mut told = Vec::with_capacity(results.len());
    for read in results {
        let result = read.and_then(|()| {
            submitted
                .next()
                .unwrap_or_else(|| Err(Error::new(ErrorKind::Infrastructure, "submit", "it was passed over")))
        });
        told.push(match result {
            Ok(submitted) => {
                let accepted = Accepted { id: submitted.id().to_string(), state: state_of(&api, submitted).await? };
                BatchResult { accepted: Some(accepted), problem: None }
            }
            Err(error) => BatchResult { accepted: None, problem: Some(HttpProblem::of(&error)) },
        });
    }
    Ok(Json(BatchAccepted { results: told }))
}

/// How far one is that was just asked for: a new one waits, another may have its result.
async fn state_of(api: &Api, submitted: Submitted) -> Result<EvaluationState> {
    match submitted {
        Submitted::New(_) => Ok(EvaluationState::Queued),
        Submitted::Existing(id) => Ok(api.service.parts().store.get(None, id).await?.summary.state.into()),
    }
}

/// Which evaluations are to be listed.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Listing {
    /// How far they are: `queued`, `held`, `running`, `finished`, `failed`, `cancelled`, `dead`.
    state: Option<String>,
    /// How they ended: an outcome's `status`.
    status: Option<String>,
    /// What ran them.
    backend: Option<String>,
    /// Whether their outcome says something about the task.
    validity: Option<String>,
    /// What was decided before they ran: `allow`, `hold` or `deny`.
    verdict: Option<String>,
    /// A label with its value: `suite=gsm8k`.
    label: Option<String>,
    /// A piece of their id, of a label's name or of its value.
    #[param(max_length = 200)]
    search: Option<String>,
    /// Which come first: `newest` (where it isn't said) or `oldest`.
    order: Option<String>,
    /// Of this project alone. For administrators, who see all.
    project: Option<String>,
    /// Asked for at this time or later, by RFC 3339.
    created_from: Option<String>,
    /// Asked for before this time, by RFC 3339.
    created_before: Option<String>,
    /// Where the page before ended.
    cursor: Option<String>,
    /// How many; 100 where it isn't said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

fn moment(text: Option<&String>, what: &str) -> Result<Option<SystemTime>> {
    let read = |text: &String| {
        humantime::parse_rfc3339(text)
            .map_err(|_| wrong(format!("{what}: {text:?} is no time like 2026-01-31T12:00:00Z")))
    };
    text.map(read).transpose()
}

impl Listing {
    fn query(self, caller: &Caller) -> Result<crucible_core::Query> {
        let limit = page_limit(self.limit)?;
        let state = |text: &String| {
            crucible_core::EvaluationState::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
                let known = crucible_core::EvaluationState::ALL.map(crucible_core::EvaluationState::as_str).join(", ");
                wrong(format!("state: there is none of that name; there are {known}"))
            })
        };
        let label = |text: &String| match text.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(wrong("label: it isn't like name=value")),
        };
        let order = match self.order.as_deref() {
            None | Some("newest") => ListOrder::Newest,
            Some("oldest") => ListOrder::Oldest,
            Some(_) => return Err(wrong("order: it is neither newest nor oldest")),
        };
        if self.search.as_ref().is_some_and(|search| search.len() > LONGEST_SEARCH) {
            return Err(wrong(format!("search: it has {LONGEST_SEARCH} bytes at most")));
        }
        let asked = self.project.as_deref().map(str::parse).transpose()?;
        let project = match (caller.sees(), asked) {
            (None, asked) => asked,
            (Some(own), Some(asked)) if *own != asked => {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    "find the project",
                    format!("there is no project '{asked}'"),
                ));
            }
            (Some(own), _) => Some(own.clone()),
        };
        Ok(crucible_core::Query {
            project,
            state: self.state.as_ref().map(state).transpose()?,
            label: self.label.as_ref().map(label).transpose()?,
            created_from: moment(self.created_from.as_ref(), "created_from")?,
            created_before: moment(self.created_before.as_ref(), "created_before")?,
            status: self.status,
            backend: self.backend,
            validity: self.validity,
            verdict: self.verdict,
            search: self.search.filter(|search| !search.is_empty()),
            order,
            cursor: self.cursor,
            limit,
        })
    }
}

/// List evaluations
///
/// A page of a search may have fewer than there are, or none, and a cursor for where the search goes on.
#[utoipa::path(get, path = "/v1/evaluations", tag = "evaluations", params(Listing),
    responses((status = 200, description = "One page", body = EvaluationList)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    listing: Result<Query<Listing>, QueryRejection>,
) -> Result<Json<EvaluationList>, Problem> {
    let query = listing?.0.query(&caller)?;
    let page = api.service.parts().store.list(query).await?;
    Ok(Json(EvaluationList { evaluations: page.items.iter().map(summary).collect(), cursor: page.next }))
}

fn summary(of: &EvaluationSummary) -> v1::EvaluationSummary {
    v1::EvaluationSummary {
        id: of.id.to_string(),
        project: of.project.to_string(),
        state: of.state.into(),
        status: of.indexed.status.clone(),
        validity: of.indexed.validity.clone(),
        backend: of.indexed.backend.clone(),
        verdict: of.indexed.verdict.clone(),
        language: of.language.clone(),
        wall_ms: of.indexed.wall.map(v1::milliseconds),
        attempt: of.attempt,
        node: of.node.clone().unwrap_or_default(),
        priority: of.priority.0,
        labels: of.labels.clone(),
        created_at: rfc3339(of.created),
        started_at: of.started.map(rfc3339),
        finished_at: of.finished.map(rfc3339),
    }
}

/// [`Evaluation`] with documents as they were kept, so that they needn't be read to be told.
#[derive(Serialize)]
struct Told<'a> {
    id: String,
    state: EvaluationState,
    outcome: Option<&'a RawValue>,
    failure: Option<&'a RawValue>,
    validity: Option<&'a str>,
    attempt: u32,
    node: &'a str,
    labels: &'a BTreeMap<String, String>,
    admission: Option<v1::Admission>,
    findings: Vec<v1::Finding>,
    project: &'a str,
    priority: i8,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    cancel_requested: bool,
    review: Option<v1::Review>,
}

fn raw(document: Option<&Document>) -> Result<Option<&RawValue>> {
    let Some(document) = document else { return Ok(None) };
    serde_json::from_slice(&document.body).map(Some).map_err(|error| {
        Error::new(ErrorKind::Infrastructure, "read the record", "a kept document can't be read").with_source(error)
    })
}

/// An evaluation as it is told.
fn document(of: &StoredEvaluation) -> Result<Response> {
    let StoredEvaluation { summary, review, outcome, failure, admission } = of;
    let held: Option<HeldDocument> = admission.as_ref().and_then(|kept| serde_json::from_slice(&kept.body).ok());
    let (admission, findings) = held.map_or((None, Vec::new()), |held| (Some(held.admission), held.findings));
    let told = Told {
        id: summary.id.to_string(),
        state: summary.state.into(),
        outcome: raw(outcome.as_ref())?,
        failure: raw(failure.as_ref())?,
        validity: summary.indexed.validity.as_deref(),
        attempt: summary.attempt,
        node: summary.node.as_deref().unwrap_or_default(),
        labels: &summary.labels,
        admission,
        findings,
        project: summary.project.as_str(),
        priority: summary.priority.0,
        created_at: rfc3339(summary.created),
        started_at: summary.started.map(rfc3339),
        finished_at: summary.finished.map(rfc3339),
        cancel_requested: summary.cancellation == Cancellation::Requested,
        review: review.as_ref().map(v1::Review::from),
    };
    Ok((caching(summary), Json(told)).into_response())
}

/// What whoever keeps a copy has to know. A final state never changes any more.
fn caching(summary: &EvaluationSummary) -> [(header::HeaderName, String); 2] {
    let cached = if summary.state.is_final() { "private, max-age=31536000, immutable" } else { "private, no-cache" };
    [(header::ETAG, entity_tag(summary)), (header::CACHE_CONTROL, cached.to_owned())]
}

fn entity_tag(summary: &EvaluationSummary) -> String {
    format!("\"{}-{}\"", summary.id, summary.version)
}

fn knows(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    known.split(',').any(|known| known.trim() == "*" || known.trim().trim_start_matches("W/") == tag)
}

/// Show an evaluation, with what came of it
#[utoipa::path(get, path = "/v1/evaluations/{id}", tag = "evaluations", params(("id" = String, Path, description = "Its id"), Waiting),
    responses((status = 200, description = "It", body = Evaluation), (status = 304, description = "It is as the caller knows it")))]
pub(crate) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    waiting: Result<Query<Waiting>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = evaluation_id(&id)?;
    let evaluation = match waiting?.0.time()? {
        Some(wait) => api.service.wait_for(caller.sees(), id, &patience(&api, wait)).await?,
        None => api.service.parts().store.get(caller.sees(), id).await?,
    };
    if knows(&headers, &entity_tag(&evaluation.summary)) {
        return Ok((StatusCode::NOT_MODIFIED, caching(&evaluation.summary)).into_response());
    }
    Ok(document(&evaluation)?)
}

/// Cancel an evaluation
///
/// One that waits never starts; one that runs is ended. One that has its result keeps it.
#[utoipa::path(delete, path = "/v1/evaluations/{id}", tag = "evaluations", params(("id" = String, Path, description = "Its id")),
    responses((status = 202, description = "How far it is now", body = Accepted)))]
pub(crate) async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    caller.needs(Role::Submitter)?;
    let id = evaluation_id(&id)?;
    api.service.cancel(caller.sees(), id).await?;
    let now = api.service.parts().store.get(caller.sees(), id).await?;
    Ok((StatusCode::ACCEPTED, Json(Accepted { id: id.to_string(), state: now.summary.state.into() })))
}

/// Decide about an evaluation that is held
#[utoipa::path(post, path = "/v1/evaluations/{id}/review", tag = "evaluations", params(("id" = String, Path, description = "Its id")),
    request_body = DecideEvaluation,
    responses((status = 200, description = "How far it is now", body = Accepted)))]
pub(crate) async fn decide(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    request: Result<Json<Object<DecideEvaluation>>, JsonRejection>,
) -> Result<Json<Accepted>, Problem> {
    caller.needs(Role::Reviewer)?;
    let id = evaluation_id(&id)?;
    let Json(Object(DecideEvaluation { decision, reason, by })) = request?;
    let decision = match decision {
        v1::ReviewDecision::Approved => ReviewDecision::Approved,
        v1::ReviewDecision::Rejected => ReviewDecision::Rejected,
    };
    // Who asks is always told; a person behind a key that several use may be, too.
    let by = match by.filter(|by| *by != caller.name) {
        Some(by) => format!("{by} ({})", caller.name),
        None => caller.name.clone(),
    };
    let review = Review { decision, by, reason, at: SystemTime::now() };
    let state = api.service.decide(caller.sees(), id, review).await?;
    Ok(Json(Accepted { id: id.to_string(), state: state.into() }))
}
