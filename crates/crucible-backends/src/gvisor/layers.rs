//! Which layers gVisor gives on this machine, how each limit is enforced, and what is planned of its processes.

use super::runsc::{RunBy, Runsc};
use crate::agent::live_features;
use crate::native::unwatched;
use crucible_core::{
    Ability, Capabilities, Enforcement, Isolation, Layer, LayerState, Layers, LimitKind, LiveFeature, NetworkKind,
    TripwireKind,
};
use crucible_jail::host::cgroup::Cgroups;
use crucible_jail::host::posture::{Namespace, Planned, PlannedGroups};
use crucible_jail::seccomp;
use std::collections::BTreeMap;

/// The user and group that gVisor's kernel has on the host where root runs it.
const NOBODY: u32 = 65_534;

pub(super) fn capabilities(runsc: &Runsc, cgroups: &Cgroups) -> Capabilities {
    Capabilities {
        isolation: Isolation::OwnKernel,
        layers: layers(runsc, cgroups),
        limits: limits(cgroups),
        networks: [NetworkKind::None, NetworkKind::AllowList].into(),
        live: live_features().into_iter().chain([LiveFeature::Forks]).collect(),
        root_inside: LayerState::active(
            "chown, dac_override, fowner, kill, setgid and setuid, over ids of the sandbox's own in a kernel of its own",
        ),
        layers_with_root: Layers::new(),
        absolute_paths: true,
        arbitrary_commands: true,
        abilities: Ability::ALL.into(),
        // Files can't be watched from outside: they are in gVisor's memory.
        tripwires: [TripwireKind::Environment].into(),
        monitoring: unwatched("what a guest does is between it and gVisor's kernel, which tells nobody"),
    }
}

fn layers(runsc: &Runsc, cgroups: &Cgroups) -> Layers {
    let flags = runsc.flags().join(" ");
    Layer::ALL.into_iter().map(|layer| (layer, layer_state(layer, &flags, runsc, cgroups))).collect()
}

fn layer_state(layer: Layer, flags: &str, runsc: &Runsc, cgroups: &Cgroups) -> LayerState {
    let rules = || seccomp::TABLE.iter().map(|entry| entry.calls.len()).sum::<usize>();
    let by_cgroup = |is_limited: bool| match (is_limited, cgroups.missing()) {
        (true, _) => LayerState::active(cgroups.describe()),
        (false, Some(missing)) => LayerState::absent(&missing.reason, &missing.mend),
        (false, None) => LayerState::absent(
            "the control group controller isn't mounted",
            "mount it, or use control groups of version 2",
        ),
    };
    match layer {
        Layer::UserNamespace
        | Layer::MountNamespace
        | Layer::PidNamespace
        | Layer::IpcNamespace
        | Layer::UtsNamespace
        | Layer::CgroupNamespace
        | Layer::PrivateProc
        | Layer::SessionKeyring => LayerState::active("of a kernel of its own"),
        Layer::NetworkNamespace => LayerState::active("of a kernel of its own, with no interface but its loopback"),
        Layer::PrivateRoot => LayerState::active(format!("gVisor {}: {flags}", runsc.version)),
        Layer::PrivateDev => LayerState::active("gVisor's own devices"),
        Layer::Capabilities | Layer::NoNewPrivs | Layer::Rlimits | Layer::CleanStart => {
            LayerState::active("in a kernel of its own")
        }
        Layer::Seccomp => {
            LayerState::active(format!("{} rules in a kernel of its own, which has gVisor's on the host", rules()))
        }
        Layer::DiskQuota => LayerState::active("bytes; the number of files is bounded by memory alone"),
        Layer::CgroupMemory => by_cgroup(cgroups.limits_memory()),
        Layer::CgroupCpu => by_cgroup(cgroups.limits_cpu()),
        Layer::CgroupPids => LayerState::active("by each inside user's limit, in a kernel of its own"),
        Layer::WebAssembly => LayerState::absent("programs are native ones", "use the backend wasm"),
        Layer::TimeNamespace => {
            LayerState::absent("gVisor's clocks count from the machine's start", "use the jail where that matters")
        }
        Layer::DistinctUid => match runsc.owner {
            RunBy::Root => LayerState::absent("gVisor's kernel runs as nobody for every sandbox", "use the jail"),
            RunBy::Ordinary => LayerState::absent("gVisor's kernel runs as the user who starts it", "run it as root"),
        },
        Layer::Landlock => {
            LayerState::absent("gVisor's kernel has no Landlock, and needs no rights to files", "use the jail")
        }
    }
}

fn limits(cgroups: &Cgroups) -> BTreeMap<LimitKind, Enforcement> {
    let by = |is_limited: bool, otherwise| if is_limited { Enforcement::Sandbox } else { otherwise };
    let enforcement = |limit| match limit {
        LimitKind::Timeout | LimitKind::Output | LimitKind::Disk => Enforcement::Sandbox,
        LimitKind::Pids => Enforcement::Inside,
        LimitKind::OpenFiles | LimitKind::FileSize | LimitKind::Stack => Enforcement::Process,
        LimitKind::CpuTime => by(cgroups.counts_cpu(), Enforcement::Process),
        LimitKind::Memory => by(cgroups.limits_memory(), Enforcement::None),
        LimitKind::Cpus => by(cgroups.limits_cpu(), Enforcement::None),
        LimitKind::Inodes => Enforcement::None,
    };
    LimitKind::ALL.into_iter().map(|limit| (limit, enforcement(limit))).collect()
}

/// What is planned of gVisor's kernel as the host sees it.
pub(super) fn planned(runsc: &Runsc) -> Vec<Planned> {
    let mut planned = vec![Planned::NoNewPrivileges, Planned::Filter];
    planned.extend(
        [Namespace::User, Namespace::Mount, Namespace::Network, Namespace::Ipc, Namespace::HostName]
            .map(Planned::Namespace),
    );
    match runsc.owner {
        RunBy::Root => planned.extend([
            Planned::NoCapabilities,
            Planned::Ids { user: NOBODY, group: NOBODY },
            Planned::Groups(PlannedGroups::None),
        ]),
        RunBy::Ordinary => planned.push(Planned::Groups(PlannedGroups::Kept)),
    }
    planned
}
