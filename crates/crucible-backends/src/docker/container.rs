//! What a container is made of, as the daemon is told: everything that isn't needed is taken away.
//!
//! Invariant: what the capabilities promise is in here, and a daemon that doesn't know one of it refuses the container. The
//! agent is all that the daemon starts; commands are its matter.

use super::Hardening;
use super::daemon::{Facts, Filters, Kernel, UserNamespaces};
use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount, MountBindOptions,
    MountBindOptionsPropagationEnum, MountType, ResourcesUlimits,
};
use crucible_core::{Limits, Users};
use crucible_jail::plan::HOST_NAME;
use std::collections::HashMap;
use std::path::Path;

/// Where the agent is inside.
pub(super) const AGENT: &str = "/crucible-agent";
/// Memory for the agent and what the kernel keeps of the container.
pub(super) const UPKEEP_MEMORY: u64 = 4 << 20;
/// The least memory with which daemons make containers.
const LEAST_MEMORY: u64 = 8 << 20;
/// Processes beside the guest's: the agent.
pub(super) const UPKEEP_PROCESSES: u64 = 1;
/// The least limit on processes with which runtimes get as far as starting the agent.
pub(super) const LEAST_PROCESSES: u64 = 24;

/// What root inside may do, by the daemons' names for [`crucible_jail::plan::ROOTS_CAPABILITIES`].
const ROOTS_CAPABILITIES: [&str; 6] =
    ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"];

/// The label with the supervisor's process id and start, by which one that is gone is known.
pub(super) const SUPERVISOR_LABEL: &str = "crucible.supervisor";

/// A file system in memory for one of the writable folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Where it is inside.
    pub(super) folder: &'static str,
    /// Its permissions.
    mode: u32,
    pub(super) bytes: u64,
    pub(super) inodes: u64,
}

/// The granularity of file systems in memory.
const PAGE: u64 = 4096;
/// What the folders get of what the disk limit leaves, in thirty-seconds. The first has what the others leave.
const PARTS: [(&str, u32, u64); 3] = [("/work", 0o700, 20), ("/tmp", 0o1777, 8), ("/dev/shm", 0o1777, 4)];
const ROOTS_PARTS: [(&str, u32, u64); 8] = [
    ("/work", 0o755, 12),
    ("/tmp", 0o1777, 4),
    ("/dev/shm", 0o1777, 2),
    ("/etc", 0o755, 4),
    ("/home", 0o755, 3),
    ("/root", 0o700, 2),
    ("/run", 0o755, 1),
    ("/var", 0o755, 4),
];
const WHOLE: u64 = 32;

/// What a folder begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) bytes: u64,
    pub(super) inodes: u64,
}

impl Need {
    /// With one thing more in it, of so many bytes.
    pub(super) fn and(self, bytes: u64) -> Self {
        Self { bytes: self.bytes.saturating_add(bytes.next_multiple_of(PAGE)), inodes: self.inodes.saturating_add(1) }
    }
}

