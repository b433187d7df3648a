//! Evaluations that are asked for, on the wire.

use super::evaluation::EvaluationState;
use super::http_problem::HttpProblem;
use super::object;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crucible_core as core;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// An evaluation to be run: `code` in a language, or a `command`. Everything else may be left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = SubmitEvaluation, example = json!({"code": "print(6 * 7)", "language": "python", "limits": {"timeout": "5s"}}))]
pub struct SubmitEvaluation {
    /// The program as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The program byte for byte, instead of `code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_base64: Option<String>,
    /// The program's language; without it, `python`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The program's arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// A command, instead of a program: a program of the sandbox with its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Files to put in before it starts. At most 4096.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "object::list")]
    pub files: Vec<SubmittedFile>,
    /// Files and folders to bring out after it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub collect: Vec<String>,
    /// Things to plant that an honest program leaves alone, as on the command line: `file=.netrc`, `environment=API_KEY`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tripwires: Vec<String>,
    /// Standard input as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// Standard input byte for byte, instead of `stdin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin_base64: Option<String>,
    /// Variables in addition to the usual ones.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// A backend's name, or `auto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Limits that differ from the usual ones, by their names in the configuration: `{"memory": "1GiB", "pids": 128}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Value>)]
    pub limits: BTreeMap<String, serde_json::Value>,
    /// A policy's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The network inside: `none`, or `allow:HOST:PORT,...`; without it, the policy's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Runs with the same label are compared with each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What it can be found by. At most 32, of at most 256 bytes each.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What goes first: the higher, from -128 to 127.
    pub priority: i8,
    /// How long it is to wait at least: `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<String>,
    /// That its result depends on nothing but this request: an earlier one of the same project with the same program, input, limits,
    /// policy, backend and machine then stands for it, and is answered with.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deterministic: bool,
    /// Given again with the same request, it gives the same evaluation. At most 200 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// Bytes as text where they are text, else in base64.
fn text_or_base64(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(STANDARD.encode(bytes))),
    }
}

impl From<&core::EvaluationSpec> for SubmitEvaluation {
    /// What gives the same specification again, as far as it holds that: neither labels nor priority.
    fn from(spec: &core::EvaluationSpec) -> Self {
        let mut request = Self::default();
        match &spec.program {
            core::Program::Source { language, code, args } => {
                (request.code, request.code_base64) = text_or_base64(code);
                (request.language, request.args) = (Some(language.clone()), args.clone());
            }
            core::Program::Command { argv } => request.command.clone_from(argv),
        }
        if !spec.stdin.is_empty() {
            (request.stdin, request.stdin_base64) = text_or_base64(&spec.stdin);
        }
        // All of them, so that it says nothing of what is usual where it is given again.
        let limits = serde_json::to_value(&spec.limits).unwrap_or_default();
        Self {
            files: spec.files.iter().map(SubmittedFile::from).collect(),
            collect: spec.collect.iter().map(ToString::to_string).collect(),
            tripwires: spec.tripwires.iter().map(ToString::to_string).collect(),
            env: spec.env.clone(),
            backend: Some(spec.backend.clone()),
            limits: limits.as_object().map(|limits| limits.clone().into_iter().collect()).unwrap_or_default(),
            policy: Some(spec.policy.name.clone()),
            network: Some(spec.policy.network.to_string()),
            label: spec.label.as_ref().map(|label| label.as_str().to_owned()),
            ..request
        }
    }
}

impl From<&core::InputFile> for SubmittedFile {
    fn from(file: &core::InputFile) -> Self {
        let (content, content_base64) = text_or_base64(&file.content);
        Self { path: file.path.to_string(), content, content_base64, executable: file.executable }
    }
}

/// A rerun that differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RerunEvaluation {
    /// The backend that it is run on, instead of the one that was asked for before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
}

/// A file to put in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SubmittedFile {
    /// Where it goes: below the work folder, or absolute.
    pub path: String,
    /// What is in it, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// What is in it byte for byte, instead of `content`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_base64: Option<String>,
    /// Whether it may be executed.
    pub executable: bool,
}

/// An evaluation that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    /// Its id.
    pub id: String,
    /// How far it is.
    pub state: EvaluationState,
}

/// Many evaluations at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitBatch {
    /// At most 1000.
    #[serde(deserialize_with = "object::list")]
    pub evaluations: Vec<SubmitEvaluation>,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchAccepted {
    /// What became of each, in their order.
    pub results: Vec<BatchResult>,
}

/// What became of one evaluation of a batch: it was accepted, or there is a problem with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchResult {
    /// The evaluation; `null` where there is a problem.
    pub accepted: Option<Accepted>,
    /// The problem; `null` where there is none.
    pub problem: Option<HttpProblem>,
}

/// A person's decision about an evaluation that is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecideEvaluation {
    /// Whether it may run.
    pub decision: ReviewDecision,
    /// Why.
    pub reason: String,
    /// Who decides; without it, the name of the key that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Whether a held evaluation may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewDecision {
    /// It may.
    Approved,
    /// It may not.
    Rejected,
}
