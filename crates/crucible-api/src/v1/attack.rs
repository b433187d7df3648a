//! What the attack suite found, on the wire: verdicts, what the host saw in both arms, and which layers hold a property.

use super::outcome::milliseconds;
use crucible_core as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the suite found about one or more backends. Every field is there, `null` where there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AttackReport {
    /// What the document is, with the version of its format: always [`AttackReport::FORMAT`].
    pub format: String,
    /// Crucible's own version.
    pub crucible_version: String,
    /// The machine that the suite was run on.
    pub node: AttackNode,
    /// The policy's name.
    pub policy: String,
    /// What it all comes to: `breached` where any property is; else `inconclusive` where any is, where a suite is empty, and
    /// where nothing was held at all; else `held`.
    pub verdict: Verdict,
    /// One for each backend, in the order in which they were attacked.
    pub suites: Vec<SuiteReport>,
}

/// The machine that a suite was run on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttackNode {
    /// The kernel's release.
    pub kernel: String,
    /// Who ran the suite.
    pub user: UserKind,
}

/// What rights the user had who ran the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserKind {
    /// All of them.
    Root,
    /// Those of any user.
    Ordinary,
}

/// What the suite found about one backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SuiteReport {
    /// The backend's name.
    pub backend: String,
    /// Which suite it was: BLAKE3 of its scenarios and probes, in hexadecimal digits.
    pub suite: String,
    /// The id of the attestation that this run made.
    pub attestation: Option<String>,
    /// When it started: RFC 3339, in UTC, to the millisecond.
    pub started: String,
    /// How long it took, in milliseconds, to the microsecond.
    pub took_ms: f64,
    /// How many properties got each verdict.
    pub counts: VerdictCounts,
    /// Every property, in the suite's order.
    pub properties: Vec<PropertyReport>,
}

/// How many properties got each verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerdictCounts {
    /// Held.
    pub held: u64,
    /// Breached.
    pub breached: u64,
    /// Inconclusive.
    pub inconclusive: u64,
    /// Not applicable.
    pub not_applicable: u64,
}

/// What was found out about one property.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PropertyReport {
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
    /// How the probe fared in the sandbox as it is used; `null` where it wasn't run.
    pub protected: Option<ArmReport>,
    /// How the probe fared in a weakened sandbox; `null` where it wasn't run.
    pub control: Option<ControlReport>,
    /// Which layers hold it; `null` where that wasn't asked for.
    pub held_by: Option<HeldByReport>,
}

/// The verdict on one property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The probe didn't reach its canary, and did where the protection was left off.
    Held,
    /// The probe reached its canary.
    Breached,
    /// Nothing is proven. Never counted as held.
    Inconclusive,
    /// The property means nothing for this backend.
    NotApplicable,
}

/// What isolation is expected to do about a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ArmReport {
    /// Whether it reached its canary.
    pub reach: Reach,
    /// What the host saw, for people.
    pub seen: String,
    /// How long the sandbox and the probe took, in milliseconds, to the microsecond.
    pub took_ms: f64,
}

/// How a probe fared in a weakened sandbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ControlReport {
    /// The layers that were left off, by the names that the outcome's evidence has for them.
    pub without: Vec<String>,
    /// How the probe fared.
    #[serde(flatten)]
    pub arm: ArmReport,
}

/// Which layers hold a property, by the names that the outcome's evidence has for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldByReport {
    /// Each of these held it with all other layers left off that can be.
    pub alone: Vec<String>,
    /// Without any one of these it was breached: it rests on each of them.
    pub needed: Vec<String>,
    /// Layers for which that could not be found out.
    pub unknown: Vec<String>,
}

impl AttackReport {
    /// The name and version of the format.
    pub const FORMAT: &str = "crucible.attack.v1";

