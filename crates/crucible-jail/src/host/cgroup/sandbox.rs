//! One sandbox's control group, in every tree that is in use.

use super::detect::Controller;
use super::{Abandoned, JailError, Tree, Version};
use rustix::process::{Pid, Signal};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// The period over which a share of the processors is counted, in microseconds.
const CPU_PERIOD: u64 = 100_000;

/// The limits of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupLimits {
    /// Bytes of memory, files in memory included. There is no swap.
    pub memory: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Thousandths of a processor.
    pub cpu_thousandths: u32,
}

/// What the kernel counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CgroupCounters {
    /// Processor time.
    pub cpu: Option<Duration>,
    /// Bytes of memory now.
    pub memory: Option<u64>,
    /// Most bytes of memory at one time.
    pub memory_peak: Option<u64>,
    /// Processes killed because the memory limit was reached.
    pub out_of_memory_kills: u64,
    /// Processes and threads now.
    pub pids: Option<u64>,
    /// Most processes and threads at one time.
    pub pids_peak: Option<u64>,
    /// Forks refused because of the limit.
    pub forks_refused: u64,
}

pub(super) struct Group {
    pub(super) version: Version,
    pub(super) controllers: Vec<Controller>,
    pub(super) folder: PathBuf,
    /// Counts the memory's peak from a moment on, for version 2.
    peak: Option<File>,
}

/// How a sandbox's first process comes into its control group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It is made there, where that can be.
    Cloned,
    /// It joins.
    Joined,
}

/// A sandbox's control group. It stays until it is removed; dropping it removes it if nothing runs in it any more.
pub struct Cgroup {
    groups: Vec<Group>,
    abandoned: Abandoned,
    /// What had been counted when it was last made as new.
    former: CgroupCounters,
}

impl Cgroup {
    pub(super) fn create(
        trees: &[Tree],
        name: &str,
        limits: &CgroupLimits,
        abandoned: &Abandoned,
    ) -> Result<Self, JailError> {
        let mut cgroup = Self {
            groups: Vec::with_capacity(trees.len()),
            abandoned: Arc::clone(abandoned),
            former: CgroupCounters::default(),
        };
        for tree in trees {
            let folder = tree.folder.join(name);
            fs::create_dir(&folder).map_err(JailError::io("make a control group"))?;
            let (version, controllers) = (tree.version, tree.controllers.clone());
            cgroup.groups.push(Group::new(version, controllers, folder));
        }
        // On failure the groups made so far are removed by the drop.
        for group in &cgroup.groups {
            group.limit(limits).map_err(JailError::io("limit a control group"))?;
        }
        Ok(cgroup)
    }

    /// The folder of version 2 to be cloned into, and the files of version 1 through which a process joins; or only such files,
    /// for somebody whom the kernel wouldn't let clone into a group of ours. To join a group of version 2 may take
    /// milliseconds, before Linux 6.18.
    ///
    /// # Errors
    /// [`JailError::Os`] where they can't be opened.
    pub fn entrances(&self, entry: Entry) -> Result<(Option<OwnedFd>, Vec<OwnedFd>), JailError> {
        let (mut clone_into, mut join) = (None, Vec::new());
        for group in &self.groups {
            match group.version {
                Version::V2 if entry == Entry::Joined => {
                    let members = OpenOptions::new().write(true).open(group.folder.join("cgroup.procs"));
                    join.push(members.map_err(JailError::io("open a control group"))?.into());
                }
                Version::V2 => {
                    clone_into = Some(File::open(&group.folder).map_err(JailError::io("open a control group"))?.into())
                }
                Version::V1 => {
                    // A process that writes 0 to `tasks` moves itself alone. The kernel then needs no lock over all
                    // processes, which it would take milliseconds to get, as it does for `cgroup.procs`.
                    let members = OpenOptions::new().write(true).open(group.folder.join("tasks"));
                    join.push(members.map_err(JailError::io("open a control group"))?.into());
                }
            }
        }
        Ok((clone_into, join))
    }

    /// Moves a process with one thread, and all that will come from it, into the group.
    ///
    /// # Errors
    /// [`JailError::Os`] where the kernel refuses.
    pub fn admit(&self, pid: i32) -> Result<(), JailError> {
        for group in &self.groups {
            let file = match group.version {
                Version::V1 => "tasks",
                Version::V2 => "cgroup.procs",
            };
            group.write(file, pid).map_err(JailError::io("move a process into a control group"))?;
        }
        Ok(())
    }

    /// Sets other limits, none of them higher.
    ///
    /// # Errors
    /// [`JailError::Os`] where the kernel refuses, because more is in use already.
    pub fn lower(&self, limits: &CgroupLimits) -> Result<(), JailError> {
        self.groups.iter().try_for_each(|group| group.limit(limits)).map_err(JailError::io("limit a control group"))
    }

    /// What the group's path ends with in each tree: the supervisor's own folder, whose name nobody else has, and the group.
    pub(crate) fn names(&self) -> Vec<String> {
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let names = |group: &Group| {
            let (own, above) = (name(&group.folder)?, group.folder.parent().and_then(name)?);
            Some(format!("/{above}/{own}"))
        };
        self.groups.iter().filter_map(names).collect()
    }

