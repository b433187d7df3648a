//! An evaluation on the wire: what wraps an outcome, before there is one, too.

use super::outcome::{Admission, Finding, Outcome, Review, Validity};
use super::problem::ProblemDetail;
use crucible_core as core;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// An evaluation as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Evaluation {
    /// Its id.
    pub id: String,
    /// How far it is.
    pub state: EvaluationState,
    /// What came of it, once it has finished.
    pub outcome: Option<Outcome>,
    /// Why Crucible failed, if it did.
    pub failure: Option<ProblemDetail>,
    /// Whether the outcome says something about the task, where there is one.
    pub validity: Option<Validity>,
    /// How often it was tried.
    pub attempt: u32,
    /// The machine that it is on; empty while nobody has begun it.
    pub node: String,
    /// What it was labelled with.
    pub labels: BTreeMap<String, String>,
    /// What was decided before anything ran; `null` where nothing is decided yet.
    #[serde(default)]
    pub admission: Option<Admission>,
    /// What the scanner saw.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// Whose it is.
    #[serde(default)]
    pub project: String,
    /// What goes first.
    #[serde(default)]
    pub priority: i8,
    /// When it was asked for, by RFC 3339.
    #[serde(default)]
    pub created_at: Option<String>,
    /// When it was last begun.
    #[serde(default)]
    pub started_at: Option<String>,
    /// When it got its final state.
    #[serde(default)]
    pub finished_at: Option<String>,
    /// Whether somebody wants it to end that still runs.
    #[serde(default)]
    pub cancel_requested: bool,
    /// What a person decided about it, where one did.
    #[serde(default)]
    pub review: Option<Review>,
}

/// An evaluation in a list, without what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EvaluationSummary {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub project: String,
    /// How far it is.
    pub state: EvaluationState,
    /// How it ended: the outcome's `status`.
    pub status: Option<String>,
    /// Whether the outcome says something about the task.
    pub validity: Option<String>,
    /// What ran it.
    pub backend: Option<String>,
    /// What was decided before it ran: `allow`, `hold` or `deny`.
    pub verdict: Option<String>,
    /// The program's language, where it is a source text.
    #[serde(default)]
    pub language: Option<String>,
    /// How long the program ran, where it did.
    #[serde(default)]
    pub wall_ms: Option<f64>,
    /// How often it was tried.
    pub attempt: u32,
    /// The machine that it is on; empty while nobody has begun it.
    pub node: String,
    /// What goes first.
    pub priority: i8,
    /// What it was labelled with.
    pub labels: BTreeMap<String, String>,
    /// When it was asked for, by RFC 3339.
    pub created_at: String,
    /// When it was last begun.
    pub started_at: Option<String>,
    /// When it got its final state.
    pub finished_at: Option<String>,
}

/// Some evaluations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EvaluationList {
    /// The newest first.
    pub evaluations: Vec<EvaluationSummary>,
    /// For the next page; `null` where there is none.
    pub cursor: Option<String>,
}

/// Something that happened to an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EvaluationEvent {
    /// Its place among the evaluation's events: 1, 2, 3, with none left out.
    pub number: u64,
    /// Its place among all events of the service.
    pub global: u64,
    /// The evaluation.
    pub evaluation: String,
    /// Whose it is.
    pub project: String,
    /// What kind of thing: `submitted`, `output_produced`, `finished`.
    pub kind: String,
    /// When, by RFC 3339.
    pub at: String,
    /// The rest, by its kind.
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
}

/// How far an evaluation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EvaluationState {
    /// It waits for a place.
    Queued,
    /// It waits for a person.
    Held,
    /// It runs.
    Running,
    /// It has an outcome.
    Finished,
    /// Crucible failed.
    Failed,
    /// The caller ended it.
    Cancelled,
    /// It was given up.
    Dead,
}

impl EvaluationState {
    /// Whether it stays so.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Cancelled | Self::Dead)
    }

    /// The name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Held => "held",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }
}

impl From<core::EvaluationState> for EvaluationState {
    fn from(state: core::EvaluationState) -> Self {
        match state {
            core::EvaluationState::Queued => Self::Queued,
            core::EvaluationState::Held => Self::Held,
            core::EvaluationState::Running => Self::Running,
            core::EvaluationState::Finished => Self::Finished,
            core::EvaluationState::Failed => Self::Failed,
            core::EvaluationState::Cancelled => Self::Cancelled,
            core::EvaluationState::Dead => Self::Dead,
        }
    }
}

impl Evaluation {
    /// One that its policy holds.
    #[must_use]
    pub fn held(held: &core::HeldEvaluation, node: &str) -> Self {
        let label = held.spec.label.iter().map(|label| ("label".to_owned(), label.as_str().to_owned()));
        Self {
            id: held.spec.id.to_string(),
            state: EvaluationState::Held,
            outcome: None,
            failure: None,
            validity: None,
            attempt: 0,
            node: node.to_owned(),
            labels: label.collect(),
            admission: Some((&held.admission).into()),
            findings: held.findings.iter().map(Finding::from).collect(),
            project: String::new(),
            priority: 0,
            created_at: Some(core::rfc3339(held.at)),
            started_at: None,
            finished_at: None,
            cancel_requested: false,
            review: held.spec.review.as_ref().map(Review::from),
        }
    }
}
