//! Writes what the service keeps, in the words of the wire.

use crucible_api::v1::{self, ProblemDetail};
use crucible_core::{
    AdmissionRecord, Decision, Document, Error, ErrorKind, Event, Finding, NewEvent, Outcome, Result, Source, Status,
    Stream,
};
use crucible_engine::Records;
use serde::Serialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::time::SystemTime;

/// An outcome: [`v1::Outcome`].
pub(crate) const OUTCOME: &str = "crucible.outcome.v1";
/// A failure of Crucible's: [`ProblemDetail`].
pub(crate) const FAILURE: &str = "crucible.failure.v1";
/// Why a program is held: [`HeldDocument`].
pub(crate) const ADMISSION: &str = "crucible.admission.v1";

/// Why a program is held, as it is kept.
#[derive(Serialize, serde::Deserialize)]
pub(crate) struct HeldDocument {
    pub(crate) admission: v1::Admission,
    pub(crate) findings: Vec<v1::Finding>,
}

/// Writes JSON.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonRecords;

fn document(format: &str, value: &impl Serialize) -> Result<Document> {
    let body = serde_json::to_vec(value).map_err(|error| {
        Error::new(ErrorKind::Infrastructure, "write the record", "it can't be written").with_source(error)
    })?;
    Ok(Document { format: format.to_owned(), body: body.into() })
}

fn event(kind: &'static str, at: SystemTime, data: &Value) -> NewEvent {
    NewEvent { at, kind: Cow::Borrowed(kind), body: data.to_string().into() }
}

/// A guest's bytes as text where they are text, else in base64.
fn bytes(stream: Stream, bytes: &[u8]) -> Value {
    use base64::Engine as _;
    let stream = match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({"stream": stream, "text": text}),
        Err(_) => json!({"stream": stream, "base64": base64::engine::general_purpose::STANDARD.encode(bytes)}),
    }
}

fn status(status: Status) -> Value {
    serde_json::to_value(v1::Status::from(status)).unwrap_or_default()
}

impl Records for JsonRecords {
    fn outcome(&self, outcome: &Outcome) -> Result<Document> {
        document(OUTCOME, &v1::Outcome::from(outcome))
    }

    fn failure(&self, error: &Error) -> Document {
        document(FAILURE, &ProblemDetail::from(error))
            .unwrap_or_else(|_| Document { format: FAILURE.to_owned(), body: "null".into() })
    }

    fn admission(&self, admission: &AdmissionRecord, findings: &[Finding]) -> Result<Document> {
        let findings = findings.iter().map(v1::Finding::from).collect();
        document(ADMISSION, &HeldDocument { admission: admission.into(), findings })
    }

    fn event(&self, told: &Event, at: SystemTime) -> NewEvent {
        let (kind, data) = match told {
            Event::BackendChosen { backend } => ("backend_chosen", json!({"backend": backend})),
            Event::SandboxCreated { sandbox } => ("sandbox_created", json!({"sandbox": sandbox.to_string()})),
            Event::CommandStarted => ("command_started", json!({})),
            Event::OutputProduced { stream, bytes: written } => ("output_produced", bytes(*stream, written)),
            Event::Screened { findings, decision } => {
                ("screened", json!({"findings": findings, "decision": Decision::as_str(*decision)}))
            }
            Event::Reviewed { review } => ("reviewed", json!({"review": v1::Review::from(review)})),
            Event::BehaviorSeen { kind, name, source } => {
                let source = match source {
                    Source::Host => "host",
                    _ => "claimed",
                };
                ("behavior_seen", json!({"kind": kind.as_str(), "name": name, "source": source}))
            }
            Event::UsageSampled { sample } => {
                let cpu = v1::milliseconds(sample.cpu);
                let (memory, processes) = (sample.memory_bytes, sample.processes);
                ("usage_sampled", json!({"cpu_ms": cpu, "memory_bytes": memory, "processes": processes}))
            }
            Event::LimitReached { limit } => ("limit_reached", json!({"limit": limit.as_str()})),
            Event::CommandEnded { status: ended } => ("command_ended", json!({"status": status(*ended)})),
            Event::SandboxDestroyed { sandbox } => ("sandbox_destroyed", json!({"sandbox": sandbox.to_string()})),
            _ => ("other", json!({})),
        };
        event(kind, at, &data)
    }

    fn plain(&self, kind: &'static str, at: SystemTime) -> NewEvent {
        NewEvent { at, kind: Cow::Borrowed(kind), body: "{}".into() }
    }

    fn ended(&self, kind: &'static str, outcome: &Outcome, at: SystemTime) -> NewEvent {
        let data = json!({
            "backend": outcome.backend,
            "status": status(outcome.status),
            "exit_code": outcome.exit_code,
            "validity": v1::Validity::from(outcome.validity),
            "usage": v1::Usage::from(&outcome.usage),
            "timings": v1::Timings::from(&outcome.timings),
        });
        event(kind, at, &data)
    }

    fn failed(&self, kind: &'static str, error: &Error, at: SystemTime) -> NewEvent {
        event(kind, at, &json!({"error": ProblemDetail::from(error)}))
    }
}
