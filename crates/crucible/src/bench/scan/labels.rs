//! What bandit's example files do, as a person read them, and the two halves that they are in.
//!
//! Invariant: every file has a label and a reason, and its half follows from its name alone, so that nobody chose it.

use crucible_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt;

/// The label file.
const LABELS: &str = include_str!("labels.toml");

/// What a program does that matters where it isn't trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Category {
    /// Starts programs.
    Process,
    /// Reads formats that can run code.
    Deserialization,
    /// Runs text as code.
    CodeExecution,
    /// Connects, listens, fetches.
    Network,
    /// Names in shared temporary folders that can be known beforehand.
    TempFiles,
    /// Loosens modes, or writes where an archive says.
    Permissions,
}

impl Category {
    /// Every category.
    pub(super) const ALL: [Self; 6] =
        [Self::Process, Self::Deserialization, Self::CodeExecution, Self::Network, Self::TempFiles, Self::Permissions];
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Process => "process",
            Self::Deserialization => "deserialization",
            Self::CodeExecution => "code-execution",
            Self::Network => "network",
            Self::TempFiles => "temp-files",
            Self::Permissions => "permissions",
        })
    }
}

/// One of the two parts that the files are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Half {
    /// What rules may be made with an eye on.
    Development,
    /// What nobody who writes rules looks at.
    HeldOut,
}

impl Half {
    /// The half of a file: by the last digit of the SHA-256 of its name without folder.
    pub(super) fn of(name: &str) -> Self {
        let base = name.rsplit('/').next().unwrap_or(name);
        let last = Sha256::digest(base.as_bytes()).last().copied().unwrap_or_default();
        if last % 2 == 0 { Self::Development } else { Self::HeldOut }
    }
}

impl fmt::Display for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Development => "development",
            Self::HeldOut => "held-out",
        })
    }
}

/// What one file does.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Label {
    /// The file, as it is named below the folder of examples.
    pub(super) name: String,
    /// What it does; empty where it is none of the categories.
    pub(super) categories: BTreeSet<Category>,
    /// Why, in a line.
    pub(super) reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelFile {
    file: Vec<Label>,
}

/// The labels of all files.
///
/// # Errors
/// `Configuration`; a test keeps the file sound.
pub(super) fn all() -> Result<Vec<Label>> {
    read(LABELS)
}

fn read(text: &str) -> Result<Vec<Label>> {
    let fail = |why: String| Error::new(ErrorKind::Configuration, "read the labels", why);
    let labels = toml::from_str::<LabelFile>(text).map_err(|error| fail(error.message().to_owned()))?.file;
    let mut names = BTreeSet::new();
    for label in &labels {
        if !names.insert(label.name.as_str()) {
            return Err(fail(format!("{} is there twice", label.name)));
        }
        if label.reason.trim().is_empty() {
            return Err(fail(format!("{} has no reason", label.name)));
        }
    }
    Ok(labels)
}

/// Checks that exactly the labelled files are there.
///
/// # Errors
/// `InvalidInput` with the first file that lacks a label, or the first label that lacks its file.
pub(super) fn check_against(labels: &[Label], names: &[String]) -> Result<()> {
    let fail = |why: String| Error::new(ErrorKind::InvalidInput, "compare the examples with their labels", why);
    let labelled: BTreeSet<_> = labels.iter().map(|label| label.name.as_str()).collect();
    let there: BTreeSet<_> = names.iter().map(String::as_str).collect();
    if let Some(name) = there.difference(&labelled).next() {
        return Err(fail(format!("the example {name} has no label")));
    }
    match labelled.difference(&there).next() {
        Some(name) => Err(fail(format!("the example {name} isn't there"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_labels_are_whole_and_every_category_is_in_both_halves() {
        let labels = all().unwrap();
        assert_eq!(labels.len(), 94);
        assert!(labels.iter().all(|label| label.name.ends_with(".py") && !label.name.starts_with('/')));
        let mut counts = BTreeMap::new();
        for label in &labels {
            for category in &label.categories {
                *counts.entry((Half::of(&label.name).to_string(), *category)).or_insert(0) += 1;
            }
        }
        for category in Category::ALL.into_iter().filter(|category| *category != Category::TempFiles) {
            for half in [Half::Development, Half::HeldOut] {
                assert!(counts.contains_key(&(half.to_string(), category)), "{half} has no {category}");
            }
        }
    }

    #[test]
    fn a_files_half_follows_from_its_name_without_folder() {
        // The last digits of their hashes, by another program: 2 and b.
        assert_eq!(Half::of("exec.py"), Half::Development);
        assert_eq!(Half::of("okay.py"), Half::HeldOut);
        assert_eq!(Half::of("folder/okay.py"), Half::HeldOut);
        let labels = all().unwrap();
        let held_out = labels.iter().filter(|label| Half::of(&label.name) == Half::HeldOut).count();
        assert_eq!((labels.len() - held_out, held_out), (46, 48));
    }

    #[test]
    fn what_is_wrong_in_a_label_file_is_told() {
        let label = |name: &str, rest: &str| format!("[[file]]\nname = \"{name}\"\n{rest}\n");
        let sound = "categories = []\nreason = \"empty\"";
        for (text, words) in [
            (label("a.py", "categories = [\"crypto\"]\nreason = \"x\""), "unknown variant"),
            (label("a.py", "categories = []"), "reason"),
            (label("a.py", "categories = []\nreason = \" \""), "has no reason"),
            (label("a.py", &format!("{sound}\nmore = 1")), "unknown field"),
            (label("a.py", sound) + &label("a.py", sound), "there twice"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn other_files_than_the_labelled_ones_are_refused() {
        let labels = all().unwrap();
        let mut names: Vec<String> = labels.iter().map(|label| label.name.clone()).collect();
        check_against(&labels, &names).unwrap();
        names.push("new.py".to_owned());
        assert!(check_against(&labels, &names).unwrap_err().to_string().contains("new.py has no label"));
        names.retain(|name| name != "new.py" && name != "exec.py");
        assert!(check_against(&labels, &names).unwrap_err().to_string().contains("exec.py isn't there"));
    }
}
