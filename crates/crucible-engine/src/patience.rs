//! How long the engine waits for a backend to do its own work, so that a hanging backend never hangs an evaluation.
//!
//! These bound Crucible's machinery, not the guest: the guest's time is bounded by its limits.

use crucible_core::{Error, ErrorKind, Result};
use std::future::Future;
use std::time::Duration;

/// Making a sandbox, starting a command, or writing or reading a file.
pub(crate) const SET_UP: Duration = Duration::from_secs(60);
/// Copying all files of a sandbox into another.
pub(crate) const COPY: Duration = Duration::from_secs(600);
/// Ending all processes or clearing a sandbox away.
pub(crate) const TEAR_DOWN: Duration = Duration::from_secs(60);
/// What dead processes left in their pipes.
pub(crate) const DRAIN: Duration = Duration::from_secs(1);
/// Hearing how a process ended that is known to be dead.
pub(crate) const LAST_WORD: Duration = Duration::from_secs(1);
/// Reading what earlier runs were like, or adding one.
pub(crate) const BASELINE: Duration = Duration::from_secs(2);

/// Does `work`, or gives it up as an infrastructure failure when `patience` is over.
pub(crate) async fn within<T>(
    patience: Duration,
    operation: &'static str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(patience, work).await {
        Ok(result) => result,
        Err(_) => Err(Error::new(
            ErrorKind::Infrastructure,
            operation,
            format!("the backend did not {operation} within {} seconds", patience.as_secs()),
        )),
    }
}
