//! The description of the interface, made of the routes and the wire types themselves.

use crate::api::{Api, service_routes};
use crate::{SandboxService, sandbox_router};
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use crucible_api::v1::{EvaluationEvent, HttpProblem, PROBLEM_TYPE};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Crucible", description = "Runs code that nobody has read: isolated, watched, with evidence."),
    components(schemas(HttpProblem, EvaluationEvent)),
    modifiers(&Shared),
    security(("key" = []), ())
)]
struct Described;

/// What every route may answer.
struct Shared;

const PROBLEMS: [(&str, &str); 10] = [
    ("400", "The request is wrong"),
    ("401", "There is no key, or one that opens nothing"),
    ("403", "The key, or the policy, doesn't allow it"),
    ("404", "Something named isn't there"),
    ("409", "It contradicts what is there"),
    ("413", "The body is too large"),
    ("415", "The body isn't JSON"),
    ("429", "There is too much to do; Retry-After says when to try again"),
    ("500", "The service itself failed"),
    ("503", "This machine can't do it now"),
];

fn problem(description: &str) -> Response {
    let content = Content::new(Some(Ref::from_schema_name("HttpProblem")));
    ResponseBuilder::new().description(description).content(PROBLEM_TYPE, content).build()
}

/// Says of every operation what it is called, which no other one is, and by which problems it may be answered.
fn complete(described: &mut OpenApi) {
    for item in described.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            let tag = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
            operation.operation_id = operation.operation_id.take().map(|name| format!("{tag}_{name}"));
            for (status, description) in PROBLEMS {
                let responses = &mut operation.responses.responses;
                responses.entry(status.to_owned()).or_insert_with(|| problem(description).into());
            }
        }
    }
}

/// A stream of events has no end that a schema could speak of: what is in it says the description.
fn leave_streams_open(described: &mut OpenApi) {
    let operations = described.paths.paths.values_mut().filter_map(|item| item.get.as_mut());
    let responses = operations.flat_map(|operation| operation.responses.responses.values_mut());
    for response in responses {
        if let RefOr::T(response) = response
            && let Some(RefOr::T(content)) = response.content.get_mut("text/event-stream")
        {
            content.schema = None;
        }
    }
}

impl Modify for Shared {
    fn modify(&self, openapi: &mut OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let key = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A key that `crucible keys create` made"));
        components.add_security_scheme("key", SecurityScheme::Http(key.build()));
    }
}

/// Every described route, and the description.
pub(crate) fn collect(api: Api, sandboxes: SandboxService) -> (Router, OpenApi) {
    let (router, mut described) =
        OpenApiRouter::with_openapi(Described::openapi()).merge(service_routes()).with_state(api).split_for_parts();
    let (sandboxes, more) = sandbox_router().with_state(sandboxes).split_for_parts();
    described.merge(more);
    complete(&mut described);
    leave_streams_open(&mut described);
    (router.merge(sandboxes), described)
}

/// The description of the interface as JSON, and as a page at `/docs`.
pub(crate) fn pages(description: OpenApi) -> Router {
    let text = description.to_json().unwrap_or_default();
    let answer = move || {
        let text = text.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], text).into_response() }
    };
    // It brings its own scripts, and styles that are set by them.
    let policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";
    let page = Router::from(SwaggerUi::new("/docs").config(Config::new(["/openapi.json"])));
    let page = page
        .layer(SetResponseHeaderLayer::overriding(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)));
    Router::new().route("/openapi.json", get(answer)).merge(page)
}
