//! The tools: what each is called, what it takes and gives, and what it does.
//!
//! Invariant: the table is the one place that says what a tool takes; what isn't in it is refused when it is read.

mod files;
mod inspect;
mod run;
mod sandbox;
mod table;

pub(crate) use table::{INSTRUCTIONS, table};

use crate::arguments::read;
use crate::server::{Call, Whole};
use crucible_core::{Error, ErrorKind, Result};
use rmcp::model::{CallToolResult, JsonObject};
use serde::Serialize;

/// Calls a tool. `None` where there is none of that name.
pub(crate) async fn call(mcp: &Whole, name: &str, given: JsonObject, call: &Call) -> Option<Result<CallToolResult>> {
    Some(match name {
        "run_code" => with(given, async |given| run::run_code(mcp, given, call).await).await,
        "scan_code" => with(given, async |given| plain(&run::scan_code(mcp, given).await?)).await,
        "open_sandbox" => with(given, async |given| plain(&sandbox::open(mcp, given, call).await?)).await,
        "list_sandboxes" => with(given, async |given| plain(&sandbox::list(mcp, given, call))).await,
        "exec_in_sandbox" => with(given, async |given| plain(&sandbox::exec(mcp, given, call).await?)).await,
        "close_sandbox" => with(given, async |given| plain(&sandbox::close(mcp, given, call).await?)).await,
        "read_file" => with(given, async |given| plain(&files::read(mcp, given, call).await?)).await,
        "write_file" => with(given, async |given| plain(&files::write(mcp, given, call).await?)).await,
        "list_files" => with(given, async |given| plain(&files::list(mcp, given, call).await?)).await,
        "remove_file" => with(given, async |given| plain(&files::remove(mcp, given, call).await?)).await,
        "run_behavior" => with(given, async |given| plain(&inspect::behavior(mcp, given, call)?)).await,
        "run_evidence" => with(given, async |given| plain(&inspect::evidence(mcp, given, call)?)).await,
        _ => return None,
    })
}

/// Reads what a tool was given, and has it do its work.
async fn with<T: serde::de::DeserializeOwned>(
    given: JsonObject,
    work: impl AsyncFnOnce(T) -> Result<CallToolResult>,
) -> Result<CallToolResult> {
    work(read(given)?).await
}

/// An answer: structured, and as text for hosts that know only that.
fn plain(answer: &impl Serialize) -> Result<CallToolResult> {
    serde_json::to_value(answer).map(CallToolResult::structured).map_err(|error| {
        Error::new(ErrorKind::Infrastructure, "write the answer", "the answer can't be written").with_source(error)
    })
}

/// What a call that was cancelled answers, where there is nothing else to say.
fn cancelled() -> Error {
    Error::new(ErrorKind::Refused, "do what was asked for", "the call was cancelled")
}

/// Does some work that may be dropped, unless the call is cancelled before it is done.
async fn unless_cancelled<T>(call: &Call, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        done = work => done,
        () = call.cancel.cancelled() => Err(cancelled()),
    }
}
