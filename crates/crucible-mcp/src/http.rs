//! The protocol over HTTP («streamable HTTP»), at one path.
//!
//! Invariant: whoever asks is found out before a byte of the protocol is read: without keys only this machine's own programs are
//! answered, and no web page's. There are so many conversations at one time and no more.

use crate::server::Mcp;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use crucible_core::{Role, TimeSpan};
use crucible_server::{Access, MOST_BODY, guarded};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Where it is.
pub const PATH: &str = "/mcp";

/// How long a conversation may lie idle, besides the longest that a call may take: a call that tells no progress is silent.
const IDLE: Duration = Duration::from_secs(300);
/// Conversations at one time. Each holds what its calls still have to say.
const MOST: usize = 256;

/// The routes. Cancelling `stop` ends every conversation.
pub fn routes(mcp: Mcp, access: Access, stop: CancellationToken) -> Router {
    let longest: TimeSpan = mcp.0.parts.maximum.timeout;
    let mut sessions = LocalSessionManager::default();
    sessions.session_config.keep_alive = Some(IDLE + longest.get());
    // Names of hosts and origins are looked at by the guard, which knows whether there are keys.
    let config = StreamableHttpServerConfig::default()
        .disable_allowed_hosts()
        .with_max_request_body_bytes(MOST_BODY)
        .with_cancellation_token(stop);
    let sessions = Arc::new(sessions);
    let service = StreamableHttpService::new(move || Ok(mcp.clone()), Arc::clone(&sessions), config);
    let routes = Router::new().route_service(PATH, service).layer(middleware::from_fn_with_state(sessions, bounded));
    guarded(routes, access, Role::Submitter)
}

/// Begins no conversation while there are as many as there may be. What belongs to one, or to none, goes on.
async fn bounded(State(sessions): State<Arc<LocalSessionManager>>, request: Request, next: Next) -> Response {
    let is_known = request.headers().contains_key("mcp-session-id");
    if is_known || sessions.sessions.read().await.len() < MOST {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MOST_BODY).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let method = serde_json::from_slice::<Method>(&body).ok();
    if method.is_some_and(|Method { method }| method == "initialize") {
        let message = format!("there are {MOST} conversations, which is as many as there may be; try again later\n");
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "10")], message).into_response();
    }
    next.run(Request::from_parts(head, Body::from(body))).await
}

/// What is asked for.
#[derive(serde::Deserialize)]
struct Method {
    method: String,
}
