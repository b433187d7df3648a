//! The HTTP interface: evaluations, events, sandboxes that stay open, and how the service is, over any listener that axum serves.
//!
//! Invariants: a body is bounded, and one that is too large is refused before it is read whole; every failure is a problem
//! document that says what was wrong and holds no path of the host; what a caller leaves half-way is ended; what belongs to
//! another project isn't there.
//!
//! It reads no configuration: what a request leaves out is filled in by the [`SpecReader`] that it is given. It opens no
//! listener.

mod api;
mod attacks;
mod caller;
mod catalogue;
mod evaluations;
mod exec;
mod feed;
mod files;
mod keys;
mod metrics;
mod openapi;
mod page;
mod path;
mod problem;
mod projects;
mod rate;
mod records;
mod sandboxes;
mod scan;
mod socket;
mod specification;
mod statistics;
mod status;
mod store;
mod webhooks;

pub use api::{Api, ApiParts, routes};
pub use attacks::{AttackProgress, AttackRunner, Attacks};
pub use caller::{Access, Caller, KeyRing, guarded, hash, make_key};
pub use catalogue::Catalogue;
pub use exec::ended as exec_document;
pub use keys::told as key_document;
pub use metrics::Metrics;
pub use page::Page;
pub use rate::Rate;
pub use records::JsonRecords;
pub use sandboxes::document as sandbox_document;
pub use statistics::Statistics;
pub use store::retention;
pub use webhooks::{HttpCourier, Reachable, WebhookParts};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use crucible_api::v1::{CreateSandbox, SubmitEvaluation};
use crucible_core::{Error, ErrorKind, EvaluationSpec, ProjectId, Result, SandboxId};
use crucible_engine::{Session, SessionSpec, Sessions};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The most bytes of a request that isn't a file.
pub const MOST_BODY: usize = 16 << 20;

/// How many a page has that doesn't say it, and the most.
const PAGE: usize = 100;
const LONGEST_PAGE: usize = 1000;

/// How many of a list are wanted on a page.
fn page_limit(asked: Option<usize>) -> Result<usize> {
    let limit = asked.unwrap_or(PAGE);
    if limit == 0 || limit > LONGEST_PAGE {
        let message = format!("limit of {limit} is outside 1 to {LONGEST_PAGE}");
        return Err(Error::new(ErrorKind::InvalidInput, "read the request", message));
    }
    Ok(limit)
}

/// Makes what is to be run of what was asked for.
pub trait SpecReader: Send + Sync {
    /// What session is meant by a request, with what it leaves out filled in.
    ///
    /// # Errors
    /// `InvalidInput` or `NotFound`, naming the part of the request that is wrong; `Refused` where none may be made here.
    fn session_spec(&self, request: &CreateSandbox) -> Result<SessionSpec>;

    /// What evaluation is meant by a request, with what it leaves out filled in, under a new id.
    ///
    /// # Errors
    /// As [`SpecReader::session_spec`].
    fn evaluation_spec(&self, request: SubmitEvaluation) -> Result<EvaluationSpec>;

    /// Puts another backend into a specification.
    ///
    /// # Errors
    /// As [`SpecReader::session_spec`].
    fn backend(&self, name: &str, spec: &EvaluationSpec) -> Result<String>;
}

/// What the routes work with.
#[derive(Clone)]
pub struct SandboxService {
    sessions: Arc<Sessions>,
    specs: Arc<dyn SpecReader>,
    /// Whose each is, where that matters.
    owners: Option<Arc<Owners>>,
}

type Owners = Mutex<HashMap<SandboxId, ProjectId>>;

impl SandboxService {
    /// Over these sessions, which whoever may connect may use.
    #[must_use]
    pub fn new(sessions: Arc<Sessions>, specs: Arc<dyn SpecReader>) -> Self {
        Self { sessions, specs, owners: None }
    }

    /// The same, in which each belongs to the project of whoever made it.
    #[must_use]
    pub fn owned_by_projects(mut self) -> Self {
        self.owners = Some(Arc::default());
        self
    }

    /// Notes whose a new one is, and forgets those that are gone.
    fn own(&self, caller: &Caller, id: SandboxId) {
        let Some(owners) = &self.owners else { return };
        let known = self.sessions.known();
        let mut owners = owners.lock().unwrap_or_else(PoisonError::into_inner);
        owners.retain(|id, _| known.contains(id));
        owners.insert(id, caller.project.clone());
    }

    fn may_see(&self, caller: &Caller, id: SandboxId) -> bool {
        let Some(owners) = &self.owners else { return true };
        let owners = owners.lock().unwrap_or_else(PoisonError::into_inner);
        owners.get(&id).map_or(caller.sees().is_none(), |project| caller.sees_those_of(project))
    }

    /// Opens a sandbox for a caller.
    ///
    /// # Errors
    /// As [`SpecReader::session_spec`] and [`Sessions::open`].
    pub async fn open(&self, caller: &Caller, request: &CreateSandbox) -> Result<Arc<Session>> {
        let session = self.sessions.open(self.specs.session_spec(request)?).await?;
        self.own(caller, session.id());
        Ok(session)
    }

    /// Those that a caller may see, the oldest first.
    #[must_use]
    pub fn list(&self, caller: &Caller) -> Vec<Arc<Session>> {
        let mut sessions = self.sessions.list();
        sessions.retain(|session| self.may_see(caller, session.id()));
        sessions
    }

    /// The sandbox of an id. Another project's isn't there.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn find(&self, caller: &Caller, id: &str) -> Result<Arc<Session>> {
        self.seen_by(caller, id, Sessions::find)
    }

    /// The same, also where it is no more.
    fn find_also_ended(&self, caller: &Caller, id: &str) -> Result<Arc<Session>> {
        self.seen_by(caller, id, Sessions::find_also_ended)
    }

    fn seen_by(
        &self,
        caller: &Caller,
        id: &str,
        find: impl FnOnce(&Sessions, SandboxId) -> Result<Arc<Session>>,
    ) -> Result<Arc<Session>> {
        let missing = || {
            let shown: String = id.chars().take(64).collect();
            Error::new(ErrorKind::NotFound, "find the sandbox", format!("there is no sandbox {shown:?}"))
        };
        let id: SandboxId = id.parse().map_err(|_| missing())?;
        if self.may_see(caller, id) { find(&self.sessions, id) } else { Err(missing()) }
    }
}

/// The routes below `/v1/sandboxes`, with what is where nothing is.
pub fn sandbox_routes(service: SandboxService) -> Router {
    Router::from(sandbox_router().with_state(service))
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::no_such_method)
}

/// The routes below `/v1/sandboxes`, described.
fn sandbox_router() -> OpenApiRouter<SandboxService> {
    // Bounded by what the sandbox may hold instead.
    let files = OpenApiRouter::new()
        .routes(routes!(files::read, files::write, files::remove))
        .layer(DefaultBodyLimit::disable());
    OpenApiRouter::new()
        .routes(routes!(sandboxes::list, sandboxes::create))
        .routes(routes!(sandboxes::show, sandboxes::destroy))
        .routes(routes!(sandboxes::fork))
        .routes(routes!(sandboxes::record))
        .routes(routes!(exec::exec, socket::converse))
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .layer(middleware::from_fn(problem::refuse_large_bodies))
        .merge(files)
}
