//! What a run was protected by, for its record.

use crate::capabilities::{Enforcement, Isolation};
use crate::layer::Layers;
use crate::limits::LimitKind;
use std::collections::BTreeMap;

/// What a run was protected by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// How strong the wall was.
    pub isolation: Isolation,
    /// The layers as they were applied, not as they were wished.
    pub layers: Layers,
    /// How each limit was enforced.
    pub limits: BTreeMap<LimitKind, Enforcement>,
    /// The kernel's release.
    pub kernel: String,
    /// The backend's version.
    pub backend_version: String,
    /// The interpreter that ran the program, as a host path or image, if one did.
    pub interpreter: Option<String>,
    /// The policy's name.
    pub policy: String,
    /// BLAKE3 of the policy's canonical text.
    pub policy_hash: String,
    /// BLAKE3 of the program and its input files.
    pub code_hash: String,
    /// The attestation that covers exactly this configuration.
    pub attestation: Option<String>,
}

/// A sandbox's state as read from outside, to be compared with what was planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posture {
    /// What was looked at, what was seen, and whether it is as planned.
    pub facts: Vec<PostureFact>,
}

/// One observed fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostureFact {
    /// What was looked at: `no_new_privs`, `capabilities.effective`.
    pub name: String,
    /// What was seen.
    pub seen: String,
    /// Whether that is as planned.
    pub as_planned: bool,
}

impl Posture {
    /// Whether everything seen is as planned. Nothing seen proves nothing.
    #[must_use]
    pub fn is_as_planned(&self) -> bool {
        !self.facts.is_empty() && self.facts.iter().all(|fact| fact.as_planned)
    }
}
