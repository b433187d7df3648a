//! Layers and limits as they are told: every one that there is, in force or not.

use crucible_core as core;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// One layer: in force with particulars, or not in force with the reason and the mend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Layer {
    /// Whether it is in force.
    pub active: bool,
    /// Particulars of a layer in force; may be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Why it isn't in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the person can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// Every layer that there is, by its name.
pub type Layers = BTreeMap<String, Layer>;

/// How every limit is enforced, by its name: `sandbox`, `inside` (the same, without the
/// host hearing of it), `process` or `none`.
pub type LimitEnforcement = BTreeMap<String, String>;

impl From<&core::LayerState> for Layer {
    fn from(state: &core::LayerState) -> Self {
        match state {
            core::LayerState::Active { detail } => {
                Self { active: true, detail: Some(detail.clone()), reason: None, mend: None }
            }
            core::LayerState::Absent { reason, mend } => {
                Self { active: false, detail: None, reason: Some(reason.clone()), mend: Some(mend.clone()) }
            }
        }
    }
}

/// Every layer that there is; one that isn't mentioned is not in force.
#[must_use]
pub fn layers(layers: &core::Layers) -> Layers {
    let unmentioned = core::LayerState::absent("the backend doesn't have it", "");
    core::Layer::ALL
        .into_iter()
        .map(|layer| (layer.as_str().to_owned(), layers.get(&layer).unwrap_or(&unmentioned).into()))
        .collect()
}

/// How every limit is enforced; one that isn't mentioned is not.
#[must_use]
pub fn limits(limits: &BTreeMap<core::LimitKind, core::Enforcement>) -> LimitEnforcement {
    let name = |limit: &core::LimitKind| match limits.get(limit) {
        Some(core::Enforcement::Sandbox) => "sandbox",
        Some(core::Enforcement::Inside) => "inside",
        Some(core::Enforcement::Process) => "process",
        Some(core::Enforcement::None) | None => "none",
    };
    core::LimitKind::ALL.iter().map(|limit| (limit.as_str().to_owned(), name(limit).to_owned())).collect()
}

/// The name of a strength of isolation.
pub(super) const fn isolation(isolation: core::Isolation) -> &'static str {
    isolation.as_str()
}
