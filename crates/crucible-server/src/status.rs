//! How the service is: its parts, its queue, its backends, its counts.

use crate::api::Api;
use crate::caller::Caller;
use crate::path::Id;
use crate::problem::Problem;
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use crucible_api::v1::{
    BackendList, CheckReport, Component, ComponentList, MissingBackend, Object, PastTest, ProjectQueue, QueueFlow,
    QueueReport, ServiceBackend, SetBackend, SetQueueFlow, milliseconds, sandbox_protection,
};
use crucible_core::{
    Backend, BackendSetting, CheckStatus, Error, ErrorKind, Flow, Result, Role, Switch, TaskCounts, rfc3339,
};
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

fn backend(api: &Api, backend: &dyn Backend) -> ServiceBackend {
    let can = backend.capabilities();
    let (isolation, layers) = sandbox_protection(can.isolation, &can.layers);
    let (breakers, name) = (&api.service.parts().breakers, backend.name());
    let out_because = breakers.why_out(name);
    let (running, most_running) = api.service.running_on(name);
    ServiceBackend {
        backend: name.to_owned(),
        version: backend.version(),
        isolation,
        layers,
        in_use: out_because.is_none(),
        out_because,
        enabled: breakers.switched(name) == Switch::On,
        running: many(running),
        most_running: most_running.map(many),
    }
}

/// List backends
#[utoipa::path(get, path = "/v1/backends", tag = "service",
    responses((status = 200, description = "Those that there are, and those that this machine can't run", body = BackendList)))]
pub(crate) async fn backends(State(api): State<Api>, _caller: Caller) -> Json<BackendList> {
    let all = api.service.parts().engine.backends();
    let told = all.iter().map(|found| backend(&api, found.as_ref()));
    let absent = api.health.backends().into_iter().filter(|health| health.test.is_absent()).map(|health| {
        let first = health.test.checks.into_iter().next();
        let (reason, hint) = first.map(|check| (check.seen, check.mend)).unwrap_or_default();
        MissingBackend { backend: health.test.component, reason, hint: Some(hint).filter(|hint| !hint.is_empty()) }
    });
    Json(BackendList { backends: told.collect(), unavailable: absent.collect() })
}

/// Switch a backend on or off, and bound what runs on it
///
/// What runs on it comes to its end. It is so after a restart, too.
#[utoipa::path(put, path = "/v1/backends/{name}", tag = "service", params(("name" = String, Path, description = "Its name")),
    request_body = SetBackend, responses((status = 200, description = "As it is now", body = ServiceBackend)))]
pub(crate) async fn set_backend(
    State(api): State<Api>,
    caller: Caller,
    Id(name): Id,
    request: std::result::Result<Json<Object<SetBackend>>, JsonRejection>,
) -> std::result::Result<Json<ServiceBackend>, Problem> {
    caller.needs(Role::Admin)?;
    let Json(Object(SetBackend { enabled, most_running })) = request?;
    let all = api.service.parts().engine.backends();
    let Some(found) = all.iter().find(|found| found.name() == name) else {
        let shown: String = name.chars().take(64).collect();
        let message = format!("this service has no backend {shown:?}");
        return Err(Error::new(ErrorKind::NotFound, "find the backend", message).into());
    };
    if most_running == Some(0) {
        let error = Error::new(ErrorKind::InvalidInput, "read the request", "most_running: nothing would ever run");
        return Err(error.with_hint("switch the backend off with \"enabled\": false").into());
    }
    let setting = BackendSetting { switch: if enabled { Switch::On } else { Switch::Off }, most_running };
    api.backends.set_backend_setting(found.name(), setting).await?;
    api.service.set_backend(found.name(), setting);
    tracing::info!(backend = found.name(), enabled, most_running, by = caller.name, "the backend was set");
    Ok(Json(backend(&api, found.as_ref())))
}

/// Show counts for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "service",
    responses((status = 200, description = "In Prometheus's text format", content_type = "text/plain", body = String)))]
pub(crate) async fn metrics(State(api): State<Api>, _caller: Caller) -> Result<Response, Problem> {
    let queue = api.service.parts().queue.statistics().await?;
    let pool = api.service.parts().engine.pool_counts();
    let text = api.metrics.text(&queue, api.service.running_now(), pool.as_ref());
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