    /// Kills everything in the group at once, where the kernel can do that: from outside, whatever the sandbox's own init
    /// is kept from doing.
    pub fn kill(&self) {
        for group in self.groups.iter().filter(|group| group.version == Version::V2) {
            // Kernels before 5.14 have no such file.
            let _killed = fs::write(group.folder.join("cgroup.kill"), "1").is_ok();
        }
    }

    /// What the kernel counted so far, since the group was made or was last made as new.
    #[must_use]
    pub fn counters(&self) -> CgroupCounters {
        let mut counters = self.all_counters();
        let former = self.former.cpu.unwrap_or_default();
        counters.cpu = counters.cpu.map(|cpu| cpu.saturating_sub(former));
        counters.out_of_memory_kills = counters.out_of_memory_kills.saturating_sub(self.former.out_of_memory_kills);
        counters.forks_refused = counters.forks_refused.saturating_sub(self.former.forks_refused);
        counters
    }

    fn all_counters(&self) -> CgroupCounters {
        let mut counters = CgroupCounters::default();
        for group in &self.groups {
            group.count(&mut counters);
        }
        counters
    }

    /// Makes its counters those of a group in which nothing has run, if that process is the only one in it, and all of them can be
    /// set back: the most processes at one time can't be, so that there may never have been another one besides it and one more.
    pub fn renew(&mut self, only: i32) -> bool {
        const INIT_AND_ONE: u64 = 2;
        let has_others = self.groups.first().is_none_or(|group| group.members() != Some(only));
        if has_others || !self.groups.iter_mut().all(|group| group.set_back().unwrap_or(false)) {
            return false;
        }
        self.former = self.all_counters();
        self.former.pids_peak.is_none_or(|peak| peak <= INIT_AND_ONE)
    }

    /// Removes the group. Everything in it has to be dead; the kernel may take a moment to see that.
    ///
    /// # Errors
    /// [`JailError::Os`] where something still lives in it after a second.
    pub async fn remove(mut self) -> Result<(), JailError> {
        let deadline = Instant::now() + Duration::from_secs(1);
        while let Some(group) = self.groups.last() {
            match fs::remove_dir(&group.folder) {
                Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(JailError::io("remove a control group")(error));
                }
                _ => drop(self.groups.pop()),
            }
        }
        Ok(())
    }

    /// Lets a user make groups below this one and move processes there, but not change its limits.
    ///
    /// # Errors
    /// [`JailError::Os`] where the owner can't be changed.
    pub fn delegate(&self, user: u32) -> Result<(), JailError> {
        let give = |path: &Path| match std::os::unix::fs::chown(path, Some(user), Some(user)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(JailError::io("give a control group away")),
        };
        for group in &self.groups {
            // To mount the tree from its group on, that user has to be let through the folder above; older kernels check.
            if let Some(above) = group.folder.parent() {
                let through = std::os::unix::fs::PermissionsExt::from_mode(0o711);
                fs::set_permissions(above, through).map_err(JailError::io("open the way to a control group"))?;
            }
            give(&group.folder)?;
            for file in ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "tasks"] {
                give(&group.folder.join(file))?;
            }
        }
        Ok(())
    }

    /// Removes the groups that were made below this one. Everything in them has to be dying.
    pub fn remove_below(&self) {
        for group in &self.groups {
            remove_below(&group.folder, group.version);
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for group in &self.groups {
            // What still runs in it is dying. The next sandbox's making, or the supervisor's end, tries again.
            if fs::remove_dir(&group.folder).is_err() {
                self.abandoned.lock().unwrap_or_else(PoisonError::into_inner).push(group.folder.clone());
            }
        }
    }
}

impl Group {
    pub(super) const fn new(version: Version, controllers: Vec<Controller>, folder: PathBuf) -> Self {
        Self { version, controllers, folder, peak: None }
    }

    fn limit(&self, limits: &CgroupLimits) -> std::io::Result<()> {
        for controller in &self.controllers {
            match (self.version, controller) {
                (_, Controller::CpuAccounting) => {}
                (_, Controller::Pids) => self.write("pids.max", limits.pids)?,
                (_, Controller::Memory) => self.limit_memory(limits.memory)?,
                (Version::V1, Controller::Cpu) => {
                    self.write("cpu.cfs_period_us", CPU_PERIOD)?;
                    self.write("cpu.cfs_quota_us", quota(limits.cpu_thousandths))?;
                }
                (Version::V2, Controller::Cpu) => {
                    self.write("cpu.max", format!("{} {CPU_PERIOD}", quota(limits.cpu_thousandths)))?
                }
            }
        }
        Ok(())
    }

    fn limit_memory(&self, bytes: u64) -> std::io::Result<()> {
        let no_such_file = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        match self.version {
            Version::V1 => {
                self.write("memory.limit_in_bytes", bytes)?;
                // Without accounting of swap the file isn't there; then swapping is switched off another way.
                match self.write("memory.memsw.limit_in_bytes", bytes) {
                    Err(error) if no_such_file(&error) => self.write("memory.swappiness", 0),
                    other => other,
                }
            }
            Version::V2 => {
                self.write("memory.max", bytes)?;
                match self.write("memory.swap.max", 0) {
                    Err(error) if no_such_file(&error) => Ok(()),
                    other => other,
                }
            }
        }
    }

