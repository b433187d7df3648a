//! How `crucible baseline` shows what it found, for people and for programs.

use crucible_core::{History, Label, LabelSummary, Profile, rfc3339};
use crucible_engine::{Baseline, FEWEST_RUNS, Metric, Usual};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The answer of `crucible baseline list --json`.
#[derive(Serialize)]
pub(super) struct Labels {
    labels: Vec<Summary>,
}

#[derive(Serialize)]
struct Summary {
    label: String,
    runs: u64,
    latest: Option<String>,
    /// Entries that couldn't be read.
    broken: u64,
}

impl From<Vec<LabelSummary>> for Labels {
    fn from(summaries: Vec<LabelSummary>) -> Self {
        let summary = |summary: LabelSummary| Summary {
            label: summary.label.to_string(),
            runs: summary.runs,
            latest: summary.latest.map(rfc3339),
            broken: summary.broken,
        };
        Self { labels: summaries.into_iter().map(summary).collect() }
    }
}

/// The answer of `crucible baseline show --json`.
#[derive(Serialize)]
pub(super) struct Shown {
    label: String,
    broken: u64,
    /// Runs on different backends aren't compared with each other.
    backends: Vec<OnBackend>,
}

#[derive(Serialize)]
struct OnBackend {
    backend: String,
    runs: usize,
    /// How many runs it takes until one is compared with them.
    needed: usize,
    first: Option<String>,
    latest: Option<String>,
    /// How they ended, and how many did so.
    ended: BTreeMap<&'static str, u64>,
    metrics: Vec<Measured>,
}

#[derive(Serialize)]
struct Measured {
    metric: String,
    median: f64,
    /// Half of the runs are no farther from the median than this.
    deviation: f64,
    most: f64,
    runs: usize,
}

impl From<&Usual> for Measured {
    fn from(usual: &Usual) -> Self {
        let Usual { metric, median, deviation, most, runs } = *usual;
        Self { metric: metric.name(), median, deviation, most, runs }
    }
}

impl Shown {
    pub(super) fn of(label: &Label, history: &History) -> Self {
        let backends = backends(history).into_iter().map(|backend| OnBackend::of(backend, history)).collect();
        Self { label: label.to_string(), broken: history.broken, backends }
    }
}

impl OnBackend {
    fn of(backend: &str, history: &History) -> Self {
        let profiles: Vec<&Profile> = on(backend, history).collect();
        let mut ended: BTreeMap<_, u64> = BTreeMap::new();
        for profile in &profiles {
            *ended.entry(profile.ended.as_str()).or_default() += 1;
        }
        let at = |profile: Option<&&Profile>| profile.map(|profile| rfc3339(profile.at));
        Self {
            backend: backend.to_owned(),
            runs: profiles.len(),
            needed: FEWEST_RUNS,
            first: at(profiles.first()),
            latest: at(profiles.last()),
            ended,
            metrics: Baseline::new(&history.profiles, backend).usual().iter().map(Measured::from).collect(),
        }
    }
}

fn backends(history: &History) -> BTreeSet<&str> {
    history.profiles.iter().map(|profile| profile.backend.as_str()).collect()
}

fn on<'a>(backend: &'a str, history: &'a History) -> impl Iterator<Item = &'a Profile> {
    history.profiles.iter().filter(move |profile| profile.backend == backend)
}

/// So many runs.
pub(super) fn runs(count: u64) -> String {
    if count == 1 { "1 run".to_owned() } else { format!("{count} runs") }
}

fn unreadable(broken: u64) -> String {
    match broken {
        0 => String::new(),
        1 => "; 1 entry can't be read".to_owned(),
        more => format!("; {more} entries can't be read"),
    }
}

/// All labels.
pub(super) fn list(labels: &Labels) -> String {
    if labels.labels.is_empty() {
        return "no runs with a label are remembered\n".to_owned();
    }
    let width = labels.labels.iter().map(|summary| summary.label.len()).max().unwrap_or_default();
    let mut text = String::new();
    for Summary { label, runs: count, latest, broken } in &labels.labels {
        let latest = latest.as_ref().map(|at| format!(", the latest {at}")).unwrap_or_default();
        let _ = writeln!(text, "{label:width$}  {}{latest}{}", runs(*count), unreadable(*broken));
    }
    text
}

/// What is usual for one label.
pub(super) fn show(label: &Label, history: &History) -> String {
    let mut text = format!("{label}{}\n", unreadable(history.broken));
    // Writing to a String can't fail, so its result is let go throughout.
    for backend in backends(history) {
        let about = OnBackend::of(backend, history);
        let count = u64::try_from(about.runs).unwrap_or(u64::MAX);
        let ended: Vec<_> =
            about.ended.iter().map(|(kind, count)| format!("{count} {}", kind.replace('_', " "))).collect();
        let few = if about.runs < FEWEST_RUNS {
            format!("; {FEWEST_RUNS} are needed to compare a run with them")
        } else {
            String::new()
        };
        let shown = crate::output::neutral(backend).replace('\n', " ");
        let _ = writeln!(text, "\non {shown}: {} ({}){few}", runs(count), ended.join(", "));
        let _ = writeln!(text, "  {:28}{:>12}{:>14}{:>12}", "", "median", "half within", "most");
        for usual in Baseline::new(&history.profiles, backend).usual() {
            if is_shown(&usual) {
                let amounts =
                    [usual.median, usual.deviation, usual.most].map(|value| usual.metric.amount(value, value));
                let [median, deviation, most] = amounts;
                let _ = writeln!(text, "  {:28}{median:>12}{deviation:>14}{most:>12}", usual.metric.name());
            }
        }
    }
    text
}

/// Whether a metric says anything: of behaviour and findings that there never were, nothing is said.
fn is_shown(usual: &Usual) -> bool {
    match usual.metric {
        Metric::Cpu | Metric::Wall | Metric::Memory | Metric::Processes | Metric::Output => true,
        Metric::Count(_) | Metric::Names(_) | Metric::Findings(_) => usual.most > 0.0,
    }
}
