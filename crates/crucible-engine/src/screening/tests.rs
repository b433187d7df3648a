//! Tests of what is decided about a program, and that nothing found in it can relax that.

use super::*;
use crucible_core::BehaviorKind;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeSet;

const REGION: Region = Region { line: 3, column: 1, end_line: 3, end_column: 9 };

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}

fn finding(rule: &str, severity: Severity) -> Finding {
    Finding {
        rule: rule.to_owned(),
        severity,
        group: "network".to_owned(),
        file: "main.py".to_owned(),
        region: REGION,
        message: "opens a socket".to_owned(),
        does: "opens a socket".to_owned(),
        foreshadows: BTreeSet::from([BehaviorKind::ConnectionRefused]),
    }
}

fn import(module: &str) -> Import {
    Import { module: module.to_owned(), file: "main.py".to_owned(), region: REGION }
}

fn unread() -> Unread {
    Unread { file: "data.bin".to_owned(), reason: "too large".to_owned() }
}

fn decided(before: Before, report: &ScanReport) -> Screened {
    decide(&Policy { before, ..Policy::default() }, report, "aa")
}

fn of_findings(findings: Vec<Finding>) -> ScanReport {
    ScanReport { findings, ..ScanReport::default() }
}

/// The decision, and each reason as `decision clause: message`.
fn shown(screened: &Screened) -> (Decision, Vec<String>) {
    let AdmissionRecord { decision, reasons, .. } = &screened.admission;
    let reason = |reason: &DecisionReason| format!("{} {}: {}", reason.decision, reason.clause, reason.message);
    (*decision, reasons.iter().map(reason).collect())
}

#[test]
fn a_reason_names_clause_rule_file_and_line() {
    let before = Before { deny: Some(Severity::High), ..Before::default() };
    let report = of_findings(vec![finding("net.socket", Severity::Critical), finding("net.dns", Severity::Low)]);
    let expected = "deny before.deny: main.py:3: net.socket (critical): opens a socket".to_owned();
    assert_eq!(shown(&decided(before, &report)), (Decision::Deny, vec![expected]));
    assert_eq!(shown(&decided(Before::default(), &report)), (Decision::Allow, vec![]));
}

#[test]
fn the_strictest_clause_decides_and_comes_first() {
    let before = Before {
        deny: Some(Severity::Critical),
        hold: Some(Severity::Medium),
        deny_rules: set(&["fs.*"]),
        hold_rules: set(&["net.dns"]),
        note_rules: set(&["fs.tmp"]),
        ..Before::default()
    };
    let report = of_findings(vec![
        finding("net.dns", Severity::Info),
        finding("net.socket", Severity::High),
        finding("fs.write", Severity::Low),
        finding("fs.tmp", Severity::Critical),
    ]);
    let (decision, reasons) = shown(&decided(before, &report));
    let clauses: Vec<_> = reasons.iter().map(|reason| reason.split(": ").next().unwrap()).collect();
    assert_eq!(decision, Decision::Deny);
    assert_eq!(
        clauses,
        ["deny before.deny_rules", "hold before.hold_rules", "hold before.hold", "allow before.note_rules"]
    );
}

#[test]
fn an_import_is_forbidden_before_it_is_allowed() {
    let before = Before {
        imports_allowed: Some(set(&["os", "json"])),
        imports_forbidden: set(&["os.path"]),
        ..Before::default()
    };
    let report =
        ScanReport { imports: ["os", "os.path.join", "json", "socket"].map(import).to_vec(), ..ScanReport::default() };
    let expected = vec![
        "deny before.imports_forbidden: main.py:3: the import of os.path.join is forbidden".to_owned(),
        "deny before.imports_allowed: main.py:3: the import of socket is not among those that are allowed".to_owned(),
    ];
    assert_eq!(shown(&decided(before.clone(), &report)), (Decision::Deny, expected));
    let held = Before { imports: Some(Decision::Hold), ..before };
    assert_eq!(decided(held, &report).admission.decision, Decision::Hold);
}

