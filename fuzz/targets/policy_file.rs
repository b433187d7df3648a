//! A person's own policy.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| crucible_fuzz::policy::check(text));
