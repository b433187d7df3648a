//! A person's own file of rules.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| crucible_fuzz::rules::check(text));
