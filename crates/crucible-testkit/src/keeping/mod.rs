//! What every queue, every store and every event bus must do, whatever keeps it.
//!
//! Invariant: each case gets a new one, and looks at it through its trait alone. Cases say what was wrong; they never panic, so
//! that a test can show that a suite isn't blind.

mod bus;
mod queue;
mod samples;
mod store;

pub use bus::bus_failures;
pub use queue::queue_failures;
pub use samples::{evaluation, event};
pub use store::store_failures;

use std::fmt::Debug;

/// What was wrong, in words.
type Case = Result<(), String>;

/// Whether something is as it should be.
fn is<T: PartialEq + Debug>(what: &str, seen: T, expected: T) -> Case {
    if seen == expected { Ok(()) } else { Err(format!("{what}: {seen:?} instead of {expected:?}")) }
}

/// Whether something holds.
fn holds(what: &str, condition: bool) -> Case {
    is(what, condition, true)
}

/// What Crucible's own error says.
fn told(error: crucible_core::Error) -> String {
    format!("{error}")
}

/// Names a case that failed.
fn note(failures: &mut Vec<String>, name: &str, case: Case) {
    if let Err(what) = case {
        failures.push(format!("{name}: {what}"));
    }
}
