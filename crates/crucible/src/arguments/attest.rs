//! The arguments of `crucible attest`.

use crate::output::Format;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What to do with attestations.
#[derive(Debug, Subcommand)]
pub(crate) enum AttestVerb {
    /// Check an attestation, offline, with nothing but a public key
    Verify(AttestVerifyArguments),
    /// List the attestations of this node
    List(AttestListArguments),
    /// Print this node's public key, making the key on first use
    Key,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible attest verify attestation.json                    with this node's own key
  crucible attest verify attestation.json --key public.pem   from another node

Exit code 0 if the file verifies, whatever the verdicts in it, and 1 if it doesn't. What it says is
shown: who signed it, when, for which backend and node, and each property that isn't held.")]
pub(crate) struct AttestVerifyArguments {
    /// The attestation
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The public key of the node that made it, in PEM; may be given several times, and one of them must have signed
    #[arg(long = "key", value_name = "PUBLIC_KEY_PEM")]
    pub(crate) keys: Vec<PathBuf>,
    /// One JSON report on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible attest list             the latest first; what doesn't verify is named on standard error
  crucible attest list --json | jq -r '.attestations[0].path'")]
pub(crate) struct AttestListArguments {
    /// One JSON report on standard output
    #[arg(long)]
    json: bool,
}

impl AttestVerifyArguments {
    /// How the result is shown.
    pub(crate) const fn format(&self) -> Format {
        Format::of_json_flag(self.json)
    }
}

impl AttestListArguments {
    /// How the result is shown.
    pub(crate) const fn format(&self) -> Format {
        Format::of_json_flag(self.json)
    }
}
