//! In which respects a run stands out from earlier ones with its label. Pure: profiles in, reasons in words out.
//!
//! Invariant: a run is compared only with enough runs that were watched as it was: on the same backend, and for each
//! metric only with those of which it is known. What stands out isn't by itself bad, and what doesn't isn't by itself good.

use crate::metric::{Floor, Metric};
use crate::robust::{Spread, TO_STANDARD_DEVIATION, spread};
use crucible_core::{
    Anomaly, BASELINE_WINDOW, BehaviorKind, Coverage, ExitKind, Label, Outcome, Profile, Severity, Status, Tally,
    Validity,
};
use std::collections::BTreeMap;
use std::time::SystemTime;

/// The fewest earlier runs that say what is usual.
pub const FEWEST_RUNS: usize = 8;
/// How many scaled median absolute deviations from the median a run is flagged.
pub const FLAGGED_FROM: f64 = 6.0;

/// What a run was like. `None` where nothing of it ran, or where its result says nothing about it.
#[must_use]
pub fn profile(outcome: &Outcome, at: SystemTime) -> Option<Profile> {
    if outcome.validity == Validity::InfrastructureFailure || outcome.status == Status::Cancelled {
        return None;
    }
    if outcome.usage.wall.is_zero() && outcome.exit_code.is_none() && outcome.signal.is_none() {
        return None;
    }
    let is_watched = |kind: &BehaviorKind| match kind.watchable() {
        None => true,
        Some(part) => matches!(outcome.monitoring.get(&part), Some(Coverage::Events | Coverage::Sampled { .. })),
    };
    let watched = BehaviorKind::ALL.into_iter().filter(is_watched);
    let mut behavior: BTreeMap<_, _> = watched.map(|kind| (kind, Tally::default())).collect();
    for seen in &outcome.behavior {
        let tally = behavior.entry(seen.kind).or_default();
        tally.count = tally.count.saturating_add(seen.count);
        tally.names = tally.names.saturating_add(1);
    }
    let mut findings = BTreeMap::new();
    if outcome.admission.rules_digest.is_some() {
        findings = Severity::ALL.into_iter().map(|severity| (severity, 0)).collect();
        for finding in &outcome.findings {
            *findings.entry(finding.severity).or_default() += 1;
        }
    }
    let output = [&outcome.stdout, &outcome.stderr].map(|stream| stream.bytes.len());
    Some(Profile {
        at,
        backend: outcome.backend.clone(),
        ended: ExitKind::from(outcome.status),
        wall: outcome.usage.wall,
        cpu: outcome.usage.cpu,
        memory_peak_bytes: outcome.usage.memory_peak_bytes,
        processes_peak: outcome.usage.processes_peak,
        output_bytes: u64::try_from(output.into_iter().sum::<usize>()).unwrap_or(u64::MAX),
        behavior,
        findings,
    })
}

/// What is usual for one metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// What is measured.
    pub metric: Metric,
    /// The median of the earlier runs.
    pub median: f64,
    /// Half of them are no farther from it than this.
    pub deviation: f64,
    /// The most that any of them had.
    pub most: f64,
    /// How many of them it is known of.
    pub runs: usize,
}

impl Usual {
    /// A number of the metric in words, in the unit of the median.
    #[must_use]
    pub fn amount(&self, value: f64) -> String {
        self.metric.amount(value, self.median.max(self.deviation))
    }
}

/// Earlier runs to compare with.
#[derive(Clone, Copy, Debug)]
pub struct Baseline<'a> {
    profiles: &'a [Profile],
    backend: &'a str,
}

impl<'a> Baseline<'a> {
    /// Those of the earlier runs that were on that backend, the oldest first; of too many the latest count.
    #[must_use]
    pub fn new(profiles: &'a [Profile], backend: &'a str) -> Self {
        let first = profiles.len().saturating_sub(BASELINE_WINDOW);
        Self { profiles: profiles.get(first..).unwrap_or_default(), backend }
    }

    /// How many there are.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.comparable().count()
    }

    fn comparable(&self) -> impl Iterator<Item = &'a Profile> {
        let backend = self.backend;
        self.profiles.iter().filter(move |profile| profile.backend == backend)
    }

    /// What is usual, for each metric of which anything is known, in the order of the table.
    #[must_use]
    pub fn usual(&self) -> Vec<Usual> {
        Metric::all().filter_map(|metric| self.usual_of(metric)).collect()
    }

    fn usual_of(&self, metric: Metric) -> Option<Usual> {
        let values: Vec<_> = self.comparable().filter_map(|profile| metric.of(profile)).collect();
        let Spread { median, deviation } = spread(&values)?;
        let most = values.iter().copied().fold(0.0, f64::max);
        Some(Usual { metric, median, deviation, most, runs: values.len() })
    }

    /// How a run stands out, what no earlier run did first, then the farthest.
    #[must_use]
    pub fn anomalies(&self, label: &Label, profile: &Profile) -> Vec<Anomaly> {
        let enough = self.usual().into_iter().filter(|usual| usual.runs >= FEWEST_RUNS);
        let mut flagged: Vec<_> = enough.filter_map(|usual| judged(label, usual, usual.metric.of(profile)?)).collect();
        // What is new in kind is so in its names, too.
        let new: Vec<_> = flagged.iter().filter(|(novel, ..)| *novel).map(|(_, metric, _)| *metric).collect();
        flagged.retain(|(_, metric, _)| match metric {
            Metric::Names(kind) => !new.contains(&Metric::Count(*kind)),
            _ => true,
        });
        flagged.sort_by(|(novel, _, one), (also_novel, _, other)| {
            also_novel.cmp(novel).then(other.score.total_cmp(&one.score))
        });
        flagged.into_iter().map(|(_, _, anomaly)| anomaly).collect()
    }
}

/// A number against what is usual: whether it is something new, and what to say of it.
fn judged(label: &Label, usual: Usual, value: f64) -> Option<(bool, Metric, Anomaly)> {
    let Usual { metric, median, deviation, most, runs } = usual;
    let Floor { absolute, relative } = metric.floor();
    let scale = (deviation * TO_STANDARD_DEVIATION).max(relative * median.abs()).max(absolute);
    let score = (value - median).abs() / scale;
    let novelty = if most == 0.0 && value > 0.0 { metric.novelty(value, runs) } else { None };
    if novelty.is_none() && score < FLAGGED_FROM {
        return None;
    }
    let novel = novelty.is_some();
    let message = novelty.unwrap_or_else(|| {
        let size = value.max(median);
        let around = if deviation == 0.0 {
            "half of them or more were exactly there".to_owned()
        } else {
            format!("half of them were within {} of it", metric.amount(deviation, size))
        };
        let (did, earlier) = (metric.did(value, size), metric.earlier_did(median, size));
        format!("{did}; the {runs} earlier runs of '{label}' {earlier} at the median, and {around}")
    });
    let runs = u64::try_from(runs).unwrap_or(u64::MAX);
    Some((novel, metric, Anomaly { metric: metric.name(), value, median, score, runs, message }))
}

#[cfg(test)]
mod tests;
