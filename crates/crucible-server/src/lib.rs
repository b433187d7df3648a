//! The HTTP interface: sandboxes that stay open, over any listener that axum serves.
//!
//! Invariants: a body is bounded, and one that is too large is refused before it is read whole; every failure is a problem
//! document that says what was wrong and holds no path of the host; what a caller leaves half-way is ended.
//!
//! It reads no configuration: what a request leaves out is filled in by the [`SpecReader`] that it is given. It opens no
//! listener and knows nobody: whoever may connect may do everything.

mod exec;
mod files;
mod problem;
mod sandboxes;
mod socket;

pub use sandboxes::document as sandbox_document;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};
use crucible_api::v1::CreateSandbox;
use crucible_core::Result;
use crucible_engine::{SessionSpec, Sessions};
use std::sync::Arc;

/// The most bytes of a request that isn't a file.
pub const MOST_BODY: usize = 16 << 20;

/// Makes what a session is made for of a request.
pub trait SpecReader: Send + Sync {
    /// What is meant by a request, with what it leaves out filled in.
    ///
    /// # Errors
    /// `InvalidInput` or `NotFound`, naming the part of the request that is wrong; `Refused` where none may be made here.
    fn session_spec(&self, request: &CreateSandbox) -> Result<SessionSpec>;
}

/// What the routes work with.
#[derive(Clone)]
pub struct SandboxService {
    sessions: Arc<Sessions>,
    specs: Arc<dyn SpecReader>,
}

impl SandboxService {
    /// Over these sessions.
    #[must_use]
    pub fn new(sessions: Arc<Sessions>, specs: Arc<dyn SpecReader>) -> Self {
        Self { sessions, specs }
    }
}

/// The routes below `/v1/sandboxes`.
pub fn sandbox_routes(service: SandboxService) -> Router {
    Router::new()
        .route("/v1/sandboxes", get(sandboxes::list).post(sandboxes::create))
        .route("/v1/sandboxes/{id}", get(sandboxes::show).delete(sandboxes::destroy))
        .route("/v1/sandboxes/{id}/fork", post(sandboxes::fork))
        .route("/v1/sandboxes/{id}/exec", post(exec::exec).get(socket::converse))
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .layer(middleware::from_fn(problem::refuse_large_bodies))
        // Bounded by what the sandbox may hold instead.
        .route(
            "/v1/sandboxes/{id}/files",
            get(files::read).put(files::write).delete(files::remove).layer(DefaultBodyLimit::disable()),
        )
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::no_such_method)
        .with_state(service)
}
