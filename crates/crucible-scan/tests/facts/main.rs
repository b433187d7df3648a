//! What the readers see, one by one: aliases, foldings, what runs and what is started, in each language.
//!
//! Invariant: each case is looked at by a rule made for it, so that nothing else can make it pass.

#![expect(clippy::panic, reason = "helpers of tests fail as tests do")]

mod bash;
mod javascript;
mod python;

use crucible_core::{ScanFile, ScanReport, Scanner};
use crucible_scan::rules::RuleText;
use crucible_scan::{RuleSet, SourceScanner};

/// A scanner with one rule of which this is the matcher.
fn scanner(language: &str, matcher: &str) -> SourceScanner {
    let text = format!(
        "- id: {language}.test.rule\n  severity: low\n  group: test\n  message: m\n  does: 'does {{0}}'\n  why: w\n  match: {matcher}\n"
    );
    let rules = RuleSet::empty().with_texts(&[RuleText { name: "test.yaml", text: &text }]);
    SourceScanner::new(rules.unwrap_or_else(|error| panic!("{error}\n{text}")))
}

fn scan(scanner: &SourceScanner, language: &str, source: &str) -> ScanReport {
    scanner.scan(&[ScanFile { name: "sample", language: Some(language), bytes: source.as_bytes() }])
}

/// Each source is found by the matcher.
fn found(rules_of: &str, language: &str, matcher: &str, sources: &[&str]) {
    let scanner = scanner(rules_of, matcher);
    for source in sources {
        let report = scan(&scanner, language, source);
        assert!(!report.findings.is_empty(), "{matcher} isn't found in\n{source}");
    }
}

/// None of the sources is found by the matcher.
fn not_found(rules_of: &str, language: &str, matcher: &str, sources: &[&str]) {
    let scanner = scanner(rules_of, matcher);
    for source in sources {
        let report = scan(&scanner, language, source);
        assert!(report.findings.is_empty(), "{matcher} is found in\n{source}\n{:?}", report.findings);
    }
}
