//! Control groups that somebody else made, such as a container daemon: read, never written to.
//!
//! Invariant: a group that the supervisor is in itself is nobody else's, and isn't counted as a sandbox's.

use super::detect::{self, Controller};
use super::sandbox::Group;
use super::{CgroupCounters, Version};
use std::path::Path;

/// The control groups of a sandbox that somebody else confines.
pub struct ForeignCgroup {
    groups: Vec<Group>,
}

impl ForeignCgroup {
    /// The groups that a process is in and this one isn't. They are the process's for as long as it lives, so that they
    /// count only if it still lived when they were found.
    #[must_use]
    pub fn of_process(pid: i32) -> Self {
        let own = i32::try_from(std::process::id()).map(detect::of_process).unwrap_or_default();
        let is_own = |folder: &Path| own.iter().any(|(_, _, own)| own.starts_with(folder));
        let groups = detect::of_process(pid)
            .into_iter()
            .filter(|(_, _, folder)| !is_own(folder))
            .map(|(version, controllers, folder)| Group::new(version, controllers, folder))
            .collect();
        Self { groups }
    }

    /// What the kernel counted so far.
    #[must_use]
    pub fn counters(&self) -> CgroupCounters {
        let mut counters = CgroupCounters::default();
        for group in &self.groups {
            group.count(&mut counters);
        }
        counters
    }

    /// The limit on bytes of memory; `None` where there is none or it can't be read.
    #[must_use]
    pub fn memory_limit(&self) -> Option<u64> {
        self.limit(Controller::Memory, "memory.limit_in_bytes", "memory.max")
    }

    /// The limit on processes and threads; `None` where there is none or it can't be read.
    #[must_use]
    pub fn pids_limit(&self) -> Option<u64> {
        self.limit(Controller::Pids, "pids.max", "pids.max")
    }

    fn limit(&self, controller: Controller, version_1: &str, version_2: &str) -> Option<u64> {
        let group = self.groups.iter().find(|group| group.controllers.contains(&controller))?;
        group.number(match group.version {
            Version::V1 => version_1,
            Version::V2 => version_2,
        })
    }
}
