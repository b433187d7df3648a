//! What this machine's kernel says of a container: counted by its control groups, and seen in `/proc`.
//!
//! Invariant: the daemon's word is needed only for the number of the container's first process. Whether that is the agent, in
//! this container's control group, is looked at; what can't be seen isn't claimed.

use super::container::{Share, UPKEEP_PROCESSES};
use super::daemon::{Facts, Kernel, UserNamespaces};
use crucible_core::{Counters, Layer, LayerState, Layers, LimitKind, Posture, PostureFact, PostureState, Users};
use crucible_jail::host::cgroup::{CgroupCounters, ForeignCgroup};
use crucible_jail::host::posture::{Aspect, Look, Namespace, Planned, PlannedGroups, Seen};
use crucible_jail::host::tree_transfers;
use std::fs;

/// What is known of a container from outside.
pub(super) struct Evidence {
    pid: i32,
    container: String,
    cgroup: ForeignCgroup,
    /// What was counted when the agent had begun: the runtime's own use.
    start: CgroupCounters,
    look: Look,
    kernel: Kernel,
    memory: Option<u64>,
    processes: Option<u64>,
    shares: Vec<Share>,
    /// The most that was ever counted: what is counted is gone with the container.
    last: std::sync::Mutex<Counters>,
}

/// What is planned of a container.
pub(super) struct Plans<'a> {
    pub(super) layers: &'a Layers,
    pub(super) facts: &'a Facts,
    pub(super) owner: u32,
    pub(super) users: Users,
    pub(super) memory: Option<u64>,
    pub(super) processes: Option<u64>,
    pub(super) shares: Vec<Share>,
}

impl Evidence {
    pub(super) fn new(pid: i32, container: &str, plans: Plans<'_>) -> Self {
        let cgroup = ForeignCgroup::of_process(pid);
        Self {
            pid,
            container: container.to_owned(),
            start: cgroup.counters(),
            cgroup,
            look: Look::of_process(pid, planned(&plans), None),
            kernel: plans.facts.kernel,
            memory: plans.memory,
            processes: plans.processes,
            shares: plans.shares,
            last: std::sync::Mutex::default(),
        }
    }

    /// Counts from now on: what was used by now is no guest's doing.
    pub(super) fn begin_anew(&mut self) {
        self.start = self.cgroup.counters();
    }

    /// What was counted so far, by the kernel. The files of a container that is gone can't be looked at any more.
    pub(super) fn counters(&self) -> Counters {
        let seen = self.cgroup.counters();
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let without_agent = |count: u64| count.saturating_sub(UPKEEP_PROCESSES);
        let cpu = seen.cpu.unwrap_or_default().saturating_sub(self.start.cpu.unwrap_or_default());
        // Below what the runtime has had, the most at one time is the most that was seen.
        let peak = |peak: Option<u64>, at_start: Option<u64>, now| if peak > at_start { peak } else { now };
        let (memory_peak, pids_peak) = (
            peak(seen.memory_peak, self.start.memory_peak, seen.memory),
            peak(seen.pids_peak, self.start.pids_peak, seen.pids),
        );
        let mut counters = Counters {
            cpu: cpu.max(last.cpu),
            memory_bytes: seen.memory,
            memory_peak_bytes: memory_peak.max(last.memory_peak_bytes),
            processes: seen.pids.map(without_agent),
            processes_peak: pids_peak.map(without_agent).max(last.processes_peak),
            out_of_memory_kills: seen.out_of_memory_kills.max(last.out_of_memory_kills),
            refused: last.refused.clone(),
            ..Counters::default()
        };
        if self.kernel == Kernel::Shared {
            (counters.read_bytes, counters.written_bytes) = tree_transfers(self.pid).unzip();
        }
        if seen.forks_refused > 0 {
            counters.refused.insert(LimitKind::Pids);
        }
        for share in &self.shares {
            let path = format!("/proc/{}/root{}", self.pid, share.folder);
            if let Ok(free) = rustix::fs::statfs(path.as_str()) {
                counters.refused.extend((share.bytes > 0 && free.f_bavail == 0).then_some(LimitKind::Disk));
                counters.refused.extend((share.inodes > 1 && free.f_ffree == 0).then_some(LimitKind::Inodes));
            }
        }
        *last = counters.clone();
        counters
    }

    /// Whether the folders can be looked at from here.
    pub(super) fn sees_files(&self) -> bool {
        rustix::fs::statfs(format!("/proc/{}/root/work", self.pid).as_str()).is_ok()
    }

    /// Everything, or privileges and ids alone.
    pub(super) fn posture(&self, aspects: &[Aspect]) -> Posture {
        let mut facts = vec![self.place()];
        if self.kernel == Kernel::Shared {
            let state = |seen| match seen {
                Seen::AsPlanned => PostureState::AsPlanned,
                Seen::Differs => PostureState::Differs,
                Seen::NotVisible => PostureState::NotVisible,
            };
            facts.push(self.program());
            let seen = self.look.look(aspects).into_iter();
            facts.extend(seen.map(|fact| PostureFact::new(fact.name, fact.seen, state(fact.state))));
        }
        facts.extend(limit("cgroup.memory", self.memory, self.cgroup.memory_limit()));
        facts.extend(limit("cgroup.pids", self.processes, self.cgroup.pids_limit()));
        Posture { facts }
    }

