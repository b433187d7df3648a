//! What a service goes by, on the wire: policies, rules, settings; and what looking at a program told.

use super::object;
use super::outcome::{Admission, DecisionReason, Finding};
use super::scan::{Import, Rule, Unread};
use super::submit::SubmittedFile;
use crucible_core as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A program to be looked at, and not to be run: `code`, files, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"code": "import socket", "language": "python"}))]
pub struct ScanProgram {
    /// The program as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The program byte for byte, instead of `code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_base64: Option<String>,
    /// The program's language; without it, `python`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Files beside it. At most 4096.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "object::list")]
    pub files: Vec<SubmittedFile>,
    /// A policy's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// A policy to be tried on a program: one by its `name`, or one as `toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"toml": "extends = \"default\"\n[before]\ndeny = \"high\"\n", "code": "import socket"}))]
pub struct TestPolicy {
    /// A policy's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// A policy as its file would have it, instead of `policy`. At most 64 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toml: Option<String>,
    /// The program as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The program byte for byte, instead of `code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_base64: Option<String>,
    /// The program's language; without it, `python`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Files beside it. At most 4096.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "object::list")]
    pub files: Vec<SubmittedFile>,
}

/// What looking at a program told, and what its policy makes of that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScannedProgram {
    /// The language that it was looked at in.
    pub language: String,
    /// The policy's name.
    pub policy: String,
    /// What was seen, by file and place.
    pub findings: Vec<Finding>,
    /// Findings beyond the bound on their number.
    pub left_out: u64,
    /// What is imported, by file and place. At most 1000.
    pub imports: Vec<Import>,
    /// What was not looked at whole.
    pub unread: Vec<Unread>,
    /// The worst finding's severity: `info` to `critical`; `null` where there is none.
    pub verdict: Option<String>,
    /// What the policy would decide: `allow`, `hold` or `deny`.
    pub decision: String,
    /// Why; those that decided come first.
    pub reasons: Vec<DecisionReason>,
    /// The weakest wall that would be enough: `none`, `shared_kernel` or `own_kernel`.
    pub least_isolation: String,
    /// How long looking took.
    pub took_ms: f64,
}

impl ScannedProgram {
    /// The most imports that are told.
    pub const MOST_IMPORTS: usize = 1000;

    /// Of what was found and decided.
    #[must_use]
    pub fn of(
        (language, policy): (&str, &str),
        report: &core::ScanReport,
        admission: &core::AdmissionRecord,
        least: core::Isolation,
        took: std::time::Duration,
    ) -> Self {
        let Admission { decision, reasons, .. } = admission.into();
        let worst = report.findings.iter().map(|finding| finding.severity).max();
        Self {
            language: language.to_owned(),
            policy: policy.to_owned(),
            findings: report.findings.iter().map(Finding::from).collect(),
            left_out: report.left_out,
            imports: report.imports.iter().take(Self::MOST_IMPORTS).map(Import::from).collect(),
            unread: report.unread.iter().map(Unread::from).collect(),
            verdict: worst.map(|worst| worst.as_str().to_owned()),
            decision,
            reasons,
            least_isolation: least.as_str().to_owned(),
            took_ms: super::milliseconds(took),
        }
    }
}

/// A policy that requests may name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyEntry {
    /// Its name.
    pub name: String,
    /// What it is for, in a sentence.
    pub title: String,
    /// Where it comes from: `built-in` or `configured`.
    pub origin: String,
    /// Whether it is the one that holds where a request names none.
    pub in_force: bool,
    /// BLAKE3 of its demands, in hexadecimal.
    pub hash: String,
}

/// Policies that requests may name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyList {
    /// The built-in ones first.
    pub policies: Vec<PolicyEntry>,
}

/// A policy with all that it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyText {
    /// Its name.
    pub name: String,
    /// All of it as TOML.
    pub toml: String,
    /// BLAKE3 of its demands, in hexadecimal.
    pub hash: String,
    /// What it demands, in words.
    pub in_words: Vec<String>,
}

/// The rules that programs are looked at by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleList {
    /// By id.
    pub rules: Vec<Rule>,
    /// BLAKE3 of all of them, in hexadecimal.
    pub digest: String,
}

/// A setting that a service was started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SettingEntry {
    /// Its key: `serve.most_running`.
    pub key: String,
    /// Its value.
    #[schema(value_type = Value)]
    pub value: serde_json::Value,
    /// Where it comes from: `default`, `file`, `environment` or `flag`.
    pub origin: String,
    /// The file and line, the variable, or the flag.
    pub place: String,
}

/// The settings that a service was started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SettingList {
    /// By key.
    pub settings: Vec<SettingEntry>,
}
