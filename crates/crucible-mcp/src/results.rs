//! What the tools answer. Their schemas are made of these types.
//!
//! Invariant: everything that a guest could make long is bounded before it gets here, with a count of what is missing beside it.

use crucible_api::v1::{
    Behavior, Coverage, DecisionReason, Evidence, FileEntry, Finding, Import, Status, Tripwire, Unread, Usage, Validity,
};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What came of a run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunResult {
    /// By which its behaviour, its evidence and its resources are found.
    pub(crate) run_id: String,
    /// How it ended: `exited`, `signaled`, `timed_out`, `out_of_memory`, `limit_exceeded`, `denied` (the policy forbade it),
    /// `cancelled`, or `held` (nothing ran: the policy wants a person to decide first).
    pub(crate) status: String,
    /// The program's own exit code, if it ended by itself.
    pub(crate) exit_code: Option<i32>,
    /// The signal that ended it, if one did.
    pub(crate) signal: Option<i32>,
    /// The limit, where the status is `limit_exceeded`.
    pub(crate) limit: Option<String>,
    /// Why it was denied, held or isn't to be believed.
    pub(crate) reasons: Vec<String>,
    /// Standard output: its beginning and its end, where it is long.
    pub(crate) stdout: String,
    /// Bytes of it that are missing here; the resource `crucible://runs/RUN_ID/stdout` has all that was kept.
    pub(crate) stdout_left_out_bytes: u64,
    /// Whether the program wrote more than the output limit keeps.
    pub(crate) stdout_truncated: bool,
    /// Standard error: its beginning and its end, where it is long.
    pub(crate) stderr: String,
    /// Bytes of it that are missing here; the resource `crucible://runs/RUN_ID/stderr` has all that was kept.
    pub(crate) stderr_left_out_bytes: u64,
    /// Whether the program wrote more than the output limit keeps.
    pub(crate) stderr_truncated: bool,
    /// Files that were asked for.
    pub(crate) files: Vec<FileResult>,
    /// Paths that were asked for and aren't among them, with the reason.
    pub(crate) files_refused: Vec<String>,
    /// Whether the result says something about the program: `valid`, `infrastructure_failure` or `sabotage_suspected`.
    pub(crate) validity: Option<Validity>,
    /// The language.
    pub(crate) language: Option<String>,
    /// The backend that ran it.
    pub(crate) backend: Option<String>,
    /// Milliseconds from the program's start to its end.
    pub(crate) wall_ms: Option<f64>,
    /// Most memory at one time, in bytes.
    pub(crate) memory_peak_bytes: Option<u64>,
    /// Limits that it ran into without being ended by them.
    pub(crate) limits_observed: Vec<String>,
}

/// A file that was brought out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FileResult {
    /// Where it was: below the work folder, or absolute.
    pub(crate) path: String,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// What is in it, where it is text and small enough; else the resource has it.
    pub(crate) content: Option<String>,
    /// The resource with all of it.
    pub(crate) resource: String,
}

/// A sandbox that is open.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SandboxResult {
    /// By which it is used.
    pub(crate) sandbox_id: String,
    /// The backend that made it.
    pub(crate) backend: String,
    /// How strong its wall is: `none`, `shared_kernel` or `own_kernel`.
    pub(crate) isolation: String,
    /// The language whose interpreter it has, if it was opened for one.
    pub(crate) language: Option<String>,
    /// The path inside of that interpreter.
    pub(crate) interpreter: Option<String>,
    /// The policy that it was admitted by.
    pub(crate) policy: String,
    /// The folder in which commands start and relative paths lie.
    pub(crate) work_folder: String,
    /// Seconds after which it ends by itself when nobody uses it.
    pub(crate) idle_timeout_seconds: f64,
    /// Seconds after which it ends at the latest.
    pub(crate) lifetime_seconds: f64,
    /// When it was opened, by RFC 3339.
    pub(crate) opened_at: String,
    /// Commands and file transfers that are going on in it.
    pub(crate) busy: u64,
    /// Commands that were started in it.
    pub(crate) commands: u64,
}

/// The open sandboxes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SandboxesResult {
    /// The oldest first.
    pub(crate) sandboxes: Vec<SandboxResult>,
    /// How many may be open at one time.
    pub(crate) most: u64,
}

/// A sandbox that is no more.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClosedResult {
    /// Its id.
    pub(crate) sandbox_id: String,
    /// `true`: every process in it has ended, and nothing of it is left.
    pub(crate) closed: bool,
}

