//! The scanner's benchmark: what it finds and what it leaves alone, next to bandit in the same run, and how fast both are.
//!
//! Invariant: everything is measured in this run, on files of known hashes, and nothing of what is looked at is executed.
//! How each figure is made, and what it leaves out, is in docs/benchmarks.md.

mod corpus;
mod counting;
mod human_eval;
mod labels;
mod mutation;
mod probes;
pub(super) mod python;
mod recall;
mod report;

pub(crate) use labels::Half;

use super::{Request, failed};
use crate::output::Format;
use corpus::{Corpus, Honest, run_bandit};
use counting::{Counting, Found};
use crucible_core::{Result, Scanner};
use crucible_scan::{RuleSet, SourceScanner};
use human_eval::{CanonicalProgram, HumanEval};
use mutation::Mutated;
use probes::Probes;
use python::{Python, Script, Sight};
use recall::{Findings, Recall};
use report::Report;
use serde::Deserialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Gets ready what is measured on.
const PREPARE: Script =
    Script { operation: "fetch what is measured on", text: include_str!("prepare.py"), sight: Sight::Everything };
/// Versions and hashes of what is fetched.
const REQUIREMENTS: &str = include_str!("requirements.txt");
const ROUNDS: u32 = 3;

/// What can be chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Where fetched files are, and where missing ones are put; a folder that goes again without it.
    pub(crate) downloads: Option<PathBuf>,
    /// The half of the examples that is reported; what is held out without it.
    pub(crate) half: Option<Half>,
}

/// What is there to be measured on.
#[derive(Debug, Deserialize)]
struct Prepared {
    python: String,
    bandit: Bandit,
    examples: Examples,
    human_eval: Vec<CanonicalProgram>,
    standard_library: StandardLibrary,
}

#[derive(Debug, Deserialize)]
struct Bandit {
    library: String,
    version: String,
}

#[derive(Debug, Deserialize)]
struct Examples {
    folder: PathBuf,
    names: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct StandardLibrary {
    files: Vec<String>,
    left_out: Vec<String>,
}

/// Measures the scanner and writes the result to standard output.
///
/// # Errors
/// `NotFound` without Python; `Unavailable` where pip or what it fetches is missing, or bandit can't be run.
pub(crate) fn run(request: &Request) -> Result<()> {
    let python = Python::find()?;
    let prepared = prepare(&python, request.scan.downloads.as_deref())?;
    let labels = labels::all()?;
    labels::check_against(&labels, &prepared.examples.names)?;
    let counting = Counting::built_in()?;

    let start = Instant::now();
    let rules = RuleSet::built_in();
    let scanner = SourceScanner::new(rules.clone());
    let ready_ms = start.elapsed().as_secs_f64() * 1e3;

    let (ours, theirs) = look_at_examples(&prepared, &python, &scanner, &rules, &counting)?;
    let corpus = Corpus::read(&prepared.standard_library.files)?;
    let rounds = request.rounds.unwrap_or(ROUNDS);
    let (speed, bandit) = corpus::measure(&corpus, rounds, &scanner, &python, &prepared.bandit.library)?;
    let report = Report {
        python: prepared.python,
        bandit: prepared.bandit.version,
        rules: rules.rules().len(),
        rules_digest: rules.digest().to_owned(),
        ready_ms,
        recall: Recall::of(request.scan.half.unwrap_or(Half::HeldOut), &labels, &ours, &theirs),
        honest: Honest::of(&corpus, &prepared.standard_library.left_out, &scanner, &bandit),
        mutated: Mutated::of(&rules, &scanner, &python)?,
        speed,
        human_eval: HumanEval::of(&prepared.human_eval, &scanner),
        probes: Probes::of(&crucible_attacks::scenario::built_in()?, crucible_probe::PROBE, &scanner),
    };
    let text = match request.format {
        Format::Text => report.table(),
        Format::Json => report.json(),
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| failed("write the result", "standard output can't be written").with_source(error))
}

/// Fetches what isn't there yet, and unpacks it.
fn prepare(python: &Python, downloads: Option<&Path>) -> Result<Prepared> {
    let downloads = downloads
        .map(|folder| {
            std::path::absolute(folder).map_err(|error| {
                failed("find the folder of downloads", &format!("{} has no full path", folder.display()))
                    .with_source(error)
            })
        })
        .transpose()?;
    let request = serde_json::json!({ "work": python.folder(), "downloads": downloads, "requirements": REQUIREMENTS });
    python.call(PREPARE, &request)
}

/// What both scanners find in each example.
fn look_at_examples(
    prepared: &Prepared,
    python: &Python,
    scanner: &dyn Scanner,
    rules: &RuleSet,
    counting: &Counting,
) -> Result<(Findings, Findings)> {
    let Examples { folder, names } = &prepared.examples;
    let path_of = |name: &String| folder.join(name).to_string_lossy().into_owned();
    let paths: Vec<_> = names.iter().map(path_of).collect();
    let mut ours = Findings::new();
    for (name, (_, report)) in names.iter().zip(Corpus::read(&paths)?.scan(scanner)) {
        let found = report.findings.iter().map(|finding| Found {
            severity: finding.severity,
            categories: rules.get(&finding.rule).map(|rule| counting.of_rule(rule)).unwrap_or_default(),
        });
        ours.insert(name.clone(), found.collect());
    }
    let mut theirs = Findings::new();
    let paths: Vec<_> = paths.iter().map(String::as_str).collect();
    for finding in run_bandit(python, &prepared.bandit.library, &paths)?.findings {
        let name = Path::new(&finding.file).strip_prefix(folder).unwrap_or(Path::new(&finding.file));
        let found = Found { severity: finding.severity, categories: counting.of_bandit(&finding.rule) };
        theirs.entry(name.to_string_lossy().into_owned()).or_default().push(found);
    }
    Ok((ours, theirs))
}
