//! What `crucible policy` tells programs.

use super::Problem;
use crucible::config::{PolicyFile, policy_in_words};
use crucible_core::{Policy, ScanReport};
use crucible_engine::Screened;
use crucible_evidence::policy_hash;
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
pub(super) struct Listed {
    pub(super) policies: Vec<ListedPolicy>,
}

#[derive(Serialize)]
pub(super) struct ListedPolicy {
    pub(super) name: &'static str,
    pub(super) about: String,
    pub(super) policy_hash: String,
    pub(super) in_force: bool,
}

#[derive(Serialize)]
pub(super) struct ShownPolicy<'a> {
    pub(super) policy_hash: String,
    pub(super) policy: &'a Policy,
}

/// What checking a file found.
#[derive(Serialize)]
pub(super) struct Checked {
    file: String,
    sound: bool,
    errors: Vec<Told>,
    warnings: Vec<Told>,
    name: Option<String>,
    policy_hash: Option<String>,
    in_words: Vec<String>,
}

#[derive(Serialize)]
struct Told {
    message: String,
    hint: Option<String>,
}

impl Checked {
    pub(super) fn of(path: &Path, read: Option<&PolicyFile>, errors: &[Problem]) -> Self {
        let told = |problem: &Problem| Told { message: problem.message.clone(), hint: problem.hint.clone() };
        let warnings = read.iter().flat_map(|file| &file.warnings);
        let warning =
            |warning: &crucible::config::Problem| Told { message: warning.to_string(), hint: warning.hint.clone() };
        Self {
            file: path.display().to_string(),
            sound: errors.is_empty(),
            errors: errors.iter().map(told).collect(),
            warnings: warnings.map(warning).collect(),
            name: read.map(|file| file.policy.name.clone()),
            policy_hash: read.map(|file| policy_hash(&file.policy)),
            in_words: read.map(|file| policy_in_words(&file.policy)).unwrap_or_default(),
        }
    }
}

/// What a policy makes of a program.
#[derive(Serialize)]
pub(super) struct Explained {
    policy: String,
    policy_hash: String,
    #[serde(flatten)]
    admission: crucible_api::v1::Admission,
    /// The weakest wall that is enough, and why.
    least_isolation: &'static str,
    least_isolation_reason: Option<String>,
    /// The backend that a run would get; `null` where none of this build is strong enough.
    backend: Option<&'static str>,
    findings: Vec<crucible_api::v1::Finding>,
    findings_left_out: u64,
    imports: Vec<ShownImport>,
    unread: Vec<ShownUnread>,
}

#[derive(Serialize)]
struct ShownImport {
    module: String,
    file: String,
    line: u64,
}

#[derive(Serialize)]
struct ShownUnread {
    file: String,
    reason: String,
}

impl Explained {
    pub(super) fn of(policy: &Policy, report: &ScanReport, screened: &Screened, backend: Option<&'static str>) -> Self {
        let import = |import: &crucible_core::Import| ShownImport {
            module: import.module.clone(),
            file: import.file.clone(),
            line: import.region.line,
        };
        let unread =
            |unread: &crucible_core::Unread| ShownUnread { file: unread.file.clone(), reason: unread.reason.clone() };
        let wall = &screened.wall;
        Self {
            policy: policy.name.clone(),
            policy_hash: policy_hash(policy),
            admission: (&screened.admission).into(),
            least_isolation: wall.least.as_str(),
            least_isolation_reason: Some(wall.reason.clone()).filter(|reason| !reason.is_empty()),
            backend,
            findings: report.findings.iter().map(crucible_api::v1::Finding::from).collect(),
            findings_left_out: report.left_out,
            imports: report.imports.iter().map(import).collect(),
            unread: report.unread.iter().map(unread).collect(),
        }
    }
}