/// What came of a command in a sandbox.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExecResult {
    /// How it ended.
    pub(crate) status: Status,
    /// Its own exit code, if it ended by itself.
    pub(crate) exit_code: Option<i32>,
    /// The signal that ended it, if one did.
    pub(crate) signal: Option<i32>,
    /// The limit, where one ended it.
    pub(crate) limit: Option<String>,
    /// Standard output: its beginning and its end, where it is long.
    pub(crate) stdout: String,
    /// Bytes of it that are missing here. They are kept nowhere: have the command write to a file, and read that.
    pub(crate) stdout_left_out_bytes: u64,
    /// Whether it wrote more than the output limit, which ended it.
    pub(crate) stdout_truncated: bool,
    /// Standard error: its beginning and its end, where it is long.
    pub(crate) stderr: String,
    /// Bytes of it that are missing here.
    pub(crate) stderr_left_out_bytes: u64,
    /// Whether it wrote more than the output limit, which ended it.
    pub(crate) stderr_truncated: bool,
    /// Milliseconds from its start to its end.
    pub(crate) wall_ms: f64,
    /// Limits that the sandbox ran into meanwhile.
    pub(crate) limits_observed: Vec<String>,
}

/// A part of a file.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReadResult {
    /// The file.
    pub(crate) path: String,
    /// Its size in bytes when it was opened.
    pub(crate) size: u64,
    /// Where the part begins, in bytes.
    pub(crate) offset_bytes: u64,
    /// How many bytes it has.
    pub(crate) bytes: u64,
    /// It, where it is UTF-8.
    pub(crate) content: Option<String>,
    /// It byte for byte, where it isn't.
    pub(crate) content_base64: Option<String>,
    /// Where the next part begins; `null` at the file's end.
    pub(crate) next_offset_bytes: Option<u64>,
}

/// A file that was written or removed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WrittenResult {
    /// The file.
    pub(crate) path: String,
    /// How many bytes are in it now.
    pub(crate) size: u64,
}

/// A file that is gone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RemovedResult {
    /// What was removed.
    pub(crate) path: String,
}

/// What is in a folder.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListResult {
    /// The folder.
    pub(crate) path: String,
    /// What is in it, by name.
    pub(crate) entries: Vec<FileEntry>,
    /// How many more there are.
    pub(crate) left_out: u64,
}

/// What a program looks like it does.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScanResult {
    /// The language that it was looked at in.
    pub(crate) language: String,
    /// The policy that decides.
    pub(crate) policy: String,
    /// What the policy would decide: `allow`, `hold` or `deny`.
    pub(crate) decision: String,
    /// Why.
    pub(crate) reasons: Vec<DecisionReason>,
    /// The worst finding's severity, `info` to `critical`; `null` where there is none.
    pub(crate) verdict: Option<String>,
    /// What was seen.
    pub(crate) findings: Vec<Finding>,
    /// How many more findings there are.
    pub(crate) findings_left_out: u64,
    /// What is imported.
    pub(crate) imports: Vec<Import>,
    /// How many more imports there are.
    pub(crate) imports_left_out: u64,
    /// What was not looked at whole.
    pub(crate) unread: Vec<Unread>,
}

/// What the host saw a run do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BehaviorResult {
    /// The run.
    pub(crate) run_id: String,
    /// How it ended.
    pub(crate) status: Status,
    /// Whether the result is to be believed.
    pub(crate) validity: Validity,
    /// Why, where it isn't simply valid.
    pub(crate) validity_reasons: Vec<String>,
    /// What was seen, in words and counts.
    pub(crate) behavior: Vec<Behavior>,
    /// How many more kinds of things were seen.
    pub(crate) behavior_left_out: u64,
    /// How well each part of the run could be watched.
    pub(crate) monitoring: BTreeMap<String, Coverage>,
    /// What was planted to be left alone.
    pub(crate) tripwires: Vec<Tripwire>,
    /// What the scanner saw before the run.
    pub(crate) findings: Vec<Finding>,
    /// How many more findings there are.
    pub(crate) findings_left_out: u64,
    /// What it used.
    pub(crate) usage: Usage,
}

/// What a run was protected by.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EvidenceResult {
    /// The run.
    pub(crate) run_id: String,
    /// The backend that ran it.
    pub(crate) backend: String,
    /// What the policy decided before it ran: `allow`, `hold` or `deny`.
    pub(crate) decision: Option<String>,
    /// Layers, limits, kernel, policy, hashes, attestation.
    pub(crate) evidence: Evidence,
}
