//! What an attestation says: the fingerprint, every verdict with its control arm, and when that was found out.
//!
//! A signed format of its own, so that a change of the core's types changes nothing that was signed. Only whole numbers.

use crate::fingerprint::Fingerprint;
use crate::timestamp::Timestamp;
use crucible_core::{ArmResult, Expected, Layer, PropertyResult, Reach, SuiteResult, Verdict};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The predicate of an isolation attestation, version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsolationAttestation {
    /// What was put to the test.
    pub fingerprint: Fingerprint,
    /// The version of Crucible that did it.
    pub crucible: String,
    /// Which suite it was: BLAKE3 of its scenarios and probes.
    pub suite: String,
    /// When the suite started.
    pub started: Timestamp,
    /// When it had finished.
    pub finished: Timestamp,
    /// How many properties got which verdict.
    pub counts: Counts,
    /// Every property, in the suite's order.
    pub properties: Vec<Property>,
}

/// How many properties got which verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Held.
    pub held: u32,
    /// Breached.
    pub breached: u32,
    /// Inconclusive.
    pub inconclusive: u32,
    /// Not applicable.
    pub not_applicable: u32,
}

impl Counts {
    /// Counts verdicts.
    pub fn of(verdicts: impl IntoIterator<Item = Verdict>) -> Self {
        let mut counts = Self::default();
        for verdict in verdicts {
            let count = match verdict {
                Verdict::Held => &mut counts.held,
                Verdict::Breached => &mut counts.breached,
                Verdict::Inconclusive => &mut counts.inconclusive,
                Verdict::NotApplicable => &mut counts.not_applicable,
            };
            *count = count.saturating_add(1);
        }
        counts
    }
}

/// One property of isolation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Property {
    /// Its id: `filesystem.host_path`.
    pub id: String,
    /// Its group.
    pub group: String,
    /// What holds where it is held.
    pub statement: String,
    /// What isolation was expected to do.
    pub expected: Expected,
    /// Classes of weaknesses that it guards against.
    pub references: Vec<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// Why, for people.
    pub reason: String,
    /// How the probe fared in the sandbox as it is used.
    pub protected: Option<Arm>,
    /// How it fared in a weakened one.
    pub control: Option<Control>,
    /// Which layers hold it, where that was asked for.
    pub held_by: Option<HeldBy>,
}

impl Property {
    /// Whether its control arm showed that the probe works.
    #[must_use]
    pub fn is_proven_by_control(&self) -> bool {
        self.control.as_ref().is_some_and(|control| control.arm.reach == Reach::Reached)
    }
}

/// How a probe fared in one sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arm {
    /// Whether it reached its canary.
    pub reach: Reach,
    /// What the host saw.
    pub seen: String,
    /// How long it took, in microseconds.
    pub took_us: u64,
}

/// The control arm of a property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// The layers that were left off.
    pub without: Vec<Layer>,
    /// How the probe fared.
    #[serde(flatten)]
    pub arm: Arm,
}

/// Which layers hold a property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBy {
    /// Each of these held it alone.
    pub alone: Vec<Layer>,
    /// Without any one of these it was breached.
    pub needed: Vec<Layer>,
    /// Layers for which that could not be found out.
    pub unknown: Vec<Layer>,
}

impl IsolationAttestation {
    /// What a suite found out about what has this fingerprint.
    #[must_use]
    pub fn new(fingerprint: Fingerprint, suite: &SuiteResult) -> Self {
        Self {
            fingerprint,
            crucible: env!("CARGO_PKG_VERSION").to_owned(),
            suite: suite.suite.clone(),
            started: Timestamp::new(suite.started),
            finished: Timestamp::new(suite.started.checked_add(suite.took).unwrap_or(suite.started)),
            counts: Counts::of(suite.properties.iter().map(|property| property.verdict)),
            properties: suite.properties.iter().map(Property::from).collect(),
        }
    }
}

impl From<&PropertyResult> for Property {
    fn from(result: &PropertyResult) -> Self {
        Self {
            id: result.id.clone(),
            group: result.group.clone(),
            statement: result.statement.clone(),
            expected: result.expected,
            references: result.references.clone(),
            verdict: result.verdict,
            reason: result.reason.clone(),
            protected: result.protected.as_ref().map(Arm::from),
            control: result
                .control
                .as_ref()
                .map(|control| Control { without: control.without.clone(), arm: Arm::from(&control.result) }),
            held_by: result.held_by.as_ref().map(|held_by| HeldBy {
                alone: held_by.alone.clone(),
                needed: held_by.needed.clone(),
                unknown: held_by.unknown.clone(),
            }),
        }
    }
}

impl From<&ArmResult> for Arm {
    fn from(result: &ArmResult) -> Self {
        Self { reach: result.reach, seen: result.seen.clone(), took_us: microseconds(result.took) }
    }
}

/// What a double still holds exactly is 285 years.
fn microseconds(time: Duration) -> u64 {
    const EXACT: u64 = 1 << 53;
    u64::try_from(time.as_micros()).unwrap_or(EXACT).min(EXACT)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crucible_core::ControlResult;
    use std::time::UNIX_EPOCH;

    pub(crate) fn property(id: &str, verdict: Verdict) -> PropertyResult {
        let arm = |reach| ArmResult { reach, seen: "the canary's bytes".to_owned(), took: Duration::from_micros(1500) };
        PropertyResult {
            id: id.to_owned(),
            group: "filesystem".to_owned(),
            statement: "a file of the host can't be opened".to_owned(),
            expected: Expected::Hidden,
            references: vec!["CWE-22".to_owned()],
            verdict,
            reason: "the control arm reached the canary".to_owned(),
            protected: Some(arm(Reach::NotReached)),
            control: Some(ControlResult { without: vec![Layer::MountNamespace], result: arm(Reach::Reached) }),
            held_by: None,
        }
    }

    pub(crate) fn suite() -> SuiteResult {
        SuiteResult {
            backend: "jail".to_owned(),
            suite: "0123".to_owned(),
            started: UNIX_EPOCH + Duration::from_millis(1_800_000_000_123),
            took: Duration::from_secs(9),
            properties: vec![
                property("filesystem.host_path", Verdict::Held),
                property("filesystem.dotdot", Verdict::Held),
                property("network.loopback", Verdict::Breached),
                property("network.netlink", Verdict::Inconclusive),
                property("leaks.kernel_log", Verdict::NotApplicable),
            ],
        }
    }

    #[test]
    fn every_verdict_is_counted_once() {
        let counts = Counts::of(suite().properties.iter().map(|property| property.verdict));
        assert_eq!(counts, Counts { held: 2, breached: 1, inconclusive: 1, not_applicable: 1 });
    }

    #[test]
    fn a_control_that_reached_nothing_proves_nothing() {
        let mut result = property("x", Verdict::Held);
        assert!(Property::from(&result).is_proven_by_control());
        result.control.as_mut().unwrap().result.reach = Reach::Unproven;
        assert!(!Property::from(&result).is_proven_by_control());
        result.control = None;
        assert!(!Property::from(&result).is_proven_by_control());
    }
}
