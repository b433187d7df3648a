//! `crucible completions`: a script for a shell.

use crate::arguments::{CompletionsArguments, grammar};
use crate::exit::Exit;
use crate::output;
use crucible_core::Result;

/// Prints the script.
///
/// # Errors
/// `Io` where it can't be written.
pub(crate) fn completions(arguments: &CompletionsArguments) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut grammar(), "crucible", &mut script);
    output::data(&String::from_utf8_lossy(&script))
}
