//! `crucible policy explain`: what a policy makes of a program, without running it.
//!
//! The program is looked at and decided about by what looks and decides before a run.

use super::report::Explained;
use crate::arguments::PolicyExplainArguments;
use crate::command::input;
use crate::exit::Exit;
use crate::output::{self, Format};
use crucible::compose;
use crucible::config::{self, Configuration, Environment, Overrides};
use crucible_core::{Decision, Error, Isolation, Policy, Result, ScanFile, ScanReport};
use crucible_engine::{Screened, decide};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

/// Findings that decide nothing and are shown all the same.
const MOST_SHOWN: usize = 50;

struct Given {
    name: String,
    language: Option<String>,
    bytes: Vec<u8>,
}

/// Says what a policy makes of a program.
///
/// # Errors
/// Where the policy or a file can't be read.
pub(super) fn explain(arguments: &PolicyExplainArguments) -> Result<Exit> {
    let configuration = Configuration::load(&Environment::of_process(), &Overrides::default())?;
    let policy = policy(arguments, &configuration)?;
    let given = files(arguments, &configuration)?;
    let files: Vec<_> = given
        .iter()
        .map(|Given { name, language, bytes }| ScanFile { name, language: language.as_deref(), bytes })
        .collect();
    let scanner = compose::scanner(&configuration)?;
    let report = scanner.scan(&files);
    let screened = decide(&policy, &report, scanner.rules_digest());
    let backend = compose::BACKENDS.into_iter().find(|name| {
        compose::isolation(name).is_some_and(|wall| wall > Isolation::None && wall >= screened.wall.least)
    });
    let written = match arguments.format() {
        Format::Json => output::json(&Explained::of(&policy, &report, &screened, backend))?,
        Format::Text => output::data(&in_words(&policy, &report, &screened, backend))?,
    };
    Ok(match screened.admission.decision {
        _ if written != Exit::Success => written,
        Decision::Allow => Exit::Success,
        Decision::Hold => Exit::Held,
        Decision::Deny => Exit::Denied,
    })
}

fn policy(arguments: &PolicyExplainArguments, configuration: &Configuration) -> Result<Policy> {
    let Some(named) = &arguments.policy else { return compose::policy(configuration, compose::JAIL) };
    if !config::is_file(named) {
        return Configuration::named_policy(named);
    }
    let file = config::policy_file(Path::new(named))?;
    match compose::unknown_rules(&file, configuration)?.into_iter().next() {
        Some(problem) => Err(Error::from(problem)),
        None => Ok(file.policy),
    }
}

/// The program and its files. The first one is in the language that a run would take it to be in.
fn files(arguments: &PolicyExplainArguments, configuration: &Configuration) -> Result<Vec<Given>> {
    let languages = configuration.languages();
    let said = arguments.language.as_deref().map(|name| languages.find(name)).transpose()?.map(|(name, _)| name);
    let mut given = Vec::new();
    for (index, path) in arguments.files.iter().enumerate() {
        let bytes = if path == Path::new("-") {
            input::read_all(std::io::stdin(), "the program on standard input", configuration.limits())?
        } else {
            input::read_file(path, "the file", configuration.limits())?
        };
        let name = path.display().to_string();
        let by_name = languages.for_file(&name).map(|(name, _)| name);
        let usual = (index == 0).then(|| configuration.language().to_owned());
        given.push(Given { language: by_name.or_else(|| said.clone()).or(usual), name, bytes });
    }
    Ok(given)
}

fn in_words(policy: &Policy, report: &ScanReport, screened: &Screened, backend: Option<&'static str>) -> String {
    let admission = &screened.admission;
    let (verdict, style) = match admission.decision {
        Decision::Allow => ("allowed", output::GOOD),
        Decision::Hold => ("held for review", output::WARNING),
        Decision::Deny => ("denied", output::ERROR),
    };
    // Writing to a String can't fail.
    let mut text = String::new();
    let _ = writeln!(text, "{style}{verdict}{style:#} by policy '{}'", output::neutral(&policy.name));
    for reason in &admission.reasons {
        let _ = writeln!(text, "  {:5}  {}: {}", reason.decision, reason.clause, output::neutral(&reason.message));
    }
    let told: BTreeSet<_> = admission.reasons.iter().map(|reason| reason.message.as_str()).collect();
    let line = |finding: &crucible_core::Finding| crucible_engine::finding_in_words(finding);
    let others: Vec<_> = report.findings.iter().map(line).filter(|line| !told.contains(line.as_str())).collect();
    for line in others.iter().take(MOST_SHOWN) {
        let _ = writeln!(text, "  {:5}  {}", "note", output::neutral(line));
    }
    if others.len() > MOST_SHOWN {
        let _ = writeln!(text, "  {:5}  {} more findings; --json has all", "note", others.len() - MOST_SHOWN);
    }
    let _ = match (&screened.wall, backend) {
        (wall, Some(backend)) if wall.least == Isolation::None => {
            writeln!(text, "  backend: any that isolates, such as {backend}")
        }
        (wall, Some(backend)) => {
            let reason = output::neutral(&wall.reason);
            writeln!(text, "  backend: {} or stronger, such as {backend}: {reason}", wall.least.as_str())
        }
        (wall, None) => {
            let reason = output::neutral(&wall.reason);
            writeln!(
                text,
                "  backend: {} or stronger, which no backend of this build is: {reason}",
                wall.least.as_str()
            )
        }
    };
    text
}
