//! What came of a run, for a person who asked for it: a summary of the record in a screenful.
//!
//! Invariant: no text of a guest's, a finding's or a policy's gets to the terminal with a control character or a line break
//! of its own, and each part is bounded. What is left out is said; the JSON outcome has it all.

use super::{ERROR, GOOD, WARNING, neutral, to_stderr};
use anstyle::Style;
use crucible_core::{
    AdmissionRecord, BaselineRecord, Comparison, Coverage, Decision, Finding, Learnt, Limits, Outcome, Sample,
    Severity, Status, Validity, Watchable,
};
use crucible_engine::Metric;
use std::fmt::Write;
use std::time::Duration;

/// Entries of one part.
const MOST_ENTRIES: usize = 20;
/// Characters of one entry.
const LONGEST_ENTRY: usize = 400;
/// Columns of a curve.
const COLUMNS: usize = 40;
/// Fewer samples are no curve.
const FEWEST_SAMPLES: usize = 4;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Prints what came of a run, on lines of its own.
pub(crate) fn run_report(outcome: &Outcome, limits: &Limits, within_line: bool) {
    let start = if within_line { "\n" } else { "" };
    to_stderr(&format!("{start}{}", text(outcome, limits)));
}

/// The whole report, with styles.
fn text(outcome: &Outcome, limits: &Limits) -> String {
    let mut report = Report { text: "crucible: report\n".to_owned() };
    report.row("status", &status(outcome, limits), status_style(outcome));
    let validity = match outcome.validity {
        Validity::Valid => ("valid", Some(GOOD)),
        Validity::InfrastructureFailure => ("infrastructure failure", Some(ERROR)),
        Validity::SabotageSuspected => ("sabotage suspected", Some(ERROR)),
    };
    let reasons: Vec<_> = outcome.validity_reasons.iter().map(|reason| reason.as_str().replace('_', " ")).collect();
    let because = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join(", ")) };
    report.row("validity", &format!("{}{because}", validity.0), validity.1);
    report.admission(&outcome.admission);
    report.findings(&outcome.admission, &outcome.findings);
    report.behavior(outcome);
    if let Some(record) = &outcome.baseline {
        report.baseline(record, outcome);
    }
    report.usage(outcome, limits);
    report.watched(outcome);
    report.text
}

fn status(outcome: &Outcome, limits: &Limits) -> String {
    let ended = match outcome.status {
        Status::Exited { code } => format!("exited with code {code}"),
        Status::Signaled { signal } => format!("ended by signal {signal}"),
        Status::TimedOut => format!("timed out: {} was reached", limits.in_words(crucible_core::LimitKind::Timeout)),
        Status::OutOfMemory => {
            format!("out of memory: {} was reached", limits.in_words(crucible_core::LimitKind::Memory))
        }
        Status::LimitExceeded { limit } => format!("ended at a limit: {} was reached", limits.in_words(limit)),
        Status::Denied => "denied".to_owned(),
        Status::Cancelled => "cancelled".to_owned(),
    };
    format!("{ended}, after {}", time(outcome.usage.wall))
}

fn status_style(outcome: &Outcome) -> Option<Style> {
    match outcome.status {
        Status::Exited { code: 0 } => Some(GOOD),
        Status::Exited { .. } | Status::Signaled { .. } | Status::Cancelled => Some(WARNING),
        Status::TimedOut | Status::OutOfMemory | Status::LimitExceeded { .. } | Status::Denied => Some(ERROR),
    }
}

fn style_of(severity: Severity) -> Option<Style> {
    match severity {
        Severity::Info | Severity::Low => None,
        Severity::Medium => Some(WARNING),
        Severity::High | Severity::Critical => Some(ERROR),
    }
}

/// A report as it grows. Writing to a String can't fail, so its results are let go throughout.
struct Report {
    text: String,
}

impl Report {
    fn row(&mut self, name: &str, value: &str, style: Option<Style>) {
        let (value, style) = (one_line(value), style.unwrap_or_default());
        let name = if value.is_empty() { name.to_owned() } else { format!("{name:11}") };
        let _ = writeln!(self.text, "  {name}{style}{value}{style:#}");
    }

    fn entry(&mut self, value: &str, style: Option<Style>) {
        let (value, style) = (one_line(value), style.unwrap_or_default());
        let _ = writeln!(self.text, "    {style}{value}{style:#}");
    }

    /// The first entries, and how many more there are.
    fn entries(&mut self, entries: impl ExactSizeIterator<Item = (String, Option<Style>)>) {
        let beyond = entries.len().saturating_sub(MOST_ENTRIES);
        for (value, style) in entries.take(MOST_ENTRIES) {
            self.entry(&value, style);
        }
        if beyond > 0 {
            self.entry(&format!("and {beyond} more, which the JSON outcome has"), None);
        }
    }

    fn admission(&mut self, admission: &AdmissionRecord) {
        let style = match admission.decision {
            Decision::Allow => Some(GOOD),
            Decision::Hold => Some(WARNING),
            Decision::Deny => Some(ERROR),
        };
        self.row("decision", admission.decision.as_str(), style);
        let reasons = admission.reasons.iter();
        self.entries(
            reasons.map(|reason| (format!("{} ({}): {}", reason.decision, reason.clause, reason.message), None)),
        );
        if let Some(review) = &admission.review {
            let decision = match review.decision {
                crucible_core::ReviewDecision::Approved => "approved",
                crucible_core::ReviewDecision::Rejected => "rejected",
            };
            self.entry(&format!("{decision} by {}: {}", review.by, review.reason), None);
        }
    }

