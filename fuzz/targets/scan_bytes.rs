//! Files of which nothing is known but their bytes: pickles, archives, native programs, scripts, anything.

#![no_main]

use crucible_fuzz::report::check;
use crucible_scan::{RuleSet, SourceScanner};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static SCANNER: LazyLock<SourceScanner> = LazyLock::new(|| SourceScanner::new(RuleSet::built_in()));

fuzz_target!(|bytes: &[u8]| check(&*SCANNER, None, bytes));
