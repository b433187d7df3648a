//! The arguments of `crucible baseline`.

use crate::output::Format;
use clap::{Args, Subcommand};
use crucible_core::Label;

/// What to do with what earlier runs were like.
#[derive(Debug, Subcommand)]
pub(crate) enum BaselineVerb {
    /// List the labels, with how many runs are remembered of each
    List(BaselineListArguments),
    /// Show what is usual for a label: medians, and how far half of the runs are from them
    Show(BaselineShowArguments),
    /// Forget all runs with a label, so that it begins anew
    Forget(BaselineForgetArguments),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible baseline list
  crucible baseline list --json | jq -r '.labels[].label'")]
pub(crate) struct BaselineListArguments {
    /// One JSON report on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible run task.py --label gsm8k       each run that doesn't stand out is remembered
  crucible baseline show gsm8k

From 8 runs on, a run with the label is compared with the latest 200 of them; docs/behavior.md says how.")]
pub(crate) struct BaselineShowArguments {
    /// The label
    #[arg(value_name = "LABEL")]
    pub(crate) label: Label,
    /// One JSON report on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible baseline forget gsm8k           after the task was changed, say")]
pub(crate) struct BaselineForgetArguments {
    /// The label
    #[arg(value_name = "LABEL")]
    pub(crate) label: Label,
}

impl BaselineListArguments {
    /// How the result is shown.
    pub(crate) const fn format(&self) -> Format {
        Format::of_json_flag(self.json)
    }
}

impl BaselineShowArguments {
    /// How the result is shown.
    pub(crate) const fn format(&self) -> Format {
        Format::of_json_flag(self.json)
    }
}
