//! What the fuzz targets begin with, and what they once found, as ordinary tests.
//!
//! Invariant: what holds here is what the targets hold reports against: they and these tests share it. With
//! `CRUCIBLE_BLESS=1` the samples of built-in rules are written beside the other seeds, some of each group.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use crucible_scan::rules::Sample;
use crucible_scan::{RuleSet, SourceScanner};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[expect(unreachable_pub, reason = "it is reached from the targets")]
#[path = "../../../fuzz/src/report.rs"]
mod report;

/// The samples of each group of rules that are seeds.
const OF_EACH_GROUP: usize = 4;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target)
}

fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = folder(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 10, "{} has {} files", folder.display(), paths.len());
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn every_program_among_the_seeds_gets_a_sound_report() {
    let scanner = SourceScanner::new(RuleSet::built_in());
    for (path, input) in seeds("scan_source") {
        let (language, source) = report::language_and_source(&input).unwrap_or_else(|| panic!("{}", path.display()));
        report::check(&scanner, language, source);
    }
}

#[test]
fn every_file_among_the_seeds_gets_a_sound_report() {
    let scanner = SourceScanner::new(RuleSet::built_in());
    for (_, bytes) in seeds("scan_bytes") {
        report::check(&scanner, None, &bytes);
    }
}

#[test]
fn samples_of_rules_are_seeds() {
    if std::env::var_os("CRUCIBLE_BLESS").is_none() {
        let samples = seeds("scan_source").iter().filter(|(path, _)| is_sample(path)).count();
        assert!(samples > 0, "there are none; CRUCIBLE_BLESS=1 writes them");
        return;
    }
    for (path, _) in seeds("scan_source").iter().chain(&seeds("scan_bytes")).filter(|(path, _)| is_sample(path)) {
        std::fs::remove_file(path).unwrap();
    }
    let mut written: BTreeMap<String, usize> = BTreeMap::new();
    for rule in RuleSet::built_in().rules() {
        let language = rule.id.split('.').next().unwrap_or_default();
        let count = written.entry(format!("{language}.{}", rule.group)).or_default();
        // The last ones are the evasions.
        let Some(sample) = rule.tests.matching.last().filter(|_| *count < OF_EACH_GROUP) else { continue };
        *count += 1;
        let (target, seed) = seed_of(sample);
        std::fs::write(folder(target).join(format!("rule-{}", rule.id)), seed).unwrap();
    }
}

fn is_sample(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("rule-"))
}

fn seed_of(sample: &Sample) -> (&'static str, Vec<u8>) {
    let letter = match sample.language.as_deref() {
        Some("python") => b'p',
        Some("javascript") => b'j',
        Some("typescript") => b't',
        Some("bash") => b'b',
        _ => return ("scan_bytes", sample.bytes.clone()),
    };
    ("scan_source", [&[letter], sample.bytes.as_slice()].concat())
}
