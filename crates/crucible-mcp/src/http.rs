//! The protocol over HTTP («streamable HTTP»), at one path.
//!
//! Invariant: whoever asks is found out before a byte of the protocol is read: without keys only this machine's own programs are
//! answered, and no web page's.

use crate::server::Mcp;
use axum::Router;
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
    let service = StreamableHttpService::new(move || Ok(mcp.clone()), Arc::new(sessions), config);
    guarded(Router::new().route_service(PATH, service), access, Role::Submitter)
}
