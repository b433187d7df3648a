//! The doctor's findings for people.

use super::cgroups::Mode;
use super::{Diagnosis, LanguageReport, ScannerReport};
use crate::output::{self, neutral};
use crucible_api::v1::{BackendReport, ProblemDetail};
use crucible_core::Layer;
use std::fmt::Write;

/// All findings as text with styles.
pub(super) fn table(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    // Writing to a String can't fail, so its result is let go throughout.
    let _ = writeln!(text, "machine\n  kernel          {}", neutral(&diagnosis.report.kernel));
    let _ = writeln!(text, "  control groups  {}", control_groups(diagnosis));
    for report in &diagnosis.report.backends {
        let standard = if report.name == diagnosis.default_backend { ", the default" } else { "" };
        let _ = writeln!(text, "\nbackend {} ({}{standard})", report.name, isolation(&report.isolation));
        backend(&mut text, report);
    }
    for unavailable in &diagnosis.report.unavailable {
        let _ = writeln!(text, "\nbackend {}", unavailable.name);
        mark(&mut text, Mark::Bad, "unavailable", &unavailable.error.message);
        mend(&mut text, unavailable.error.hint.as_deref().unwrap_or_default());
    }
    let _ = writeln!(text, "\nlanguages");
    for report in &diagnosis.languages {
        language(&mut text, report);
    }
    scanner(&mut text, &diagnosis.scanner);
    text.push('\n');
    match &diagnosis.default_backend_problem {
        None => text.push_str("the default backend can run\n"),
        Some(ProblemDetail { message, hint, .. }) => {
            let _ = writeln!(text, "the default backend can't run: {}", neutral(message));
            mend(&mut text, hint.as_deref().unwrap_or_default());
        }
    }
    text
}

fn control_groups(diagnosis: &Diagnosis) -> String {
    let groups = &diagnosis.control_groups;
    let (v1, v2) = (groups.v1_controllers.join(", "), groups.v2_controllers.join(", "));
    match groups.mode {
        Mode::V1 => format!("version 1: {v1}"),
        Mode::V2 => format!("version 2: {v2}"),
        Mode::Hybrid => {
            format!("hybrid; version 1: {v1}; version 2: {}", if v2.is_empty() { "no controllers" } else { &v2 })
        }
        Mode::None => "none".to_owned(),
    }
}

fn isolation(name: &str) -> &str {
    match name {
        "none" => "isolates nothing",
        "shared_kernel" => "shares this machine's kernel",
        "own_kernel" => "has a kernel of its own",
        other => other,
    }
}

fn backend(text: &mut String, report: &BackendReport) {
    if report.isolation != "none" {
        // No machine can be mended so that native programs are WebAssembly.
        let can_be = |name: &str, is_active: bool| is_active || name != Layer::WebAssembly.as_str();
        let layers: Vec<_> = report.layers.iter().filter(|(name, layer)| can_be(name, layer.active)).collect();
        let present = layers.iter().filter(|(_, layer)| layer.active).count();
        let _ = writeln!(text, "  layers in force: {present} of {}", layers.len());
        for (name, layer) in layers {
            if layer.active {
                mark(text, Mark::Good, name, layer.detail.as_deref().unwrap_or_default());
            } else {
                mark(text, Mark::Bad, name, layer.reason.as_deref().unwrap_or_default());
                mend(text, layer.mend.as_deref().unwrap_or_default());
            }
        }
    }
    let _ = writeln!(text, "  limits");
    for (name, enforcement) in &report.limits {
        match enforcement.as_str() {
            "sandbox" => mark(text, Mark::Good, name, "for the whole sandbox"),
            "inside" => mark(text, Mark::Good, name, "for the whole sandbox; where it was met isn't told"),
            "process" => mark(text, Mark::Middling, name, "for each process by itself"),
            _ => mark(text, Mark::Bad, name, "not enforced"),
        }
    }
    monitoring(text, report);
}

/// How well runs can be watched.
fn monitoring(text: &mut String, report: &BackendReport) {
    let _ = writeln!(text, "  watching");
    for (part, coverage) in &report.monitoring {
        let reason = coverage.reason.as_deref().unwrap_or_default();
        match coverage.state.as_str() {
            "events" => mark(text, Mark::Good, part, "the kernel tells of each"),
            "sampled" => mark(text, Mark::Middling, part, &format!("from time to time: {reason}")),
            _ => mark(text, Mark::Bad, part, reason),
        }
    }
}

fn scanner(text: &mut String, report: &ScannerReport) {
    let _ = writeln!(text, "\nscanner");
    match (&report.rules, &report.problem) {
        (_, Some(problem)) => {
            mark(text, Mark::Bad, "rules", &problem.message);
            mend(text, problem.hint.as_deref().unwrap_or_default());
        }
        (Some(rules), None) => {
            let more = match report.folders.len() {
                0 => String::new(),
                _ => format!(", some of them from {}", report.folders.join(", ")),
            };
            mark(text, Mark::Good, "rules", &format!("{} loaded{more}", rules.count));
        }
        (None, None) => mark(text, Mark::Bad, "rules", "none"),
    }
}

fn language(text: &mut String, report: &LanguageReport) {
    let name = report.name.as_str();
    match (&report.problem, &report.interpreter) {
        (Some(problem), _) => {
            mark(text, Mark::Bad, name, &problem.message);
            mend(text, problem.hint.as_deref().unwrap_or_default());
        }
        (None, Some(interpreter)) => {
            let version = report.version.as_ref().map(|version| format!(", version {version}")).unwrap_or_default();
            mark(text, Mark::Good, name, &format!("{interpreter}{version}"));
        }
        (None, None) => mark(text, Mark::Good, name, "needs no interpreter"),
    }
    if let Some(problem) = &report.cache_problem {
        let _ = writeln!(text, "            slow to start: {}", neutral(problem));
    }
}

/// How good a finding is.
#[derive(Clone, Copy)]
enum Mark {
    Good,
    Middling,
    Bad,
}

fn mark(text: &mut String, mark: Mark, name: &str, particulars: &str) {
    let (word, style) = match mark {
        Mark::Good => ("yes", output::GOOD),
        Mark::Middling => ("partly", output::WARNING),
        Mark::Bad => ("NO", output::ERROR),
    };
    let line = format!("    {style}{word:6}{style:#}  {:18}  {}", neutral(name), neutral(particulars));
    let _ = writeln!(text, "{}", line.trim_end());
}

fn mend(text: &mut String, what: &str) {
    if !what.is_empty() {
        let _ = writeln!(text, "            mend: {}", neutral(what));
    }
}
