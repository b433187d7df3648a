//! How the service is: its parts, its queue, its backends, its counts.

use crate::api::Api;
use crate::caller::Caller;
use crate::problem::Problem;
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use crucible_api::v1::{
    BackendList, CheckReport, Component, ComponentList, MissingBackend, Object, PastTest, ProjectQueue, QueueFlow,
    QueueReport, ServiceBackend, SetQueueFlow, milliseconds, sandbox_protection,
};
use crucible_core::{CheckStatus, Flow, Result, Role, TaskCounts, rfc3339};
use crucible_engine::ComponentHealth;
use serde::Deserialize;
use utoipa::IntoParams;

/// That this process answers.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the service can do its work.
pub(crate) async fn readyz(State(api): State<Api>) -> Response {
    let unwell = api.health.unwell();
    if unwell.is_empty() {
        return "ready\n".into_response();
    }
    // Whoever asks needs no key, so that the reasons are for those who have one.
    (StatusCode::SERVICE_UNAVAILABLE, "not ready; see /v1/components\n").into_response()
}

fn component(health: &ComponentHealth) -> Component {
    let count = |wanted: Option<CheckStatus>| {
        let checks = health.test.checks.iter();
        u64::try_from(checks.filter(|check| wanted.is_none_or(|wanted| check.status == wanted)).count())
            .unwrap_or(u64::MAX)
    };
    Component {
        component: health.test.component.clone(),
        healthy: health.test.is_healthy(),
        absent: health.test.is_absent(),
        passed: count(Some(CheckStatus::Passed)),
        total: count(None).saturating_sub(count(Some(CheckStatus::Skipped))),
        checks: health.test.checks.iter().map(CheckReport::from).collect(),
        tested_at: rfc3339(health.at),
        took_ms: milliseconds(health.took),
        history: Vec::new(),
    }
}

fn many(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn past(test: crucible_engine::PastTest) -> PastTest {
    let crucible_engine::PastTest { at, passed, total, failed } = test;
    PastTest { at: rfc3339(at), passed: many(passed), total: many(total), failed }
}

/// What is wanted of parts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Whether what their latest tests came to is wanted, too.
    #[serde(default)]
    history: bool,
}

/// Show what the parts found when they tested themselves
#[utoipa::path(get, path = "/v1/components", tag = "service", params(Wanted),
    responses((status = 200, description = "Every part", body = ComponentList)))]
pub(crate) async fn components(
    State(api): State<Api>,
    _caller: Caller,
    wanted: std::result::Result<Query<Wanted>, QueryRejection>,
) -> std::result::Result<Json<ComponentList>, Problem> {
    let Query(Wanted { history }) = wanted?;
    let unwell = api.health.unwell();
    let mut components: Vec<_> = api.health.report().iter().map(component).collect();
    for component in components.iter_mut().filter(|_| history) {
        component.history = api.health.history(&component.component).into_iter().map(past).collect();
    }
    Ok(Json(ComponentList { ready: unwell.is_empty(), unwell, components }))
}

fn project(counts: &TaskCounts) -> ProjectQueue {
    let TaskCounts { waiting, delayed, leased, .. } = *counts;
    ProjectQueue { waiting, delayed, leased }
}

const fn flow(flow: Flow) -> QueueFlow {
    match flow {
        Flow::Open => QueueFlow::Open,
        Flow::Paused => QueueFlow::Paused,
        Flow::Draining => QueueFlow::Draining,
    }
}

async fn report(api: &Api, caller: &Caller) -> Result<QueueReport> {
    let queue = api.service.parts().queue.statistics().await?;
    let settings = api.service.settings();
    let seen = queue.projects.iter().filter(|(name, _)| caller.sees_those_of(name));
    Ok(QueueReport {
        flow: flow(queue.flow),
        waiting: queue.all.waiting,
        delayed: queue.all.delayed,
        leased: queue.all.leased,
        oldest_ms: queue.oldest.map(milliseconds),
        running: many(api.service.running_now()),
        most_running: many(settings.most_running),
        most_queued: settings.most_queued,
        projects: seen.map(|(name, counts)| (name.to_string(), project(counts))).collect(),
    })
}

/// Show what is in the queue
#[utoipa::path(get, path = "/v1/queue", tag = "service",
    responses((status = 200, description = "Counts", body = QueueReport)))]
pub(crate) async fn queue(State(api): State<Api>, caller: Caller) -> Result<Json<QueueReport>, Problem> {
    Ok(Json(report(&api, &caller).await?))
}

/// Open, pause or drain the queue
#[utoipa::path(put, path = "/v1/queue", tag = "service", request_body = SetQueueFlow,
    responses((status = 200, description = "Counts", body = QueueReport)))]
pub(crate) async fn set_flow(
    State(api): State<Api>,
    caller: Caller,
    request: Result<Json<Object<SetQueueFlow>>, JsonRejection>,
) -> Result<Json<QueueReport>, Problem> {
    caller.needs(Role::Admin)?;
    let Json(Object(SetQueueFlow { flow })) = request?;
    let flow = match flow {
        QueueFlow::Open => Flow::Open,
        QueueFlow::Paused => Flow::Paused,
        QueueFlow::Draining => Flow::Draining,
    };
    api.service.parts().queue.set_flow(flow).await?;
    Ok(Json(report(&api, &caller).await?))
}

/// List backends
#[utoipa::path(get, path = "/v1/backends", tag = "service",
    responses((status = 200, description = "Those that there are, and those that this machine can't run", body = BackendList)))]
pub(crate) async fn backends(State(api): State<Api>, _caller: Caller) -> Json<BackendList> {
    let parts = api.service.parts();
    let all = parts.engine.backends();
    let told = all.iter().map(|backend| {
        let can = backend.capabilities();
        let (isolation, layers) = sandbox_protection(can.isolation, &can.layers);
        let out_because = parts.breakers.why_out(backend.name());
        ServiceBackend {
            backend: backend.name().to_owned(),
            version: backend.version(),
            isolation,
            layers,
            in_use: out_because.is_none(),
            out_because,
        }
    });
    let absent = api.health.backends().into_iter().filter(|health| health.test.is_absent()).map(|health| {
        let first = health.test.checks.into_iter().next();
        let (reason, hint) = first.map(|check| (check.seen, check.mend)).unwrap_or_default();
        MissingBackend { backend: health.test.component, reason, hint: Some(hint).filter(|hint| !hint.is_empty()) }
    });
    Json(BackendList { backends: told.collect(), unavailable: absent.collect() })
}

/// Show counts for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "service",
    responses((status = 200, description = "In Prometheus's text format", content_type = "text/plain", body = String)))]
pub(crate) async fn metrics(State(api): State<Api>, _caller: Caller) -> Result<Response, Problem> {
    let queue = api.service.parts().queue.statistics().await?;
    let text = api.metrics.text(&queue, api.service.running_now());
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
