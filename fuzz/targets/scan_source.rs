//! Programs in each language, the first byte says in which, through the scanner with the built-in rules.

#![no_main]

use crucible_fuzz::report::{check, language_and_source};
use crucible_scan::{RuleSet, SourceScanner};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static SCANNER: LazyLock<SourceScanner> = LazyLock::new(|| SourceScanner::new(RuleSet::built_in()));

fuzz_target!(|input: &[u8]| {
    if let Some((language, source)) = language_and_source(input) {
        check(&*SCANNER, language, source);
    }
});