/// How the disk limit is shared out among the writable folders: each has what it begins with, and its part of the rest. A
/// container can't have one file system under several folders, so each has its own, and together they are no larger than the
/// limit. `None` where that isn't enough for what they begin with.
pub(super) fn shares(limits: &Limits, users: Users, need: impl Fn(&str) -> Need) -> Option<Vec<Share>> {
    let parts: &[_] = match users {
        Users::Guest => &PARTS,
        Users::Root => &ROOTS_PARTS,
    };
    let needs: Vec<Need> = parts.iter().map(|(folder, ..)| need(folder)).collect();
    let bytes = limits.disk.get().checked_sub(needs.iter().map(|need| need.bytes).sum())?;
    let inodes = limits.inodes.checked_sub(needs.iter().map(|need| need.inodes).sum())?;
    let part = |whole: u64, part: u64| whole / WHOLE * part + whole % WHOLE * part / WHOLE;
    let share = |((folder, mode, of_it), need): (&(&'static str, u32, u64), Need)| Share {
        folder,
        mode: *mode,
        bytes: need.bytes + part(bytes, *of_it) / PAGE * PAGE,
        inodes: need.inodes + part(inodes, *of_it),
    };
    let mut shares: Vec<Share> = parts.iter().zip(needs).map(share).collect();
    if let Some((first, others)) = shares.split_first_mut() {
        let of_others = |what: fn(&Share) -> u64| others.iter().map(what).sum();
        first.bytes = limits.disk.get().saturating_sub(of_others(|share| share.bytes)) / PAGE * PAGE;
        first.inodes = limits.inodes.saturating_sub(of_others(|share| share.inodes));
    }
    Some(shares)
}

/// The options of a file system in memory. One that is too small for anything at all can't be written to; 0 would be no limit.
fn mount_options(share: Share, owner: u32) -> String {
    let Share { bytes, inodes, mode, .. } = share;
    let access = if bytes < PAGE || inodes < 2 { "ro" } else { "rw" };
    let (bytes, inodes) = (bytes.max(PAGE), inodes.max(2));
    format!("{access},exec,nosuid,nodev,size={bytes},nr_inodes={inodes},uid={owner},gid={owner},mode={mode:04o}")
}

/// What the kernel tells of the machine beside processes: every file and folder of `/proc` that isn't a process's, and all
/// of `/sys`. And the one device beyond those of a jail. Links lead to what a process has of its own, and stay.
pub(super) fn hidden_paths() -> Vec<String> {
    let of_processes = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !of_processes(name))
        .collect();
    // Those that daemons hide by themselves, should this machine's /proc not show them.
    names.extend(
        ["asound", "acpi", "kcore", "keys", "latency_stats", "timer_list", "sched_debug", "scsi"].map(str::to_owned),
    );
    names.sort();
    names.dedup();
    let hidden = names.into_iter().map(|name| format!("/proc/{name}"));
    hidden.chain(["/sys", "/dev/tty"].map(str::to_owned)).collect()
}

/// What one container is made for.
pub(super) struct Plan<'a> {
    pub(super) facts: &'a Facts,
    /// The image's id.
    pub(super) image: &'a str,
    /// The agent's file on this machine.
    pub(super) agent: &'a Path,
    /// The system call profile.
    pub(super) profile: &'a str,
    /// The user and group inside that commands begin as.
    pub(super) owner: u32,
    /// Who is inside.
    pub(super) users: Users,
    pub(super) limits: &'a Limits,
    /// The writable folders.
    pub(super) shares: &'a [Share],
    /// What is hidden of the kernel's own files and devices.
    pub(super) hidden: &'a [String],
    pub(super) supervisor: &'a str,
    pub(super) hardening: Hardening,
}

