//! The words that every report for people has for verdicts, canaries, layers and times.
//!
//! Invariant: each verdict has a word and a sign of its own, so that colour never carries a meaning alone.

use crucible_core::{Expected, Layer, Reach, Verdict};
use std::time::Duration;

/// Where a backend has no result for a property that another one has.
pub(super) const NOT_RUN: &str = "not run";

/// The word in a matrix.
pub(super) const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Held => "held",
        Verdict::Breached => "BREACHED",
        Verdict::Inconclusive => "inconclusive",
        Verdict::NotApplicable => "-",
    }
}

/// Whether the canary was reached.
pub(super) const fn reach(reach: Reach) -> &'static str {
    match reach {
        Reach::Reached => "reached",
        Reach::NotReached => "not reached",
        Reach::Unproven => "unproven",
    }
}

/// What isolation is expected to do.
pub(super) const fn expected(expected: Expected) -> &'static str {
    match expected {
        Expected::Denied => "the attempt is denied",
        Expected::Hidden => "what it looks for doesn't show",
        Expected::Inside => "it has an effect inside only",
        Expected::Bounded => "it is bounded",
        Expected::Clean => "nothing is left of it afterwards",
        Expected::Refused => "the input is refused or neutralised",
    }
}

/// The layers by their names.
pub(super) fn layers(layers: &[Layer]) -> String {
    layers.iter().map(|layer| layer.as_str()).collect::<Vec<_>>().join(", ")
}

/// What was left off in a control arm.
pub(super) fn without(layers: &[Layer]) -> String {
    if layers.is_empty() { "with every layer".to_owned() } else { format!("without {}", self::layers(layers)) }
}

/// A time for people: `3.1 ms`, `12.4 s`.
pub(super) fn took(took: Duration) -> String {
    if took < Duration::from_secs(1) {
        format!("{:.1} ms", took.as_secs_f64() * 1e3)
    } else {
        format!("{:.1} s", took.as_secs_f64())
    }
}
