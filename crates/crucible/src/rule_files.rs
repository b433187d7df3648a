//! Reads rules of a person's own from their folders.
//!
//! Invariant: bounded in files and bytes, and a folder that holds no rules is an error: a mistyped one must not pass for
//! one with which nothing is found. What the files say is for `crucible-scan` to judge.

use crate::config::{Origin, read_settings};
use crucible_core::{Error, ErrorKind, Result};
use crucible_scan::RuleSet;
use crucible_scan::rules::RuleText;
use std::ffi::OsStr;
use std::path::PathBuf;

/// The most files that all folders together may hold.
const MOST_FILES: usize = 4096;

/// The endings of files that hold rules.
const ENDINGS: [&str; 2] = ["yaml", "yml"];

/// A folder of rules, or a file of them, and who named it.
pub(crate) struct RuleFolder {
    pub(crate) path: PathBuf,
    pub(crate) origin: Origin,
}

impl RuleFolder {
    /// Those that `--rules` names.
    pub(crate) fn of_flag(paths: &[PathBuf]) -> Vec<Self> {
        let origin = Origin::Flag { flag: "--rules" };
        paths.iter().map(|path| Self { path: path.clone(), origin: origin.clone() }).collect()
    }
}

/// Texts of rules.
#[derive(Debug, Default)]
pub(crate) struct RuleFiles(Vec<(String, String)>);

impl RuleFiles {
    /// Reads every file of rules, folder by folder, by name. Folders within folders aren't looked into.
    ///
    /// # Errors
    /// The mistake of whoever named the folder: one that isn't there, can't be read or holds no rules; more than can be read.
    pub(crate) fn read(folders: &[RuleFolder]) -> Result<Self> {
        let mut texts = Vec::new();
        for folder in folders {
            for path in files(folder)? {
                let text = read_settings(&path, "file of rules", kind(&folder.origin, ErrorKind::InvalidInput))?;
                texts.push((path.display().to_string(), text));
                if texts.len() > MOST_FILES {
                    return Err(wrong(
                        folder,
                        ErrorKind::InvalidInput,
                        format!("more than {MOST_FILES} files of rules"),
                    ));
                }
            }
        }
        Ok(Self(texts))
    }

    /// These rules and those of the files.
    ///
    /// # Errors
    /// `Configuration` or `InvalidInput` for the first rule that is wrong, with file, line and id.
    pub(crate) fn over(&self, rules: RuleSet, kind: ErrorKind) -> Result<RuleSet> {
        if self.0.is_empty() {
            return Ok(rules);
        }
        rules.with_texts(&self.texts()).map_err(|error| {
            Error::new(kind, "read rules", in_one_line(&error.to_string()))
                .with_hint("docs/scanning.md tells how rules are written; `crucible rules test --rules DIR` tries them")
        })
    }

    fn texts(&self) -> Vec<RuleText<'_>> {
        self.0.iter().map(|(name, text)| RuleText { name, text }).collect()
    }
}

fn files(folder: &RuleFolder) -> Result<Vec<PathBuf>> {
    let path = &folder.path;
    let shown = path.display();
    let metadata = std::fs::metadata(path).map_err(|error| {
        let what = if error.kind() == std::io::ErrorKind::NotFound { "there is no" } else { "can't read the" };
        wrong(folder, ErrorKind::NotFound, format!("{what} folder of rules '{shown}'")).with_source(error)
    })?;
    if !metadata.is_dir() {
        return Ok(vec![path.clone()]);
    }
    let unreadable =
        |error| wrong(folder, ErrorKind::Io, format!("can't read the folder of rules '{shown}'")).with_source(error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_rules = path.extension().and_then(OsStr::to_str).is_some_and(|ending| ENDINGS.contains(&ending));
        if is_rules && path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        let message = format!("the folder '{shown}' holds no rules");
        return Err(wrong(folder, ErrorKind::InvalidInput, message)
            .with_hint("rules are in files that end in .yaml, directly in the folder"));
    }
    files.sort();
    Ok(files)
}

/// What parsers of expressions and of YARA say goes over several lines, some of which only point.
fn in_one_line(message: &str) -> String {
    let says_something = |line: &&str| line.contains(char::is_alphanumeric);
    message.lines().map(str::trim).filter(says_something).collect::<Vec<_>>().join("; ")
}

/// A mistake in the configuration is one, whatever it consists of.
fn kind(origin: &Origin, kind: ErrorKind) -> ErrorKind {
    if matches!(origin, Origin::Flag { .. }) { kind } else { ErrorKind::Configuration }
}

fn wrong(folder: &RuleFolder, of_flag: ErrorKind, message: String) -> Error {
    let message = match &folder.origin {
        Origin::Flag { .. } => message,
        origin => format!("{origin}: scan.rules: {message}"),
    };
    Error::new(kind(&folder.origin, of_flag), "read rules", message)
}
