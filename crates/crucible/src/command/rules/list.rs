//! `crucible rules list`: a table of rules, for people and for programs.

use super::super::scan::{one_line, style};
use super::{configuration, unknown};
use crate::arguments::RulesListArguments;
use crate::exit::Exit;
use crate::output::{self, Format};
use crucible::{catalogue, compose};
use crucible_api::v1::RuleList;
use crucible_core::{Result, Severity};
use crucible_scan::RuleSet;
use crucible_scan::rules::{ANY_LANGUAGE, LANGUAGES, Rule};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Lists the rules that were asked for.
///
/// # Errors
/// As [`super::rules`].
pub(super) fn list(arguments: &RulesListArguments) -> Result<Exit> {
    let rules = compose::rules(&configuration()?, &arguments.rules)?;
    let groups: BTreeSet<&str> = rules.rules().iter().map(|rule| rule.group.as_str()).collect();
    if let Some(group) = arguments.group.as_deref().filter(|group| !groups.contains(group)) {
        return Err(unknown("group", group, groups.iter().copied()));
    }
    let languages = LANGUAGES.into_iter().chain([ANY_LANGUAGE]);
    if let Some(language) = arguments.language.as_deref().filter(|name| !languages.clone().any(|known| known == *name))
    {
        return Err(unknown("language", language, languages));
    }
    let listed: Vec<&Rule> = rules.rules().iter().filter(|rule| is_asked_for(rule, arguments)).collect();
    match arguments.format() {
        Format::Json => {
            // The digest is of those that aren't listed, too.
            let rules = RuleList {
                rules: listed.into_iter().map(catalogue::rule).collect(),
                digest: rules.digest().to_owned(),
            };
            output::json(&rules)
        }
        Format::Text => output::data(&table(&listed, &rules)),
    }
}

fn is_asked_for(rule: &Rule, arguments: &RulesListArguments) -> bool {
    let has_group = arguments.group.as_deref().is_none_or(|group| rule.group.as_str() == group);
    let is_as_bad = rule.severity >= arguments.severity.unwrap_or(Severity::Info);
    has_group && is_as_bad && arguments.language.as_deref().is_none_or(|language| is_tried_on(rule, language))
}

/// Rules for any language are tried on each, and TypeScript is JavaScript, too.
fn is_tried_on(rule: &Rule, language: &str) -> bool {
    let is_about = |name: &str| rule.languages.iter().any(|known| known.as_str() == name);
    is_about(language) || is_about(ANY_LANGUAGE) || (language == "typescript" && is_about("javascript"))
}

fn table(listed: &[&Rule], all: &RuleSet) -> String {
    let widest = listed.iter().map(|rule| rule.id.len()).max().unwrap_or_default();
    let mut text = String::new();
    // Writing to a String can't fail.
    for rule in listed {
        let style = style(rule.severity);
        let _ = writeln!(text, "{:widest$}  {style}{:8}{style:#}  {}", rule.id, rule.severity, one_line(&rule.message));
    }
    let count = listed.len();
    let of_all = if count == all.rules().len() { String::new() } else { format!(" of {}", all.rules().len()) };
    let _ = writeln!(text, "{count}{of_all} rules; `crucible rules explain ID` says everything about one");
    text
}