impl Plan<'_> {
    /// The request for it.
    pub(super) fn body(&self) -> ContainerCreateBody {
        let body = ContainerCreateBody {
            image: Some(self.image.to_owned()),
            // Whatever the image says is to be run, isn't.
            entrypoint: Some(vec![AGENT.to_owned()]),
            cmd: Some(Vec::new()),
            env: Some(Vec::new()),
            working_dir: Some("/".to_owned()),
            labels: Some(HashMap::from([(SUPERVISOR_LABEL.to_owned(), self.supervisor.to_owned())])),
            tty: Some(false),
            open_stdin: Some(true),
            // Once nobody is attached any more, the agent reads the end of its input and ends, and the sandbox with it.
            stdin_once: Some(true),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ContainerCreateBody::default()
        };
        match self.hardening {
            Hardening::Stock => ContainerCreateBody { host_config: Some(self.stock()), ..body },
            Hardening::Full => ContainerCreateBody {
                user: Some(format!("{0}:{0}", self.owner)),
                hostname: Some(HOST_NAME.to_owned()),
                // The runtime then makes an empty network namespace by itself, without asking the daemon back. One with a kernel
                // of its own wants to find one.
                network_disabled: Some(self.facts.kernel == Kernel::Shared),
                host_config: Some(self.hardened()),
                ..body
            },
        }
    }

    /// What every container needs to be a sandbox, and no more.
    fn stock(&self) -> HostConfig {
        HostConfig {
            auto_remove: Some(true),
            mounts: Some(vec![Mount {
                target: Some(AGENT.to_owned()),
                source: Some(self.agent.display().to_string()),
                typ: Some(MountType::BIND),
                read_only: Some(true),
                bind_options: Some(MountBindOptions {
                    propagation: Some(MountBindOptionsPropagationEnum::PRIVATE),
                    ..MountBindOptions::default()
                }),
                ..Mount::default()
            }]),
            // Everything that is written to the agent's output would be kept in a file of the daemon's.
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            runtime: Some(self.facts.runtime.clone()).filter(|runtime| !runtime.is_empty()),
            ..HostConfig::default()
        }
    }

    fn hardened(&self) -> HostConfig {
        let tmpfs = self.shares.iter().map(|share| (share.folder.to_owned(), mount_options(*share, self.owner)));
        let memory = self.memory();
        HostConfig {
            network_mode: Some("none".to_owned()),
            // With "none" the daemon mounts nothing at /dev/shm; what is there is ours.
            ipc_mode: Some("none".to_owned()),
            cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
            readonly_rootfs: Some(true),
            cap_drop: Some(vec!["ALL".to_owned()]),
            cap_add: (self.users == Users::Root).then(|| ROOTS_CAPABILITIES.map(str::to_owned).to_vec()),
            privileged: Some(false),
            security_opt: Some(self.security()),
            masked_paths: Some(self.hidden.to_vec()),
            // All that would be read-only is hidden, but for what root inside could write to without a limit.
            readonly_paths: Some(match self.users {
                Users::Guest => Vec::new(),
                Users::Root => vec!["/dev".to_owned()],
            }),
            tmpfs: Some(tmpfs.collect()),
            memory: memory.map(signed),
            // Memory and swap together, so that there is no swap.
            memory_swap: memory.filter(|_| self.facts.limits_swap).map(signed),
            pids_limit: self.facts.limits_pids.then(|| signed(self.processes_at_start())),
            nano_cpus: self.processors(),
            ulimits: Some(ulimits(self.facts.users)),
            init: Some(false),
            ..self.stock()
        }
    }

    /// What the container's memory is limited to: files in memory are memory, too.
    pub(super) fn memory(&self) -> Option<u64> {
        let wanted = self.limits.memory.get().saturating_add(self.limits.disk.get()).saturating_add(UPKEEP_MEMORY);
        (self.facts.limits_memory && self.hardening == Hardening::Full).then(|| wanted.max(LEAST_MEMORY))
    }

    /// What the container's processes are limited to once the agent runs.
    pub(super) fn processes(&self) -> Option<u64> {
        let most = u64::from(self.limits.pids) + UPKEEP_PROCESSES;
        (self.facts.limits_pids && self.hardening == Hardening::Full).then_some(most)
    }

    /// The same while it starts: the runtime needs some.
    fn processes_at_start(&self) -> u64 {
        self.processes().unwrap_or(0).max(LEAST_PROCESSES)
    }

    /// The share of the processors, which daemons refuse if it is more than there are.
    fn processors(&self) -> Option<i64> {
        let all = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let all = u32::try_from(all).unwrap_or(u32::MAX).saturating_mul(1000);
        self.facts.limits_cpu.then(|| i64::from(self.limits.cpus.get().min(all)) * 1_000_000)
    }

    fn security(&self) -> Vec<String> {
        // A runtime with a kernel of its own filters what that kernel asks for, by a profile of its own.
        let takes_profiles = self.facts.filters == Filters::Loaded && self.facts.kernel == Kernel::Shared;
        let filter = if takes_profiles { self.profile } else { "unconfined" };
        vec!["no-new-privileges".to_owned(), format!("seccomp={filter}")]
    }
}

