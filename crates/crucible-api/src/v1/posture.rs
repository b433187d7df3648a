//! What looking at a sandbox from outside showed: how much was as planned, and by name what wasn't or couldn't be seen.

use crucible_core as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Both looks at a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PostureRecord {
    /// Before the program was let in.
    pub before: PostureSummary,
    /// When every process of it was dead: at privileges and ids alone. `null` where it didn't come to that.
    pub after: Option<PostureSummary>,
}

/// One look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PostureSummary {
    /// How many facts were as planned.
    pub as_planned: u64,
    /// The names of those that this user can't see.
    pub not_visible: Vec<String>,
    /// Those that weren't as planned.
    pub differing: Vec<PostureDifference>,
}

/// A fact that wasn't as planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PostureDifference {
    /// What was looked at: `capabilities.effective`, `namespace.mount`, `mounts`.
    pub name: String,
    /// What was seen.
    pub seen: String,
}

impl From<&core::PostureRecord> for PostureRecord {
    fn from(record: &core::PostureRecord) -> Self {
        Self { before: (&record.before).into(), after: record.after.as_ref().map(PostureSummary::from) }
    }
}

impl From<&core::PostureSummary> for PostureSummary {
    fn from(summary: &core::PostureSummary) -> Self {
        let difference = |fact: &core::PostureFact| PostureDifference {
            name: fact.name.clone().into_owned(),
            seen: fact.seen.clone().into_owned(),
        };
        Self {
            as_planned: summary.as_planned,
            not_visible: summary.not_visible.iter().map(|name| name.clone().into_owned()).collect(),
            differing: summary.differing.iter().map(difference).collect(),
        }
    }
}
