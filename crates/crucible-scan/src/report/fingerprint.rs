//! What tells a finding apart from others, and stays the same when something else in its file changes.
//!
//! Invariant: two findings of one report have different fingerprints. They are for comparing reports, not for secrecy.

use super::Lines;
use crucible_core::Finding;
use std::collections::BTreeMap;

/// How much of a line counts, in bytes.
const OF_LINE: usize = 4096;

/// A fingerprint for each finding, in hexadecimal: of its rule, the text of its line, and how many others of the same rule
/// and text come before it in the same file. All of `findings` are in the file that `lines` is of.
#[must_use]
pub fn fingerprints(lines: &Lines<'_>, findings: &[Finding]) -> Vec<String> {
    let mut before: BTreeMap<[u8; 32], u64> = BTreeMap::new();
    findings
        .iter()
        .map(|finding| {
            let line = lines.line(finding.region.line).trim_ascii();
            let mut hasher = blake3::Hasher::new();
            hasher.update(finding.rule.as_bytes()).update(b"\0").update(line.get(..OF_LINE).unwrap_or(line));
            let count = before.entry(*hasher.finalize().as_bytes()).or_default();
            hasher.update(b"\0").update(&count.to_le_bytes());
            *count += 1;
            hasher.finalize().to_hex().chars().take(32).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crucible_core::{Region, Severity};

    fn finding(rule: &str, line: u64) -> Finding {
        Finding {
            rule: rule.to_owned(),
            severity: Severity::Low,
            group: String::new(),
            file: String::new(),
            region: Region { line, column: 1, end_line: line, end_column: 2 },
            message: String::new(),
            does: String::new(),
            foreshadows: Default::default(),
        }
    }

    #[test]
    fn a_fingerprint_stays_when_lines_are_added_before_it() {
        let first = fingerprints(&Lines::of(b"f()\n  g()\n"), &[finding("a", 1), finding("a", 2)]);
        let later = fingerprints(&Lines::of(b"\n\nf()\n\tg()\n"), &[finding("a", 3), finding("a", 4)]);
        assert_eq!(first, later);
        assert_ne!(first[0], first[1]);
    }

    #[test]
    fn findings_on_one_line_are_told_apart() {
        let all = [finding("a", 1), finding("a", 1), finding("b", 1)];
        let prints = fingerprints(&Lines::of(b"f(); f()"), &all);
        let different: std::collections::BTreeSet<_> = prints.iter().collect();
        assert_eq!(different.len(), 3);
    }
}