#[test]
fn what_could_not_be_read_is_decided_and_walled_in() {
    let report = ScanReport { unread: vec![unread()], ..ScanReport::default() };
    let denies = Before { deny: Some(Severity::Critical), ..Before::default() };
    assert_eq!(shown(&decided(denies, &report)).1, ["hold before.unread: data.bin: not looked at whole: too large"]);
    let walls = Before { least_isolation: [(Severity::High, Isolation::OwnKernel)].into(), ..Before::default() };
    assert_eq!(decided(walls.clone(), &report).wall.least, Isolation::OwnKernel);
    let admitted = Before { unread: Some(Decision::Allow), ..walls };
    assert_eq!(decided(admitted, &report).wall, Wall::any());
}

#[test]
fn findings_without_room_count_as_the_worst() {
    let report = ScanReport { left_out: 7, ..ScanReport::default() };
    let decision = |before: Before| decided(before, &report).admission.decision;
    assert_eq!(decision(Before { deny: Some(Severity::Critical), ..Before::default() }), Decision::Deny);
    assert_eq!(decision(Before { hold_rules: set(&["x"]), ..Before::default() }), Decision::Hold);
    assert_eq!(decision(Before { unread: Some(Decision::Deny), ..Before::default() }), Decision::Deny);
    assert_eq!(decision(Before::default()), Decision::Allow);
    let walls = Before { least_isolation: [(Severity::High, Isolation::OwnKernel)].into(), ..Before::default() };
    assert_eq!(decided(walls, &report).wall.least, Isolation::OwnKernel);
}

#[test]
fn a_wall_names_the_finding_that_demands_it_and_noted_ones_demand_none() {
    let before = Before {
        note_rules: set(&["net.*"]),
        least_isolation: [(Severity::High, Isolation::OwnKernel)].into(),
        ..Before::default()
    };
    let noted = of_findings(vec![finding("net.socket", Severity::Critical)]);
    assert_eq!(decided(before.clone(), &noted).wall, Wall::any());
    let wall = decided(before, &of_findings(vec![finding("fs.write", Severity::High)])).wall;
    assert_eq!(
        (wall.least, wall.reason.as_str()),
        (Isolation::OwnKernel, "main.py:3: fs.write (high): opens a socket")
    );
}

#[test]
fn reasons_are_bounded_and_what_is_quoted_is_one_line() {
    let before = Before { hold: Some(Severity::Info), deny: Some(Severity::Critical), ..Before::default() };
    let mut findings = vec![finding("a", Severity::Low); MOST_REASONS + 9];
    findings.push(Finding {
        message: "x\n\u{1b}[2J".repeat(1000),
        file: "a\nb".to_owned(),
        ..finding("b", Severity::Critical)
    });
    let (decision, reasons) = shown(&decided(before, &of_findings(findings)));
    assert_eq!((decision, reasons.len()), (Decision::Deny, MOST_REASONS + 1));
    assert!(
        reasons[0].starts_with("deny before.deny: a\u{fffd}b:3: b (critical): x\u{fffd}\u{fffd}[2J"),
        "{}",
        reasons[0]
    );
    assert!(reasons[0].chars().count() < 2 * MOST_QUOTED && !reasons[0].contains('\n'));
    assert_eq!(reasons[MOST_REASONS], "hold before: 10 more reasons are left out here");
}

fn severities() -> impl Strategy<Value = Severity> {
    select(Severity::ALL.to_vec())
}

fn rules() -> impl Strategy<Value = String> {
    select(vec!["a", "a.b", "a.c", "b", "b.c"]).prop_map(str::to_owned)
}

fn patterns() -> impl Strategy<Value = BTreeSet<String>> {
    btree_set(select(vec!["a", "a.*", "a.b", "b*", "b.c", "*"]).prop_map(str::to_owned), 0..3)
}

fn modules() -> impl Strategy<Value = BTreeSet<String>> {
    btree_set(rules(), 0..3)
}

