//! Earlier runs in memory, with faults to choose.

use async_trait::async_trait;
use crucible_core::{BASELINE_WINDOW, BaselineStore, Error, ErrorKind, History, Label, LabelSummary, Profile, Result};
use std::collections::BTreeMap;
use std::future;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreFault {
    /// Nothing.
    #[default]
    None,
    /// Nothing can be read or written.
    Fails,
    /// Nothing can be written.
    IsFull,
    /// It never answers.
    Hangs,
}

/// Earlier runs in memory.
#[derive(Debug, Default)]
pub struct MemoryBaselines {
    runs: Mutex<BTreeMap<Label, Vec<Profile>>>,
    fault: StoreFault,
}

impl MemoryBaselines {
    /// An empty store with something wrong.
    #[must_use]
    pub fn with_fault(fault: StoreFault) -> Self {
        Self { fault, ..Self::default() }
    }

    fn runs(&self) -> MutexGuard<'_, BTreeMap<Label, Vec<Profile>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn check(&self, full: StoreFault) -> Result<()> {
        match self.fault {
            StoreFault::Hangs => future::pending().await,
            StoreFault::Fails => Err(Error::new(ErrorKind::Io, "use the store", "the fake's store is broken")),
            StoreFault::IsFull if full == StoreFault::IsFull => {
                Err(Error::new(ErrorKind::Refused, "use the store", "the fake's store is full"))
            }
            StoreFault::IsFull | StoreFault::None => Ok(()),
        }
    }
}

#[async_trait]
impl BaselineStore for MemoryBaselines {
    async fn history(&self, label: &Label) -> Result<History> {
        self.check(StoreFault::None).await?;
        let profiles = self.runs().get(label).cloned().unwrap_or_default();
        Ok(History { profiles, broken: 0 })
    }

    async fn append(&self, label: &Label, profile: &Profile) -> Result<()> {
        self.check(StoreFault::IsFull).await?;
        let mut runs = self.runs();
        let runs = runs.entry(label.clone()).or_default();
        runs.push(profile.clone());
        let beyond = runs.len().saturating_sub(BASELINE_WINDOW);
        drop(runs.drain(..beyond));
        Ok(())
    }

    async fn labels(&self) -> Result<Vec<LabelSummary>> {
        self.check(StoreFault::None).await?;
        let summary = |(label, runs): (&Label, &Vec<Profile>)| LabelSummary {
            label: label.clone(),
            runs: u64::try_from(runs.len()).unwrap_or(u64::MAX),
            latest: runs.last().map(|profile| profile.at),
            broken: 0,
        };
        Ok(self.runs().iter().map(summary).collect())
    }

    async fn forget(&self, label: &Label) -> Result<Option<u64>> {
        self.check(StoreFault::IsFull).await?;
        Ok(self.runs().remove(label).map(|runs| u64::try_from(runs.len()).unwrap_or(u64::MAX)))
    }
}
