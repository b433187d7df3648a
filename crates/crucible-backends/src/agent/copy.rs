//! A second sandbox with the same files.

use super::{AgentSide, WRITABLE, translate};
use crate::fork::{FORK, not_copied};
use crucible_agent::host::{AgentError, Copying};
use crucible_core::Result;

impl AgentSide {
    /// Copies all files into a sandbox in which nothing has run yet, by the agent's program, which lies there inside of both.
    ///
    /// # Errors
    /// `Refused` where they can't be read or don't fit.
    pub(crate) async fn copy_into(&self, other: &Self, program: &str) -> Result<()> {
        let copying = Copying { program, folders: &WRITABLE, limits: &self.limits };
        copying.copy(&self.client, &other.client).await.map_err(|error| match error {
            AgentError::NotStarted(failure) => not_copied(&failure.step, failure.errno),
            other => translate(FORK, other),
        })
    }
}
