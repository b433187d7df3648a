//! A worker that has loaded its code and waits for what to run.
//!
//! Invariant: it has read nothing of a guest's, and it runs one program or none.

use super::protocol::{Order, PREPARED, Setting};
use crucible_core::{Error, ErrorKind, Execution, Result};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long it may take to load code that is compiled.
const PATIENCE: Duration = Duration::from_secs(20);

/// The worker.
pub(super) struct Waiting {
    execution: Execution,
    /// What it has made ready.
    pub(super) setting: Setting,
}

impl Waiting {
    /// Waits until it waits; none where it doesn't get there.
    pub(super) async fn begin(mut execution: Execution, setting: Setting) -> Option<Self> {
        let mut word = [0];
        let heard = tokio::time::timeout(PATIENCE, execution.stdout.read_exact(&mut word)).await;
        if matches!(heard, Ok(Ok(_))) && word == [PREPARED] {
            return Some(Self { execution, setting });
        }
        drop(execution.stdin);
        // It is to be gone before anything else starts; if it can't be waited for, the sandbox is lost, which is told then.
        let _ended = tokio::time::timeout(PATIENCE, execution.process.wait()).await.is_ok();
        None
    }

    /// Has it run a program. Its first word is still to be heard.
    ///
    /// # Errors
    /// `Infrastructure` where the order can't be written.
    pub(super) async fn order(mut self, order: &Order) -> Result<Execution> {
        let failed = |message: &str| Error::new(ErrorKind::Infrastructure, "start the command", message);
        let text = serde_json::to_vec(order)
            .map_err(|error| failed("the worker's order can't be written").with_source(error))?;
        let length = u32::try_from(text.len()).map_err(|_| failed("the worker's order is too long"))?;
        let message = [&length.to_le_bytes()[..], &text].concat();
        // A worker that is gone is told of by its end.
        let _written = self.execution.stdin.write_all(&message).await.is_ok();
        let _flushed = self.execution.stdin.flush().await.is_ok();
        Ok(self.execution)
    }

    /// Ends it: it isn't needed.
    ///
    /// # Errors
    /// `Infrastructure` where it can't be told whether it ended.
    pub(super) async fn end(self) -> Result<()> {
        let Execution { stdin, mut process, .. } = self.execution;
        drop(stdin);
        process.wait().await.map(drop)
    }
}
