//! The suite: puts every scenario to a backend in two arms, and judges.

use crate::arm::{self, World};
use crate::range::{self, Ranges};
use crate::scenario::{Arm, Canary, Place, Scenario};
use crate::subject::Subject;
use crucible_core::{
    ArmResult, ControlResult, Error, ErrorKind, HeldBy, Isolation, Layer, LayerState, Layers, NetworkKind,
    PropertyResult, Reach, Result, SuiteResult, Users, Verdict, nearest,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Instant, SystemTime};

/// A set of scenarios to be put to backends.
#[derive(Clone, Debug)]
pub struct AttackSuite {
    scenarios: Vec<Scenario>,
}

/// Where the protected arms of a backend run.
pub enum Node<'a> {
    /// On this machine as it is, but for scenarios that must not.
    Here {
        /// The backend.
        subject: &'a Subject,
        /// Its world.
        world: &'a World,
    },
    /// On this machine, all of them: for a backend whose sandboxes can't be made in a range, because what makes them is a
    /// service of the machine. What would be the machine's own is left out, with the reason that the backend declares.
    HereAlone {
        /// The backend.
        subject: &'a Subject,
        /// Its world.
        world: &'a World,
        /// Why it can't be put into a range.
        reason: &'a str,
    },
    /// In the range, all of them: for a backend that isolates nothing.
    InRange,
}

/// How much is to be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// A verdict for each property.
    Verdicts,
    /// Also which layers hold it, by leaving each one off, and all but each one.
    Layers,
}

/// What is going on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Properties that are done.
    pub done: usize,
    /// Properties in all.
    pub total: usize,
    /// The id of the one that is next.
    pub current: String,
}

/// The backend under attack, as the suite sees it.
pub struct Target<'a> {
    /// Its name.
    pub name: &'a str,
    /// The name by which scenarios say that they are about it.
    pub known_as: &'a str,
    /// How strong it says its wall is.
    pub isolation: Isolation,
    /// Who is in its sandboxes, by the policy.
    pub users: Users,
    /// The layers it says it has.
    pub layers: &'a Layers,
    /// The kinds of network that it says it can give.
    pub networks: &'a BTreeSet<NetworkKind>,
    /// The layers that can be left off, each with those that it can't stand without.
    pub removable: &'a BTreeMap<Layer, BTreeSet<Layer>>,
    /// Where its protected arms run.
    pub node: Node<'a>,
}

impl AttackSuite {
    /// A suite of these scenarios.
    #[must_use]
    pub fn new(scenarios: Vec<Scenario>) -> Self {
        Self { scenarios }
    }