    /// The only process in it, if there is one and no more.
    fn members(&self) -> Option<i32> {
        let file = match self.version {
            Version::V1 => "tasks",
            Version::V2 => "cgroup.procs",
        };
        self.read(file)?.strip_suffix('\n')?.parse().ok()
    }

    /// Sets back the peak of its memory. Whether that could be done.
    fn set_back(&mut self) -> std::io::Result<bool> {
        match self.version {
            _ if !self.controllers.contains(&Controller::Memory) => Ok(true),
            Version::V1 => self.write("memory.max_usage_in_bytes", 0).map(|()| true),
            // From Linux 6.12 on, for who reads by the same descriptor.
            Version::V2 => {
                let mut peak = match self.peak.take() {
                    Some(peak) => peak,
                    None => OpenOptions::new().read(true).write(true).open(self.folder.join("memory.peak"))?,
                };
                peak.write_all(b"reset\n")?;
                self.peak = Some(peak);
                // Not by anybody's word: from then on it counts what is in use, give or take what comes and goes.
                let (peak, now) = (self.memory_peak(), self.number("memory.current"));
                Ok(peak.zip(now).is_some_and(|(peak, now)| peak <= now.saturating_add(now / 2)))
            }
        }
    }

    fn memory_peak(&self) -> Option<u64> {
        let Some(peak) = &self.peak else { return self.number("memory.peak") };
        let mut text = [0; 32];
        let read = std::os::unix::fs::FileExt::read_at(peak, &mut text, 0).ok()?;
        std::str::from_utf8(text.get(..read)?).ok()?.trim().parse().ok()
    }

    fn write(&self, file: &str, value: impl std::fmt::Display) -> std::io::Result<()> {
        OpenOptions::new().write(true).open(self.folder.join(file))?.write_all(value.to_string().as_bytes())
    }

    fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.folder.join(file)).ok()
    }

    pub(super) fn number(&self, file: &str) -> Option<u64> {
        self.read(file)?.trim().parse().ok()
    }

    /// A number in a file of `key value` lines.
    fn keyed(&self, file: &str, key: &str) -> Option<u64> {
        self.read(file)?.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
    }

    pub(super) fn count(&self, counters: &mut CgroupCounters) {
        for controller in &self.controllers {
            match (self.version, controller) {
                (Version::V1, Controller::Memory) => {
                    counters.memory = self.number("memory.usage_in_bytes");
                    counters.memory_peak = self.number("memory.max_usage_in_bytes");
                    counters.out_of_memory_kills = self.keyed("memory.oom_control", "oom_kill").unwrap_or(0);
                }
                (Version::V2, Controller::Memory) => {
                    counters.memory = self.number("memory.current");
                    counters.memory_peak = self.memory_peak();
                    counters.out_of_memory_kills = self.keyed("memory.events", "oom_kill").unwrap_or(0);
                }
                (_, Controller::Pids) => {
                    counters.pids = self.number("pids.current");
                    counters.pids_peak = self.number("pids.peak");
                    counters.forks_refused = self.keyed("pids.events", "max").unwrap_or(0);
                }
                (Version::V1, Controller::CpuAccounting) => {
                    counters.cpu = self.number("cpuacct.usage").map(Duration::from_nanos)
                }
                (Version::V2, Controller::CpuAccounting) => {
                    counters.cpu = self.keyed("cpu.stat", "usage_usec").map(Duration::from_micros)
                }
                (_, Controller::Cpu) => {}
            }
        }
    }
}

/// Microseconds of processor time per period; the kernel takes no less than a thousand.
fn quota(thousandths: u32) -> u64 {
    (u64::from(thousandths) * CPU_PERIOD / 1000).max(1000)
}

/// Kills what is in a group that a dead supervisor left.
pub(super) fn kill_members(folder: &Path, version: Version) {
    if version == Version::V2 && fs::write(folder.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    let members = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    for pid in members.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).filter_map(Pid::from_raw) {
        let _killed = rustix::process::kill_process(pid, Signal::KILL).is_ok();
    }
}

/// Kills what is in the groups below a sandbox's and removes them. Only a range has any: sandboxes were made in it.
pub(super) fn remove_below(folder: &Path, version: Version) {
    for child in fs::read_dir(folder).into_iter().flatten().flatten() {
        if child.file_type().is_ok_and(|kind| kind.is_dir()) {
            kill_members(&child.path(), version);
            remove_below(&child.path(), version);
            remove_soon(&child.path());
        }
    }
}

/// Removes an empty group, giving the kernel a moment to see that it is empty.
pub(super) fn remove_soon(folder: &Path) {
    let deadline = Instant::now() + Duration::from_millis(500);
    while let Err(error) = fs::remove_dir(folder) {
        if error.kind() != std::io::ErrorKind::ResourceBusy || Instant::now() > deadline {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
