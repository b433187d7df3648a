//! Care for a store: retention, backups, and looking through everything.
//!
//! Invariant: only what has a final state is ever forgotten. Nothing here is on the way of an evaluation.

use crate::error::Result;
use crate::path::HostPath;
use crate::store::Store;
use async_trait::async_trait;
use std::time::SystemTime;

/// What may be forgotten. Only what has a final state ever is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Whatever got its final state before this time.
    pub finished_before: Option<SystemTime>,
    /// The oldest, until all that is kept takes no more bytes than this.
    pub most_bytes: Option<u64>,
}

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Evaluations.
    pub evaluations: u64,
    /// Their events.
    pub events: u64,
    /// Files of large documents that nothing refers to any more.
    pub blobs: u64,
    /// Bytes of those files.
    pub bytes: u64,
}

/// What looking through everything that is kept found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreCheck {
    /// Evaluations that were looked at.
    pub evaluations: u64,
    /// Files of large documents that were looked at.
    pub blobs: u64,
    /// What is wrong, one line each; empty where nothing is.
    pub damage: Vec<String>,
    /// Files that nothing refers to. They do no harm, and go with the next collection.
    pub orphans: u64,
}

/// Care for a store, by a person or from time to time.
#[async_trait]
pub trait StoreCare: Store {
    /// Forgets what may be forgotten.
    ///
    /// # Errors
    /// `Io`.
    async fn collect_garbage(&self, retention: Retention) -> Result<Forgotten>;

    /// Writes a copy of everything into a folder that isn't there yet, as it was at one moment, while others write on.
    ///
    /// # Errors
    /// `InvalidInput` where the folder is there already; `Io`, and then nothing is left of it.
    async fn backup(&self, folder: &HostPath) -> Result<()>;

    /// Looks through everything.
    ///
    /// # Errors
    /// `Io` where it can't even be looked at.
    async fn check(&self) -> Result<StoreCheck>;
}
