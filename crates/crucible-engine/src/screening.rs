//! Decides about a program from what was found in it: whether it may run, and behind which wall. Pure.
//!
//! Invariant: nothing that is found ever relaxes anything. More findings never make the decision milder nor the wall weaker,
//! and findings beyond the scanner's bound count as the worst that they could be.

use crucible_core::{
    AdmissionRecord, Before, Decision, DecisionReason, Finding, Import, Isolation, Policy, Region, ScanReport,
    Severity, Unread,
};

/// Reasons that a record keeps; the mildest are left out first.
const MOST_REASONS: usize = 64;
/// Characters of a name or message of the program's own that a reason quotes.
const MOST_QUOTED: usize = 200;

/// What was decided about a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screened {
    /// Whether it may run, and why not.
    pub admission: AdmissionRecord,
    /// The weakest wall that is enough for it.
    pub wall: Wall,
}

/// A wall that a policy demands for a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wall {
    /// The weakest that is enough; `None` where nothing is demanded.
    pub least: Isolation,
    /// Why, in words; empty where nothing is demanded.
    pub reason: String,
}

impl Wall {
    /// No wall is demanded.
    #[must_use]
    pub const fn any() -> Self {
        Self { least: Isolation::None, reason: String::new() }
    }
}

/// Decides. The reasons come strictest first.
#[must_use]
pub fn decide(policy: &Policy, report: &ScanReport, rules_digest: &str) -> Screened {
    let before = &policy.before.normal();
    let mut reasons: Vec<_> = report.findings.iter().filter_map(|finding| about_finding(before, finding)).collect();
    reasons.extend(report.imports.iter().filter_map(|import| about_import(before, import)));
    reasons.extend(report.unread.iter().filter_map(|unread| about_unread(before, unread)));
    reasons.extend(about_left_out(before, report.left_out));
    // Stable, so that those of one decision stay in the order of the program.
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.decision));
    let decision = reasons.iter().map(|reason| reason.decision).max().unwrap_or(Decision::Allow);
    let more = reasons.len().saturating_sub(MOST_REASONS);
    if let Some(last) = reasons.get(MOST_REASONS).filter(|_| more > 0) {
        let message = format!("{more} more reasons are left out here");
        let rest = DecisionReason { decision: last.decision, clause: "before".to_owned(), message };
        reasons.truncate(MOST_REASONS);
        reasons.push(rest);
    }
    let admission = AdmissionRecord { decision, reasons, review: None, rules_digest: Some(rules_digest.to_owned()) };
    Screened { admission, wall: wall(before, report) }
}

fn is_noted(before: &Before, rule: &str) -> bool {
    covers(&before.note_rules, rule)
}

fn covers<'a>(patterns: impl IntoIterator<Item = &'a String>, rule: &str) -> bool {
    patterns.into_iter().any(|pattern| Before::covers_rule(pattern, rule))
}

fn about_finding(before: &Before, finding: &Finding) -> Option<DecisionReason> {
    let from = |least: Option<Severity>| least.is_some_and(|least| finding.severity >= least);
    let clauses = [
        (Decision::Deny, "before.deny_rules", covers(&before.deny_rules, &finding.rule)),
        (Decision::Deny, "before.deny", from(before.deny)),
        (Decision::Hold, "before.hold_rules", covers(&before.hold_rules, &finding.rule)),
        (Decision::Hold, "before.hold", from(before.hold)),
    ];
    let (decision, clause, _) = clauses.into_iter().find(|(.., applies)| *applies)?;
    let (decision, clause) =
        if is_noted(before, &finding.rule) { (Decision::Allow, "before.note_rules") } else { (decision, clause) };
    Some(DecisionReason { decision, clause: clause.to_owned(), message: in_words(finding) })
}

fn about_import(before: &Before, import: &Import) -> Option<DecisionReason> {
    let covered = |by: &String| Before::covers_module(by, &import.module);
    let is_foreign = |allowed: &std::collections::BTreeSet<String>| !allowed.iter().any(covered);
    let (clause, why) = if before.imports_forbidden.iter().any(covered) {
        ("before.imports_forbidden", "is forbidden")
    } else if before.imports_allowed.as_ref().is_some_and(is_foreign) {
        ("before.imports_allowed", "is not among those that are allowed")
    } else {
        return None;
    };
    let message = format!("{}: the import of {} {why}", place(&import.file, import.region), quoted(&import.module));
    Some(DecisionReason { decision: before.on_import(), clause: clause.to_owned(), message })
}

fn about_unread(before: &Before, unread: &Unread) -> Option<DecisionReason> {
    let decision = before.on_unread();
    let message = format!("{}: not looked at whole: {}", quoted(&unread.file), quoted(&unread.reason));
    (decision > Decision::Allow).then(|| DecisionReason { decision, clause: "before.unread".to_owned(), message })
}

/// Findings that the scanner had no room for may be of any rule and severity.
fn about_left_out(before: &Before, left_out: u64) -> Option<DecisionReason> {
    let worst = [
        (Decision::Deny, "before.deny", before.deny.is_some()),
        (Decision::Deny, "before.deny_rules", !before.deny_rules.is_empty()),
        (before.on_unread(), "before.unread", before.on_unread() > Decision::Allow),
        (Decision::Hold, "before.hold", before.hold.is_some()),
        (Decision::Hold, "before.hold_rules", !before.hold_rules.is_empty()),
    ];
    let (decision, clause, _) =
        worst.into_iter().filter(|(.., applies)| left_out > 0 && *applies).max_by_key(|w| w.0)?;
    let message = format!("{left_out} findings are beyond the bound on their number, and could be anything");
    Some(DecisionReason { decision, clause: clause.to_owned(), message })
}

fn wall(before: &Before, report: &ScanReport) -> Wall {
    let counted = report.findings.iter().filter(|finding| !is_noted(before, &finding.rule));
    let mut wall = Wall::any();
    let mut raise = |least: Isolation, reason: &dyn Fn() -> String| {
        if least > wall.least {
            wall = Wall { least, reason: reason() };
        }
    };
    for finding in counted {
        raise(before.wall_for(finding.severity), &|| in_words(finding));
    }
    let strongest = before.wall_for(Severity::Critical);
    if report.left_out > 0 {
        raise(strongest, &|| "there are more findings than could be kept".to_owned());
    }
    if let Some(unread) = report.unread.first().filter(|_| before.unread != Some(Decision::Allow)) {
        raise(strongest, &|| format!("{} could not be looked at whole", quoted(&unread.file)));
    }
    wall
}

/// A finding in one line: file, line, rule, severity and meaning. Bounded, and without control characters.
#[must_use]
pub fn in_words(finding: &Finding) -> String {
    let Finding { rule, severity, file, region, message, .. } = finding;
    format!("{}: {} ({severity}): {}", place(file, *region), quoted(rule), quoted(message))
}

fn place(file: &str, region: Region) -> String {
    format!("{}:{}", quoted(file), region.line)
}

/// A text that may be the program's own, bounded and in one line.
fn quoted(text: &str) -> String {
    let shown = text.chars().take(MOST_QUOTED).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
    let mut shown: String = shown.collect();
    if text.chars().nth(MOST_QUOTED).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
