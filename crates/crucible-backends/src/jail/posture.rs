//! What a jailed sandbox is planned to look like from outside: what its layers promise, no more.

use super::layers::Ids as Sources;
use crucible_core::{Layer, LayerState, Layers, Users};
use crucible_jail::host::SpareIds;
use crucible_jail::host::posture::{Namespace, Planned, PlannedGroups, PlannedMounts, PlannedRules};
use crucible_jail::plan::Ids;
use std::sync::Arc;

/// How a guest's id, as numbered in the launcher's user namespace, shows on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostIds {
    /// As it is.
    Same,
    /// From 1 on, counted from these first spare ids.
    Spare {
        /// The first spare user.
        user: u32,
        /// The first spare group.
        group: u32,
    },
    /// As the supervisor's own user and group.
    Own {
        /// The user.
        user: u32,
        /// The group.
        group: u32,
    },
}

impl HostIds {
    pub(super) fn new(ids: Sources, spare: Option<SpareIds>) -> Self {
        match (ids, spare) {
            (Sources::Range { .. }, _) => Self::Same,
            (Sources::Spare { .. }, Some(((user, _), (group, _)))) => Self::Spare { user, group },
            (Sources::Spare { .. } | Sources::Own, _) => {
                Self::Own { user: rustix::process::geteuid().as_raw(), group: rustix::process::getegid().as_raw() }
            }
        }
    }

    pub(super) fn of(self, inside: u32) -> (u32, u32) {
        let spare = |first: u32| first.saturating_add(inside.saturating_sub(1));
        match self {
            Self::Same => (inside, inside),
            Self::Spare { user, group } => (spare(user), spare(group)),
            Self::Own { user, group } => (user, group),
        }
    }

    const fn groups(self) -> PlannedGroups {
        match self {
            Self::Same | Self::Spare { .. } => PlannedGroups::None,
            Self::Own { .. } => PlannedGroups::Kept,
        }
    }
}

/// Who is planned to be in a sandbox, as numbered by the launcher.
pub(super) struct PlannedUsers<'a> {
    pub(super) users: Users,
    /// The init's own id.
    pub(super) own: u32,
    /// All that it has.
    pub(super) ids: &'a [Ids],
}

/// What is planned of a sandbox with these layers.
pub(super) fn planned(
    layers: &Layers,
    ids: HostIds,
    &PlannedUsers { users, own: inside, ids: all }: &PlannedUsers<'_>,
    mounts: &PlannedMounts,
) -> Vec<Planned> {
    let has = |layer| layers.get(&layer).is_some_and(LayerState::is_active);
    let (user, group) = ids.of(inside);
    let mut planned = vec![Planned::Ids { user, group }, Planned::Groups(ids.groups())];
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
        (Layer::TimeNamespace, Planned::Namespace(Namespace::Time)),
    ] {
        planned.extend(has(layer).then_some(what));
    }
    if has(Layer::UserNamespace) {
        let shown = |which: fn((u32, u32)) -> u32| {
            all.iter().map(|(inside, outside, count)| (*inside, which(ids.of(*outside)), *count)).collect()
        };
        planned.push(Planned::IdMaps { users: shown(|ids| ids.0), groups: shown(|ids| ids.1) });
    }
    if users == Users::Root {
        planned.push(Planned::RootsCapabilities);
    }
    if has(Layer::CleanStart) {
        let rules = if has(Layer::Landlock) { PlannedRules::Held } else { PlannedRules::None };
        planned.push(Planned::Descriptors(rules));
    }
    if has(Layer::PrivateRoot) {
        let mut mounts = mounts.clone();
        if users == Users::Root {
            mounts = mounts.with_roots_folders();
        }
        if has(Layer::PrivateProc) {
            mounts = mounts.with_processes();
        }
        if has(Layer::PrivateDev) {
            mounts = mounts.with_terminals();
        }
        planned.push(Planned::Mounts(Arc::new(mounts)));
    }
    planned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_show_on_the_host_as_they_are_mapped() {
        assert_eq!(HostIds::Same.of(70_000), (70_000, 70_000));
        assert_eq!(HostIds::Spare { user: 100_000, group: 200_000 }.of(1), (100_000, 200_000));
        assert_eq!(HostIds::Spare { user: 100_000, group: 200_000 }.of(65_536), (165_535, 265_535));
        assert_eq!(HostIds::Own { user: 1000, group: 100 }.of(0), (1000, 100));
        assert_eq!(HostIds::new(Sources::Spare { count: 5 }, Some(((7, 5), (9, 5)))).of(2), (8, 10));
    }

    #[test]
    fn nothing_is_planned_that_no_layer_promises() {
        let mounts = PlannedMounts::default();
        let planned = |layers: &Layers, users| {
            planned(layers, HostIds::Same, &PlannedUsers { users, own: 70_000, ids: &[(1000, 70_000, 1)] }, &mounts)
        };
        let count = |layers: &Layers| planned(layers, Users::Guest).len();
        assert_eq!(count(&Layers::new()), 2);
        let all: Layers = Layer::ALL.into_iter().map(|layer| (layer, LayerState::active(""))).collect();
        assert_eq!(count(&all), 2 + 11 + 1 + 2);
        let mut without = all.clone();
        without.insert(Layer::NetworkNamespace, LayerState::absent("left off", ""));
        assert_eq!(count(&without), count(&all) - 1);
        let capabilities = |users| {
            let mut layers = all.clone();
            if users == Users::Root {
                layers.insert(Layer::Capabilities, LayerState::absent("root inside", ""));
            }
            let planned = planned(&layers, users).into_iter();
            let of_capabilities =
                planned.filter(|one| matches!(one, Planned::NoCapabilities | Planned::RootsCapabilities));
            format!("{:?}", of_capabilities.collect::<Vec<_>>())
        };
        assert_eq!(capabilities(Users::Guest), "[NoCapabilities]");
        assert_eq!(capabilities(Users::Root), "[RootsCapabilities]");
    }
}
