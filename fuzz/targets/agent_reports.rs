//! What a guest agent that a guest has taken over may say.

#![no_main]

use crucible_fuzz::agent::check;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| check(bytes));
