//! The arguments of `crucible policy`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What to do with policies.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyVerb {
    /// List the policies that need no file
    List(PolicyListArguments),
    /// Print all of a policy, as a file would say it
    Show(PolicyShowArguments),
    /// Say whether a policy file is sound, and what it does in words
    Check(PolicyCheckArguments),
    /// Say what a policy makes of a program: allowed, held or denied, why, and behind which wall
    Explain(PolicyExplainArguments),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible policy list
  crucible policy list --json | jq -r '.policies[].name'")]
pub(crate) struct PolicyListArguments {
    /// One JSON report on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible policy show strict > mine.toml     a file of your own to begin with
  crucible policy show mine.toml              with all that it extends")]
pub(crate) struct PolicyShowArguments {
    /// default, strict, research, inspect, unisolated, or a file
    #[arg(value_name = "NAME|FILE")]
    pub(crate) policy: String,
    /// JSON on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible policy check mine.toml     exit code 0 if it is sound, 78 if it isn't

What is wrong is told with file and line. What is no mistake but does nothing is a warning.")]
pub(crate) struct PolicyCheckArguments {
    /// The policy
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// One JSON report on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible policy explain script.py                    under the policy in force
  crucible policy explain --policy strict main.py data.pkl
  crucible policy explain --policy mine.toml -l python - < script

All files are looked at as one program. Nothing is run. The exit code is that of a run: 0 if it is
let in, 76 if it is held for review, 77 if it is denied.")]
pub(crate) struct PolicyExplainArguments {
    /// The program and its files; - is standard input
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The policy: default, strict, research, inspect, unisolated, or a file [default: the one in force]
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) policy: Option<String>,
    /// The language of files whose names don't tell
    #[arg(short, long, value_name = "NAME")]
    pub(crate) language: Option<String>,
    /// One JSON report on standard output
    #[arg(long)]
    json: bool,
}

format_of!(PolicyListArguments, PolicyShowArguments, PolicyCheckArguments, PolicyExplainArguments);
