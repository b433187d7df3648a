//! The outcome of an evaluation on the wire.

use super::observed::{Anomaly, Baseline, Behavior, Coverage, Sample, Tripwire, monitoring};
use super::posture::PostureRecord;
use super::protection::{Layer, Layers, LimitEnforcement, isolation, layers, limits};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crucible_core as core;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use utoipa::ToSchema;

/// What came of an evaluation. Every field is there, `null` where there is none; only the two `_base64` ones of the streams
/// are there just where they are needed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// The evaluation.
    pub id: String,
    /// The backend that ran it.
    pub backend: String,
    /// The language, if it was a program in one.
    pub language: Option<String>,
    /// How it ended.
    pub status: Status,
    /// The main process's own exit code, if it ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended the main process, if one did.
    pub signal: Option<i32>,
    /// The limit, where the status is `limit_exceeded`.
    pub limit: Option<String>,
    /// Standard output; where it isn't UTF-8, with replacement characters.
    pub stdout: String,
    /// Standard error; where it isn't UTF-8, with replacement characters.
    pub stderr: String,
    /// Standard output exactly, where it isn't UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout_base64: Option<String>,
    /// Standard error exactly, where it isn't UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr_base64: Option<String>,
    /// Whether more was written to standard output than the limit allows.
    pub stdout_truncated: bool,
    /// Whether more was written to standard error than the limit allows.
    pub stderr_truncated: bool,
    /// Files brought out.
    pub files: Vec<CollectedFile>,
    /// Paths asked for and not brought out.
    #[serde(default)]
    pub files_refused: Vec<RefusedFile>,
    /// What it used.
    pub usage: Usage,
    /// Where the time went.
    pub timings: Timings,
    /// Limits that the host saw the guest run into without being ended by them.
    #[serde(default)]
    pub limits_observed: Vec<String>,
    /// What was decided before anything ran; `null` in records of versions that decided nothing.
    #[serde(default)]
    pub admission: Option<Admission>,
    /// What the scanner saw before the run.
    pub findings: Vec<Finding>,
    /// What the host saw during the run.
    pub behavior: Vec<Behavior>,
    /// How well each part of the run could be watched: `processes`, `system_calls`, `network`, `files`, `resources`.
    #[serde(default)]
    pub monitoring: BTreeMap<String, Coverage>,
    /// What it used over time.
    #[serde(default)]
    pub samples: Vec<Sample>,
    /// In which respects it stands out from earlier runs with its label.
    #[serde(default)]
    pub anomalies: Vec<Anomaly>,
    /// With what it was compared; `null` for a run without a label.
    #[serde(default)]
    pub baseline: Option<Baseline>,
    /// What was planted in the sandbox to be left alone.
    #[serde(default)]
    pub tripwires: Vec<Tripwire>,
    /// Whether the result says something about the task.
    pub validity: Validity,
    /// Why, where it isn't simply valid.
    #[serde(default)]
    pub validity_reasons: Vec<String>,
    /// What it was protected by.
    pub evidence: Evidence,
}

/// How the run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The program ended by itself.
    Exited,
    /// A signal ended the program.
    Signaled,
    /// The wall-clock limit ended it.
    TimedOut,
    /// Its memory was used up.
    OutOfMemory,
    /// Another limit ended it.
    LimitExceeded,
    /// The policy forbade it before anything ran.
    Denied,
    /// The caller ended it.
    Cancelled,
}

/// Whether the result says something about the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Validity {
    /// It does.
    Valid,
    /// Crucible or the node failed.
    InfrastructureFailure,
    /// Somebody interfered with what was measuring the guest: the guest itself, or whoever tampered with the node.
    SabotageSuspected,
}

/// A file brought out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CollectedFile {
    /// Where it was: below the work folder, or absolute.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its bytes.
    pub content_base64: String,
}

/// A path that was asked for and not brought out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedFile {
    /// The path as far as it can be shown.
    pub path: String,
    /// Why not.
    pub reason: String,
}

/// What the sandbox used. Times are in milliseconds, to the microsecond.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// From the start of the command to its end.
    pub wall_ms: f64,
    /// Processor time.
    pub cpu_ms: f64,
    /// Most memory at one time.
    pub memory_peak_bytes: Option<u64>,
    /// Most processes and threads at one time.
    pub processes_peak: Option<u64>,
}

/// Where the time went, in milliseconds, to the microsecond.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Timings {
    /// Waiting for a place.
    pub queue_ms: f64,
    /// Looking at the program before it ran. It goes on beside the rest where the policy lets it, so it isn't a part of the sum.
    #[serde(default)]
    pub scan_ms: f64,
    /// Making the sandbox and putting the files in.
    pub create_ms: f64,
    /// What looking at the sandbox from outside added. A part of the times before and after.
    #[serde(default)]
    pub posture_ms: f64,
    /// The command itself.
    pub exec_ms: f64,
    /// Collecting and clearing away.
    pub destroy_ms: f64,
}

