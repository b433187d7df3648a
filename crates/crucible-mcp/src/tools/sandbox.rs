//! Sandboxes that stay open: opening, using and closing them.

use super::run::check_policy;
use super::unless_cancelled;
use crate::arguments::{Exec, Nothing, OneSandbox, OpenSandbox, time, wrong};
use crate::bound::shown;
use crate::progress::Stages;
use crate::results::{ClosedResult, ExecResult, SandboxResult, SandboxesResult};
use crate::server::{Call, Whole};
use crucible_api::v1::{CreateSandbox, ExecEnded};
use crucible_core::{GuestPath, Result, TimeSpan, rfc3339};
use crucible_engine::{ExecSpec, OutputBound, Session};
use crucible_server::exec_document;
use std::io::Cursor;

/// Opens one.
pub(super) async fn open(mcp: &Whole, given: OpenSandbox, call: &Call) -> Result<SandboxResult> {
    let OpenSandbox { language, env, limits, policy, idle_timeout_seconds } = given;
    check_policy(mcp, policy.as_deref())?;
    let bounds = &mcp.parts.bounds;
    let idle_timeout = match idle_timeout_seconds {
        None => bounds.idle_timeout.to_string(),
        Some(seconds) if seconds <= bounds.idle_timeout.get().as_secs_f64() => time("idle_timeout_seconds", seconds)?,
        Some(seconds) => {
            return Err(wrong(format!(
                "idle_timeout_seconds: {seconds} is more than the {} of this server",
                bounds.idle_timeout
            )));
        }
    };
    let mut limits = limits.by_name()?;
    // A command that says nothing of its time has what a run would have; the sandbox itself has a lifetime.
    let command_timeout = match limits.remove("timeout") {
        Some(serde_json::Value::String(timeout)) => timeout,
        _ => mcp.parts.limits.timeout.to_string(),
    };
    let request = CreateSandbox {
        language,
        policy,
        limits,
        env,
        command_timeout: Some(command_timeout),
        idle_timeout: Some(idle_timeout),
        lifetime: Some(bounds.lifetime.to_string()),
        ..CreateSandbox::default()
    };
    mcp.parts.specs.session_spec(&request)?.limits.validate(&mcp.parts.maximum)?;
    let stages = Stages::new("making a sandbox");
    let session = call.progress.beside(&stages, mcp.sandboxes.open(&call.caller, &request)).await?;
    if call.cancel.is_cancelled() {
        // Nobody would learn its id.
        session.destroy().await?;
        return Err(super::cancelled());
    }
    Ok(result(&session))
}

/// Those that are open.
pub(super) fn list(mcp: &Whole, _given: Nothing, call: &Call) -> SandboxesResult {
    SandboxesResult {
        sandboxes: mcp.sandboxes.list(&call.caller).iter().map(|session| result(session)).collect(),
        most: u64::try_from(mcp.parts.bounds.most_sandboxes).unwrap_or(u64::MAX),
    }
}

/// Closes one.
pub(super) async fn close(mcp: &Whole, given: OneSandbox, call: &Call) -> Result<ClosedResult> {
    let session = mcp.sandboxes.find(&call.caller, &given.sandbox_id)?;
    session.destroy().await?;
    Ok(ClosedResult { sandbox_id: session.id().to_string(), closed: true })
}

/// Runs a command in one.
pub(super) async fn exec(mcp: &Whole, given: Exec, call: &Call) -> Result<ExecResult> {
    let Exec { sandbox_id, command, stdin, env, directory, timeout_seconds } = given;
    let session = mcp.sandboxes.find(&call.caller, &sandbox_id)?;
    let timeout = match timeout_seconds {
        None => None,
        Some(seconds) => Some(
            time("timeout_seconds", seconds)?
                .parse::<TimeSpan>()
                .map_err(|error| wrong(format!("timeout_seconds: {error}")))?,
        ),
    };
    let directory = match directory {
        None => GuestPath::work(),
        Some(directory) => GuestPath::parse(&directory).map_err(|error| wrong(format!("directory: {error}")))?,
    };
    let spec = ExecSpec {
        env,
        directory,
        timeout,
        output: OutputBound::Bytes(session.limits().output.get()),
        ..ExecSpec::new(command)
    };
    let stages = Stages::new("running");
    let input = Box::new(Cursor::new(stdin.unwrap_or_default().into_bytes()));
    // Where the call is cancelled, the command is let go, which ends it.
    let work = unless_cancelled(call, session.run(spec, input));
    let finished = call.progress.beside(&stages, work).await?;
    let most = mcp.parts.bounds.most_output;
    let text = |bytes: &[u8]| shown(&String::from_utf8_lossy(bytes), most);
    let (stdout, stderr) = (text(&finished.stdout.bytes), text(&finished.stderr.bytes));
    let ExecEnded { status, exit_code, signal, limit, wall_ms, limits_observed, .. } = exec_document(&finished.ended);
    Ok(ExecResult {
        status,
        exit_code,
        signal,
        limit,
        stdout: stdout.text,
        stdout_left_out_bytes: stdout.left_out,
        stdout_truncated: finished.stdout.truncated,
        stderr: stderr.text,
        stderr_left_out_bytes: stderr.left_out,
        stderr_truncated: finished.stderr.truncated,
        wall_ms,
        limits_observed,
    })
}

fn result(session: &Session) -> SandboxResult {
    let spec = session.spec();
    let (busy, commands) = session.activity_now();
    SandboxResult {
        sandbox_id: session.id().to_string(),
        backend: session.backend().to_owned(),
        isolation: session.isolation().as_str().to_owned(),
        language: session.language().map(str::to_owned),
        interpreter: session.interpreter().map(str::to_owned),
        policy: spec.policy.name.clone(),
        work_folder: GuestPath::WORK.to_owned(),
        idle_timeout_seconds: spec.idle_timeout.get().as_secs_f64(),
        lifetime_seconds: spec.lifetime.get().as_secs_f64(),
        opened_at: rfc3339(session.created_at()),
        busy: u64::try_from(busy).unwrap_or(u64::MAX),
        commands,
    }
}
