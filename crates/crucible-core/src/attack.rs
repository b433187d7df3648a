//! What the attack suite finds out: one verdict for each property of isolation, with what it rests on.

use crate::error::Result;
use crate::layer::Layer;
use crate::outcome::Outcome;
use crate::spec::EvaluationSpec;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, SystemTime};

/// The verdict on one property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The probe didn't reach its canary, and did where the protection was left off.
    Held,
    /// The probe reached its canary.
    Breached,
    /// Nothing is proven: no answer came, or the control arm didn't reach the canary either. Never counted as held.
    Inconclusive,
    /// The property means nothing for this backend.
    NotApplicable,
}

impl Verdict {
    /// The name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Breached => "breached",
            Self::Inconclusive => "inconclusive",
            Self::NotApplicable => "not_applicable",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What isolation is expected to do about a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// The attempt is denied.
    Denied,
    /// What it looks for doesn't show.
    Hidden,
    /// It has an effect inside only.
    Inside,
    /// It is bounded.
    Bounded,
    /// Nothing is left of it afterwards.
    Clean,
    /// The input is refused or neutralised.
    Refused,
}

/// Whether a probe reached its canary, by the host's own evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// It did.
    Reached,
    /// It didn't, and it is known to have tried.
    NotReached,
    /// It didn't, as far as can be seen; but it isn't known to have tried.
    Unproven,
}

/// How a probe fared in one sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmResult {
    /// Whether it reached its canary.
    pub reach: Reach,
    /// What the host saw, for people. Holds nothing that the guest could word.
    pub seen: String,
    /// How long the sandbox and the probe took.
    pub took: Duration,
}

/// The control arm of a property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlResult {
    /// The layers that were left off.
    pub without: Vec<Layer>,
    /// How the probe fared.
    pub result: ArmResult,
}

/// Which layers hold a property, as found by leaving them off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBy {
    /// Each of these held it with all other layers left off that can be, but for those that it can't stand without.
    pub alone: Vec<Layer>,
    /// Without any one of these it was breached: it rests on each of them.
    pub needed: Vec<Layer>,
    /// Layers for which that could not be found out.
    pub unknown: Vec<Layer>,
}

/// What was found out about one property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PropertyResult {
    /// Its id: `filesystem.host_path`.
    pub id: String,
    /// Its group: `filesystem`.
    pub group: String,
    /// What holds where it is held, as a sentence without a full stop.
    pub statement: String,
    /// What isolation is expected to do.
    pub expected: Expected,
    /// Classes of weaknesses and incidents that it guards against: `CWE-22`.
    pub references: Vec<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// Why, for people.
    pub reason: String,
    /// How the probe fared in the sandbox as it is used.
    pub protected: Option<ArmResult>,
    /// How it fared in a weakened one.
    pub control: Option<ControlResult>,
    /// Which layers hold it, where that was asked for.
    pub held_by: Option<HeldBy>,
}

/// What a whole suite found out about one backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteResult {
    /// The backend's name.
    pub backend: String,
    /// Which suite it was: BLAKE3 of its scenarios and probes, in hexadecimal digits.
    pub suite: String,
    /// When it started.
    pub started: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// Every property, in the suite's order.
    pub properties: Vec<PropertyResult>,
}

impl SuiteResult {
    /// How many properties got a verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.properties.iter().filter(|property| property.verdict == verdict).count()
    }
}

/// Runs whole evaluations, for properties that the engine holds and not the backend: time, output, processor time.
#[async_trait]
pub trait Evaluator: Send + Sync {
    /// Runs one.
    ///
    /// # Errors
    /// Crucible's own failures.
    async fn evaluate(&self, spec: EvaluationSpec) -> Result<Outcome>;
}