    fn findings(&mut self, admission: &AdmissionRecord, findings: &[Finding]) {
        let summary = match (findings.len(), &admission.rules_digest) {
            (0, None) => "nobody looked".to_owned(),
            (0, Some(_)) => "none".to_owned(),
            (count, _) => count.to_string(),
        };
        self.row("findings", &summary, None);
        let mut worst: Vec<&Finding> = findings.iter().collect();
        worst.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let entry = |finding: &Finding| {
            let Finding { severity, file, region, message, rule, .. } = finding;
            (format!("{severity:9}{file}:{}  {message} [{rule}]", region.line), style_of(*severity))
        };
        self.entries(worst.into_iter().map(entry));
    }

    fn behavior(&mut self, outcome: &Outcome) {
        let summary =
            if outcome.behavior.is_empty() { "nothing to tell".to_owned() } else { outcome.behavior.len().to_string() };
        self.row("behaviour", &summary, None);
        self.entries(outcome.behavior.iter().map(|one| (one.message.clone(), style_of(one.kind.severity()))));
    }

    fn baseline(&mut self, record: &BaselineRecord, outcome: &Outcome) {
        let BaselineRecord { label, runs, comparison, learnt } = record;
        let compared = match comparison {
            Comparison::Compared if outcome.anomalies.is_empty() => {
                format!("doesn't stand out from the {runs} earlier runs of '{label}'")
            }
            Comparison::Compared => format!("stands out from the {runs} earlier runs of '{label}'"),
            Comparison::TooFew { needed } => {
                format!("not compared: earlier runs of '{label}': {runs}, of {needed} that it takes")
            }
            Comparison::NothingToCompare => "nothing to compare".to_owned(),
            Comparison::Unavailable { reason } => format!("not compared with earlier runs of '{label}': {reason}"),
        };
        let remembered = match learnt {
            Learnt::Yes => String::new(),
            Learnt::No { reason } | Learnt::Failed { reason } => format!("; not remembered: {reason}"),
        };
        let style = (!outcome.anomalies.is_empty()).then_some(WARNING);
        self.row("baseline", &format!("{compared}{remembered}"), style);
        self.entries(outcome.anomalies.iter().map(|anomaly| (anomaly.message.clone(), Some(WARNING))));
    }

    fn usage(&mut self, outcome: &Outcome, limits: &Limits) {
        let usage = &outcome.usage;
        let of = |used: String, limit: &dyn std::fmt::Display| format!("{used} of {limit}");
        let mut parts = vec![
            format!("{} wall-clock time", of(time(usage.wall), &limits.timeout)),
            format!("{} processor time", of(time(usage.cpu), &limits.cpu_time)),
        ];
        parts.extend(usage.memory_peak_bytes.map(|bytes| format!("{} memory", of(size(bytes), &limits.memory))));
        parts.extend(usage.processes_peak.map(|peak| format!("{} processes", of(peak.to_string(), &limits.pids))));
        self.row("used", &parts.join(", "), None);
        let samples = &outcome.samples;
        if samples.len() >= FEWEST_SAMPLES {
            if let Some(memory) = samples.iter().map(|sample| sample.memory_bytes.map(|bytes| bytes as f64)).collect() {
                self.curve("memory", memory);
            }
            self.curve("processor", rates(samples));
        }
    }

    fn curve(&mut self, name: &str, values: Vec<f64>) {
        self.entry(&format!("{name:10} {}", bars(&values)), None);
    }

    fn watched(&mut self, outcome: &Outcome) {
        self.row("watched", "", None);
        for part in Watchable::ALL {
            let name = part.as_str().replace('_', " ");
            let how = match outcome.monitoring.get(&part) {
                Some(Coverage::Events) => "each event".to_owned(),
                Some(Coverage::Sampled { reason }) => format!("from time to time: {reason}"),
                Some(Coverage::Unavailable { reason }) => format!("not: {reason}"),
                None => "not".to_owned(),
            };
            self.entry(&format!("{name:13}{how}"), None);
        }
    }
}

/// A hostile text on one line, and not too long.
fn one_line(text: &str) -> String {
    let mut shown = neutral(text).replace('\n', " ");
    if let Some((end, _)) = shown.char_indices().nth(LONGEST_ENTRY) {
        shown.truncate(end);
        shown.push('…');
    }
    shown.trim_end().to_owned()
}

fn time(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1e3;
    Metric::Wall.amount(milliseconds, milliseconds)
}

fn size(bytes: u64) -> String {
    Metric::Memory.amount(bytes as f64, bytes as f64)
}

/// Processor time between samples, by the time that passed.
fn rates(samples: &[Sample]) -> Vec<f64> {
    let rate = |pair: &[Sample]| match pair {
        [before, after] => {
            let passed = after.at.saturating_sub(before.at).as_secs_f64();
            let used = after.cpu.saturating_sub(before.cpu).as_secs_f64();
            if passed > 0.0 { used / passed } else { 0.0 }
        }
        _ => 0.0,
    };
    samples.windows(2).map(rate).collect()
}

/// A curve in one line, the highest value being the highest bar.
fn bars(values: &[f64]) -> String {
    let highest = values.iter().copied().fold(0.0, f64::max);
    let columns = values.len().min(COLUMNS);
    let bar = |column: usize| {
        let (from, to) = (column * values.len() / columns, (column + 1) * values.len() / columns);
        let value = values.get(from..to).unwrap_or_default().iter().copied().fold(0.0, f64::max);
        let thresholds = (1..BARS.len()).map(|step| step as f64 / 8.0 * highest);
        let level = thresholds.filter(|threshold| highest > 0.0 && value > *threshold).count();
        BARS.get(level).copied().unwrap_or('█')
    };
    (0..columns).map(bar).collect()
}

#[cfg(test)]
mod tests;