    /// Whether the process is in this container's control group.
    fn place(&self) -> PostureFact {
        match fs::read_to_string(format!("/proc/{}/cgroup", self.pid)) {
            Ok(table) if table.contains(&self.container) => {
                PostureFact::new("container", "in its own control group", PostureState::AsPlanned)
            }
            // A rootless daemon without delegated control groups has none to give.
            Ok(_) if self.memory.is_none() && self.processes.is_none() => {
                PostureFact::new("container", "no control group of its own", PostureState::NotVisible)
            }
            Ok(_) => PostureFact::new("container", "in another control group", PostureState::Differs),
            Err(_) => PostureFact::new("container", "can't be seen by this user", PostureState::NotVisible),
        }
    }

    /// Whether the process runs the agent.
    fn program(&self) -> PostureFact {
        match fs::read_link(format!("/proc/{}/exe", self.pid)) {
            Ok(program) if program.as_os_str() == super::container::AGENT => {
                PostureFact::new("program", "the agent", PostureState::AsPlanned)
            }
            Ok(_) => PostureFact::new("program", "another one", PostureState::Differs),
            Err(_) => PostureFact::new("program", "can't be seen by this user", PostureState::NotVisible),
        }
    }
}

/// A limit as the kernel has it, which keeps whole pages.
fn limit(name: &'static str, planned: Option<u64>, seen: Option<u64>) -> Option<PostureFact> {
    const PAGE: u64 = 4096;
    let planned = planned?;
    Some(match seen {
        Some(seen) if seen / PAGE == planned / PAGE => {
            PostureFact::new(name, seen.to_string(), PostureState::AsPlanned)
        }
        Some(seen) => PostureFact::new(name, format!("{seen}, not {planned}"), PostureState::Differs),
        None => PostureFact::new(name, "can't be seen by this user", PostureState::NotVisible),
    })
}

fn planned(plans: &Plans<'_>) -> Vec<Planned> {
    let has = |layer| plans.layers.get(&layer).is_some_and(LayerState::is_active);
    let mut planned = vec![Planned::Groups(PlannedGroups::Own)];
    // What an id is outside of a user namespace is the daemon's choice.
    if plans.facts.users == UserNamespaces::None && has(Layer::DistinctUid) {
        planned.push(Planned::Ids { user: plans.owner, group: plans.owner });
    }
    if plans.users == Users::Root {
        planned.extend([Planned::RootsCapabilities, Planned::NobodysRoot]);
    }
    for (layer, what) in [
        (Layer::Capabilities, Planned::NoCapabilities),
        (Layer::NoNewPrivs, Planned::NoNewPrivileges),
        (Layer::Seccomp, Planned::Filter),
        (Layer::UserNamespace, Planned::Namespace(Namespace::User)),
        (Layer::MountNamespace, Planned::Namespace(Namespace::Mount)),
        (Layer::PidNamespace, Planned::Namespace(Namespace::Process)),
        (Layer::NetworkNamespace, Planned::Namespace(Namespace::Network)),
        (Layer::IpcNamespace, Planned::Namespace(Namespace::Ipc)),
        (Layer::UtsNamespace, Planned::Namespace(Namespace::HostName)),
        (Layer::CgroupNamespace, Planned::Namespace(Namespace::Cgroup)),
    ] {
        planned.extend(has(layer).then_some(what));
    }
    planned
}

#[cfg(test)]
mod tests {
    use super::super::Hardening;
    use super::super::daemon::{Filters, Profiles};
    use super::super::layers;
    use super::*;
    use crucible_core::Policy;

    #[test]
    fn exactly_the_capabilities_of_root_inside_are_planned_where_it_is_and_none_elsewhere() {
        let facts = Facts {
            version: "Docker 1".to_owned(),
            runtime: "runc".to_owned(),
            kernel: Kernel::Shared,
            users: UserNamespaces::Remapped,
            filters: Filters::Loaded,
            profiles: Profiles::Inline,
            limits_memory: true,
            limits_swap: true,
            limits_pids: true,
            limits_cpu: true,
            cgroups: "v1",
        };
        let capabilities = layers::capabilities(&facts, Hardening::Full);
        let of = |policy: &Policy| {
            let layers = capabilities.layers_under(policy);
            let (facts, users) = (&facts, policy.users);
            let plans =
                Plans { layers: &layers, facts, owner: 0, users, memory: None, processes: None, shares: Vec::new() };
            planned(&plans).iter().map(|planned| format!("{planned:?}")).collect::<Vec<_>>()
        };
        let (ordinary, rooted) = (of(&Policy::default()), of(&Policy::inspect()));
        let only = |one: &[String], other: &[String]| {
            one.iter().filter(|planned| !other.contains(planned)).cloned().collect::<Vec<_>>()
        };
        assert_eq!(only(&rooted, &ordinary), ["RootsCapabilities", "NobodysRoot"]);
        assert_eq!(only(&ordinary, &rooted), ["NoCapabilities"]);
    }

    #[test]
    fn a_limit_is_compared_by_whole_pages_and_a_missing_one_is_not_claimed() {
        let state = |planned, seen| limit("cgroup.memory", planned, seen).map(|fact| fact.state);
        assert_eq!(state(None, Some(7)), None);
        assert_eq!(state(Some(8193), Some(8192)), Some(PostureState::AsPlanned));
        assert_eq!(state(Some(8192), Some(1 << 40)), Some(PostureState::Differs));
        assert_eq!(state(Some(8192), None), Some(PostureState::NotVisible));
    }
}
