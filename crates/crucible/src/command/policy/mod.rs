//! `crucible policy`: lists, shows and checks policies, and says what one makes of a program.
//!
//! It runs nothing and starts no backend.

mod explain;
mod report;

use crate::arguments::{PolicyCheckArguments, PolicyListArguments, PolicyShowArguments, PolicyVerb};
use crate::exit::Exit;
use crate::output::{self, Format};
use crucible::catalogue::about_policy;
use crucible::compose;
use crucible::config::{self, Configuration, Environment, Overrides, PolicyFile};
use crucible_core::{Error, ErrorKind, Policy, Result};
use crucible_evidence::policy_hash;
use report::{Checked, Listed, ListedPolicy, ShownPolicy};
use std::fmt::Write;

/// Does what was asked for.
///
/// # Errors
/// Crucible's own failures. What a policy says of a program is an answer.
pub(crate) fn policy(verb: &PolicyVerb) -> Result<Exit> {
    match verb {
        PolicyVerb::List(arguments) => list(arguments),
        PolicyVerb::Show(arguments) => show(arguments),
        PolicyVerb::Check(arguments) => check(arguments),
        PolicyVerb::Explain(arguments) => explain::explain(arguments),
    }
}

fn list(arguments: &PolicyListArguments) -> Result<Exit> {
    let in_force = Configuration::load(&Environment::of_process(), &Overrides::default())?.policy()?;
    let listed = |(name, text): (&'static str, &'static str)| {
        let policy = Policy::built_in(name).unwrap_or_default();
        ListedPolicy {
            name,
            about: about_policy(text),
            policy_hash: policy_hash(&policy),
            in_force: policy == in_force,
        }
    };
    let policies: Vec<_> = config::BUILT_IN_POLICIES.into_iter().map(listed).collect();
    if arguments.format() == Format::Json {
        return output::json(&Listed { policies });
    }
    let mut text = String::new();
    for ListedPolicy { name, about, in_force, .. } in &policies {
        let mark = if *in_force { "*" } else { " " };
        // Writing to a String can't fail.
        let _ = writeln!(text, "{mark} {name:10}  {about}");
    }
    if !policies.iter().any(|policy| policy.in_force) {
        let _ = writeln!(text, "* {}  (from the configuration)", output::neutral(&in_force.name));
    }
    output::data(&text)
}

fn show(arguments: &PolicyShowArguments) -> Result<Exit> {
    let policy = Configuration::named_policy(&arguments.policy)?;
    match arguments.format() {
        Format::Json => output::json(&ShownPolicy { policy_hash: policy_hash(&policy), policy: &policy }),
        Format::Text => output::data(&config::policy_to_text(&policy)),
    }
}

fn check(arguments: &PolicyCheckArguments) -> Result<Exit> {
    let configuration = Configuration::load(&Environment::of_process(), &Overrides::default())?;
    let read = match config::policy_file(&arguments.file) {
        Ok(file) => Ok((compose::unknown_rules(&file, &configuration)?, file)),
        Err(error) => Err(error),
    };
    let (errors, read): (Vec<Problem>, Option<PolicyFile>) = match read {
        Ok((unknown, file)) => (unknown.into_iter().map(Problem::from).collect(), Some(file)),
        // One that isn't there is no policy that is wrong.
        Err(error) if error.kind() != ErrorKind::Configuration => return Err(error),
        Err(error) => (vec![Problem::from(error)], None),
    };
    let is_sound = errors.is_empty();
    let written = match arguments.format() {
        Format::Json => output::json(&Checked::of(&arguments.file, read.as_ref(), &errors))?,
        Format::Text => {
            for Problem { message, hint } in &errors {
                output::failure(message, hint.as_deref());
            }
            for warning in read.iter().flat_map(|file| &file.warnings) {
                output::warning(&warning.to_string());
            }
            match &read {
                Some(file) if is_sound => output::data(&in_words(&file.policy))?,
                _ => Exit::Success,
            }
        }
    };
    Ok(if written == Exit::Success && !is_sound { Exit::Failed(ErrorKind::Configuration) } else { written })
}

/// A mistake in a policy.
struct Problem {
    message: String,
    hint: Option<String>,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self { message: output::chain(&error), hint: error.hint().map(str::to_owned) }
    }
}

impl From<config::Problem> for Problem {
    fn from(problem: config::Problem) -> Self {
        Self { message: problem.to_string(), hint: problem.hint }
    }
}

fn in_words(policy: &Policy) -> String {
    let mut text = format!("policy '{}' is sound ({})\n", output::neutral(&policy.name), policy_hash(policy));
    for line in config::policy_in_words(policy) {
        let _ = writeln!(text, "  {}", output::neutral(&line));
    }
    text
}
