//! Every built-in rule against its own samples, and what all rules have in common.

use crucible_core::{ScanFile, Scanner};
use crucible_scan::rules::{Rule, Sample};
use crucible_scan::{RuleSet, SourceScanner};
use std::collections::BTreeSet;

fn finds(scanner: &SourceScanner, rule: &Rule, sample: &Sample) -> bool {
    let file = ScanFile { name: "sample", language: sample.language.as_deref(), bytes: &sample.bytes };
    scanner.scan(&[file]).findings.iter().any(|finding| finding.rule == rule.id.as_str())
}

fn shown(sample: &Sample) -> String {
    String::from_utf8_lossy(&sample.bytes).into_owned()
}

#[test]
fn every_rule_finds_its_samples_and_nothing_in_the_others() {
    let scanner = SourceScanner::new(RuleSet::built_in());
    let mut complaints = Vec::new();
    for rule in scanner.rules().rules() {
        for sample in &rule.tests.matching {
            if !finds(&scanner, rule, sample) {
                complaints.push(format!("{} doesn't find itself in\n{}\n", rule.id, shown(sample)));
            }
        }
        for sample in &rule.tests.not_matching {
            if finds(&scanner, rule, sample) {
                complaints.push(format!("{} finds itself wrongly in\n{}\n", rule.id, shown(sample)));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn every_rule_has_samples_of_both_kinds() {
    let rules = RuleSet::built_in();
    assert!(!rules.rules().is_empty());
    for rule in rules.rules() {
        assert!(!rule.tests.matching.is_empty(), "{}", rule.id);
        assert!(!rule.tests.not_matching.is_empty(), "{}", rule.id);
    }
}

#[test]
fn rules_are_in_the_order_of_their_ids_and_found_by_them() {
    let rules = RuleSet::built_in();
    let ids: Vec<&str> = rules.rules().iter().map(|rule| rule.id.as_str()).collect();
    let sorted: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids, sorted.into_iter().collect::<Vec<_>>());
    for id in ids {
        assert_eq!(rules.get(id).map(|rule| rule.id.as_str()), Some(id));
    }
    assert_eq!(rules.get("python.process.nothing"), None);
}

#[tokio::test(flavor = "current_thread")]
async fn the_scanner_tests_itself() {
    use crucible_core::Component;
    let scanner = SourceScanner::new(RuleSet::built_in());
    let test = scanner.self_test().await;
    assert!(test.is_healthy(), "{test:?}");
    let blind = SourceScanner::new(RuleSet::empty());
    assert!(!blind.self_test().await.is_healthy());
}
