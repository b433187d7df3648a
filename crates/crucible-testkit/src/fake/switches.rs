//! What a test changes about a fake backend while it is in use.
//!
//! What is chosen once and holds throughout is a [`Fault`](super::Fault) of its script instead.

use crucible_core::{Error, ErrorKind, Loss, Result, SandboxId};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What becomes of one of a backend's works from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Work {
    /// It is done.
    #[default]
    Done,
    /// It fails.
    Fails,
    /// It waits until this is switched again.
    Waits,
}

/// The switches of one fake backend.
#[derive(Debug, Default)]
pub struct Switches {
    creating: watch::Sender<Work>,
    destroying: watch::Sender<Work>,
    lost: Mutex<BTreeMap<SandboxId, Loss>>,
}

impl Switches {
    /// What becomes of sandboxes that are asked for.
    pub fn set_creating(&self, work: Work) {
        self.creating.send_replace(work);
    }

    /// What becomes of sandboxes that are to be destroyed.
    pub fn set_destroying(&self, work: Work) {
        self.destroying.send_replace(work);
    }

    /// Loses a sandbox in which nothing runs.
    pub fn lose(&self, sandbox: SandboxId, loss: Loss) {
        self.losses().insert(sandbox, loss);
    }

    fn losses(&self) -> MutexGuard<'_, BTreeMap<SandboxId, Loss>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn loss_of(&self, sandbox: SandboxId) -> Option<Loss> {
        self.losses().get(&sandbox).copied()
    }

    pub(super) async fn create(&self) -> Result<()> {
        passed(&self.creating, "create the sandbox").await
    }

    pub(super) async fn destroy(&self) -> Result<()> {
        passed(&self.destroying, "destroy the sandbox").await
    }
}

async fn passed(switch: &watch::Sender<Work>, what: &'static str) -> Result<()> {
    let mut known = switch.subscribe();
    // The sender outlives this.
    let work = known.wait_for(|work| *work != Work::Waits).await.map_or(Work::Fails, |work| *work);
    match work {
        Work::Done => Ok(()),
        Work::Fails | Work::Waits => {
            Err(Error::new(ErrorKind::Infrastructure, what, format!("the fake was told not to {what}")))
        }
    }
}
