//! The arguments of `crucible scan` and `crucible rules`.

use crate::output::Format;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};
use crucible_core::Severity;
use std::ffi::OsString;
use std::path::PathBuf;

/// How findings are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScanFormat {
    /// For people: each finding with its line
    Text,
    /// One JSON document
    Json,
    /// SARIF 2.1.0, for code review and CI
    Sarif,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible scan solution.py                        what it looks like it wants to do, line by line
  crucible scan submissions --severity medium      a folder with all that is in it
  generate | crucible scan - --language python     standard input
  crucible scan . --fail-on high --format sarif > findings.sarif
  crucible scan task.py --rules my-rules --explain

Nothing that is scanned is run. Links aren't followed, and what isn't looked at is said. The exit code is 0, unless --fail-on
is given and something as bad is found, or left out for want of room: then it is 1. A file that can't be read is an error on
standard error, and the others are scanned all the same. docs/scanning.md tells what scanning can't see.")]
pub(crate) struct ScanArguments {
    /// What to look at: files, folders, or - for standard input
    #[arg(required = true, value_name = "FILE|FOLDER|-")]
    pub(crate) paths: Vec<OsString>,
    /// Rules of your own, beside the built-in ones: a folder of YAML files, or one file
    #[arg(long, value_name = "DIR")]
    pub(crate) rules: Vec<PathBuf>,
    /// The language of everything that is looked at; without this, names and first lines tell
    #[arg(short, long, value_name = "NAME")]
    pub(crate) language: Option<String>,
    /// How findings are shown
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: ScanFormat,
    /// End with 1 if something at least as bad is found: info, low, medium, high, critical
    #[arg(long, value_name = "SEVERITY", value_parser = severities(), hide_possible_values = true)]
    pub(crate) fail_on: Option<Severity>,
    /// Show only what is at least as bad
    #[arg(long, value_name = "SEVERITY", value_parser = severities(), hide_possible_values = true)]
    pub(crate) severity: Option<Severity>,
    /// Say with each finding why it is looked for, and where that is described
    #[arg(long)]
    explain: bool,
}

/// How much is said about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What it is and where.
    Short,
    /// Why it is looked for, too.
    Explained,
}

impl ScanArguments {
    /// How much is said about a finding.
    pub(crate) const fn detail(&self) -> Detail {
        if self.explain { Detail::Explained } else { Detail::Short }
    }
}

/// What to do with rules.
#[derive(Debug, Subcommand)]
pub(crate) enum RulesVerb {
    /// List the rules that scanning goes by
    List(RulesListArguments),
    /// Say everything about a rule
    Explain(RulesExplainArguments),
    /// Try rules on their own samples
    Test(RulesTestArguments),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible rules list --language python --severity high
  crucible rules list --json | jq -r '.rules[] | select(.references.attack | index(\"T1105\")) | .id'")]
pub(crate) struct RulesListArguments {
    /// Only this group: process, network, ...
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
    /// Only what is tried on this language: python, javascript, typescript, bash, pickle, any
    #[arg(short, long, value_name = "NAME")]
    pub(crate) language: Option<String>,
    /// Only what is at least as bad: info, low, medium, high, critical
    #[arg(long, value_name = "SEVERITY", value_parser = severities(), hide_possible_values = true)]
    pub(crate) severity: Option<Severity>,
    /// Rules of your own, beside the built-in ones
    #[arg(long, value_name = "DIR")]
    pub(crate) rules: Vec<PathBuf>,
    /// One JSON document on standard output
    #[arg(long)]
    json: bool,
}

impl RulesListArguments {
    /// How the result is shown.
    pub(crate) const fn format(&self) -> Format {
        Format::of_json_flag(self.json)
    }
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible rules explain python.process.shell
  crucible rules explain python.network.upload --rules my-rules")]
pub(crate) struct RulesExplainArguments {
    /// The rule's id
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Rules of your own, beside the built-in ones
    #[arg(long, value_name = "DIR")]
    pub(crate) rules: Vec<PathBuf>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible rules test --rules my-rules             your own rules
  crucible rules test                              the built-in ones, and those that the configuration adds
  crucible rules test python.process.shell

Each sample under `match` has to be found by its rule, and none under `no_match`. Exit code 1 if a rule fails. A folder that
can't be used (an unknown key, a wrong expression, an id that is there twice) is an error with file, line and rule.")]
pub(crate) struct RulesTestArguments {
    /// Only these rules; without this, all of --rules, or all there are
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Rules of your own, beside the built-in ones
    #[arg(long, value_name = "DIR")]
    pub(crate) rules: Vec<PathBuf>,
}

fn severities() -> impl TypedValueParser<Value = Severity> {
    let names = PossibleValuesParser::new(Severity::ALL.map(Severity::as_str));
    names.map(|name| Severity::ALL.into_iter().find(|known| known.as_str() == name).unwrap_or(Severity::Critical))
}