fn decisions() -> impl Strategy<Value = Option<Decision>> {
    option::of(select(vec![Decision::Allow, Decision::Hold, Decision::Deny]))
}

fn clauses() -> impl Strategy<Value = Before> {
    let walls = proptest::collection::btree_map(
        severities(),
        select(vec![Isolation::None, Isolation::SharedKernel, Isolation::OwnKernel]),
        0..3,
    );
    let severity = || option::of(severities());
    let rules = (patterns(), patterns(), patterns());
    let imports = (option::of(modules()), modules(), decisions());
    (severity(), severity(), rules, imports, decisions(), walls).prop_map(
        |(deny, hold, (deny_rules, hold_rules, note_rules), (allowed, forbidden, imports), unread, walls)| Before {
            deny,
            hold,
            deny_rules,
            hold_rules,
            note_rules,
            imports_allowed: allowed,
            imports_forbidden: forbidden,
            imports,
            unread,
            least_isolation: walls,
        },
    )
}

fn reports() -> impl Strategy<Value = ScanReport> {
    let findings = vec((rules(), severities()).prop_map(|(rule, severity)| finding(&rule, severity)), 0..6);
    let imports = vec(rules().prop_map(|module| import(&module)), 0..4);
    (findings, imports, vec(Just(unread()), 0..2), 0_u64..3)
        .prop_map(|(findings, imports, unread, left_out)| ScanReport { findings, imports, unread, left_out })
}

fn together(one: &ScanReport, other: &ScanReport) -> ScanReport {
    ScanReport {
        findings: [one.findings.clone(), other.findings.clone()].concat(),
        imports: [one.imports.clone(), other.imports.clone()].concat(),
        unread: [one.unread.clone(), other.unread.clone()].concat(),
        left_out: one.left_out + other.left_out,
    }
}

proptest! {
    #[test]
    fn more_findings_never_relax_anything(before in clauses(), some in reports(), more in reports()) {
        let (less, all) = (decided(before.clone(), &some), decided(before, &together(&some, &more)));
        prop_assert!(all.admission.decision >= less.admission.decision);
        prop_assert!(all.wall.least >= less.wall.least);
    }

    #[test]
    fn a_worse_finding_never_relaxes_anything(before in clauses(), rule in rules(), one in severities(), other in severities()) {
        let of = |severity| decided(before.clone(), &of_findings(vec![finding(&rule, severity)]));
        let (mild, bad) = (of(one.min(other)), of(one.max(other)));
        prop_assert!(bad.admission.decision >= mild.admission.decision);
        prop_assert!(bad.wall.least >= mild.wall.least);
    }

    #[test]
    fn every_finding_is_bounded_by_what_was_left_out(before in clauses(), report in reports()) {
        // A flood that pushes findings out is no way to be let in.
        let before = Before { imports_allowed: None, imports_forbidden: BTreeSet::new(), ..before };
        let found = ScanReport { left_out: 0, unread: vec![], ..report };
        let pushed_out = ScanReport { left_out: 1, ..ScanReport::default() };
        prop_assume!(!found.findings.is_empty());
        let (found, pushed_out) = (decided(before.clone(), &found), decided(before, &pushed_out));
        prop_assert!(pushed_out.admission.decision >= found.admission.decision);
        prop_assert!(pushed_out.wall.least >= found.wall.least);
    }

    #[test]
    fn the_normal_form_decides_the_same(before in clauses(), report in reports()) {
        let (as_written, normal) = (decided(before.clone(), &report), decided(before.normal(), &report));
        prop_assert_eq!(as_written.admission.decision, normal.admission.decision);
        prop_assert_eq!(as_written.wall.least, normal.wall.least);
        prop_assert_eq!(before.normal().normal(), before.normal());
    }

    #[test]
    fn a_policy_that_needs_no_findings_lets_everything_in(before in clauses(), report in reports()) {
        let screened = decided(before.clone(), &report);
        if !before.needs_findings() {
            prop_assert_eq!((screened.admission.decision, screened.wall.least), (Decision::Allow, Isolation::None));
        }
    }
}
