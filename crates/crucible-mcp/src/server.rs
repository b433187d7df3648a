//! What the protocol is served from: the engine, the open sandboxes and the latest runs, and the end of all of it.
//!
//! Invariants: a call that fails because of what it was given, or of what Crucible can't do, answers with that in words, as a
//! result that says it is an error: models see those, and not the protocol's own errors, which are for tools and resources that
//! aren't there. After [`Mcp::shut_down`] no call goes on and no sandbox is open.

use crate::progress::Progress;
use crate::resources;
use crate::runs::Runs;
use crate::tools;
use axum::http::request::Parts;
use crucible_core::{Discard, Error, ErrorKind, Limits, Result, ReviewStore, TimeSpan};
use crucible_engine::{Engine, Sessions};
use crucible_server::{Caller, SandboxService, SpecReader};
use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Extensions, Implementation,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long calls that are ended may take to come to their end when everything stops.
const LAST_CALLS: Duration = Duration::from_secs(15);

/// What the tools may use at most.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Sandboxes that are open at one time.
    pub most_sandboxes: usize,
    /// Programs that run at one time; more wait for their turn.
    pub most_running: usize,
    /// How long a sandbox may lie idle.
    pub idle_timeout: TimeSpan,
    /// How long a sandbox may live.
    pub lifetime: TimeSpan,
    /// Bytes of a stream or a file that a model is given at once.
    pub most_output: usize,
}

/// What an [`Mcp`] is made of.
pub struct McpParts {
    /// Runs programs and makes sandboxes.
    pub engine: Arc<Engine>,
    /// Fills in what calls leave out.
    pub specs: Arc<dyn SpecReader>,
    /// Keeps programs that their policy holds; without it they are refused.
    pub reviews: Option<Arc<dyn ReviewStore>>,
    /// What a run may use that says nothing of it.
    pub limits: Limits,
    /// The most that one may ask for.
    pub maximum: Limits,
    /// The languages that programs may be in, the usual one first.
    pub languages: Vec<String>,
    /// The policies that a call may name. The one in force is used where a call names none.
    pub policies: Vec<String>,
    /// Whether what is run may reach out of its sandbox: the policy in force, or one that a call may name, has an allow-list.
    pub may_reach_out: bool,
    /// What the tools may use at most.
    pub bounds: Bounds,
}

/// The server of the protocol. Cheap to clone.
#[derive(Clone)]
pub struct Mcp(pub(crate) Arc<Whole>);

/// What all conversations share.
pub(crate) struct Whole {
    pub(crate) parts: McpParts,
    pub(crate) tools: Vec<Tool>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) sandboxes: SandboxService,
    pub(crate) runs: Runs,
    /// One permit for each program that may run.
    pub(crate) places: Semaphore,
    /// Ends every call.
    closing: CancellationToken,
    calls: TaskTracker,
}

/// One call of a tool.
pub(crate) struct Call {
    /// Who calls.
    pub(crate) caller: Caller,
    /// Told when the call is to end: its caller cancelled it or went away, or everything stops.
    pub(crate) cancel: CancellationToken,
    /// Whom its progress is told.
    pub(crate) progress: Progress,
}

impl Mcp {
    /// Of these parts. Nothing is open yet.
    #[must_use]
    pub fn new(parts: McpParts) -> Self {
        let sessions =
            Arc::new(Sessions::new(Arc::clone(&parts.engine), Arc::new(Discard), parts.bounds.most_sandboxes));
        let sandboxes = SandboxService::new(Arc::clone(&sessions), Arc::clone(&parts.specs)).owned_by_projects();
        Self(Arc::new(Whole {
            tools: tools::table(&parts),
            sessions,
            sandboxes,
            runs: Runs::default(),
            places: Semaphore::new(parts.bounds.most_running),
            closing: CancellationToken::new(),
            calls: TaskTracker::new(),
            parts,
        }))
    }

