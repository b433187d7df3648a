//! Evaluations and events to be kept.

use bytes::Bytes;
use crucible_core::{
    EvaluationId, EvaluationSpec, Limits, NewEvaluation, NewEvent, Policy, Priority, Program, ProjectId,
};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment that any database can keep.
pub(super) fn moment() -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(1_800_000_000_123_456)
}

/// An event of that kind.
#[must_use]
pub fn event(kind: &'static str) -> NewEvent {
    NewEvent { at: moment(), kind: kind.into(), body: Bytes::from_static(b"{}") }
}

/// A small evaluation of the default project.
#[must_use]
pub fn evaluation() -> NewEvaluation {
    let spec = EvaluationSpec {
        id: EvaluationId::generate(),
        program: Program::Source { language: "python".to_owned(), code: b"print(1)".to_vec(), args: Vec::new() },
        backend: "auto".to_owned(),
        stdin: Vec::new(),
        files: Vec::new(),
        collect: Vec::new(),
        tripwires: Vec::new(),
        env: BTreeMap::new(),
        limits: Limits::default(),
        policy: Policy::default(),
        review: None,
        label: None,
    };
    NewEvaluation {
        spec,
        project: ProjectId::default(),
        labels: BTreeMap::new(),
        idempotency_key: None,
        priority: Priority::default(),
        at: moment(),
        first_event: event("queued"),
    }
}
