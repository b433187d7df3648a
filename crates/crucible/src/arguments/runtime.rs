//! The arguments of `crucible runtime`.

use clap::{Args, Subcommand};

/// What to do with runtimes.
#[derive(Debug, Subcommand)]
pub(crate) enum RuntimeVerb {
    /// Fetch a runtime by its registry's own client, check its hash, and compile it for this machine
    Install(RuntimeInstallArguments),
    /// List the runtimes there are, and which are installed
    List(RuntimeListArguments),
    /// Remove a runtime with what was compiled of it
    Rm(RuntimeRemoveArguments),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible runtime install python-wasm
  crucible run -b wasm -c 'print(1)'

npm or pip fetches it, from the registry that yours is set up for; docs/wasm.md says what is checked.")]
pub(crate) struct RuntimeInstallArguments {
    /// The runtime: python-wasm, quickjs-wasm
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible runtime list
  crucible runtime list --json | jq -r '.runtimes[] | select(.installed) | .name'")]
pub(crate) struct RuntimeListArguments {
    /// One JSON report on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible runtime rm python-wasm")]
pub(crate) struct RuntimeRemoveArguments {
    /// The runtime
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

format_of!(RuntimeListArguments);
