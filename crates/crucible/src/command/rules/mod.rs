//! `crucible rules`: lists, explains and tries the rules that scanning goes by.

mod explain;
mod list;
mod samples;

use crate::arguments::RulesVerb;
use crate::exit::Exit;
use crucible::config::{Configuration, Environment, Overrides};
use crucible_core::{Error, ErrorKind, Result, nearest};
use crucible_scan::RuleSet;
use crucible_scan::rules::Rule;

/// Does what was asked for.
///
/// # Errors
/// As [`crucible::compose::rules`]; `NotFound` for a rule, group or language that isn't there; `Io`. That a rule fails its
/// samples is an answer.
pub(crate) fn rules(verb: &RulesVerb) -> Result<Exit> {
    match verb {
        RulesVerb::List(arguments) => list::list(arguments),
        RulesVerb::Explain(arguments) => explain::explain(arguments),
        RulesVerb::Test(arguments) => samples::test(arguments),
    }
}

fn configuration() -> Result<Configuration> {
    Configuration::load(&Environment::of_process(), &Overrides::default())
}

/// The rule of this id.
fn find<'a>(rules: &'a RuleSet, id: &str) -> Result<&'a Rule> {
    rules.get(id).ok_or_else(|| unknown("rule", id, rules.rules().iter().map(|rule| rule.id.as_str())))
}

/// The error for a name that nobody knows, with the nearest or a few of those that are known.
fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Error {
    let shown: String = name.chars().take(64).collect();
    let error = Error::new(ErrorKind::NotFound, "find a rule", format!("there is no {what} {shown:?}"));
    // A rule may be meant by the end of its id.
    let by_end = || known.clone().find(|known| known.rsplit('.').next() == Some(name));
    match nearest(name, known.clone()).or_else(by_end) {
        Some(near) => error.with_hint(format!("did you mean '{near}'?")),
        None if what == "rule" => error.with_hint("`crucible rules list` lists them"),
        None => error.with_hint(format!("known: {}", known.collect::<Vec<_>>().join(", "))),
    }
}
