//! `crucible rules list`: a table of rules, for people and for programs.

use super::super::scan::{one_line, style};
use super::{configuration, unknown};
use crate::arguments::RulesListArguments;
use crate::exit::Exit;
use crate::output::{self, Format};
use crucible::compose;
use crucible_api::v1;
use crucible_core::{Result, Severity};
use crucible_scan::RuleSet;
use crucible_scan::rules::{ANY_LANGUAGE, LANGUAGES, Rule};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write;

#[derive(Serialize)]
struct List {
    rules: Vec<v1::Rule>,
    /// BLAKE3 of all rules in force, of those that aren't listed, too.
    digest: String,
}

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
            output::json(&List { rules: listed.into_iter().map(wire).collect(), digest: rules.digest().to_owned() })
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

fn wire(rule: &Rule) -> v1::Rule {
    let texts = |texts: &[crucible_scan::rules::Text]| texts.iter().map(ToString::to_string).collect();
    v1::Rule {
        id: rule.id.to_string(),
        severity: rule.severity.as_str().to_owned(),
        group: rule.group.to_string(),
        message: rule.message.to_string(),
        does: rule.does.to_string(),
        why: rule.why.to_string(),
        references: v1::RuleReferences {
            cwe: rule.references.cwe.clone(),
            attack: texts(&rule.references.attack),
            more: texts(&rule.references.more),
        },
        languages: texts(&rule.languages),
        foreshadows: rule.foreshadows.iter().map(|kind| kind.as_str().to_owned()).collect(),
    }
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
