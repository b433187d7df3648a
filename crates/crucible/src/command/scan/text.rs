//! Findings for people: the place, the line, a mark under it, and a last line that sums up.

use super::Findings;
use super::excerpt::Excerpt;
use crate::arguments::Detail;
use crate::output::{ERROR, GOOD, NOTE, WARNING, neutral};
use anstyle::Style;
use crucible_core::{Finding, Severity};
use crucible_scan::RuleSet;
use std::fmt::Write;

/// Everything that was found, as text with styles.
pub(super) fn report(findings: &Findings, detail: Detail) -> String {
    let mut text = String::new();
    for looked in &findings.files {
        let mut excerpts = looked.excerpts.iter();
        for found in &looked.report.findings {
            finding(&mut text, found, excerpts.next().and_then(Option::as_ref));
            if detail == Detail::Explained {
                explain(&mut text, found, &findings.rules);
            }
        }
    }
    for unread in findings.unread() {
        let _ = writeln!(
            text,
            "{}: {WARNING}not looked at whole{WARNING:#}: {}",
            one_line(&unread.file),
            one_line(&unread.reason)
        );
    }
    summary(&mut text, findings);
    text
}

// Writing to a String can't fail, so its result is let go throughout.

fn finding(text: &mut String, finding: &Finding, excerpt: Option<&Excerpt>) {
    let Finding { rule, severity, file, region, message, .. } = finding;
    let style = style(*severity);
    let _ = writeln!(
        text,
        "{}:{}:{}: {style}{severity}{style:#} {}: {}",
        one_line(file),
        region.line,
        region.column,
        one_line(rule),
        one_line(message)
    );
    if let Some(Excerpt { text: line, indent, marks }) = excerpt {
        let number = region.line.to_string();
        let (blank, marks) = (" ".repeat(number.len()), "^".repeat(*marks));
        let _ = writeln!(text, "  {number} | {line}");
        let _ = writeln!(text, "  {blank} | {:indent$}{style}{marks}{style:#}", "");
    }
}

fn explain(text: &mut String, finding: &Finding, rules: &RuleSet) {
    let mut row = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "  = {name}: {}", one_line(value));
        }
    };
    row("it", &finding.does);
    if let Some(rule) = rules.get(&finding.rule) {
        row("why", &rule.why);
        row("see", &rule.references.names().join(", "));
    }
    let foreshadows: Vec<_> = finding.foreshadows.iter().map(|kind| kind.as_str()).collect();
    row("at run time", &foreshadows.join(", "));
}

fn summary(text: &mut String, findings: &Findings) {
    let all = || findings.files.iter().flat_map(|looked| &looked.report.findings);
    let by_severity = Severity::ALL.into_iter().rev().filter_map(|severity| {
        let count = all().filter(|finding| finding.severity == severity).count();
        let style = style(severity);
        (count > 0).then(|| format!("{style}{count} {severity}{style:#}"))
    });
    let by_severity: Vec<_> = by_severity.collect();
    let files = findings.files.len();
    let with_findings = findings.files.iter().filter(|looked| !looked.report.findings.is_empty()).count();
    if with_findings > 0 {
        let _ = write!(
            text,
            "{} ({}) in {with_findings} of {}",
            counted(all().count() as u64, "finding"),
            by_severity.join(", "),
            counted(files as u64, "file")
        );
    } else {
        let _ = write!(text, "{GOOD}no findings{GOOD:#} in {}", counted(files as u64, "file"));
    }
    let rest = [
        (findings.milder, "milder and not shown"),
        (findings.left_out, "left out for want of room"),
        (findings.unread().count() as u64, "not looked at whole"),
        (findings.skipped.len() as u64, "not looked at"),
        (findings.failures.len() as u64, "unreadable"),
    ];
    for (count, what) in rest.into_iter().filter(|(count, _)| *count > 0) {
        let _ = write!(text, "; {count} {what}");
    }
    text.push('\n');
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A severity's colour.
pub(in crate::command) fn style(severity: Severity) -> Style {
    match severity {
        Severity::Info | Severity::Low => NOTE,
        Severity::Medium => WARNING,
        Severity::High | Severity::Critical => ERROR,
    }
}

/// A text that others may have worded, in one line.
pub(in crate::command) fn one_line(text: &str) -> String {
    neutral(text).replace('\n', "\u{fffd}")
}
