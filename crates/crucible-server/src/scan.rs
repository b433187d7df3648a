//! Looking at programs that aren't to be run: for whoever types one, and for whoever writes a policy.
//!
//! Invariant: how many are looked at at one time is bounded, so that those who type leave processors to what runs.

use crate::api::Api;
use crate::caller::Caller;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use crucible_api::v1::{Object, ScanProgram, ScannedProgram, SubmitEvaluation, TestPolicy};
use crucible_core::{Error, ErrorKind, EvaluationSpec, Program, Result};
use std::time::Duration;

/// How many are looked at at one time.
pub(crate) const MOST_AT_ONCE: usize = 2;
/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a policy that is tried.
const MOST_POLICY: usize = 64 << 10;

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, "read the request", message)
}

/// What would be run. A program that is files alone has an empty text besides.
fn spec(api: &Api, program: ScanProgram) -> Result<EvaluationSpec> {
    let ScanProgram { code, code_base64, language, files, policy } = program;
    if code.is_none() && code_base64.is_none() && files.is_empty() {
        return Err(wrong("there is neither code nor a file"));
    }
    let code = if code_base64.is_none() { Some(code.unwrap_or_default()) } else { code };
    api.specs.evaluation_spec(SubmitEvaluation { code, code_base64, language, files, policy, ..Default::default() })
}

async fn look(api: &Api, spec: EvaluationSpec) -> Result<ScannedProgram> {
    let turn = tokio::time::timeout(PATIENCE, api.looking().acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        let message = "too many programs are being looked at";
        return Err(Error::new(ErrorKind::Overloaded, "look at the program", message).with_hint("try again later"));
    };
    let language = match &spec.program {
        Program::Source { language, .. } => language.clone(),
        Program::Command { .. } => String::new(),
    };
    let policy = spec.policy.name.clone();
    let preview = api.service.parts().engine.preview(spec).await?;
    let (screened, took) = (&preview.screened, preview.took);
    let named = (language.as_str(), policy.as_str());
    Ok(ScannedProgram::of(named, &preview.report, &screened.admission, screened.wall.least, took))
}

/// Look at a program without running it
#[utoipa::path(post, path = "/v1/scan", tag = "catalogue", request_body = ScanProgram,
    responses((status = 200, description = "What was seen, and what the policy would decide", body = ScannedProgram)))]
pub(crate) async fn scan(
    State(api): State<Api>,
    _caller: Caller,
    request: std::result::Result<Json<Object<ScanProgram>>, JsonRejection>,
) -> std::result::Result<Json<ScannedProgram>, Problem> {
    let Json(Object(program)) = request?;
    let spec = spec(&api, program)?;
    Ok(Json(look(&api, spec).await?))
}

/// Try a policy on a program without running it
///
/// The policy may be one that is being written.
#[utoipa::path(post, path = "/v1/policies:test", tag = "catalogue", request_body = TestPolicy,
    responses((status = 200, description = "What was seen, and what the policy would decide", body = ScannedProgram)))]
pub(crate) async fn test_policy(
    State(api): State<Api>,
    _caller: Caller,
    request: std::result::Result<Json<Object<TestPolicy>>, JsonRejection>,
) -> std::result::Result<Json<ScannedProgram>, Problem> {
    let Json(Object(TestPolicy { policy, toml, code, code_base64, language, files })) = request?;
    let written = match (&policy, toml) {
        (Some(_), Some(_)) => return Err(wrong("there are both policy and toml").into()),
        (None, None) => return Err(wrong("there is neither policy nor toml").into()),
        (_, Some(toml)) if toml.len() > MOST_POLICY => {
            return Err(wrong(format!("toml: it has {} bytes, of at most {MOST_POLICY}", toml.len())).into());
        }
        (_, toml) => toml.map(|toml| api.catalogue.read_policy(&toml)).transpose()?,
    };
    let mut spec = spec(&api, ScanProgram { code, code_base64, language, files, policy })?;
    if let Some(written) = written {
        spec.policy = written;
    }
    Ok(Json(look(&api, spec).await?))
}
