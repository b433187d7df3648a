//! A sandbox that was made by the control plane, with what its own interface keeps of it.

use crate::E2b;
use crate::filesystem::Watchers;
use crate::interpreter::Contexts;
use crate::process::Processes;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use crucible_core::{ProjectId, SandboxId};
use crucible_engine::Session;
use crucible_server::{Access, hash};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::Instant;

/// Where a sandbox's id and token stand in requests to it.
const ID: &str = "e2b-sandbox-id";
const TOKENS: [&str; 2] = ["x-access-token", "e2b-traffic-access-token"];
/// By which the SDK knows that a sandbox is gone, and not merely out of reach.
const NOT_FOUND: &str = "The sandbox was not found";

/// One sandbox.
pub(crate) struct Opened {
    pub(crate) session: Arc<Session>,
    pub(crate) project: ProjectId,
    /// What reaches it.
    pub(crate) token: String,
    pub(crate) template: String,
    pub(crate) metadata: BTreeMap<String, String>,
    end: watch::Sender<Instant>,
    pub(crate) processes: Processes,
    pub(crate) watchers: Watchers,
    pub(crate) contexts: Contexts,
}

impl Opened {
    pub(crate) fn new(
        session: Arc<Session>,
        project: ProjectId,
        token: String,
        (template, metadata): (String, BTreeMap<String, String>),
        lives: Duration,
    ) -> Arc<Self> {
        let opened = Arc::new(Self {
            session,
            project,
            token,
            template,
            metadata,
            end: watch::Sender::new(Instant::now() + lives),
            processes: Processes::default(),
            watchers: Watchers::default(),
            contexts: Contexts::default(),
        });
        tokio::spawn(end_in_time(Arc::clone(&opened)));
        opened
    }

    pub(crate) fn id(&self) -> SandboxId {
        self.session.id()
    }

    /// From now on it lives so long.
    pub(crate) fn live_for(&self, lives: Duration) {
        self.end.send_replace(Instant::now() + lives);
    }

    /// The same, where it would end before.
    pub(crate) fn live_at_least(&self, lives: Duration) {
        let end = Instant::now() + lives;
        self.end.send_if_modified(|known| {
            let is_later = end > *known;
            *known = end.max(*known);
            is_later
        });
    }

    pub(crate) fn ends_at(&self) -> SystemTime {
        SystemTime::now() + self.end.borrow().saturating_duration_since(Instant::now())
    }
}

/// Ends a sandbox when its time is over. It ends earlier where somebody asks for it.
async fn end_in_time(opened: Arc<Opened>) {
    let mut end = opened.end.subscribe();
    loop {
        let at = *end.borrow_and_update();
        tokio::select! {
            () = tokio::time::sleep_until(at) => {
                if let Err(error) = opened.session.destroy().await {
                    tracing::error!(%error, "a sandbox whose time is over can't be cleared away");
                }
                return;
            }
            _ended = opened.session.ended() => return,
            changed = end.changed() => if changed.is_err() { return },
        }
    }
}

/// A sandbox that can't be reached, as the proxy before it says it.
pub(crate) struct Unreachable {
    status: StatusCode,
    id: String,
    message: String,
}

impl IntoResponse for Unreachable {
    fn into_response(self) -> Response {
        let Self { status, id, message } = self;
        (status, Json(json!({"sandboxId": id, "message": message, "code": status.as_u16()}))).into_response()
    }
}

impl E2b {
    /// The sandbox that a request to one means, if whoever asks may reach it.
    pub(crate) async fn reached(&self, headers: &HeaderMap) -> Result<Arc<Opened>, Unreachable> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let id = text(ID).unwrap_or_default();
        let refuse = |status, message: &str| Unreachable {
            status,
            id: id.chars().take(64).collect(),
            message: message.to_owned(),
        };
        // Without keys no page of another site may ask here, either. With keys the token is what counts.
        if matches!(self.0.api.access, Access::Local) {
            let refused = |error: crucible_core::Error| refuse(StatusCode::FORBIDDEN, &error.to_string());
            self.0.api.access.identify(headers).await.map_err(refused)?;
        }
        let missing = || refuse(StatusCode::BAD_GATEWAY, NOT_FOUND);
        let opened = self.opened().get(&id.parse().map_err(|_| missing())?).cloned().ok_or_else(missing)?;
        // Hashes are compared, so that how long that takes says nothing of the token.
        let is_known = |name| text(name).is_some_and(|token| hash(token) == hash(&opened.token));
        if TOKENS.into_iter().any(is_known) {
            Ok(opened)
        } else {
            Err(refuse(StatusCode::UNAUTHORIZED, "the sandbox's access token is missing or wrong"))
        }
    }
}

/// Whether a sandbox is there.
pub(crate) async fn health(State(e2b): State<E2b>, headers: HeaderMap) -> Result<StatusCode, Unreachable> {
    e2b.reached(&headers).await.map(|_| StatusCode::NO_CONTENT)
}
