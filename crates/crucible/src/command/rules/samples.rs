//! `crucible rules test`: every rule on its own samples.
//!
//! Invariant: a rule that nothing proves counts as one that fails.

use super::super::scan::one_line;
use super::{configuration, find};
use crate::arguments::RulesTestArguments;
use crate::exit::Exit;
use crate::output::{self, ERROR, GOOD};
use crucible::compose;
use crucible_core::{Result, ScanFile, Scanner};
use crucible_scan::rules::{Rule, Sample};
use std::fmt::Write;

/// How much of a sample is quoted, in characters.
const QUOTED: usize = 60;

/// Tries the rules that were asked for.
///
/// # Errors
/// As [`super::rules`].
pub(super) fn test(arguments: &RulesTestArguments) -> Result<Exit> {
    let in_force = compose::rules(&configuration()?, &arguments.rules)?;
    let own = if arguments.rules.is_empty() { in_force.clone() } else { compose::rules_of(&arguments.rules)? };
    let asked_for: Vec<&Rule> = if arguments.ids.is_empty() {
        own.rules().iter().collect()
    } else {
        arguments.ids.iter().map(|id| find(&in_force, id)).collect::<Result<_>>()?
    };
    let scanner = compose::scanner_by(in_force.clone());
    let (mut text, mut failing, mut samples) = (String::new(), 0, 0);
    // Writing to a String can't fail, so its result is let go throughout.
    for rule in &asked_for {
        let wrong = complaints(rule, scanner.as_ref());
        samples += rule.tests.matching.len() + rule.tests.not_matching.len();
        if wrong.is_empty() {
            continue;
        }
        failing += 1;
        let _ = writeln!(text, "{ERROR}FAILED{ERROR:#}  {}", rule.id);
        for complaint in wrong {
            let _ = writeln!(text, "        {complaint}");
        }
    }
    let count = asked_for.len();
    let _ = match failing {
        0 => writeln!(text, "{GOOD}ok{GOOD:#}: {count} rules, {samples} samples"),
        _ => writeln!(text, "{ERROR}{failing} of {count} rules fail{ERROR:#}, {samples} samples"),
    };
    let shown = output::data(&text)?;
    Ok(if shown == Exit::Success && failing > 0 { Exit::RuleFailed } else { shown })
}

/// What is wrong with a rule.
fn complaints(rule: &Rule, scanner: &dyn Scanner) -> Vec<String> {
    let mut wrong = Vec::new();
    if rule.tests.matching.is_empty() {
        wrong.push("no sample under `match` proves that it finds anything".to_owned());
    }
    for (number, sample) in (1..).zip(&rule.tests.matching) {
        if places(rule, sample, scanner).is_empty() {
            wrong.push(format!("finds nothing in sample {number} of `match`: {}", quoted(sample)));
        }
    }
    for (number, sample) in (1..).zip(&rule.tests.not_matching) {
        if let [first, ..] = places(rule, sample, scanner)[..] {
            let (line, column) = first;
            let place = format!("at {line}:{column}");
            wrong.push(format!("finds something {place} in sample {number} of `no_match`: {}", quoted(sample)));
        }
    }
    wrong
}

/// Where the rule finds something in a sample.
fn places(rule: &Rule, sample: &Sample, scanner: &dyn Scanner) -> Vec<(u64, u64)> {
    let language = sample.language.as_ref().map(|language| language.as_str());
    let report = scanner.scan(&[ScanFile { name: "sample", language, bytes: &sample.bytes }]);
    let own = report.findings.iter().filter(|finding| finding.rule == rule.id.as_str());
    own.map(|finding| (finding.region.line, finding.region.column)).collect()
}

fn quoted(sample: &Sample) -> String {
    let text = String::from_utf8_lossy(&sample.bytes);
    let mut quoted: String = text.chars().take(QUOTED).collect();
    if text.chars().nth(QUOTED).is_some() {
        quoted.push('…');
    }
    one_line(&quoted.replace('\n', "⏎"))
}
