//! An adapter for the SDK of E2B: its control plane and its sandboxes' own interface, over Crucible's open sandboxes.
//!
//! It is pinned to versions of that SDK (`e2b` 2.63 and `e2b-code-interpreter` 2.11 for Python), which it is tested with, unmodified.
//!
//! Invariants: what isn't done here is answered with an error that says so, and never done otherwise; a sandbox is reached by whoever
//! has its token, and made, listed and ended by callers of its project; every path is the sandbox's own.

mod connect;
mod control;
mod files;
mod filesystem;
mod interpreter;
mod opened;
mod process;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use connect::Failure;
use crucible_core::SandboxId;
use crucible_server::{Api, MOST_BODY, SandboxService};
use opened::Opened;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The version of the sandboxes' own interface that is spoken. Clients ask for nothing newer then.
const ENVD_VERSION: &str = "0.6.1";

/// What the routes work with. Cheap to clone.
#[derive(Clone)]
pub struct E2b(Arc<Whole>);

struct Whole {
    api: Api,
    sandboxes: SandboxService,
    opened: Mutex<HashMap<SandboxId, Arc<Opened>>>,
}

impl E2b {
    /// Beside the service's own interface: the same sandboxes, callers and configuration.
    #[must_use]
    pub fn new(api: Api) -> Self {
        let sandboxes = SandboxService::new(Arc::clone(&api.sessions), Arc::clone(&api.specs)).owned_by_projects();
        Self(Arc::new(Whole { api, sandboxes, opened: Mutex::default() }))
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<SandboxId, Arc<Opened>>> {
        let mut opened = self.0.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.retain(|_, opened| opened.session.end_reason().is_none());
        opened
    }
}

/// Every route: the control plane's and the sandboxes' own, which have no path in common.
pub fn routes(e2b: E2b) -> Router {
    let files = Router::new()
        .route("/files", get(files::download).post(files::upload))
        // Bounded by what the sandbox may hold instead.
        .layer(DefaultBodyLimit::disable());
    Router::new()
        .route("/sandboxes", post(control::create))
        .route("/v2/sandboxes", post(control::create).get(control::list))
        .route("/sandboxes/{id}", get(control::show).delete(control::kill))
        .route("/sandboxes/{id}/timeout", post(control::set_timeout))
        .route("/sandboxes/{id}/connect", post(control::connect))
        .route("/v2/sandboxes/{id}/connect", post(control::connect))
        .route("/health", get(opened::health))
        .route("/process.Process/Start", post(process::start))
        .route("/process.Process/Connect", post(process::connect))
        .route("/process.Process/List", post(process::list))
        .route("/process.Process/SendInput", post(process::send_input))
        .route("/process.Process/CloseStdin", post(process::close_stdin))
        .route("/process.Process/SendSignal", post(process::send_signal))
        .route("/process.Process/Update", post(process::update))
        .route("/filesystem.Filesystem/Stat", post(filesystem::stat))
        .route("/filesystem.Filesystem/ListDir", post(filesystem::list_dir))
        .route("/filesystem.Filesystem/MakeDir", post(filesystem::make_dir))
        .route("/filesystem.Filesystem/Move", post(filesystem::rename))
        .route("/filesystem.Filesystem/Remove", post(filesystem::remove))
        .route("/filesystem.Filesystem/WatchDir", post(filesystem::watch_dir))
        .route("/filesystem.Filesystem/CreateWatcher", post(filesystem::create_watcher))
        .route("/filesystem.Filesystem/GetWatcherEvents", post(filesystem::watcher_events))
        .route("/filesystem.Filesystem/RemoveWatcher", post(filesystem::remove_watcher))
        .route("/execute", post(interpreter::execute))
        .route("/contexts", post(interpreter::create).get(interpreter::list))
        .route("/contexts/{id}", delete(interpreter::remove))
        .route("/contexts/{id}/restart", post(interpreter::restart))
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .merge(files)
        .fallback(not_done)
        .with_state(e2b)
}

/// What this adapter doesn't do.
async fn not_done(uri: Uri) -> Response {
    let shown: String = uri.path().chars().take(100).collect();
    if shown.starts_with("/process.") || shown.starts_with("/filesystem.") {
        return Failure::not_done(&shown).into_response();
    }
    control::Refused::new(StatusCode::NOT_IMPLEMENTED, format!("{shown} isn't done here; docs/e2b.md says what is"))
        .into_response()
}
