//! What holds of every text that may be a policy.
//!
//! The modules that read policies are compiled here as they stand, so that a target needs nothing else of the command.

use crate::config::policy::{policy_from_text, policy_in_words, policy_to_text};
use std::path::Path;

/// The name that stands for every text's.
const NAME: &str = "fuzzed.toml";

/// Reads a text as a policy; writes what it says, and reads that.
pub fn check(text: &str) {
    let file = match policy_from_text(text, Path::new(NAME)) {
        Ok(file) => file,
        Err(error) => {
            assert!(error.to_string().starts_with(NAME), "{error} names no place");
            return;
        }
    };
    let written = policy_to_text(&file.policy);
    let read = policy_from_text(&written, Path::new(NAME)).unwrap_or_else(|error| panic!("{error}\n{written}"));
    assert_eq!(read.policy, file.policy, "what is written says something else:\n{written}");
    assert_eq!(read.policy.canonical(), file.policy.canonical());
    assert_eq!(policy_to_text(&read.policy), written, "what is written changes when it is written again");
    assert!(!policy_in_words(&file.policy).is_empty());
    // What a policy has from the one that it extends has no place in it.
    let has_sound_place = |place: &str| place.is_empty() || place.starts_with(NAME);
    let unknown = file.unknown_rules(["python.process.shell", "any.network.socket"]);
    assert!(unknown.iter().chain(&file.warnings).all(|problem| has_sound_place(&problem.place)));
}
