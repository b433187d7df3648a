//! The whole interface: what the routes work with, and which there are.

use crate::attacks::{self, Attacks};
use crate::caller::{self, Access};
use crate::metrics::Metrics;
use crate::rate::{self, Rate};
use crate::{
    Catalogue, MOST_BODY, Page, SandboxService, SpecReader, Statistics, WebhookParts, catalogue, evaluations, feed,
    keys, openapi, page, problem, projects, scan, specification, statistics, status, store, webhooks,
};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use crucible_core::{BackendStore, HostPath, ProjectStore, StoreCare};
use crucible_engine::{Health, Service, Sessions};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate as _, SizeAbove};
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer};
use tracing::Instrument as _;

/// Answers smaller than this aren't compressed.
const COMPRESSED_FROM: u64 = 1024;
/// What a request is called in logs and in its answer.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the interface is made of.
pub struct ApiParts {
    /// Accepts and runs evaluations.
    pub service: Arc<Service>,
    /// Knows how the parts are.
    pub health: Arc<Health>,
    /// Keeps sandboxes open.
    pub sessions: Arc<Sessions>,
    /// Fills in what requests leave out.
    pub specs: Arc<dyn SpecReader>,
    /// Knows what the service goes by.
    pub catalogue: Arc<dyn Catalogue>,
    /// Who is let in.
    pub access: Access,
    /// Knows what projects may have.
    pub projects: Arc<dyn ProjectStore>,
    /// Keeps what was decided about backends.
    pub backends: Arc<dyn BackendStore>,
    /// Runs the attack suite.
    pub attacks: Arc<Attacks>,
    /// Counts.
    pub metrics: Metrics,
    /// Counts by time.
    pub statistics: Statistics,
    /// How many requests a key may make, where that is bounded.
    pub rate: Option<Rate>,
    /// Cares for what is kept.
    pub care: Arc<dyn StoreCare>,
    /// The folder that backups go to.
    pub backups: HostPath,
    /// Tells addresses of ends.
    pub webhooks: WebhookParts,
    /// What a browser gets.
    pub page: Page,
    /// Ends what would go on for ever when the service stops.
    pub closing: CancellationToken,
}

/// The interface's state. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Whole>);

struct Whole {
    parts: ApiParts,
    looking: Semaphore,
}

impl std::ops::Deref for Api {
    type Target = ApiParts;

    fn deref(&self) -> &ApiParts {
        &self.0.parts
    }
}

impl Api {
    /// Of these parts.
    #[must_use]
    pub fn new(parts: ApiParts) -> Self {
        Self(Arc::new(Whole { parts, looking: Semaphore::new(scan::MOST_AT_ONCE) }))
    }

    /// One permit for each program that may be looked at without being run.
    pub(crate) fn looking(&self) -> &Semaphore {
        &self.0.looking
    }
}

/// Every route.
pub fn routes(api: Api) -> Router {
    let sandboxes = SandboxService::new(Arc::clone(&api.sessions), Arc::clone(&api.specs)).owned_by_projects();
    let whole = api.clone();
    let (evaluations, description) = openapi::collect(api.clone(), sandboxes);
    let guarded = evaluations
        .layer(middleware::from_fn_with_state(api.clone(), rate::limit))
        .layer(middleware::from_fn_with_state(api.clone(), caller::identify));
    // What comes as it happens would be kept back.
    let not_events = NotForContentType::new("text/event-stream").and(NotForContentType::new("application/x-ndjson"));
    let compression = CompressionLayer::new().compress_when(SizeAbove::new(COMPRESSED_FROM).and(not_events));
    Router::new()
        .route("/healthz", axum::routing::get(status::healthz))
        .route("/readyz", axum::routing::get(status::readyz))
        .route("/", axum::routing::get(page::serve))
        .with_state(api.clone())
        .merge(openapi::pages(description))
        .merge(guarded)
        .fallback(move |request: Request| page::serve(State(whole), request))
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(middleware::from_fn_with_state(api, observe))
        .layer(compression)
        .layer(CatchPanicLayer::custom(|_| problem::broke_down()))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
}

/// The routes that need no sandbox.
pub(crate) fn service_routes() -> utoipa_axum::router::OpenApiRouter<Api> {
    use utoipa_axum::{router::OpenApiRouter, routes};
    OpenApiRouter::new()
        .routes(routes!(evaluations::submit, evaluations::list))
        .routes(routes!(evaluations::submit_batch))
        .routes(routes!(evaluations::show, evaluations::cancel))
        .routes(routes!(evaluations::decide))
        .routes(routes!(feed::of_evaluation))
        .routes(routes!(feed::firehose))
        .routes(routes!(status::components))
        .routes(routes!(status::queue, status::set_flow))
        .routes(routes!(status::backends))
        .routes(routes!(status::set_backend))
        .routes(routes!(attacks::list, attacks::start))
        .routes(routes!(attacks::show, attacks::cancel))
        .routes(routes!(status::metrics))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(specification::specification))
        .routes(routes!(specification::rerun))
        .routes(routes!(specification::attestation))
        .routes(routes!(catalogue::me))
        .routes(routes!(catalogue::policies))
        .routes(routes!(catalogue::policy))
        .routes(routes!(catalogue::rules))
        .routes(routes!(catalogue::settings))
        .routes(routes!(statistics::statistics))
        .routes(routes!(scan::scan))
        .routes(routes!(scan::test_policy))
        .routes(routes!(projects::list))
        .routes(routes!(projects::set))
        .routes(routes!(store::check))
        .routes(routes!(store::backup))
        .routes(routes!(store::forget))
        .routes(routes!(webhooks::list, webhooks::create))
        .routes(routes!(webhooks::set, webhooks::remove))
        .routes(routes!(webhooks::try_out))
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .layer(middleware::from_fn(problem::refuse_large_bodies))
}

/// Counts and logs every request, under its own id.
async fn observe(State(api): State<Api>, request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().map(|id| id.header_value().clone());
    let id = id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or("-").to_owned();
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<axum::extract::MatchedPath>()
        .map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let begun = Instant::now();
    let span = tracing::info_span!("request", id, %method, route);
    let mut response = next.run(request).instrument(span.clone()).await;
    let (took, code) = (begun.elapsed(), response.status().as_u16());
    span.in_scope(|| tracing::debug!(status = code, took_ms = took.as_secs_f64() * 1e3, "answered"));
    api.metrics.request(&route, method.as_str(), code, took);
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    response
}
