//! How much of what the examples do each scanner finds, file by file and category by category.
//!
//! Invariant: both scanners are judged by the same code, on the same files. Of the half that is held out, nothing but
//! numbers comes out.

use super::counting::Found;
use super::labels::{Category, Half, Label};
use crucible_core::Severity;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// From here on a reviewer should have a look.
pub(super) const ALERT: Severity = Severity::Medium;

/// What a scanner found in each file.
pub(super) type Findings = BTreeMap<String, Vec<Found>>;

/// What both scanners found in one half.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Recall {
    /// The half.
    pub(super) half: Half,
    /// Files in it.
    pub(super) files: usize,
    /// Files in it with at least one category.
    pub(super) files_with_category: usize,
    /// Categories that its files have, by category.
    pub(super) labelled: BTreeMap<Category, usize>,
    /// The same, in all: what could be found.
    pub(super) pairs: usize,
    /// What Crucible found.
    pub(super) crucible: Judged,
    /// What bandit found.
    pub(super) bandit: Judged,
}

/// How one scanner did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Judged {
    /// Files whose category was found, whatever the severity, by category.
    pub(super) found: BTreeMap<Category, usize>,
    /// The same, in all.
    pub(super) pairs: usize,
    /// Of these, with a severity of medium or above.
    pub(super) pairs_alerted: usize,
    /// Files with a category of which at least one was found.
    pub(super) files: usize,
    /// Categories that were found in files that don't have them.
    pub(super) unlabelled_pairs: usize,
    /// Of these, with a severity of medium or above.
    pub(super) unlabelled_pairs_alerted: usize,
    /// Files without any category in which something of medium or above was found, of whatever kind.
    pub(super) other_files_alerted: usize,
    /// Of these, where it counts for a category.
    pub(super) other_files_alerted_for_category: usize,
    /// What wasn't found, for the development half.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) missed: Vec<(String, Category)>,
    /// What was found and isn't labelled, for the development half.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) unlabelled: Vec<(String, Category)>,
}

impl Recall {
    /// Judges what both found.
    pub(super) fn of(half: Half, labels: &[Label], crucible: &Findings, bandit: &Findings) -> Self {
        let labels: Vec<_> = labels.iter().filter(|label| Half::of(&label.name) == half).collect();
        let mut labelled = BTreeMap::new();
        for category in labels.iter().flat_map(|label| &label.categories) {
            *labelled.entry(*category).or_default() += 1;
        }
        Self {
            half,
            files: labels.len(),
            files_with_category: labels.iter().filter(|label| !label.categories.is_empty()).count(),
            pairs: labelled.values().sum(),
            labelled,
            crucible: Judged::of(half, &labels, crucible),
            bandit: Judged::of(half, &labels, bandit),
        }
    }
}

impl Judged {
    fn of(half: Half, labels: &[&Label], findings: &Findings) -> Self {
        let mut judged = Self::default();
        for label in labels {
            let found = findings.get(&label.name).map(Vec::as_slice).unwrap_or_default();
            judged.add(label, found);
        }
        // What is held out stays unknown to whoever reads the result.
        if half == Half::HeldOut {
            judged.missed.clear();
            judged.unlabelled.clear();
        }
        judged
    }

    fn add(&mut self, label: &Label, found: &[Found]) {
        let counted = categories(found.iter());
        let alerted = categories(found.iter().filter(|found| found.severity >= ALERT));
        for category in &label.categories {
            if counted.contains(category) {
                *self.found.entry(*category).or_default() += 1;
                self.pairs += 1;
                self.pairs_alerted += usize::from(alerted.contains(category));
            } else {
                self.missed.push((label.name.clone(), *category));
            }
        }
        for category in counted.difference(&label.categories) {
            self.unlabelled_pairs += 1;
            self.unlabelled_pairs_alerted += usize::from(alerted.contains(category));
            self.unlabelled.push((label.name.clone(), *category));
        }
        if label.categories.is_empty() {
            self.other_files_alerted += usize::from(found.iter().any(|found| found.severity >= ALERT));
            self.other_files_alerted_for_category += usize::from(!alerted.is_empty());
        } else {
            self.files += usize::from(!label.categories.is_disjoint(&counted));
        }
    }
}

fn categories<'a>(found: impl Iterator<Item = &'a Found>) -> BTreeSet<Category> {
    found.flat_map(|found| found.categories.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(name: &str, categories: &[Category]) -> Label {
        let categories = categories.iter().copied().collect();
        Label { name: name.to_owned(), categories, reason: "made up".to_owned() }
    }

    fn found(severity: Severity, categories: &[Category]) -> Found {
        Found { severity, categories: categories.iter().copied().collect() }
    }

    #[test]
    fn a_file_counts_for_each_of_its_categories_and_what_it_has_not_is_told_apart() {
        // Names of the development half.
        let labels = [
            label("exec.py", &[Category::Process, Category::Network]),
            label("imports.py", &[Category::Process]),
            label("skip.py", &[]),
        ];
        let ours = Findings::from([
            ("exec.py".to_owned(), vec![found(Severity::Info, &[Category::Process]), found(Severity::High, &[])]),
            ("imports.py".to_owned(), vec![found(Severity::Medium, &[Category::Process, Category::Permissions])]),
            ("skip.py".to_owned(), vec![found(Severity::High, &[])]),
        ]);
        let theirs = Findings::from([("skip.py".to_owned(), vec![found(Severity::Low, &[Category::Network])])]);
        let recall = Recall::of(Half::Development, &labels, &ours, &theirs);
        assert_eq!((recall.files, recall.files_with_category, recall.pairs), (3, 2, 3));
        let judged = &recall.crucible;
        assert_eq!((judged.pairs, judged.pairs_alerted, judged.files), (2, 1, 2));
        assert_eq!((judged.unlabelled_pairs, judged.unlabelled_pairs_alerted), (1, 1));
        assert_eq!((judged.other_files_alerted, judged.other_files_alerted_for_category), (1, 0));
        assert_eq!(judged.missed, [("exec.py".to_owned(), Category::Network)]);
        assert_eq!((recall.bandit.pairs, recall.bandit.unlabelled_pairs), (0, 1));
        assert_eq!(recall.bandit.other_files_alerted, 0);
    }

    #[test]
    fn the_held_out_half_gives_numbers_alone() {
        let labels = [label("okay.py", &[Category::Process]), label("exec.py", &[Category::Process])];
        let recall = Recall::of(Half::HeldOut, &labels, &Findings::new(), &Findings::new());
        assert_eq!((recall.files, recall.crucible.pairs), (1, 0));
        assert!(recall.crucible.missed.is_empty());
        assert!(!serde_json::to_string(&recall).unwrap().contains("okay.py"));
    }
}
