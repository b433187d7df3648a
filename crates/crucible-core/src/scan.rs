//! What looking at a program before it runs can tell: findings, imports, and what couldn't be read.
//!
//! Invariant: a finding advises. It can lead to a program not being run, or only behind a stronger wall; it never makes
//! anything weaker. Nothing here parses anything: that is what implements [`Scanner`].

use crate::component::Component;
use crate::monitor::BehaviorKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// How bad a finding would be if the program did what it looks like, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing, and found in many honest programs.
    Info,
    /// Honest programs do it now and then.
    Low,
    /// A reviewer should have a look.
    Medium,
    /// Hardly ever honest in a program that is being evaluated.
    High,
    /// Has no honest reason there.
    Critical,
}

impl Severity {
    /// Every severity, least first.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The name in rules, policies and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A place in a file. Lines and columns count from 1, columns in characters; the end is the first column after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region {
    /// The first line.
    pub line: u64,
    /// The first column.
    pub column: u64,
    /// The last line.
    pub end_line: u64,
    /// The column after the last.
    pub end_column: u64,
}

/// Something that the scanner saw before the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's id.
    pub rule: String,
    /// How bad it would be.
    pub severity: Severity,
    /// The rule's group: `process`, `network`.
    pub group: String,
    /// The file, as it was named to the scanner. Hostile text.
    pub file: String,
    /// Where in it. For a match in bytes without lines, line 1.
    pub region: Region,
    /// What it means, for a reviewer.
    pub message: String,
    /// What the program looks like it does, to be put after «it»: «imports socket». May hold names of the program's own.
    pub does: String,
    /// What the host would see at run time if the program did that.
    pub foreshadows: BTreeSet<BehaviorKind>,
}

/// A module that a program takes in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// Its full name: `os.path`. A name that is only known at run time isn't here but a finding. Hostile text.
    pub module: String,
    /// The file.
    pub file: String,
    /// Where in it.
    pub region: Region,
}

/// Something that the scanner didn't look at, or not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The file.
    pub file: String,
    /// Why.
    pub reason: String,
}

/// What looking at some files told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanReport {
    /// What was seen, by file and place.
    pub findings: Vec<Finding>,
    /// What is imported, by file and place.
    pub imports: Vec<Import>,
    /// What was not looked at whole: too large, nested too deeply, or not in the language it was said to be in.
    pub unread: Vec<Unread>,
    /// Findings beyond the bound on their number.
    pub left_out: u64,
}

/// A file to look at.
#[derive(Clone, Copy, Debug)]
pub struct ScanFile<'a> {
    /// Its name, for findings.
    pub name: &'a str,
    /// Its language as the language table names it, where it is known; else it is told by name and content.
    pub language: Option<&'a str>,
    /// Its bytes. Hostile.
    pub bytes: &'a [u8],
}

/// Looks at programs without running them. Pure: no I/O, bounded in time and memory whatever the bytes are.
pub trait Scanner: Component {
    /// Looks at all files of one program together.
    fn scan(&self, files: &[ScanFile<'_>]) -> ScanReport;

    /// BLAKE3 of the rules in force, in hexadecimal, for the record.
    fn rules_digest(&self) -> &str;
}