/// What holds for the agent and everything that it starts. Limits of commands are set by the agent for each.
fn ulimits(users: UserNamespaces) -> Vec<ResourcesUlimits> {
    // Not 0 for core files, at which one may still go to a helper of the host's. A daemon without root's rights has perhaps
    // no right to more than 0, and its guests are nobody to the machine's helper.
    let core = if users == UserNamespaces::Rootless { 0 } else { 1 };
    [("core", core), ("memlock", 64 << 10), ("msgqueue", 0), ("rtprio", 0), ("nice", 0), ("sigpending", 1024)]
        .map(|(name, value)| ResourcesUlimits { name: Some(name.to_owned()), soft: Some(value), hard: Some(value) })
        .to_vec()
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crucible_core::ByteSize;
    use std::collections::BTreeSet;

    fn facts() -> Facts {
        Facts {
            version: "Docker 1".to_owned(),
            runtime: "runc".to_owned(),
            kernel: Kernel::Shared,
            users: UserNamespaces::None,
            filters: Filters::Loaded,
            profiles: super::super::daemon::Profiles::Inline,
            limits_memory: true,
            limits_swap: true,
            limits_pids: true,
            limits_cpu: true,
            cgroups: "v1",
        }
    }

    fn body(limits: &Limits, hardening: Hardening) -> ContainerCreateBody {
        body_for(limits, hardening, Users::Guest)
    }

    fn body_for(limits: &Limits, hardening: Hardening, users: Users) -> ContainerCreateBody {
        let facts = facts();
        let shares = shares(limits, users, |_| Need::default()).unwrap();
        let plan = Plan {
            facts: &facts,
            image: "sha256:0",
            agent: Path::new("/agent"),
            profile: "{}",
            owner: if users == Users::Root { 0 } else { 70_000 },
            users,
            limits,
            shares: &shares,
            hidden: &[],
            supervisor: "1.2",
            hardening,
        };
        plan.body()
    }

    #[test]
    fn the_folders_together_are_no_larger_than_the_disk_limit_and_none_is_unlimited() {
        for bytes in [1, 4096, 10_000, 3 << 20, 64 << 20, (64 << 20) + 4095] {
            let limits = Limits { disk: ByteSize::bytes(bytes), inodes: bytes / 1000 + 1, ..Limits::default() };
            let both = [Users::Guest, Users::Root].map(|users| shares(&limits, users, |_| Need::default()).unwrap());
            for shares in &both {
                assert!(shares.iter().map(|share| share.bytes).sum::<u64>() <= bytes, "{bytes}: {shares:?}");
                assert!(shares.iter().map(|share| share.inodes).sum::<u64>() <= limits.inodes, "{bytes}: {shares:?}");
            }
            for share in both.concat() {
                let options = mount_options(share, 7);
                assert!(!options.contains("size=0") && !options.contains("nr_inodes=0"), "{options}");
                assert_eq!(options.starts_with("ro,"), share.bytes < PAGE || share.inodes < 2, "{options}");
            }
        }
        let ordinary = shares(&Limits::default(), Users::Guest, |_| Need::default()).unwrap();
        assert!(ordinary[0].bytes > Limits::default().disk.get() / 2);
        for parts in [&PARTS[..], &ROOTS_PARTS] {
            assert_eq!(parts.iter().map(|part| part.2).sum::<u64>(), WHOLE);
        }
    }

    #[test]
    fn a_folder_has_room_for_what_it_begins_with_or_there_is_no_container() {
        let need = |folder: &str| if folder == "/etc" { Need::default().and(5000).and(1) } else { Need::default() };
        assert_eq!(need("/etc"), Need { bytes: 3 * PAGE, inodes: 2 });
        let of = |bytes, inodes| {
            shares(&Limits { disk: ByteSize::bytes(bytes), inodes, ..Limits::default() }, Users::Root, need)
        };
        let etc = of(4 * PAGE, 20).unwrap().into_iter().find(|share| share.folder == "/etc").unwrap();
        assert!(etc.bytes >= 3 * PAGE && etc.inodes >= 2, "{etc:?}");
        assert_eq!((of(3 * PAGE - 1, 20), of(4 * PAGE, 1)), (None, None));
    }

    #[test]
    fn what_the_kernel_tells_of_the_machine_is_hidden_and_processes_are_not() {
        let hidden = hidden_paths();
        for path in ["/proc/cpuinfo", "/proc/sys", "/proc/kcore", "/sys", "/dev/tty"] {
            assert!(hidden.iter().any(|known| known == path), "{path}");
        }
        for path in ["/proc/self", "/proc/thread-self", "/proc/mounts", "/proc/1"] {
            assert!(!hidden.iter().any(|known| known == path), "{path}");
        }
    }

    #[test]
    fn everything_is_taken_away_but_from_a_stock_container() {
        let limits = Limits::default();
        let host = body(&limits, Hardening::Full).host_config.unwrap();
        assert_eq!((host.readonly_rootfs, host.privileged), (Some(true), Some(false)));
        assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
        assert_eq!(host.security_opt.unwrap(), ["no-new-privileges", "seccomp={}"]);
        assert_eq!((host.network_mode.unwrap().as_str(), host.pid_mode), ("none", None));
        assert_eq!(host.memory, host.memory_swap);
        assert!(host.cap_add.is_none() && host.devices.is_none() && host.binds.is_none());
        assert_eq!(body(&limits, Hardening::Full).user.unwrap(), "70000:70000");
        let stock = body(&limits, Hardening::Stock);
        assert_eq!((stock.user, stock.network_disabled), (None, None));
        let stock = stock.host_config.unwrap();
        assert!(stock.cap_drop.is_none() && stock.security_opt.is_none() && stock.memory.is_none());
        assert!(stock.tmpfs.is_none() && stock.readonly_rootfs.is_none() && stock.auto_remove == Some(true));
    }

    #[test]
    fn root_inside_has_six_capabilities_and_folders_and_nothing_else() {
        let (ordinary, rooted) =
            (body(&Limits::default(), Hardening::Full), { body_for(&Limits::default(), Hardening::Full, Users::Root) });
        assert_eq!(rooted.user.as_deref(), Some("0:0"));
        let (ordinary, rooted) = (ordinary.host_config.unwrap(), rooted.host_config.unwrap());
        let added = rooted.cap_add.clone().unwrap();
        let bits = [("CHOWN", 0), ("DAC_OVERRIDE", 1), ("FOWNER", 3), ("KILL", 5), ("SETGID", 6), ("SETUID", 7)];
        let bit = |name: &String| {
            bits.iter().find(|(known, _)| name.strip_prefix("CAP_") == Some(*known)).map(|(_, bit)| 1_u64 << bit)
        };
        let set = added.iter().map(|name| bit(name).unwrap()).sum::<u64>();
        assert_eq!(set, crucible_jail::plan::ROOTS_CAPABILITIES);
        let folders = |host: &HostConfig| host.tmpfs.as_ref().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        let more: Vec<_> = folders(&rooted).difference(&folders(&ordinary)).cloned().collect();
        assert_eq!(more, crucible_jail::plan::ROOTS_FOLDERS.iter().map(|(path, ..)| *path).collect::<Vec<_>>());
        // All the rest is the same.
        assert_eq!(rooted.readonly_paths.as_deref(), Some(["/dev".to_owned()].as_slice()));
        let without = |host| HostConfig { cap_add: None, tmpfs: None, readonly_paths: None, ..host };
        assert_eq!(without(rooted), without(ordinary));
    }

    #[test]
    fn limits_that_daemons_do_not_take_are_brought_into_their_range() {
        let limits = Limits { pids: 1, ..Limits::minimum() };
        let host = body(&limits, Hardening::Full).host_config.unwrap();
        assert!(host.memory.unwrap() >= signed(LEAST_MEMORY));
        assert_eq!(host.pids_limit, Some(signed(LEAST_PROCESSES)));
        assert!(host.nano_cpus.unwrap() >= 10_000_000);
        let all = std::thread::available_parallelism().unwrap().get();
        let host = body(&Limits::maximum(), Hardening::Full).host_config.unwrap();
        assert!(host.nano_cpus.unwrap() <= i64::try_from(all).unwrap() * 1_000_000_000);
    }
}