    /// The report on these suites.
    #[must_use]
    pub fn new(suites: &[core::SuiteResult], context: &core::ReportContext) -> Self {
        let suite = |suite: &core::SuiteResult| SuiteReport {
            attestation: context.attestations.get(&suite.backend).cloned(),
            ..SuiteReport::from(suite)
        };
        Self {
            format: Self::FORMAT.to_owned(),
            crucible_version: context.version.clone(),
            node: AttackNode { kernel: context.node.kernel.clone(), user: context.node.user.into() },
            policy: context.policy.clone(),
            verdict: core::overall(suites).into(),
            suites: suites.iter().map(suite).collect(),
        }
    }
}

fn names(layers: &[core::Layer]) -> Vec<String> {
    layers.iter().map(ToString::to_string).collect()
}

impl From<&core::SuiteResult> for SuiteReport {
    /// Without an attestation: the result doesn't know of one.
    fn from(suite: &core::SuiteResult) -> Self {
        let count = |verdict| u64::try_from(suite.count(verdict)).unwrap_or(u64::MAX);
        Self {
            backend: suite.backend.clone(),
            suite: suite.suite.clone(),
            attestation: None,
            started: core::rfc3339(suite.started),
            took_ms: milliseconds(suite.took),
            counts: VerdictCounts {
                held: count(core::Verdict::Held),
                breached: count(core::Verdict::Breached),
                inconclusive: count(core::Verdict::Inconclusive),
                not_applicable: count(core::Verdict::NotApplicable),
            },
            properties: suite.properties.iter().map(PropertyReport::from).collect(),
        }
    }
}

impl From<&core::PropertyResult> for PropertyReport {
    fn from(property: &core::PropertyResult) -> Self {
        Self {
            id: property.id.clone(),
            group: property.group.clone(),
            statement: property.statement.clone(),
            expected: property.expected.into(),
            references: property.references.clone(),
            verdict: property.verdict.into(),
            reason: property.reason.clone(),
            protected: property.protected.as_ref().map(ArmReport::from),
            control: property.control.as_ref().map(ControlReport::from),
            held_by: property.held_by.as_ref().map(HeldByReport::from),
        }
    }
}

impl From<&core::ArmResult> for ArmReport {
    fn from(arm: &core::ArmResult) -> Self {
        Self { reach: arm.reach.into(), seen: arm.seen.clone(), took_ms: milliseconds(arm.took) }
    }
}

impl From<&core::ControlResult> for ControlReport {
    fn from(control: &core::ControlResult) -> Self {
        Self { without: names(&control.without), arm: (&control.result).into() }
    }
}

impl From<&core::HeldBy> for HeldByReport {
    fn from(held_by: &core::HeldBy) -> Self {
        Self { alone: names(&held_by.alone), needed: names(&held_by.needed), unknown: names(&held_by.unknown) }
    }
}

impl From<core::UserKind> for UserKind {
    fn from(user: core::UserKind) -> Self {
        match user {
            core::UserKind::Root => Self::Root,
            core::UserKind::Ordinary => Self::Ordinary,
        }
    }
}

impl From<core::Verdict> for Verdict {
    fn from(verdict: core::Verdict) -> Self {
        match verdict {
            core::Verdict::Held => Self::Held,
            core::Verdict::Breached => Self::Breached,
            core::Verdict::Inconclusive => Self::Inconclusive,
            core::Verdict::NotApplicable => Self::NotApplicable,
        }
    }
}

impl From<core::Expected> for Expected {
    fn from(expected: core::Expected) -> Self {
        match expected {
            core::Expected::Denied => Self::Denied,
            core::Expected::Hidden => Self::Hidden,
            core::Expected::Inside => Self::Inside,
            core::Expected::Bounded => Self::Bounded,
            core::Expected::Clean => Self::Clean,
            core::Expected::Refused => Self::Refused,
        }
    }
}

impl From<core::Reach> for Reach {
    fn from(reach: core::Reach) -> Self {
        match reach {
            core::Reach::Reached => Self::Reached,
            core::Reach::NotReached => Self::NotReached,
            core::Reach::Unproven => Self::Unproven,
        }
    }
}
