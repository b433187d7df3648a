//! What the service writes: documents and events, in the words of whoever reads them later.

use crucible_core::{AdmissionRecord, Document, Error, Event, Finding, NewEvent, Outcome, Result};
use std::time::SystemTime;

/// The kinds of events that the service itself tells of. Those of a run are told by its [`Event`]s.
pub mod kind {
    /// It was accepted.
    pub const SUBMITTED: &str = "submitted";
    /// Somebody begins to run it.
    pub const STARTED: &str = "started";
    /// Crucible failed; it waits for another try.
    pub const RETRIED: &str = "retried";
    /// The node stops; it waits for another try.
    pub const PUT_BACK: &str = "put_back";
    /// It waits for a person.
    pub const HELD: &str = "held";
    /// A person let it in.
    pub const APPROVED: &str = "approved";
    /// A person refused it, and it is over.
    pub const REJECTED: &str = "rejected";
    /// It has an outcome.
    pub const FINISHED: &str = "finished";
    /// Crucible failed to run it, for good.
    pub const FAILED: &str = "failed";
    /// Somebody took it back.
    pub const CANCELLED: &str = "cancelled";
    /// It was tried too often.
    pub const DEAD: &str = "dead";

    /// Whether an evaluation goes no further after such an event, unless a person has it do so.
    #[must_use]
    pub fn is_end_of_waiting(kind: &str) -> bool {
        kind == HELD || is_last(kind)
    }

    /// Whether an evaluation has no other event after such a one.
    #[must_use]
    pub fn is_last(kind: &str) -> bool {
        matches!(kind, REJECTED | FINISHED | FAILED | CANCELLED | DEAD)
    }
}

/// Writes what the store keeps as it is. Bodies are JSON.
pub trait Records: Send + Sync {
    /// What came of a run.
    ///
    /// # Errors
    /// `Infrastructure` where it can't be written.
    fn outcome(&self, outcome: &Outcome) -> Result<Document>;

    /// Why Crucible failed.
    fn failure(&self, error: &Error) -> Document;

    /// Why a program is held, with what was found in it.
    ///
    /// # Errors
    /// `Infrastructure` where it can't be written.
    fn admission(&self, admission: &AdmissionRecord, findings: &[Finding]) -> Result<Document>;

    /// An event of a run.
    fn event(&self, event: &Event, at: SystemTime) -> NewEvent;

    /// An event of which nothing is told but that it happened.
    fn plain(&self, kind: &'static str, at: SystemTime) -> NewEvent;

    /// The end of an evaluation, with what came of it in brief.
    fn ended(&self, kind: &'static str, outcome: &Outcome, at: SystemTime) -> NewEvent;

    /// What Crucible failed at, as an event.
    fn failed(&self, kind: &'static str, error: &Error, at: SystemTime) -> NewEvent;
}