    /// Told when everything is to end. Whoever cancels it ends every call.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.0.closing
    }

    /// Ends every call, closes every sandbox, and destroys what stands ready.
    ///
    /// # Errors
    /// `Infrastructure` where something was left.
    pub async fn shut_down(&self) -> Result<()> {
        self.0.closing.cancel();
        self.0.calls.close();
        let ended = tokio::time::timeout(LAST_CALLS, self.0.calls.wait()).await;
        let destroyed = self.0.sessions.destroy_all().await;
        self.0.parts.engine.drain_pool().await;
        destroyed?;
        ended.map_err(|_| {
            let message = format!("calls that were ended didn't come to their end within {} s", LAST_CALLS.as_secs());
            Error::new(ErrorKind::Infrastructure, "end the calls", message)
        })
    }
}

/// Who asks. Over HTTP somebody has found that out before.
///
/// # Errors
/// `INVALID_REQUEST` where nobody has.
fn caller(extensions: &Extensions) -> std::result::Result<Caller, ErrorData> {
    match extensions.get::<Parts>() {
        None => Ok(Caller::local()),
        Some(parts) => parts
            .extensions
            .get::<Caller>()
            .cloned()
            .ok_or_else(|| ErrorData::invalid_request("nobody found out who asks", None)),
    }
}

/// A failure as a model reads it: what was wrong, and the mend.
fn failure(error: &Error) -> CallToolResult {
    let mut text = error.to_string();
    if let Some(hint) = error.hint() {
        text.push_str("\nhint: ");
        text.push_str(hint);
    }
    CallToolResult::error(vec![ContentBlock::text(text)])
}

/// A failure to read a resource.
fn unreadable(error: &Error) -> ErrorData {
    match error.kind() {
        ErrorKind::NotFound => ErrorData::resource_not_found(error.to_string(), None),
        ErrorKind::InvalidInput => ErrorData::invalid_params(error.to_string(), None),
        _ => ErrorData::internal_error(error.to_string(), None),
    }
}

impl ServerHandler for Mcp {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_resources().build();
        let server = Implementation::new("crucible", env!("CARGO_PKG_VERSION")).with_title("Crucible");
        ServerConfig::new(capabilities).with_server_info(server).with_instructions(tools::INSTRUCTIONS)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.0.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> std::result::Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.0.tools.clone()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> std::result::Result<CallToolResponse, ErrorData> {
        // What everything's end waits for.
        let _going_on = self.0.calls.token();
        if self.0.closing.is_cancelled() {
            let message = "the server is about to end";
            return Ok(failure(&Error::new(ErrorKind::Unavailable, "call the tool", message)).into());
        }
        let caller = caller(&context.extensions)?;
        let cancel = self.0.closing.child_token();
        let progress = Progress::new(&context.peer, context.meta.get_progress_token());
        let call = Call { caller, cancel: cancel.clone(), progress };
        let passing_on = async {
            context.ct.cancelled().await;
            cancel.cancel();
            std::future::pending::<std::convert::Infallible>().await
        };
        let answer = tokio::select! {
            biased;
            answer = tools::call(&self.0, &request.name, request.arguments.unwrap_or_default(), &call) => answer,
            never = passing_on => match never {},
        };
        match answer {
            Some(Ok(result)) => Ok(result.into()),
            Some(Err(error)) => Ok(failure(&error).into()),
            None => {
                let shown: String = request.name.chars().take(64).collect();
                Err(ErrorData::invalid_params(format!("there is no tool {shown:?}"), None))
            }
        }
    }

    async fn list_resources(
        &self,
        _page: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> std::result::Result<ListResourcesResult, ErrorData> {
        let caller = caller(&context.extensions)?;
        Ok(ListResourcesResult::with_all_items(resources::list(&self.0.runs, &caller)))
    }

    async fn list_resource_templates(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> std::result::Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(resources::templates()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> std::result::Result<ReadResourceResponse, ErrorData> {
        let caller = caller(&context.extensions)?;
        resources::read(&self.0.runs, &caller, &request.uri).map(Into::into).map_err(|error| unreadable(&error))
    }
}