    /// Tells it from every other suite: BLAKE3 of its scenarios with their probes, in hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(crucible_probe::PROBE);
        for scenario in &self.scenarios {
            // Text of our own types, which can always be written; the debug form stands in for it if not.
            let text = serde_json::to_string(scenario).unwrap_or_else(|_| format!("{scenario:?}"));
            hasher.update(&text.len().to_le_bytes()).update(text.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Its scenarios.
    #[must_use]
    pub fn scenarios(&self) -> &[Scenario] {
        &self.scenarios
    }

    /// Keeps the scenarios with these ids and groups; empty lists keep all.
    ///
    /// # Errors
    /// `NotFound` for an id or a group that there isn't, with the nearest one.
    pub fn only(mut self, ids: &[String], groups: &[String]) -> Result<Self> {
        let unknown = |what: &str, name: &str, known: Vec<&str>| {
            let shown: String = name.chars().take(80).collect();
            let error =
                Error::new(ErrorKind::NotFound, "choose the scenarios", format!("there is no {what} {shown:?}"));
            match nearest(name, known.iter().copied()) {
                Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                None => error.with_hint("`crucible attack --list` names them"),
            }
        };
        for id in ids {
            if !self.scenarios.iter().any(|scenario| scenario.id == *id) {
                return Err(unknown("scenario", id, self.scenarios.iter().map(|known| known.id.as_str()).collect()));
            }
        }
        for group in groups {
            if !self.scenarios.iter().any(|scenario| scenario.group() == group) {
                return Err(unknown("group", group, self.scenarios.iter().map(Scenario::group).collect()));
            }
        }
        if !ids.is_empty() || !groups.is_empty() {
            self.scenarios
                .retain(|scenario| ids.contains(&scenario.id) || groups.iter().any(|group| group == scenario.group()));
        }
        Ok(self)
    }

    /// Attacks a backend. `progress` is told of every property before it is looked at.
    pub async fn run(
        &self,
        target: &Target<'_>,
        ranges: &mut Ranges,
        depth: Depth,
        progress: &(dyn Fn(&Progress) + Sync),
    ) -> SuiteResult {
        let (started, clock) = (SystemTime::now(), Instant::now());
        let mut properties = Vec::with_capacity(self.scenarios.len());
        for (done, scenario) in self.scenarios.iter().enumerate() {
            progress(&Progress { done, total: self.scenarios.len(), current: scenario.id.clone() });
            properties.push(property(scenario, target, ranges, depth).await);
        }
        SuiteResult {
            backend: target.name.to_owned(),
            suite: self.digest(),
            started,
            took: clock.elapsed(),
            properties,
        }
    }
}

async fn property(scenario: &Scenario, target: &Target<'_>, ranges: &mut Ranges, depth: Depth) -> PropertyResult {
    let mut result = PropertyResult {
        id: scenario.id.clone(),
        group: scenario.group().to_owned(),
        statement: scenario.statement.clone(),
        expected: scenario.expected,
        references: scenario.references.clone(),
        verdict: Verdict::NotApplicable,
        reason: String::new(),
        protected: None,
        control: None,
        held_by: None,
    };
    if let Some(reason) = not_applicable(scenario, target) {
        result.reason = reason;
        return result;
    }
    let protected = match (&target.node, scenario.place()) {
        (Node::Here { subject, world }, Place::Host) | (Node::HereAlone { subject, world, .. }, _) => {
            Ok(Some(arm::run(scenario, subject, Arm::Protected, world).await))
        }
        (Node::InRange, _) | (Node::Here { .. }, Place::Range) => in_range(scenario, target, ranges).await,
    };
    let without = left_off(scenario, target);
    let control = ranges.control(scenario, without.clone()).await;
    (result.verdict, result.reason) = judge(&protected, &control);
    result.protected = protected.ok().flatten();
    let without = without.into_iter().collect();
    result.control = control.ok().flatten().map(|control| ControlResult { without, result: control });
    // Where no layer is left off in the control arm, no layer holds it.
    if depth == Depth::Layers && result.verdict == Verdict::Held && scenario.rests_on_layers() {
        result.held_by = Some(ablate(scenario, target, ranges).await);
    }
    result
}

/// What a control arm leaves off. Where programs are WebAssembly that goes, too: it stands before all that the layers below
/// it hold, so that nothing of them would show.
fn left_off(scenario: &Scenario, target: &Target<'_>) -> BTreeSet<Layer> {
    let is_wasm = target.layers.get(&Layer::WebAssembly).is_some_and(LayerState::is_active);
    scenario.control.iter().copied().chain(is_wasm.then_some(Layer::WebAssembly)).collect()
}

/// Runs a protected arm in the range. It stands for the node only where the backend has the same layers there.
async fn in_range(scenario: &Scenario, target: &Target<'_>, ranges: &mut Ranges) -> Result<Option<ArmResult>> {
    let here = range::active(target.layers);
    if matches!(target.node, Node::Here { .. }) && *ranges.layers() != here {
        let differing: Vec<_> = here.symmetric_difference(ranges.layers()).map(Layer::to_string).collect();
        let message = format!("the backend has other layers in the range than here: {}", differing.join(", "));
        return Err(Error::new(ErrorKind::Unavailable, "run an arm in the range", message));
    }
    ranges.protected(scenario).await
}

/// Why a scenario says nothing about a backend, where it doesn't: only what the backend itself declares counts.
fn not_applicable(scenario: &Scenario, target: &Target<'_>) -> Option<String> {
    if !scenario.is_about(target.known_as) {
        return Some(format!("it is about {}", scenario.backends.join(", ")));
    }
    if let Some(users) = scenario.users.filter(|users| *users != target.users) {
        return Some(format!("it is about policies with users = {:?}", users.as_str()));
    }
    if let Node::HereAlone { reason, .. } = target.node
        && scenario.needs_a_range()
    {
        return Some(format!("what it goes for would be the machine's own: {reason}"));
    }
    if target.isolation == Isolation::OwnKernel && scenario.canary.needs_the_guests_process() {
        let reason =
            "the backend says that a guest's processes are in a kernel of their own: the host has none to look at";
        return Some(reason.to_owned());
    }
    if matches!(scenario.canary, Canary::Unlisted { .. }) && !target.networks.contains(&NetworkKind::AllowList) {
        return Some("the backend says that it has no way out for an allow-list".to_owned());
    }
    if let Some(missing) = scenario.needs.missing() {
        return Some(format!("the control arm needs {missing}"));
    }
    if let Some((layer, LayerState::Absent { reason, .. })) =
        scenario.needs.layer.and_then(|layer| target.layers.get_key_value(&layer))
    {
        return Some(format!("the backend says that it doesn't have {layer} here: {reason}"));
    }
    let absent: Vec<_> = scenario
        .control
        .iter()
        .filter_map(|layer| match target.layers.get(layer) {
            Some(LayerState::Absent { reason, .. }) => Some(format!("{layer}: {reason}")),
            _ => None,
        })
        .collect();
    let has_groups = [Layer::CgroupMemory, Layer::CgroupPids, Layer::CgroupCpu]
        .iter()
        .any(|layer| target.layers.get(layer).is_some_and(LayerState::is_active));
    if scenario.canary == (Canary::Cgroup {}) && !target.layers.is_empty() && !has_groups {
        return Some("no control group is delegated to this user".to_owned());
    }
    let declares_layers = target.layers.values().any(LayerState::is_active);
    (declares_layers && !absent.is_empty() && absent.len() == scenario.control.len())
        .then(|| format!("the backend says that it doesn't have this here ({})", absent.join("; ")))
}

/// The verdict. Anything that isn't proven is inconclusive.
fn judge(protected: &Result<Option<ArmResult>>, control: &Result<Option<ArmResult>>) -> (Verdict, String) {
    let reach = |arm: &Result<Option<ArmResult>>| match arm {
        Ok(Some(arm)) => Ok((arm.reach, arm.seen.clone())),
        Ok(None) => Err("there is none for this backend".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    match (reach(protected), reach(control)) {
        (Ok((Reach::Reached, seen)), _) => (Verdict::Breached, seen),
        (Ok((Reach::NotReached, seen)), Ok((Reach::Reached, _))) => (Verdict::Held, seen),
        (Ok((Reach::NotReached, _)), Ok((_, seen))) => {
            (Verdict::Inconclusive, format!("the control arm didn't reach the canary either: {seen}"))
        }
        (Ok((Reach::NotReached, _)), Err(why)) => (Verdict::Inconclusive, format!("no control arm: {why}")),
        (Ok((Reach::Unproven, seen)), _) => (Verdict::Inconclusive, format!("the attempt proves nothing: {seen}")),
        (Err(why), _) => (Verdict::Inconclusive, format!("the attempt was not made: {why}")),
    }
}

/// Finds out which layers hold a property: leaves off each one, and then all but each one.
async fn ablate(scenario: &Scenario, target: &Target<'_>, ranges: &mut Ranges) -> HeldBy {
    let mut held_by = HeldBy::default();
    let is_active = |layer: &&Layer| target.layers.get(layer).is_some_and(LayerState::is_active);
    let layers: Vec<Layer> = target.removable.keys().filter(is_active).copied().collect();
    for layer in &layers {
        let one = BTreeSet::from([*layer]);
        // Alone means with what it can't stand without.
        let below = target.removable.get(layer);
        let is_below = |other: &Layer| below.is_some_and(|below| below.contains(other));
        let others = layers.iter().copied().filter(|other| other != layer && !is_below(other)).collect();
        let without = ranges.control(scenario, one).await.ok().flatten().map(|arm| arm.reach);
        let alone = ranges.control(scenario, others).await.ok().flatten().map(|arm| arm.reach);
        match (without, alone) {
            (Some(Reach::Unproven) | None, _) | (_, Some(Reach::Unproven) | None) => held_by.unknown.push(*layer),
            _ => {}
        }
        if without == Some(Reach::Reached) {
            held_by.needed.push(*layer);
        }
        if alone == Some(Reach::NotReached) {
            held_by.alone.push(*layer);
        }
    }
    held_by
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn arm(reach: Reach) -> Result<Option<ArmResult>> {
        Ok(Some(ArmResult { reach, seen: "seen".to_owned(), took: Duration::ZERO }))
    }

    #[test]
    fn only_a_control_arm_that_reached_its_canary_makes_a_property_held() {
        let none = || Err(Error::new(ErrorKind::Infrastructure, "run", "lost"));
        for (protected, control, wanted) in [
            (arm(Reach::NotReached), arm(Reach::Reached), Verdict::Held),
            (arm(Reach::NotReached), arm(Reach::NotReached), Verdict::Inconclusive),
            (arm(Reach::NotReached), arm(Reach::Unproven), Verdict::Inconclusive),
            (arm(Reach::NotReached), Ok(None), Verdict::Inconclusive),
            (arm(Reach::NotReached), none(), Verdict::Inconclusive),
            (arm(Reach::Unproven), arm(Reach::Reached), Verdict::Inconclusive),
            (Ok(None), arm(Reach::Reached), Verdict::Inconclusive),
            (none(), arm(Reach::Reached), Verdict::Inconclusive),
            (arm(Reach::Reached), arm(Reach::Reached), Verdict::Breached),
            (arm(Reach::Reached), arm(Reach::NotReached), Verdict::Breached),
            (arm(Reach::Reached), none(), Verdict::Breached),
        ] {
            let (verdict, reason) = judge(&protected, &control);
            assert_eq!(verdict, wanted, "{reason}");
            assert!(!reason.is_empty());
        }
    }
}
