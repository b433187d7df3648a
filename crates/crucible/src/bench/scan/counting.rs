//! Which finding counts for which category, by a table.
//!
//! Invariant: the table is data and has a line for every category; what it says is shown in docs/benchmarks.md.

use super::labels::Category;
use crucible_core::{Error, ErrorKind, Result, Severity};
use crucible_scan::rules::Rule;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The table.
const TABLE: &str = include_str!("categories.toml");

/// Something that a scanner found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// How bad it is said to be.
    pub(super) severity: Severity,
    /// What it counts for.
    pub(super) categories: BTreeSet<Category>,
}

/// What counts for one category.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    ours: Vec<Fitting>,
    bandit: BTreeSet<String>,
}

/// Which of our rules fit.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fitting {
    #[serde(default)]
    rule: Option<String>,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    cwe: BTreeSet<u32>,
}

impl Fitting {
    fn fits(&self, id: &str, group: &str, cwe: &[u32]) -> bool {
        self.rule.as_ref().is_none_or(|wanted| wanted == id)
            && self.group.as_ref().is_none_or(|wanted| wanted == group)
            && (self.cwe.is_empty() || cwe.iter().any(|number| self.cwe.contains(number)))
    }
}

/// Tells what findings count for.
#[derive(Clone, Debug)]
pub(super) struct Counting(BTreeMap<Category, Line>);

impl Counting {
    /// Reads the table.
    ///
    /// # Errors
    /// `Configuration`; a test keeps the table sound.
    pub(super) fn built_in() -> Result<Self> {
        Self::read(TABLE)
    }

    fn read(text: &str) -> Result<Self> {
        let fail = |why: String| Error::new(ErrorKind::Configuration, "read what counts for which category", why);
        let lines: BTreeMap<Category, Line> = toml::from_str(text).map_err(|error| fail(error.message().to_owned()))?;
        if let Some(missing) = Category::ALL.into_iter().find(|category| !lines.contains_key(category)) {
            return Err(fail(format!("nothing counts for {missing}")));
        }
        let fits_all = |fitting: &Fitting| fitting.rule.is_none() && fitting.group.is_none() && fitting.cwe.is_empty();
        match lines.iter().find(|(_, line)| line.ours.iter().any(fits_all)) {
            Some((category, _)) => Err(fail(format!("{category} has a line that every rule fits"))),
            None => Ok(Self(lines)),
        }
    }

    /// What a rule of ours counts for.
    pub(super) fn of_rule(&self, rule: &Rule) -> BTreeSet<Category> {
        let fits = |fitting: &Fitting| fitting.fits(&rule.id, &rule.group, &rule.references.cwe);
        self.where_line(|line| line.ours.iter().any(fits))
    }

    /// What one of bandit's tests counts for.
    pub(super) fn of_bandit(&self, id: &str) -> BTreeSet<Category> {
        self.where_line(|line| line.bandit.contains(id))
    }

    fn where_line(&self, counts: impl Fn(&Line) -> bool) -> BTreeSet<Category> {
        self.0.iter().filter(|(_, line)| counts(line)).map(|(category, _)| *category).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_something_of_every_category() {
        let counting = Counting::built_in().unwrap();
        assert!(counting.0.values().all(|line| !line.ours.is_empty() && !line.bandit.is_empty()));
        assert_eq!(counting.of_bandit("B602"), BTreeSet::from([Category::Process]));
        assert_eq!(counting.of_bandit("B612"), BTreeSet::from([Category::CodeExecution, Category::Network]));
        assert!(counting.of_bandit("B324").is_empty());
    }

    #[test]
    fn a_rule_counts_by_its_group_or_by_the_weaknesses_it_refers_to() {
        let fitting: Fitting = toml::from_str("group = \"filesystem\"\ncwe = [732]").unwrap();
        assert!(fitting.fits("any", "filesystem", &[22, 732]));
        assert!(!fitting.fits("any", "filesystem", &[22]) && !fitting.fits("any", "process", &[732]));
        let fitting: Fitting = toml::from_str("rule = \"this\"").unwrap();
        assert!(fitting.fits("this", "filesystem", &[]) && !fitting.fits("that", "filesystem", &[]));
    }

    #[test]
    fn every_line_of_the_table_fits_some_built_in_rule() {
        let rules = crucible_scan::RuleSet::built_in();
        for (category, line) in Counting::built_in().unwrap().0 {
            for fitting in line.ours {
                let fits = |rule: &Rule| fitting.fits(&rule.id, &rule.group, &rule.references.cwe);
                assert!(rules.rules().iter().any(fits), "{category}: {fitting:?}");
            }
        }
    }

    #[test]
    fn tables_that_leave_something_out_or_fit_everything_are_refused() {
        let error = Counting::read("").unwrap_err().to_string();
        assert!(error.contains("nothing counts for process"), "{error}");
        let all = TABLE.replace("{ group = \"process\" }", "{}");
        assert!(Counting::read(&all).unwrap_err().to_string().contains("every rule fits"));
        assert!(Counting::read("[crypto]\nours = []\nbandit = []").is_err());
    }
}
