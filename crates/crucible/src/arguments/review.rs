//! The arguments of `crucible review`.

use super::io::{Controls, Existing, Reporting};
use clap::{Args, Subcommand};
use crucible::compose::Unsafe;
use std::path::PathBuf;

/// What to do with programs that a policy has held.
#[derive(Debug, Subcommand)]
pub(crate) enum ReviewVerb {
    /// List the programs that are held, and what became of those that were
    List(ReviewListArguments),
    /// Show one with its findings and its source
    Show(ReviewShowArguments),
    /// Let one run, once
    Approve(DecideArguments),
    /// Forbid one to run
    Reject(DecideArguments),
    /// Run one that was approved
    Run(ReviewRunArguments),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible review list             the oldest first; what can't be read is named on standard error
  crucible review list --json | jq -r '.evaluations[] | select(.state == \"held\") | .id'")]
pub(crate) struct ReviewListArguments {
    /// One JSON report on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible review show 019b     the beginning or the end of an id is enough, where it is one program's only")]
pub(crate) struct ReviewShowArguments {
    /// Its id, or the beginning or end of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// One JSON report on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible review approve 019b --reason 'reads the grader on purpose, as task 12 wants'
  crucible review reject 019b --reason 'opens a reverse shell' --by ada

A decision is final, and is in the record of the run with who, why and when. What the policy denies
no approval lets in.")]
pub(crate) struct DecideArguments {
    /// Its id, or the beginning or end of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Why, in one line
    #[arg(long, value_name = "WHY")]
    pub(crate) reason: String,
    /// Who decides [default: your user name]
    #[arg(long, value_name = "WHO")]
    pub(crate) by: Option<String>,
    /// One JSON report on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible review run 019b
  crucible review run 019b --json > outcome.json

It is run as it was held: its files, limits and policy are those of then. The exit code, and what is
printed, are as for `crucible run`. An approval is for one run.")]
pub(crate) struct ReviewRunArguments {
    /// Its id, or the beginning or end of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Standard input from a file; without this it is what the program was held with, or else your own
    #[arg(long, value_name = "FILE")]
    pub(crate) stdin: Option<PathBuf>,
    /// Where to put what is brought out [default: the current folder; with --json, only into the JSON]
    #[arg(long, value_name = "DIR")]
    pub(crate) collect_to: Option<PathBuf>,
    /// Let what is brought out replace files that are there
    #[arg(long)]
    force: bool,
    /// A summary on standard error when it has ended: findings, behaviour, anomalies, what was watched
    #[arg(long)]
    report: bool,
    /// Exactly one JSON outcome on standard output, nothing else there
    #[arg(long)]
    json: bool,
    /// Don't neutralise control sequences where the output is a terminal
    #[arg(long)]
    raw: bool,
    /// Admit the subprocess backend, which isolates nothing
    #[arg(long = "unsafe")]
    admit_unsafe: bool,
}

impl ReviewRunArguments {
    /// What may happen to a file that is already there.
    pub(crate) const fn existing(&self) -> Existing {
        if self.force { Existing::Replaced } else { Existing::Refused }
    }

    /// What is told of the run when it has ended.
    pub(crate) const fn reporting(&self) -> Reporting {
        if self.report { Reporting::Full } else { Reporting::Quiet }
    }

    /// What happens to control sequences on a terminal.
    pub(crate) const fn controls(&self) -> Controls {
        if self.raw { Controls::Passed } else { Controls::Neutralised }
    }

    /// Whether the backend that isolates nothing is admitted.
    pub(crate) const fn unsafe_backends(&self) -> Unsafe {
        if self.admit_unsafe { Unsafe::Admitted } else { Unsafe::Refused }
    }
}

format_of!(ReviewListArguments, ReviewShowArguments, DecideArguments, ReviewRunArguments);
