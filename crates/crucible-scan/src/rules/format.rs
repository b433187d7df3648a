//! Reading rules out of YAML: what it says, where it is wrong.
//!
//! Invariant: an error names the file, the line and, where it is known, the rule. The texts are handed in; no file is read.

use super::raw::RawRule;
use super::{Rule, check};
use serde_saphyr::Spanned;
use std::collections::BTreeMap;
use std::fmt;

/// The text of a file of rules, and what to call it in errors.
#[derive(Clone, Copy, Debug)]
pub struct RuleText<'a> {
    /// The file's name.
    pub name: &'a str,
    /// What is in it.
    pub text: &'a str,
}

/// A rule that can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// The file.
    pub file: String,
    /// The line, from 1; 0 where none is known.
    pub line: u64,
    /// The rule's id, where it is known.
    pub rule: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if let Some(rule) = &self.rule {
            write!(f, "rule {rule}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for RuleError {}

/// Reads files of rules together, so that an id that is there twice is seen. The rules come in the order of their ids.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn parse_rules(texts: &[RuleText<'_>]) -> Result<Vec<Rule>, RuleError> {
    let mut rules: BTreeMap<String, (Rule, String)> = BTreeMap::new();
    for &file in texts {
        let raw: Vec<Spanned<RawRule>> = serde_saphyr::from_str(file.text).map_err(|error| broken(file, &error))?;
        for spanned in raw {
            let line = spanned.defined.line();
            let id = spanned.value.id.clone();
            let wrong = |message| RuleError { file: file.name.to_owned(), line, rule: Some(id.clone()), message };
            let rule = check::checked(spanned.value).map_err(wrong)?;
            if let Some((_, other)) = rules.get(&id) {
                return Err(wrong(format!("there is another rule of this id in {other}")));
            }
            rules.insert(id.clone(), (rule, format!("{}, line {line}", file.name)));
        }
    }
    Ok(rules.into_values().map(|(rule, _)| rule).collect())
}

/// What a parser's error says, with the rule in whose lines it is.
fn broken(file: RuleText<'_>, error: &serde_saphyr::Error) -> RuleError {
    let line = error.location().map_or(0, |location| location.line());
    let before = file.text.lines().take(usize::try_from(line).unwrap_or(usize::MAX));
    let rule = before
        .filter_map(|line| line.trim_start().strip_prefix("- id:").or_else(|| line.strip_prefix("  id:")))
        .last()
        .map(|id| id.trim().trim_matches(['"', '\'']).to_owned());
    let message = error.without_snippet().to_string();
    RuleError { file: file.name.to_owned(), line, rule, message }
}
