//! Runs of the attack suite that were asked for over HTTP.

use super::attack::AttackReport;
use super::problem::ProblemDetail;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A run of the attack suite to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"backend": "jail", "only": ["filesystem.host_path"]}))]
pub struct StartAttack {
    /// The backend to attack.
    pub backend: String,
    /// Ids of properties; without them, all. Only then what is found is attested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
}

/// A run that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttackStarted {
    /// Its id.
    pub id: String,
}

/// How far a run of the attack suite is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttackState {
    /// It is being made.
    Running,
    /// It has a report.
    Finished,
    /// Crucible failed to make it.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

/// A run of the attack suite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttackRun {
    /// Its id.
    pub id: String,
    /// The backend.
    pub backend: String,
    /// The properties that were asked for; empty for all.
    #[serde(default)]
    pub only: Vec<String>,
    /// How far it is.
    pub state: AttackState,
    /// When it was asked for, by RFC 3339.
    pub created_at: String,
    /// When it came to its end.
    pub finished_at: Option<String>,
    /// Properties that were looked at.
    pub done: u64,
    /// All of them; 0 until it is known.
    pub total: u64,
    /// The property that is being looked at.
    pub current: Option<String>,
    /// Properties that were breached.
    pub breached: u64,
    /// Properties of which nothing is proven.
    pub inconclusive: u64,
    /// Properties that were held.
    pub held: u64,
    /// Why Crucible failed, if it did.
    pub failure: Option<ProblemDetail>,
}

/// Runs of the attack suite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttackRunList {
    /// The newest first; at most 50 are kept.
    pub attacks: Vec<AttackRun>,
}

/// A run of the attack suite, with what it found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AttackRunReport {
    /// How far it is.
    #[serde(flatten)]
    pub run: AttackRun,
    /// What it found; `null` until it is finished.
    pub report: Option<AttackReport>,
}