/// Something that the scanner saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// The rule's id.
    pub rule: String,
    /// How bad it would be: `info`, `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// The line, from 1.
    pub line: u64,
    /// What it means.
    pub message: String,
    /// The rule's group.
    #[serde(default)]
    pub group: String,
    /// The file, as it was named to the scanner.
    #[serde(default)]
    pub file: String,
    /// The column, from 1, in characters.
    #[serde(default)]
    pub column: u64,
    /// The last line.
    #[serde(default)]
    pub end_line: u64,
    /// The column after the last.
    #[serde(default)]
    pub end_column: u64,
}

/// What was decided before anything ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Admission {
    /// What the policy decided: `allow`, `hold` or `deny`.
    pub decision: String,
    /// Why; those that decided come first.
    pub reasons: Vec<DecisionReason>,
    /// What a person decided, where one did.
    pub review: Option<Review>,
    /// BLAKE3 of the scanner's rules; `null` where nothing was scanned.
    pub rules_digest: Option<String>,
}

/// One reason for a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DecisionReason {
    /// What it leads to: `allow`, `hold` or `deny`.
    pub decision: String,
    /// The part of the policy that says so.
    pub clause: String,
    /// In words.
    pub message: String,
}

/// A person's decision about a program that was held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Review {
    /// `approved` or `rejected`.
    pub decision: String,
    /// Who decided.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, by RFC 3339.
    pub at: String,
}

/// What a run was protected by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    /// How strong the wall was: `none`, `shared_kernel` or `own_kernel`.
    #[serde(default)]
    pub isolation: String,
    /// Every layer as it was applied.
    #[schema(value_type = BTreeMap<String, Layer>)]
    pub layers: Layers,
    /// How every limit was enforced.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub limits: LimitEnforcement,
    /// The kernel's release.
    pub kernel: String,
    /// The backend's version.
    pub backend_version: String,
    /// The interpreter that ran the program.
    #[serde(default)]
    pub interpreter: Option<String>,
    /// The policy's name.
    #[serde(default)]
    pub policy: String,
    /// BLAKE3 of the policy's demands.
    pub policy_hash: String,
    /// BLAKE3 of the program and its input files.
    pub code_hash: String,
    /// What was done before the run was asked for: `cold` for nothing, `ready` for its sandbox, `interpreter` for its interpreter
    /// too, which others are forked from.
    #[serde(default)]
    pub start: String,
    /// How many runs of the same project its sandbox had held before, after each of which it was found to be as new.
    #[serde(default)]
    pub former_runs: u32,
    /// What looking at the sandbox from outside showed; `null` where it didn't come to that.
    #[serde(default)]
    pub posture: Option<PostureRecord>,
    /// The attestation that covers exactly this configuration.
    pub attestation: Option<String>,
}

/// A time in milliseconds, rounded to the microsecond.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// The text, and the bytes in base64 where the text doesn't hold them exactly.
fn text(output: &core::Output) -> (String, Option<String>) {
    match std::str::from_utf8(&output.bytes) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (String::from_utf8_lossy(&output.bytes).into_owned(), Some(STANDARD.encode(&output.bytes))),
    }
}

impl From<&core::Outcome> for Outcome {
    fn from(outcome: &core::Outcome) -> Self {
        let (stdout, stdout_base64) = text(&outcome.stdout);
        let (stderr, stderr_base64) = text(&outcome.stderr);
        let limit = match outcome.status {
            core::Status::LimitExceeded { limit } => Some(limit.as_str().to_owned()),
            _ => None,
        };
        Self {
            id: outcome.id.to_string(),
            backend: outcome.backend.clone(),
            language: outcome.language.clone(),
            status: outcome.status.into(),
            exit_code: outcome.exit_code,
            signal: outcome.signal,
            limit,
            stdout,
            stderr,
            stdout_base64,
            stderr_base64,
            stdout_truncated: outcome.stdout.truncated,
            stderr_truncated: outcome.stderr.truncated,
            files: outcome.files.iter().map(CollectedFile::from).collect(),
            files_refused: outcome.files_refused.iter().map(RefusedFile::from).collect(),
            usage: (&outcome.usage).into(),
            timings: (&outcome.timings).into(),
            limits_observed: outcome.limits_observed.iter().map(|limit| limit.as_str().to_owned()).collect(),
            admission: Some((&outcome.admission).into()),
            findings: outcome.findings.iter().map(Finding::from).collect(),
            behavior: outcome.behavior.iter().map(Behavior::from).collect(),
            monitoring: monitoring(&outcome.monitoring),
            samples: outcome.samples.iter().map(Sample::from).collect(),
            anomalies: outcome.anomalies.iter().map(Anomaly::from).collect(),
            baseline: outcome.baseline.as_ref().map(Baseline::from),
            tripwires: outcome.tripwires.iter().map(Tripwire::from).collect(),
            validity: outcome.validity.into(),
            validity_reasons: outcome.validity_reasons.iter().map(|reason| reason.as_str().to_owned()).collect(),
            evidence: (&outcome.evidence).into(),
        }
    }
}

