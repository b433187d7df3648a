//! What a run was protected by, for its record.

use crate::capabilities::{Enforcement, Isolation};
use crate::layer::Layers;
use crate::limits::LimitKind;
use std::borrow::Cow;
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
    /// How the run was started.
    pub start: Start,
    /// How many runs of the same project its sandbox had held before, after each of which it was found to be as new.
    pub former_runs: u32,
    /// What looking at the sandbox from outside showed; `None` where it didn't come to that.
    pub posture: Option<PostureRecord>,
    /// The attestation that covers exactly this configuration.
    pub attestation: Option<String>,
}

/// What of a run's start was done before it was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Nothing: its sandbox and its interpreter were made for it alone, when it came.
    #[default]
    Cold,
    /// Its sandbox was made ahead. Its interpreter started when the program was there.
    Ready,
    /// Its interpreter, too, had started: as a fork of one that others are forked from, or by itself where no guest shares anything
    /// with another one.
    Interpreter,
}

impl Start {
    /// As records name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Ready => "ready",
            Self::Interpreter => "interpreter",
        }
    }
}

/// A sandbox's state as read from outside, to be compared with what was planned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Posture {
    /// What was looked at, what was seen, and whether it is as planned.
    pub facts: Vec<PostureFact>,
}

/// One observed fact. Nothing in it can be worded by a guest beyond a bounded text without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostureFact {
    /// What was looked at: `no_new_privs`, `capabilities.effective`.
    pub name: Cow<'static, str>,
    /// What was seen, in a few words.
    pub seen: Cow<'static, str>,
    /// Whether that is as planned.
    pub state: PostureState,
}

/// How what was seen compares with the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PostureState {
    /// It was seen, and is as planned.
    AsPlanned,
    /// It was seen, and isn't as planned.
    Differs,
    /// This user, or this kernel, doesn't let it be seen: nothing is claimed.
    NotVisible,
}

impl PostureFact {
    /// A fact.
    pub fn new(name: impl Into<Cow<'static, str>>, seen: impl Into<Cow<'static, str>>, state: PostureState) -> Self {
        Self { name: name.into(), seen: seen.into(), state }
    }

    /// Whether it was seen and is as planned.
    #[must_use]
    pub const fn is_as_planned(&self) -> bool {
        matches!(self.state, PostureState::AsPlanned)
    }
}

impl Posture {
    /// Whether nothing that was seen differs from the plan. Nothing seen at all proves nothing, and isn't as planned.
    #[must_use]
    pub fn is_as_planned(&self) -> bool {
        self.differences().next().is_none() && self.facts.iter().any(PostureFact::is_as_planned)
    }

    /// What was seen and isn't as planned.
    pub fn differences(&self) -> impl Iterator<Item = &PostureFact> {
        self.facts.iter().filter(|fact| fact.state == PostureState::Differs)
    }

    /// What couldn't be seen.
    pub fn not_visible(&self) -> impl Iterator<Item = &PostureFact> {
        self.facts.iter().filter(|fact| fact.state == PostureState::NotVisible)
    }
}

/// What looking at a sandbox from outside showed, for the record of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostureRecord {
    /// Before anything untrusted was let in.
    pub before: PostureSummary,
    /// When every process of the guest was dead; `None` where it didn't come to that.
    pub after: Option<PostureSummary>,
}

/// What one look at a sandbox from outside showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PostureSummary {
    /// How many facts were as planned.
    pub as_planned: u64,
    /// The names of those that couldn't be seen.
    pub not_visible: Vec<Cow<'static, str>>,
    /// Those that weren't as planned.
    pub differing: Vec<PostureFact>,
}

impl From<&Posture> for PostureSummary {
    fn from(posture: &Posture) -> Self {
        let as_planned = posture.facts.iter().filter(|fact| fact.is_as_planned()).count();
        Self {
            as_planned: u64::try_from(as_planned).unwrap_or(u64::MAX),
            not_visible: posture.not_visible().map(|fact| fact.name.clone()).collect(),
            differing: posture.differences().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posture(states: &[PostureState]) -> Posture {
        Posture { facts: states.iter().map(|state| PostureFact::new("fact", "", *state)).collect() }
    }

    #[test]
    fn only_what_was_seen_counts_as_planned() {
        use PostureState::{AsPlanned, Differs, NotVisible};
        let cases: [(&[PostureState], bool); 6] = [
            (&[], false),
            (&[NotVisible], false),
            (&[AsPlanned], true),
            (&[AsPlanned, NotVisible], true),
            (&[AsPlanned, Differs], false),
            (&[Differs], false),
        ];
        for (states, expected) in cases {
            assert_eq!(posture(states).is_as_planned(), expected, "{states:?}");
        }
        let summary = PostureSummary::from(&posture(&[AsPlanned, NotVisible, Differs, AsPlanned]));
        assert_eq!((summary.as_planned, summary.not_visible.len(), summary.differing.len()), (2, 1, 1));
    }
}
