//! Which layers a container has, by what the daemon says and the runtime is known to do, and how each limit is enforced.
//!
//! Invariant: what nobody vouches for is absent. What can be looked at from outside is looked at for each sandbox, too.

use super::Hardening;
use super::daemon::{Facts, Filters, Kernel, UserNamespaces};
use crate::agent::live_features;
use crate::native::unwatched;
use crucible_core::{
    Ability, Capabilities, Enforcement, Isolation, Layer, LayerState, Layers, LimitKind, LiveFeature, NetworkKind,
};
use std::collections::{BTreeMap, BTreeSet};

const USE_JAIL: &str = "use the jail";

/// What containers can do here.
pub(super) fn capabilities(facts: &Facts, hardening: Hardening) -> Capabilities {
    let (layers, limits, networks) = match hardening {
        Hardening::Full => (layers(facts), limits(facts), [NetworkKind::None, NetworkKind::AllowList].into()),
        Hardening::Stock => (stock_layers(), stock_limits(), [NetworkKind::None].into()),
    };
    Capabilities {
        isolation: match facts.kernel {
            Kernel::Shared => Isolation::SharedKernel,
            Kernel::Own => Isolation::OwnKernel,
        },
        layers,
        limits,
        networks,
        live: match hardening {
            Hardening::Full => live_features().into_iter().chain([LiveFeature::Forks]).collect(),
            Hardening::Stock => live_features(),
        },
        root_inside: root_inside(facts, hardening),
        layers_with_root: Layers::from([(
            Layer::DistinctUid,
            LayerState::absent(
                "the daemon maps the ids of all its containers alike",
                "use the jail where that matters",
            ),
        )]),
        absolute_paths: true,
        arbitrary_commands: true,
        abilities: Ability::ALL.into(),
        tripwires: BTreeSet::new(),
        monitoring: unwatched("a container daemon tells nothing of what a program does"),
    }
}

/// Whether there can be root inside: only where it is nobody outside, and where it can't be ended by more processes.
fn root_inside(facts: &Facts, hardening: Hardening) -> LayerState {
    let otherwise = |mend: &str| format!("{mend}; or take the jail or gVisor (-b jail, -b gvisor)");
    match (hardening, facts.kernel, facts.users) {
        (Hardening::Stock, ..) => {
            LayerState::absent("it is a container as it comes, for comparison", "use the backend docker")
        }
        (_, Kernel::Own, _) => LayerState::absent(
            "the runtime's own kernel doesn't keep the agent apart from root inside",
            otherwise("set docker.runtime to runc"),
        ),
        (.., UserNamespaces::None) => LayerState::absent(
            "the daemon maps no ids, so that root inside would be the machine's root",
            otherwise(
                "start the daemon with userns-remap (`\"userns-remap\": \"default\"` in /etc/docker/daemon.json)",
            ),
        ),
        (.., UserNamespaces::Rootless) => LayerState::absent(
            "the daemon runs without root's rights, so that root inside would be the user whose it is",
            otherwise("use a daemon with userns-remap"),
        ),
        (.., UserNamespaces::Remapped) if !facts.limits_pids => LayerState::absent(
            "the daemon can't limit the number of processes",
            otherwise("let it use the control group controller `pids`"),
        ),
        (.., UserNamespaces::Remapped) => LayerState::active(
            "chown, dac_override, fowner, kill, setgid and setuid, over ids that are nobody's outside, and are the same for \
             all of the daemon's containers",
        ),
    }
}

fn layers(facts: &Facts) -> Layers {
    Layer::ALL.into_iter().map(|layer| (layer, state(layer, facts))).collect()
}

/// What a container has that is made without any option: of the rest nothing is claimed.
fn stock_layers() -> Layers {
    let state = |layer| match layer {
        Layer::MountNamespace
        | Layer::PidNamespace
        | Layer::NetworkNamespace
        | Layer::IpcNamespace
        | Layer::UtsNamespace
        | Layer::SessionKeyring => LayerState::active(""),
        _ => LayerState::absent("it is a container as it comes, for comparison", "use the backend docker"),
    };
    Layer::ALL.into_iter().map(|layer| (layer, state(layer))).collect()
}

/// What the engine alone enforces.
fn stock_limits() -> BTreeMap<LimitKind, Enforcement> {
    let of = |limit| match limit {
        LimitKind::Timeout | LimitKind::Output | LimitKind::CpuTime => Enforcement::Sandbox,
        _ => Enforcement::None,
    };
    LimitKind::ALL.into_iter().map(|limit| (limit, of(limit))).collect()
}

