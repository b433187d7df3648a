//! What holds of every text that may be a file of rules.

use crate::report;
use crucible_scan::rules::RuleText;
use crucible_scan::{RuleSet, SourceScanner};

/// A program with something of everything that rules ask about.
const PROGRAM: &[u8] = b"import os, base64 as b\nfrom socket import socket as s\nx = 'a' + '/etc' + \"b\" * 3\n\
while True:\n    s().connect(('h', 1), k=x, t=True)\nexec(b.b64decode('cHJpbnQoMSk='))\nos.system('ls | sh > /x')\n)";

/// Reads a text as rules and goes by them.
pub fn check(text: &str) {
    let file = RuleText { name: "fuzzed.yaml", text };
    match RuleSet::empty().with_texts(&[file]) {
        Ok(rules) => {
            let ids: Vec<&str> = rules.rules().iter().map(|rule| rule.id.as_str()).collect();
            assert!(ids.is_sorted_by(|one, other| one < other), "{ids:?}");
            assert!(ids.iter().all(|id| rules.get(id).is_some()));
            let again = RuleSet::empty().with_texts(&[file]).expect("what was read once");
            assert_eq!(rules.digest(), again.digest());
            let samples: Vec<_> = rules.rules().iter().flat_map(|rule| rule.tests.matching.clone()).take(8).collect();
            let scanner = SourceScanner::new(rules);
            for language in report::LANGUAGES {
                report::check_places(&scanner, language, PROGRAM);
            }
            for sample in samples {
                report::check_places(&scanner, sample.language.as_deref(), &sample.bytes);
            }
        }
        Err(error) => {
            assert!(!error.message.trim().is_empty());
            let lines = text.split(['\n', '\r']).count() as u64;
            assert!(error.line <= lines + 1, "line {} of {lines}: {error}", error.line);
        }
    }
}
