//! What was done to a fake backend, for the test to look at.

use crucible_core::{Command, GuestPath, SandboxId, SandboxRequest};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What was done to a fake backend.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) requests: Vec<SandboxRequest>,
    pub(super) created: usize,
    pub(super) destroyed: usize,
    pub(super) dropped: usize,
    pub(super) commands: Vec<Command>,
    pub(super) used: Vec<SandboxId>,
    pub(super) looked_at: usize,
    pub(super) written: BTreeMap<GuestPath, (Vec<u8>, bool)>,
    pub(super) stdin: Vec<u8>,
    pub(super) flooded: u64,
    pub(super) counters_read: usize,
    pub(super) read_beside_living: bool,
}

impl Ledger {
    pub(super) fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What sandboxes were asked for.
    #[must_use]
    pub fn requests(&self) -> Vec<SandboxRequest> {
        self.entries().requests.clone()
    }

    /// How many sandboxes were made.
    #[must_use]
    pub fn created(&self) -> usize {
        self.entries().created
    }

    /// How many sandboxes were destroyed, well or with a fault.
    #[must_use]
    pub fn destroyed(&self) -> usize {
        self.entries().destroyed
    }

    /// How many sandboxes were dropped without being destroyed.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.entries().dropped
    }

    /// How many sandboxes are still there.
    #[must_use]
    pub fn living(&self) -> usize {
        let entries = self.entries();
        entries.created - entries.destroyed - entries.dropped
    }

    /// The commands that were started.
    #[must_use]
    pub fn commands(&self) -> Vec<Command> {
        self.entries().commands.clone()
    }

    /// The sandbox of every command that was started.
    #[must_use]
    pub fn used(&self) -> Vec<SandboxId> {
        self.entries().used.clone()
    }

    /// How often a sandbox was looked at before its first command.
    #[must_use]
    pub fn looked_at(&self) -> usize {
        self.entries().looked_at
    }

    /// The files that were put in, each with whether it may be executed.
    #[must_use]
    pub fn written(&self) -> BTreeMap<GuestPath, (Vec<u8>, bool)> {
        self.entries().written.clone()
    }

    /// What guests read from standard input.
    #[must_use]
    pub fn stdin(&self) -> Vec<u8> {
        self.entries().stdin.clone()
    }

    /// How many bytes of floods were taken.
    #[must_use]
    pub fn flooded(&self) -> u64 {
        self.entries().flooded
    }

    /// How often counters were read.
    #[must_use]
    pub fn counters_read(&self) -> usize {
        self.entries().counters_read
    }

    /// Whether a file was read or a folder listed while a process of that sandbox lived.
    #[must_use]
    pub fn read_beside_living(&self) -> bool {
        self.entries().read_beside_living
    }
}
