//! Programs that a policy has held, and where they wait for a person.
//!
//! Invariant: a program is decided about once, by one person, and an approval is for one run. Nothing here stores anything:
//! that is what implements [`ReviewStore`].

use crate::admission::{AdmissionRecord, Review, ReviewDecision};
use crate::component::Component;
use crate::error::Result;
use crate::id::EvaluationId;
use crate::scan::Finding;
use crate::spec::EvaluationSpec;
use async_trait::async_trait;
use std::fmt;
use std::time::SystemTime;

/// An evaluation that waits for a person. Nothing of it has run.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldEvaluation {
    /// What is to be run.
    pub spec: EvaluationSpec,
    /// What was found in it.
    pub findings: Vec<Finding>,
    /// Why it was held.
    pub admission: AdmissionRecord,
    /// Since when.
    pub at: SystemTime,
}

/// How far a held evaluation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeldState {
    /// Nobody has decided.
    Held,
    /// It may run, once.
    Approved,
    /// It may not.
    Rejected,
    /// It was approved and has run.
    Finished,
}

impl HeldState {
    /// The name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Finished => "finished",
        }
    }
}

impl fmt::Display for HeldState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<ReviewDecision> for HeldState {
    fn from(decision: ReviewDecision) -> Self {
        match decision {
            ReviewDecision::Approved => Self::Approved,
            ReviewDecision::Rejected => Self::Rejected,
        }
    }
}

/// A held evaluation as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldRecord {
    /// What was held. Its specification has the review, where there is one.
    pub held: HeldEvaluation,
    /// How far it is.
    pub state: HeldState,
}

/// A held evaluation in brief.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldSummary {
    /// Its id.
    pub id: EvaluationId,
    /// Since when it is held.
    pub at: SystemTime,
    /// The policy that held it.
    pub policy: String,
    /// The language, or the command's first word. May be worded by whoever asked.
    pub program: String,
    /// How many findings there are.
    pub findings: u64,
    /// Why it was held.
    pub admission: AdmissionRecord,
    /// How far it is.
    pub state: HeldState,
    /// What was decided, where something was.
    pub review: Option<Review>,
}

/// Everything that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldList {
    /// In the order in which they came.
    pub held: Vec<HeldSummary>,
    /// What can't be read, and why; one line each.
    pub unreadable: Vec<String>,
}

/// An approved evaluation that nobody else can run while this lives. Dropping it without [`ReviewClaim::finish`] leaves it
/// approved, so that a run that came to nothing can be made again.
#[async_trait]
pub trait ReviewClaim: Send {
    /// What is to be run, with its review.
    fn spec(&self) -> &EvaluationSpec;

    /// Marks it as finished.
    ///
    /// # Errors
    /// `Io` where that can't be kept.
    async fn finish(self: Box<Self>) -> Result<()>;
}

/// Keeps held evaluations until they are removed.
#[async_trait]
pub trait ReviewStore: Component {
    /// Keeps one. It is there whole, or not at all.
    ///
    /// # Errors
    /// `InvalidInput` where it is too large to be kept; `Io`.
    async fn hold(&self, held: &HeldEvaluation) -> Result<()>;

    /// All that are kept, the oldest first. What can't be read is named and holds up nothing.
    ///
    /// # Errors
    /// `Io` where nothing can be read at all.
    async fn list(&self) -> Result<HeldList>;

    /// One with everything.
    ///
    /// # Errors
    /// `NotFound`, or `Io` where it can't be read.
    async fn get(&self, id: EvaluationId) -> Result<HeldRecord>;

    /// Decides about one. Of several who decide at the same time exactly one does.
    ///
    /// # Errors
    /// `NotFound`; `Refused` where somebody has decided already, naming who; `InvalidInput` for a review that gives no
    /// reason or no name; `Io`.
    async fn decide(&self, id: EvaluationId, review: Review) -> Result<()>;

    /// Takes an approved one to run it.
    ///
    /// # Errors
    /// `NotFound`; `Held` while nobody has decided; `Refused` for one that was rejected, has run, or is being run; `Io`.
    async fn claim(&self, id: EvaluationId) -> Result<Box<dyn ReviewClaim>>;

    /// Forgets one, in whatever state it is.
    ///
    /// # Errors
    /// `NotFound`, or `Io` where it can't be removed.
    async fn remove(&self, id: EvaluationId) -> Result<()>;
}
