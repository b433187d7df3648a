//! The scanner's test of itself: some of its rules' own samples.

use crate::rules::{Rule, Sample};
use crate::scanner::SourceScanner;
use async_trait::async_trait;
use crucible_core::{Check, Component, ScanFile, Scanner, SelfTest};

/// How many rules are tried.
const RULES: usize = 8;

/// Whether a scanner finds a rule in a sample.
pub(crate) fn finds(scanner: &SourceScanner, rule: &Rule, sample: &Sample) -> bool {
    let file = ScanFile { name: "sample", language: sample.language.as_deref(), bytes: &sample.bytes };
    let report = scanner.scan(&[file]);
    report.findings.iter().any(|finding| finding.rule == rule.id.as_str())
}

#[async_trait]
impl Component for SourceScanner {
    fn name(&self) -> &str {
        "scanner"
    }

    async fn self_test(&self) -> SelfTest {
        let rules = self.rules().rules();
        // Spread over all of them, so that every language and group has its turn.
        let step = (rules.len() / RULES).max(1);
        let checks = rules.iter().step_by(step).take(RULES).map(|rule| {
            let found = rule.tests.matching.iter().filter(|sample| finds(self, rule, sample)).count();
            let wrong = rule.tests.not_matching.iter().filter(|sample| finds(self, rule, sample)).count();
            let passed = found == rule.tests.matching.len() && wrong == 0;
            let seen = format!("{found} of {} samples found, {wrong} found wrongly", rule.tests.matching.len());
            Check::new(format!("rule {} finds its samples", rule.id), passed.into(), seen)
        });
        let mut checks: Vec<Check> = checks.collect();
        if checks.is_empty() {
            checks.push(Check::skipped("rules find their samples", "there are no rules"));
        }
        SelfTest { component: self.name().to_owned(), checks }
    }
}
