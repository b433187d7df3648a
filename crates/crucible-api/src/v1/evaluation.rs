//! An evaluation on the wire: what wraps an outcome, before there is one, too.

use super::outcome::{Admission, Finding, Outcome, Validity};
use super::problem::ProblemDetail;
use crucible_core as core;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An evaluation as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// The machine that it is on.
    pub node: String,
    /// What it was labelled with.
    pub labels: BTreeMap<String, String>,
    /// What was decided before anything ran; `null` where nothing is decided yet.
    #[serde(default)]
    pub admission: Option<Admission>,
    /// What the scanner saw.
    #[serde(default)]
    pub findings: Vec<Finding>,
}

/// How far an evaluation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
        }
    }
}