fn state(layer: Layer, facts: &Facts) -> LayerState {
    let limited = |is_limited| {
        if is_limited {
            LayerState::active(facts.cgroups)
        } else {
            LayerState::absent(
                "the daemon can't limit it here",
                "give the daemon its control groups: run it as root, or delegate them to a rootless one",
            )
        }
    };
    match layer {
        Layer::UserNamespace => match facts.users {
            UserNamespaces::Remapped => LayerState::active("remapped by the daemon"),
            UserNamespaces::Rootless => LayerState::active("a rootless daemon"),
            UserNamespaces::None => LayerState::absent(
                "the daemon gives containers no user namespace",
                "start it with --userns-remap=default, or use a rootless daemon",
            ),
        },
        Layer::WebAssembly => LayerState::absent("programs are native ones", "use the backend wasm"),
        Layer::TimeNamespace => LayerState::absent("the daemon makes no time namespaces", USE_JAIL),
        Layer::Landlock => LayerState::absent("container runtimes set no Landlock rules", USE_JAIL),
        Layer::PrivateProc => LayerState::active("the kernel's own files are hidden by mounts"),
        Layer::Seccomp => match (facts.kernel, facts.filters) {
            (Kernel::Shared, Filters::Loaded) => LayerState::active("the jail's table"),
            (Kernel::Shared, Filters::None) => LayerState::absent(
                "the daemon loads no system call filters",
                "use a daemon that was built with seccomp",
            ),
            (Kernel::Own, _) => LayerState::active("the jail's table, in the runtime's own kernel"),
        },
        Layer::CgroupMemory => match (facts.limits_memory, facts.limits_swap) {
            (true, false) => LayerState::active(format!("{}, swap isn't limited", facts.cgroups)),
            (is_limited, _) => limited(is_limited),
        },
        Layer::CgroupPids => limited(facts.limits_pids),
        Layer::CgroupCpu => limited(facts.limits_cpu),
        Layer::DistinctUid => LayerState::active("chosen at random"),
        Layer::PrivateDev => LayerState::active("the runtime's devices"),
        Layer::PrivateRoot => LayerState::active("an image"),
        Layer::DiskQuota => LayerState::active("shared out among the writable folders"),
        Layer::MountNamespace
        | Layer::PidNamespace
        | Layer::NetworkNamespace
        | Layer::IpcNamespace
        | Layer::UtsNamespace
        | Layer::CgroupNamespace
        | Layer::Capabilities
        | Layer::NoNewPrivs
        | Layer::Rlimits
        | Layer::SessionKeyring
        | Layer::CleanStart => LayerState::active(""),
    }
}

fn limits(facts: &Facts) -> BTreeMap<LimitKind, Enforcement> {
    let by = |is_limited| if is_limited { Enforcement::Sandbox } else { Enforcement::None };
    let of = |limit| match limit {
        LimitKind::Timeout | LimitKind::Output | LimitKind::Disk | LimitKind::Inodes => Enforcement::Sandbox,
        LimitKind::OpenFiles | LimitKind::FileSize | LimitKind::Stack => Enforcement::Process,
        // Counted by the control group, which every container has that has any.
        LimitKind::CpuTime if facts.cgroups == "none" => Enforcement::Process,
        LimitKind::CpuTime => Enforcement::Sandbox,
        LimitKind::Memory => by(facts.limits_memory),
        LimitKind::Pids => by(facts.limits_pids),
        LimitKind::Cpus => by(facts.limits_cpu),
    };
    LimitKind::ALL.into_iter().map(|limit| (limit, of(limit))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn root_inside_is_only_where_it_is_nobody_outside_and_else_refused_with_the_mend() {
        let inspect = crucible_core::Policy::inspect();
        let admit = |facts: &Facts, hardening| capabilities(facts, hardening).admit("docker", &inspect);
        let remapped = || Facts { users: UserNamespaces::Remapped, ..facts() };
        admit(&remapped(), Hardening::Full).unwrap();
        for (facts, hardening, mend) in [
            (facts(), Hardening::Full, "userns-remap"),
            (Facts { users: UserNamespaces::Rootless, ..facts() }, Hardening::Full, "userns-remap"),
            (Facts { kernel: Kernel::Own, ..remapped() }, Hardening::Full, "runc"),
            (Facts { limits_pids: false, ..remapped() }, Hardening::Full, "pids"),
            (remapped(), Hardening::Stock, "docker"),
        ] {
            let error = admit(&facts, hardening).unwrap_err();
            assert!(error.to_string().contains("has root inside"), "{error}");
            assert!(error.hint().unwrap().contains(mend), "{error:?}");
        }
    }

    #[test]
    fn what_the_daemon_lacks_is_absent_with_its_mend() {
        let has = |facts: &Facts, layer| {
            capabilities(facts, Hardening::Full).layers.get(&layer).is_some_and(LayerState::is_active)
        };
        assert!(has(&facts(), Layer::Seccomp) && has(&facts(), Layer::CgroupPids));
        assert!(!has(&facts(), Layer::UserNamespace) && !has(&facts(), Layer::Landlock));
        let poor = Facts { filters: Filters::None, limits_pids: false, cgroups: "none", ..facts() };
        assert!(!has(&poor, Layer::Seccomp) && !has(&poor, Layer::CgroupPids));
        assert_eq!(capabilities(&poor, Hardening::Full).enforcement(LimitKind::Pids), Enforcement::None);
        let remapped = Facts { users: UserNamespaces::Remapped, ..facts() };
        assert!(has(&remapped, Layer::UserNamespace));
        let inspect = crucible_core::Policy::inspect();
        assert!(!capabilities(&remapped, Hardening::Full).layers_under(&inspect)[&Layer::DistinctUid].is_active());
        for state in capabilities(&poor, Hardening::Full).layers.values() {
            if let LayerState::Absent { reason, mend } = state {
                assert!(!reason.is_empty() && !mend.is_empty());
            }
        }
    }
}