impl From<core::Status> for Status {
    fn from(status: core::Status) -> Self {
        match status {
            core::Status::Exited { .. } => Self::Exited,
            core::Status::Signaled { .. } => Self::Signaled,
            core::Status::TimedOut => Self::TimedOut,
            core::Status::OutOfMemory => Self::OutOfMemory,
            core::Status::LimitExceeded { .. } => Self::LimitExceeded,
            core::Status::Denied => Self::Denied,
            core::Status::Cancelled => Self::Cancelled,
        }
    }
}

impl From<core::Validity> for Validity {
    fn from(validity: core::Validity) -> Self {
        match validity {
            core::Validity::Valid => Self::Valid,
            core::Validity::InfrastructureFailure => Self::InfrastructureFailure,
            core::Validity::SabotageSuspected => Self::SabotageSuspected,
        }
    }
}

impl From<&core::CollectedFile> for CollectedFile {
    fn from(file: &core::CollectedFile) -> Self {
        Self {
            path: file.path.within_work().filter(|path| !path.is_empty()).unwrap_or(file.path.as_str()).to_owned(),
            size: u64::try_from(file.content.len()).unwrap_or(u64::MAX),
            content_base64: STANDARD.encode(&file.content),
        }
    }
}

impl From<&core::RefusedFile> for RefusedFile {
    fn from(file: &core::RefusedFile) -> Self {
        let below_work = file.path.strip_prefix(core::GuestPath::WORK).and_then(|rest| rest.strip_prefix('/'));
        let path = below_work.filter(|path| !path.is_empty()).unwrap_or(&file.path).to_owned();
        Self { path, reason: file.reason.clone() }
    }
}

impl From<&core::Usage> for Usage {
    fn from(usage: &core::Usage) -> Self {
        Self {
            wall_ms: milliseconds(usage.wall),
            cpu_ms: milliseconds(usage.cpu),
            memory_peak_bytes: usage.memory_peak_bytes,
            processes_peak: usage.processes_peak,
        }
    }
}

impl From<&core::Timings> for Timings {
    fn from(timings: &core::Timings) -> Self {
        Self {
            queue_ms: milliseconds(timings.queue),
            scan_ms: milliseconds(timings.scan),
            create_ms: milliseconds(timings.create),
            posture_ms: milliseconds(timings.posture),
            exec_ms: milliseconds(timings.exec),
            destroy_ms: milliseconds(timings.destroy),
        }
    }
}

impl From<&core::Finding> for Finding {
    fn from(finding: &core::Finding) -> Self {
        let core::Finding { rule, severity, group, file, region, message, .. } = finding;
        Self {
            rule: rule.clone(),
            severity: severity.as_str().to_owned(),
            line: region.line,
            message: message.clone(),
            group: group.clone(),
            file: file.clone(),
            column: region.column,
            end_line: region.end_line,
            end_column: region.end_column,
        }
    }
}

impl From<&core::AdmissionRecord> for Admission {
    fn from(record: &core::AdmissionRecord) -> Self {
        let reason = |reason: &core::DecisionReason| DecisionReason {
            decision: reason.decision.as_str().to_owned(),
            clause: reason.clause.clone(),
            message: reason.message.clone(),
        };
        Self {
            decision: record.decision.as_str().to_owned(),
            reasons: record.reasons.iter().map(reason).collect(),
            review: record.review.as_ref().map(Review::from),
            rules_digest: record.rules_digest.clone(),
        }
    }
}

impl From<&core::Review> for Review {
    fn from(review: &core::Review) -> Self {
        let decision = match review.decision {
            core::ReviewDecision::Approved => "approved",
            core::ReviewDecision::Rejected => "rejected",
        };
        Self {
            decision: decision.to_owned(),
            by: review.by.clone(),
            reason: review.reason.clone(),
            at: core::rfc3339(review.at),
        }
    }
}

impl From<&core::Evidence> for Evidence {
    fn from(evidence: &core::Evidence) -> Self {
        Self {
            isolation: isolation(evidence.isolation).to_owned(),
            layers: layers(&evidence.layers),
            limits: limits(&evidence.limits),
            kernel: evidence.kernel.clone(),
            backend_version: evidence.backend_version.clone(),
            interpreter: evidence.interpreter.clone(),
            policy: evidence.policy.clone(),
            policy_hash: evidence.policy_hash.clone(),
            code_hash: evidence.code_hash.clone(),
            start: evidence.start.as_str().to_owned(),
            former_runs: evidence.former_runs,
            posture: evidence.posture.as_ref().map(PostureRecord::from),
            attestation: evidence.attestation.clone(),
        }
    }
}
