//! Finds a probe's process on the host, and looks at it there.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A probe's process while it holds still.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldProcess {
    pid: u32,
    parent: u32,
}

/// The processes that have a nonce in their command line, the one first that the others come from. Nobody else's can have
/// it: it is random, and new.
pub(crate) fn find(nonce: &str) -> Vec<HeldProcess> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has_it = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.windows(nonce.len()).any(|window| window == nonce.as_bytes())
    };
    let mut found: Vec<_> =
        pids.filter(has_it).filter_map(|pid| Some(HeldProcess { pid, parent: parent_of(pid)? })).collect();
    if let Some(first) = found.iter().position(|process| !found.iter().any(|other| other.pid == process.parent)) {
        found.swap(0, first);
    }
    found
}

fn parent_of(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

impl HeldProcess {
    /// Its folder in `/proc`.
    pub(crate) fn folder(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.pid))
    }

    /// That of the process that started it: the sandbox's init.
    pub(crate) fn parents_folder(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.parent))
    }

    /// Its root folder, as a path of the host's. What is below it is the guest's.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder().join("root")
    }

    /// Open descriptors with what `/proc` says of each. The target of a file is a path that the guest may have chosen.
    pub(crate) fn descriptors(&self) -> Option<Vec<(u32, String)>> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.pid)).ok()?;
        let mut all = Vec::new();
        for entry in entries {
            let entry = entry.ok()?;
            let number = entry.file_name().to_str()?.parse().ok()?;
            let target = fs::read_link(entry.path()).ok()?;
            all.push((number, target.to_string_lossy().into_owned()));
        }
        Some(all)
    }

    /// Whether it has a file of the host's open so that it could write to it.
    /// `None` where that can't be seen.
    pub(crate) fn has_open_for_writing(&self, path: &Path) -> Option<bool> {
        let identity = |path: &Path| fs::metadata(path).ok().map(|seen| (seen.dev(), seen.ino()));
        let wanted = identity(path)?;
        Some(self.descriptors()?.iter().any(|(number, _)| {
            self.writes(*number) && identity(&self.folder().join(format!("fd/{number}"))) == Some(wanted)
        }))
    }

    /// Whether it could write by a descriptor. One that can't be looked at counts as such.
    pub(crate) fn writes(&self, number: u32) -> bool {
        let info = fs::read_to_string(self.folder().join(format!("fdinfo/{number}"))).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        // The lowest two bits are 1 for writing and 2 for both.
        flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).is_none_or(|flags| flags & 0b11 != 0)
    }

    pub(crate) fn namespace(&self, name: &str) -> Option<String> {
        link(self.pid, name)
    }

    pub(crate) fn namespace_of_parent(&self, name: &str) -> Option<String> {
        link(self.parent, name.trim_end_matches("_for_children"))
    }

    /// The status of every thread.
    pub(crate) fn statuses(&self) -> Vec<String> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok()).collect()
    }

    /// What follows the name in its `stat`.
    pub(crate) fn stat(&self) -> Option<String> {
        let stat = fs::read(format!("/proc/{}/stat", self.pid)).ok()?;
        // The name is in brackets and may hold anything.
        String::from_utf8_lossy(&stat).rsplit_once(')').map(|(_, rest)| rest.to_owned())
    }

    pub(crate) fn stack_bytes(&self) -> Option<u64> {
        self.bytes("VmStk:")
    }

    /// The most that it ever had in memory.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        self.bytes("VmHWM:")
    }

    fn bytes(&self, line: &str) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let kibibytes = status.lines().find_map(|found| found.strip_prefix(line))?;
        kibibytes.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|count| count << 10)
    }
}

fn link(pid: u32, name: &str) -> Option<String> {
    fs::read_link(format!("/proc/{pid}/ns/{name}")).ok().map(|target| target.to_string_lossy().into_owned())
}
