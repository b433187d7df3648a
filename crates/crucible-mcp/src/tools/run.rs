//! Running a program in a fresh sandbox, and looking at one without running it.

use super::{cancelled, plain};
use crate::arguments::{RunCode, ScanCode, wrong};
use crate::bound::{few, shown};
use crate::progress::Stages;
use crate::resources;
use crate::results::{FileResult, RunResult, ScanResult};
use crate::server::{Call, Whole};
use crucible_api::v1::{Outcome, ScannedProgram, Status, SubmitEvaluation, Validity};
use crucible_core::{Error, ErrorKind, EvaluationSpec, HeldEvaluation, Program, Result};
use crucible_engine::{Evaluated, RunIo};
use rmcp::model::{CallToolResult, ContentBlock};
use std::time::Duration;

/// The most findings and imports that a model is given.
pub(super) const MOST_FINDINGS: usize = 100;
const MOST_IMPORTS: usize = 200;
/// How long looking at a program waits for its turn.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a program.
pub(super) async fn run_code(mcp: &Whole, given: RunCode, call: &Call) -> Result<CallToolResult> {
    let RunCode { code, language, args, stdin, files, collect, env, limits, policy } = given;
    let code = code.ok_or_else(|| wrong("code: it is missing"))?;
    check_policy(mcp, policy.as_deref())?;
    let spec = mcp.parts.specs.evaluation_spec(SubmitEvaluation {
        code: Some(code),
        language,
        args,
        stdin,
        files,
        collect,
        env,
        limits: limits.by_name()?,
        policy,
        ..SubmitEvaluation::default()
    })?;
    spec.limits.validate(&mcp.parts.maximum)?;
    let stages = Stages::new("waiting for a place");
    match call.progress.beside(&stages, evaluate(mcp, spec, call, &stages)).await? {
        Evaluated::Finished(outcome) => {
            let run = mcp.runs.keep(&call.caller, Outcome::from(outcome.as_ref()));
            let mut answer = plain(&result(&run.outcome, mcp.parts.bounds.most_output))?;
            answer.content.push(ContentBlock::resource_link(resources::record(&run.outcome)));
            Ok(answer)
        }
        Evaluated::Held(held) => hold(mcp, &held).await,
    }
}

async fn evaluate(mcp: &Whole, spec: EvaluationSpec, call: &Call, stages: &Stages) -> Result<Evaluated> {
    let _place = tokio::select! {
        biased;
        () = call.cancel.cancelled() => return Err(cancelled()),
        place = mcp.places.acquire() => place,
    };
    stages.reach("admitted");
    let project = Some(call.caller.project.clone());
    let io = RunIo { stdin: None, events: stages, cancel: call.cancel.clone(), project };
    mcp.parts.engine.evaluate_or_hold(spec, io).await
}

/// Whether a call may name a policy: a model must not choose a milder one than whoever started the server.
pub(super) fn check_policy(mcp: &Whole, name: Option<&str>) -> Result<()> {
    let Some(name) = name else { return Ok(()) };
    if mcp.parts.policies.iter().any(|known| known == name) {
        return Ok(());
    }
    let shown: String = name.chars().take(64).collect();
    let error = wrong(format!("policy: {shown:?} is none that a call may name here"));
    Err(match mcp.parts.policies.as_slice() {
        [] => error.with_hint("leave it out: the policy in force is used"),
        known => error.with_hint(format!("those are: {}", known.join(", "))),
    })
}

/// Keeps a program that its policy holds, for a person to decide.
async fn hold(mcp: &Whole, held: &HeldEvaluation) -> Result<CallToolResult> {
    let reasons: Vec<_> = held.admission.reasons.iter().map(|reason| reason.message.clone()).collect();
    let Some(reviews) = &mcp.parts.reviews else {
        let message =
            format!("policy '{}' holds this program for review: {}", held.spec.policy.name, reasons.join("; "));
        return Err(Error::new(ErrorKind::Held, "let the program in", message)
            .with_hint("there is no folder here to keep it in until somebody has decided"));
    };
    reviews.hold(held).await?;
    let id = held.spec.id.to_string();
    let language = match &held.spec.program {
        Program::Source { language, .. } => Some(language.clone()),
        Program::Command { .. } => None,
    };
    let mut answer = plain(&RunResult {
        run_id: id.clone(),
        status: "held".to_owned(),
        exit_code: None,
        signal: None,
        limit: None,
        reasons,
        stdout: String::new(),
        stdout_left_out_bytes: 0,
        stdout_truncated: false,
        stderr: String::new(),
        stderr_left_out_bytes: 0,
        stderr_truncated: false,
        files: Vec::new(),
        files_refused: Vec::new(),
        validity: None,
        language,
        backend: None,
        wall_ms: None,
        memory_peak_bytes: None,
        limits_observed: Vec::new(),
    })?;
    let told = format!(
        "Nothing ran. A person decides about it: `crucible review show {id}`, then approve or reject it; `crucible review run` runs it."
    );
    answer.content.push(ContentBlock::text(told));
    Ok(answer)
}

