//! Second sandboxes with the same files, whichever way a backend has to copy them.

use crucible_core::{Error, ErrorKind, Result, Sandbox};
use std::io;

/// What is being done.
pub(crate) const FORK: &str = "fork the sandbox";

/// The fork, if all files came into it; else nothing of it is left.
///
/// # Errors
/// Why they didn't, or that of removing it.
pub(crate) async fn kept_if<S: Sandbox + 'static>(fork: S, copied: Result<()>) -> Result<Box<dyn Sandbox>> {
    let fork: Box<dyn Sandbox> = Box::new(fork);
    match copied {
        Ok(()) => Ok(fork),
        Err(error) => {
            fork.destroy().await?;
            Err(error)
        }
    }
}

/// Files can't be read, or don't fit. The step is what somebody inside says.
pub(crate) fn not_copied(step: &str, errno: i32) -> Error {
    let step: String = step.chars().filter(|char| !char.is_control()).take(100).collect();
    let why = io::Error::from_raw_os_error(errno);
    Error::new(ErrorKind::Refused, FORK, format!("its files can't be copied: could not {step}: {why}"))
}
