//! Which layers a jail has on this machine, and how each limit is enforced.

use super::Watch;
use crate::native::{Heard, live_features, unwatched, watching_processes};
use crucible_core::{
    Ability, Capabilities, Coverage, Enforcement, Isolation, Layer, LayerState, Layers, LimitKind, LiveFeature,
    Monitoring, NetworkKind, TripwireKind, Watchable,
};
use crucible_jail::host::cgroup::Cgroups;
use crucible_jail::host::{self, Launcher};
use crucible_jail::plan::Failure;

const UPDATE_KERNEL: &str = "use a newer kernel";

/// Where guests' host ids come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ids {
    /// From a range that only root may use.
    Range {
        /// The first.
        start: u32,
        /// How many.
        count: u32,
    },
    /// The user's own spare ids, numbered from 1 in the launcher's user namespace.
    Spare {
        /// How many.
        count: u32,
    },
    /// The user's own id, for every guest.
    Own,
}

/// How many ids a sandbox with root inside has: those of the system, some hundred people's, and nobody's.
pub(super) const IDS_OF_A_ROOT: u32 = 2048;
/// What programs take for nobody's id.
const NOBODY: u32 = 65_534;

/// Some ids, as numbered in the launcher's user namespace: the first, and how many.
pub(super) type Stretch = (u32, u32);

impl Ids {
    /// The ids of guests without root, one each, and those of sandboxes with root inside, [`IDS_OF_A_ROOT`] each. They have none in
    /// common. The very first is that of interpreters from which sandboxes are forked, where there are others.
    pub(super) fn shares(self) -> (Stretch, Stretch) {
        let (first, count) = match self {
            Self::Range { start, count } => (start, count),
            Self::Spare { count } => (1, count),
            Self::Own => return ((0, 1), (0, 0)),
        };
        let (first, count) = if count > 1 { (first.saturating_add(1), count - 1) } else { (first, count) };
        let roots = (count - count / 4) / IDS_OF_A_ROOT * IDS_OF_A_ROOT;
        let guests = count - roots;
        ((first, guests), (first.saturating_add(guests), roots))
    }
}

/// The ids of a sandbox with root inside: first inside, first outside and count.
pub(super) fn ids_of_a_root(first: u32) -> Vec<(u32, u32, u32)> {
    let last = IDS_OF_A_ROOT - 1;
    vec![(0, first, last), (NOBODY, first.saturating_add(last), 1)]
}

/// What a jail can do here.
pub(super) fn capabilities(launcher: &Launcher, cgroups: &Cgroups, ids: Ids, watch: Watch) -> Capabilities {
    Capabilities {
        isolation: Isolation::SharedKernel,
        layers: layers(launcher, cgroups, ids),
        limits: limits(cgroups),
        networks: [NetworkKind::None, NetworkKind::AllowList].into(),
        absolute_paths: true,
        arbitrary_commands: true,
        abilities: Ability::ALL.into(),
        tripwires: TripwireKind::ALL.into(),
        monitoring: match watch {
            Watch::Everything => monitoring(host::can_report_calls().into(), launcher),
            Watch::Nothing => unwatched("the jail is set to watch nothing"),
        },
        live: live_features().into_iter().chain([LiveFeature::Forks]).collect(),
        root_inside: root_inside(cgroups, ids),
        layers_with_root: Layers::new(),
    }
}

/// Whether there can be root inside.
fn root_inside(cgroups: &Cgroups, ids: Ids) -> LayerState {
    let mend = format!(
        "give the user at least {} ids in /etc/subuid and /etc/subgid, and install newuidmap (package uidmap); as root, raise \
         jail.uid_count",
        2 * IDS_OF_A_ROOT
    );
    match (ids, ids.shares().1.1) {
        (Ids::Own, _) => LayerState::absent("this user has no spare ids, and it takes a range of them", mend),
        (_, 0) => {
            LayerState::absent(format!("there are fewer ids than the {IDS_OF_A_ROOT} that each such sandbox has"), mend)
        }
        _ if !cgroups.limits_pids() && !host::counts_processes_by_namespace() => LayerState::absent(
            "neither a control group nor the kernel bounds the processes of all users inside together",
            "use Linux 5.14 or newer; `crucible doctor` says how control groups can be had",
        ),
        _ => LayerState::active(format!(
            "chown, dac_override, fowner, kill, setgid and setuid, over {IDS_OF_A_ROOT} ids of the sandbox's own"
        )),
    }
}

/// How well a sandbox can be watched.
fn monitoring(hears_of_calls: Heard, launcher: &Launcher) -> Monitoring {
    let calls = match hears_of_calls {
        Heard::Yes => Coverage::Events,
        Heard::No => Coverage::Unavailable { reason: "the kernel can't tell of refused system calls".to_owned() },
    };
    let mut monitoring = unwatched("the kernel tells only a root of the whole machine of opened files");
    if launcher.hears_of_files() {
        monitoring.insert(Watchable::Files, Coverage::Events);
    }
    monitoring.extend([
        (Watchable::SystemCalls, calls.clone()),
        (Watchable::Network, calls),
        (Watchable::Processes, watching_processes(launcher.hears_of_programs().into())),
    ]);
    monitoring
}

