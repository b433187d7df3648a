//! Whether a program is let in: what a policy decides about findings, and what a person decides about a held one.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::SystemTime;

/// What a policy decides about a program before it runs, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It may run.
    Allow,
    /// A person decides.
    Hold,
    /// It may not run.
    Deny,
}

impl Decision {
    /// The name in policies and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Hold => "hold",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a person decided about a held program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewDecision {
    /// It may run.
    Approved,
    /// It may not.
    Rejected,
}

/// A person's decision about a held program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// What was decided.
    pub decision: ReviewDecision,
    /// Who decided.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: SystemTime,
}

/// One reason for a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionReason {
    /// What it leads to.
    pub decision: Decision,
    /// The part of the policy that says so: `before.deny`, `before.imports_forbidden`.
    pub clause: String,
    /// In words, with file and line where there is one.
    pub message: String,
}

/// What was decided about a program before it ran, for the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionRecord {
    /// What the policy decided.
    pub decision: Decision,
    /// Why; those that decided come first. Empty where nothing stood against it.
    pub reasons: Vec<DecisionReason>,
    /// What a person decided, where one did.
    pub review: Option<Review>,
    /// BLAKE3 of the scanner's rules; `None` where nothing was scanned.
    pub rules_digest: Option<String>,
}

impl AdmissionRecord {
    /// Nothing was looked at, and the policy asked for nothing.
    #[must_use]
    pub const fn unexamined() -> Self {
        Self { decision: Decision::Allow, reasons: Vec::new(), review: None, rules_digest: None }
    }
}
