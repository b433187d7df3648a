//! What looking at programs told, and the rules it went by, on the wire.

use super::outcome::Finding;
use crucible_core as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What looking at some files told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanReport {
    /// The version of this format.
    pub version: u32,
    /// Crucible's own version.
    pub crucible: String,
    /// The rules in force.
    pub rules: RulesInForce,
    /// The files that were looked at, in the order in which their findings come.
    pub files: Vec<ScannedFile>,
    /// What was seen, by file and place.
    pub findings: Vec<Finding>,
    /// What is imported, by file and place.
    pub imports: Vec<Import>,
    /// What was not looked at, or not whole.
    pub unread: Vec<Unread>,
    /// What couldn't be read, though it was asked for.
    pub failures: Vec<Unread>,
    /// Findings beyond the bound on their number. They are of any severity.
    pub left_out: u64,
    /// Findings that are milder than what was asked for, and so aren't here.
    pub milder: u64,
}

/// The rules in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesInForce {
    /// How many.
    pub count: usize,
    /// BLAKE3 of all of them, in hexadecimal.
    pub digest: String,
}

/// A file that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScannedFile {
    /// Its name, as findings have it.
    pub file: String,
    /// How many bytes of it were looked at.
    pub bytes: u64,
}

/// A module that a program takes in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Import {
    /// Its full name.
    pub module: String,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1, in characters.
    pub column: u64,
    /// The last line.
    pub end_line: u64,
    /// The column after the last.
    pub end_column: u64,
}

/// Something that was not looked at, or not whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unread {
    /// The file or folder.
    pub file: String,
    /// Why.
    pub reason: String,
}

/// A rule that scanning goes by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rule {
    /// LANGUAGE.GROUP.NAME; unique.
    pub id: String,
    /// How bad it would be: `info`, `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// Its group.
    pub group: String,
    /// What it means.
    pub message: String,
    /// What the program looks like it does, after «it»; may hold placeholders.
    pub does: String,
    /// Why it is looked for.
    pub why: String,
    /// Where that is described.
    pub references: RuleReferences,
    /// The languages it is about.
    pub languages: Vec<String>,
    /// Kinds of behaviour that the host would see at run time.
    pub foreshadows: Vec<String>,
}

/// Where a weakness or technique is described.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleReferences {
    /// Numbers of the Common Weakness Enumeration.
    pub cwe: Vec<u32>,
    /// Technique ids of MITRE ATT&CK.
    pub attack: Vec<String>,
    /// Anything else, by name.
    pub more: Vec<String>,
}

impl ScanReport {
    /// The version of this format.
    pub const VERSION: u32 = 1;
}

impl From<&core::Import> for Import {
    fn from(import: &core::Import) -> Self {
        let core::Import { module, file, region } = import;
        Self {
            module: module.clone(),
            file: file.clone(),
            line: region.line,
            column: region.column,
            end_line: region.end_line,
            end_column: region.end_column,
        }
    }
}

impl From<&core::Unread> for Unread {
    fn from(unread: &core::Unread) -> Self {
        Self { file: unread.file.clone(), reason: unread.reason.clone() }
    }
}
