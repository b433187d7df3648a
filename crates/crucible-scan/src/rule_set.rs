//! The rules in force: the built-in ones, and those that a person adds.
//!
//! Invariant: rules are in the order of their ids, each id once, and the digest is of exactly these rules.

use crate::byte_patterns;
use crate::program::{is_usable, patterns_of};
use crate::rules::{Matcher, Rule, RuleError, RuleText, parse_rules};
use std::collections::BTreeMap;

/// The built-in rules as the build script wrote them.
static BUILT_IN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/rules.postcard"));

/// BLAKE3 of [`BUILT_IN`], in hexadecimal.
const BUILT_IN_DIGEST: &str = include_str!(concat!(env!("OUT_DIR"), "/rules.blake3"));

/// Rules that a scanner goes by.
#[derive(Clone, Debug)]
pub struct RuleSet {
    rules: Vec<Rule>,
    digest: String,
}

impl RuleSet {
    /// The rules that come with Crucible.
    #[must_use]
    pub fn built_in() -> Self {
        // The bytes are the build script's own; a test reads them all.
        let rules = postcard::from_bytes(BUILT_IN).unwrap_or_default();
        Self { rules, digest: BUILT_IN_DIGEST.to_owned() }
    }

    /// No rules at all.
    #[must_use]
    pub fn empty() -> Self {
        Self::of(Vec::new())
    }

    /// These rules, and those in `texts`. A rule takes the place of the one that has its id.
    ///
    /// # Errors
    ///
    /// The first rule that is wrong.
    pub fn with_texts(self, texts: &[RuleText<'_>]) -> Result<Self, RuleError> {
        let added = parse_rules(texts)?;
        check_yara(&added, texts)?;
        for rule in &added {
            if let Some(pattern) = patterns_of(&rule.matcher).into_iter().find(|pattern| !is_usable(pattern)) {
                return Err(wrong(rule, texts, format!("'{}' is too large an expression", pattern.regex)));
            }
        }
        let mut rules: BTreeMap<_, _> = self.rules.into_iter().map(|rule| (rule.id.clone(), rule)).collect();
        rules.extend(added.into_iter().map(|rule| (rule.id.clone(), rule)));
        Ok(Self::of(rules.into_values().collect()))
    }

    fn of(rules: Vec<Rule>) -> Self {
        let blob = postcard::to_allocvec(&rules).unwrap_or_default();
        Self { digest: blake3::hash(&blob).to_hex().to_string(), rules }
    }

    /// The rules, in the order of their ids.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule of this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Rule> {
        let place = self.rules.binary_search_by(|rule| rule.id.as_str().cmp(id)).ok()?;
        self.rules.get(place)
    }

    /// BLAKE3 of the rules, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// What is wrong with a rule that is well-formed.
fn wrong(rule: &Rule, texts: &[RuleText<'_>], message: String) -> RuleError {
    let place = texts.iter().find_map(|file| {
        let line = file.text.lines().position(|line| line.contains(rule.id.as_str()))?;
        Some((file.name.to_owned(), line as u64 + 1))
    });
    let (file, line) = place.unwrap_or_default();
    RuleError { file, line, rule: Some(rule.id.to_string()), message }
}

/// Whether each pattern for bytes is in YARA's language.
fn check_yara(rules: &[Rule], texts: &[RuleText<'_>]) -> Result<(), RuleError> {
    for rule in rules {
        let mut open = vec![&rule.matcher];
        while let Some(matcher) = open.pop() {
            match matcher {
                Matcher::All(members) | Matcher::Any(members) => open.extend(members),
                Matcher::Not(member) => open.push(member),
                Matcher::Yara { source } => {
                    byte_patterns::check(source).map_err(|message| wrong(rule, texts, message))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}