/// What a model is given of an outcome.
fn result(outcome: &Outcome, most: usize) -> RunResult {
    let (stdout, stderr) = (shown(&outcome.stdout, most), shown(&outcome.stderr, most));
    let mut left = most;
    let files = outcome.files.iter().map(|file| {
        let content = resources::text_of(&file.content_base64).filter(|text| text.len() <= left);
        left -= content.as_ref().map_or(0, String::len);
        FileResult {
            path: file.path.clone(),
            size: file.size,
            content,
            resource: resources::of_file(&outcome.id, &file.path),
        }
    });
    RunResult {
        run_id: outcome.id.clone(),
        status: word(outcome.status),
        exit_code: outcome.exit_code,
        signal: outcome.signal,
        limit: outcome.limit.clone(),
        reasons: reasons(outcome),
        stdout: stdout.text,
        stdout_left_out_bytes: stdout.left_out,
        stdout_truncated: outcome.stdout_truncated,
        stderr: stderr.text,
        stderr_left_out_bytes: stderr.left_out,
        stderr_truncated: outcome.stderr_truncated,
        files: files.collect(),
        files_refused: outcome.files_refused.iter().map(|file| format!("{}: {}", file.path, file.reason)).collect(),
        validity: Some(outcome.validity),
        language: outcome.language.clone(),
        backend: Some(outcome.backend.clone()),
        wall_ms: Some(outcome.usage.wall_ms),
        memory_peak_bytes: outcome.usage.memory_peak_bytes,
        limits_observed: outcome.limits_observed.clone(),
    }
}

fn word(status: Status) -> String {
    match serde_json::to_value(status) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

fn reasons(outcome: &Outcome) -> Vec<String> {
    let denied = outcome.admission.iter().filter(|_| outcome.status == Status::Denied);
    let denied = denied.flat_map(|admission| admission.reasons.iter().map(|reason| reason.message.clone()));
    let doubted = outcome.validity_reasons.iter().filter(|_| outcome.validity != Validity::Valid).cloned();
    denied.chain(doubted).collect()
}

/// Looks at a program.
pub(super) async fn scan_code(mcp: &Whole, given: ScanCode) -> Result<ScanResult> {
    let ScanCode { code, language, files, policy } = given;
    if code.is_none() && files.is_empty() {
        return Err(wrong("there is neither code nor a file"));
    }
    check_policy(mcp, policy.as_deref())?;
    let code = Some(code.unwrap_or_default());
    let spec = mcp.parts.specs.evaluation_spec(SubmitEvaluation {
        code,
        language,
        files,
        policy,
        ..SubmitEvaluation::default()
    })?;
    let named = (spec.program.clone(), spec.policy.name.clone());
    let Ok(Ok(_place)) = tokio::time::timeout(PATIENCE, mcp.places.acquire()).await else {
        let message = "too much is going on to look at a program";
        return Err(Error::new(ErrorKind::Overloaded, "look at the program", message).with_hint("try again later"));
    };
    let preview = mcp.parts.engine.preview(spec).await?;
    let language = match &named.0 {
        Program::Source { language, .. } => language.as_str(),
        Program::Command { .. } => "",
    };
    let screened = &preview.screened;
    let names = (language, named.1.as_str());
    let seen = ScannedProgram::of(names, &preview.report, &screened.admission, screened.wall.least, preview.took);
    let (findings, more_findings) = few(seen.findings, MOST_FINDINGS);
    let (imports, imports_left_out) = few(seen.imports, MOST_IMPORTS);
    let (reasons, _) = few(seen.reasons, MOST_FINDINGS);
    Ok(ScanResult {
        language: seen.language,
        policy: seen.policy,
        decision: seen.decision,
        reasons,
        verdict: seen.verdict,
        findings,
        findings_left_out: more_findings.saturating_add(seen.left_out),
        imports,
        imports_left_out,
        unread: few(seen.unread, MOST_FINDINGS).0,
    })
}