fn layers(launcher: &Launcher, cgroups: &Cgroups, ids: Ids) -> Layers {
    let mut layers: Layers = Layer::ALL.into_iter().map(|layer| (layer, LayerState::active(""))).collect();
    let mut set = |layer, state| layers.insert(layer, state);
    set(
        Layer::WebAssembly,
        LayerState::absent("the jail's programs are native", "use -b wasm, for languages that it has"),
    );
    if !launcher.has_time_namespace() {
        set(Layer::TimeNamespace, LayerState::absent("the kernel has no time namespaces", UPDATE_KERNEL));
    }
    let abi = host::landlock_abi();
    let landlock = match abi {
        0 => LayerState::absent(
            "the kernel has no Landlock, or it is switched off",
            "boot with lsm=landlock,..., or use a newer kernel",
        ),
        abi => LayerState::active(format!("ABI {abi}")),
    };
    set(Layer::Landlock, landlock);
    let (first, count) = ids.shares().0;
    let distinct = match ids {
        Ids::Range { .. } => LayerState::active(format!("one of {count} from {first}")),
        Ids::Spare { .. } => LayerState::active(format!("one of {count} spare ids")),
        Ids::Own => LayerState::absent(
            "this user has no spare ids, so that guests have the user's own outside",
            "install newuidmap (package uidmap) and give the user a range in /etc/subuid and /etc/subgid",
        ),
    };
    set(Layer::DistinctUid, distinct);
    set(
        Layer::Seccomp,
        LayerState::active(format!(
            "{} rules",
            crucible_jail::seccomp::TABLE.iter().map(|entry| entry.calls.len()).sum::<usize>()
        )),
    );
    for (layer, is_limited) in [
        (Layer::CgroupMemory, cgroups.limits_memory()),
        (Layer::CgroupPids, cgroups.limits_pids()),
        (Layer::CgroupCpu, cgroups.limits_cpu()),
    ] {
        let state = match (is_limited, cgroups.missing()) {
            (true, _) => LayerState::active(cgroups.describe()),
            (false, Some(missing)) => LayerState::absent(&missing.reason, &missing.mend),
            (false, None) => LayerState::absent(
                "the control group controller isn't mounted",
                "mount it, or use control groups of version 2",
            ),
        };
        set(layer, state);
    }
    layers
}

fn limits(cgroups: &Cgroups) -> std::collections::BTreeMap<LimitKind, Enforcement> {
    let by = |is_limited: bool, otherwise| if is_limited { Enforcement::Sandbox } else { otherwise };
    LimitKind::ALL
        .into_iter()
        .map(|limit| {
            let enforcement = match limit {
                LimitKind::Timeout | LimitKind::Output | LimitKind::Disk | LimitKind::Inodes => Enforcement::Sandbox,
                LimitKind::OpenFiles | LimitKind::FileSize | LimitKind::Stack => Enforcement::Process,
                LimitKind::CpuTime => by(cgroups.counts_cpu(), Enforcement::Process),
                LimitKind::Memory => by(cgroups.limits_memory(), Enforcement::Process),
                LimitKind::Pids if host::counts_processes_by_namespace() => {
                    by(cgroups.limits_pids(), Enforcement::Inside)
                }
                LimitKind::Pids => by(cgroups.limits_pids(), Enforcement::Process),
                LimitKind::Cpus => by(cgroups.limits_cpu(), Enforcement::None),
            };
            (limit, enforcement)
        })
        .collect()
}

/// The layers of one sandbox: those of the machine, less what turned out not to be had.
pub(super) fn of_sandbox(machine: &Layers, without: &[Failure]) -> Layers {
    let mut layers = machine.clone();
    for failure in without {
        let (layer, mend) = if failure.step.contains("/proc") {
            (
                Layer::PrivateProc,
                "the sandbox has no /proc at all; in a container, run it without masked paths in /proc",
            )
        } else {
            (Layer::PrivateDev, "the sandbox has no pseudo-terminals")
        };
        let reason = format!("could not {}: {}", failure.step, std::io::Error::from_raw_os_error(failure.errno));
        layers.insert(layer, LayerState::absent(reason, mend));
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_and_roots_have_no_id_in_common_and_none_beyond_the_range() {
        for count in [1, 2, 3, 2731, 2732, 4096, 65_535, 65_536, 268_435_455] {
            for (ids, first) in [(Ids::Range { start: 70_000, count }, 70_000_u32), (Ids::Spare { count }, 1)] {
                let ((guests, number), (roots, of_roots)) = ids.shares();
                assert!(number > 0 && guests >= first && guests + number <= roots, "{ids:?}");
                assert_eq!((roots + of_roots, of_roots % IDS_OF_A_ROOT), (first + count, 0), "{ids:?}");
                assert!(guests > first || count == 1, "{ids:?}");
            }
        }
        assert_eq!(Ids::Own.shares().1.1, 0);
        assert_eq!(Ids::Spare { count: 65_536 }.shares().1.1 / IDS_OF_A_ROOT, 24);
    }

    #[test]
    fn a_root_has_its_range_and_nothing_else() {
        let mapped: u32 = ids_of_a_root(100_000).iter().map(|(.., count)| count).sum();
        let outside = ids_of_a_root(100_000).into_iter().map(|(_, first, count)| (first, first + count));
        assert_eq!(mapped, IDS_OF_A_ROOT);
        assert!(outside.into_iter().all(|(first, end)| first >= 100_000 && end <= 100_000 + IDS_OF_A_ROOT));
    }
}
