//! Places: jailed sandboxes in which nothing has run yet.
//!
//! Invariant: a place is fresh, and used once.

use super::layers::{self, IDS_OF_A_ROOT, Ids as Sources, Stretch};
use super::posture::HostIds;
use super::zygotes::{self, Of, Zygote, Zygotes};
use super::{JailConfig, Watch};
use crate::ahead::AheadCommand;
use crate::native::{start_error, translate};
use crucible_core::{Error, ErrorKind, ProjectId, Result, Users};
use crucible_jail::host::cgroup::{Cgroup, CgroupLimits, Cgroups, Entry};
use crucible_jail::host::{self, Launcher, Started};
use crucible_jail::plan::{
    self, GUEST_ID, Ids, JailPlan, Need, Network, Protection, RangePlan, Reports, RootEntry, SandboxPlan, ZygotePlan,
};
use crucible_jail::seccomp::{self, Connections};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::OnceLock;

/// What all the files of a range may take.
const RANGE_DISK: u64 = 512 << 20;
const RANGE_INODES: u64 = 200_000;
/// How many ids a range has besides its root's.
const RANGE_IDS: u32 = 65_535;
/// Addresses that stand for some outside, for probes that try to get there: two set aside for documentation, and the one
/// under which clouds give out credentials. They lead nowhere but to the range itself.
const RANGE_ADDRESSES: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// Everything that tells one place from another before anything ran in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// The prepared root folder.
    pub(super) root: u32,
    pub(super) cgroup: CgroupLimits,
    pub(super) disk_bytes: u64,
    pub(super) inodes: u64,
    pub(super) proc: Need,
    pub(super) terminals: Need,
    pub(super) network: Network,
    /// What is left off on purpose. Nothing, for every sandbox that is used.
    pub(super) without: Vec<Protection>,
    /// Whether the guest has a host id of its own.
    pub(super) id: GuestId,
    /// Who is in it.
    pub(super) users: Users,
    /// Whose interpreter it is forked from, where that is wished for.
    pub(super) interpreter: Option<Option<ProjectId>>,
}

/// Which host id a guest gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GuestId {
    /// One that no other sandbox has.
    Distinct,
    /// That of the launcher's root: a protection is left off on purpose.
    Root,
}

/// A sandbox in which nothing has run yet.
pub(super) struct Place {
    /// What it was forked from, if that is an interpreter.
    pub(super) zygote: Option<Zygote>,
    pub(super) started: Started,
    pub(super) cgroup: Cgroup,
    /// The host id of its guest, as numbered in the launcher's user namespace.
    pub(super) outside_id: u32,
    /// The ids of its user namespace, numbered like that.
    pub(super) ids: Vec<Ids>,
    /// While this is open, nobody else takes its range of ids.
    pub(super) held: Option<OwnedFd>,
}

/// Whose a place's guests are outside.
struct Identity {
    outside_id: u32,
    users: plan::Users,
    held: Option<OwnedFd>,
}

/// Makes places.
pub(super) struct Places {
    // In this order, so that all that the launcher started is dead when the control groups are removed.
    zygotes: Zygotes,
    launcher: Launcher,
    cgroups: Cgroups,
    ids: Sources,
    landlock_abi: u32,
    filter: Vec<seccomp::Instruction>,
    /// The filter of a sandbox that has a way out, compiled when one is first asked for.
    filter_with_door: OnceLock<Vec<seccomp::Instruction>>,
    reports: Reports,
    /// How its ids show on the host.
    host_ids: HostIds,
}

impl Places {
    pub(super) fn new(
        launcher: Launcher,
        cgroups: Cgroups,
        ids: Sources,
        host_ids: HostIds,
        config: &JailConfig,
    ) -> Self {
        let (landlock_abi, filter) = (host::landlock_abi(), seccomp::compile(Connections::Refused));
        let hears = config.watch == Watch::Everything && host::can_report_calls();
        let reports = if hears { Reports::Heard } else { Reports::Silenced };
        let (zygotes, filter_with_door) = (Zygotes::default(), OnceLock::new());
        Self { zygotes, launcher, cgroups, ids, landlock_abi, filter, filter_with_door, reports, host_ids }
    }

    pub(super) const fn cgroups(&self) -> &Cgroups {
        &self.cgroups
    }

    /// Has the launcher hold a root folder ready.
    pub(super) async fn prepare_root(&self, number: u32, entries: Vec<RootEntry>) -> Result<()> {
        let prepared = self.launcher.prepare_root(number, entries).await;
        prepared.map_err(|error| start_error("prepare the sandbox's root", error))
    }

    /// Makes one. It is forked from an interpreter where one was made for its root, and that still lives.
    pub(super) async fn make(&self, shape: &Shape) -> Result<Place> {
        if let Some(project) = shape.interpreter.clone()
            && let of = (Of { root: shape.root, project })
            && let Some(zygote) = self.zygotes.at_hand(&of)
        {
            let made = async {
                let place = self.make_by(&zygote.launcher, Entry::Joined, shape).await?;
                place.started.sandbox.have_one_wait().await.map_err(zygotes::failed)?;
                Ok(place)
            };
            match made.await {
                Ok(place) => return Ok(Place { zygote: Some(zygote), ..place }),
                // Whatever it is that it can't do, the launcher can, or says more of it.
                Err(error) => self.zygotes.give_up(&of, &error),
            }
        }
        self.make_by(&self.launcher, Entry::Cloned, shape).await
    }

    /// None can be made for that.
    pub(super) fn no_zygote(&self, of: &Of, why: &Error) {
        self.zygotes.give_up(of, why);
    }

    /// Why there are interpreters that sandboxes can't be forked from.
    pub(super) fn failed_zygotes(&self) -> BTreeSet<String> {
        self.zygotes.failures()
    }

    /// Whether one is there for that which is young enough, or couldn't be made a moment ago.
    pub(super) fn has_zygote(&self, of: &Of) -> bool {
        self.zygotes.has(of)
    }

    /// Has an interpreter made from which places with this root are forked, if there is none.
    pub(super) async fn make_zygote(&self, of: Of, root: u32, command: AheadCommand) -> Result<()> {
        let guest_root = of.root;
        let make = async {
            let argv = command.argv();
            let plan = ZygotePlan { root, guest_root, ids: self.ids_of_zygotes(), argv, env: command.env.clone() };
            let launcher = self.launcher.start_zygote(plan).await.map_err(zygotes::failed)?;
            Ok(Zygote::new(launcher, command))
        };
        self.zygotes.get(of, make).await.map(drop)
    }

    /// First inside, first outside and count, as in the launcher's user namespace: its own id is one that no guest gets, and
    /// those of its guests are called the same as where there is no interpreter.
    fn ids_of_zygotes(&self) -> Vec<Ids> {
        let (own, guests) = match self.ids {
            Sources::Range { start, count } => (start, count.saturating_sub(1)),
            Sources::Spare { count } => (1, count.saturating_sub(1)),
            Sources::Own => (0, 0),
        };
        let guests = (guests > 0).then(|| (own.saturating_add(1), own.saturating_add(1), guests));
        std::iter::once((0, own, 1)).chain(guests).collect()
    }

    async fn make_by(&self, launcher: &Launcher, entry: Entry, shape: &Shape) -> Result<Place> {
        let Identity { outside_id, users, held } = self.identity(shape)?;
        let ids = match &users {
            plan::Users::Guest => vec![(GUEST_ID, outside_id, 1)],
            plan::Users::Root { ids, .. } => ids.clone(),
        };
        let cgroup =
            self.cgroups.create(&shape.cgroup).map_err(|error| translate("make the sandbox's control group", error))?;
        let (clone_into, join) =
            cgroup.entrances(entry).map_err(|error| translate("open the sandbox's control group", error))?;
        let plan = JailPlan {
            root: shape.root,
            outside_id,
            users,
            disk_bytes: shape.disk_bytes,
            inodes: shape.inodes,
            clone_into_cgroup: clone_into.is_some(),
            join_cgroups: u32::try_from(join.len()).unwrap_or(u32::MAX),
            landlock_abi: self.landlock_abi,
            seccomp: match shape.network {
                Network::Closed => &self.filter,
                Network::Door => self.filter_with_door.get_or_init(|| seccomp::compile(Connections::Made)),
            }
            .clone(),
            reports: self.reports,
            proc: shape.proc,
            terminals: shape.terminals,
            network: shape.network,
            without: shape.without.clone(),
        };
        let descriptors: Vec<_> = clone_into.iter().chain(&join).map(AsFd::as_fd).collect();
        let started = launcher.start_sandbox(SandboxPlan::Jailed(plan), &descriptors).await;
        let started = started.map_err(|error| start_error("start the sandbox", error))?;
        Ok(Place { zygote: None, started, cgroup, outside_id, ids, held })
    }

    /// Starts a range with the limits given.
    pub(super) async fn open_range(&self, root: u32, limits: &CgroupLimits) -> Result<(Started, Cgroup)> {
        let cgroup = self.cgroups.create(limits).map_err(|error| translate("make the range's control group", error))?;
        let (clone_into, join) =
            cgroup.entrances(Entry::Cloned).map_err(|error| translate("open the range's control group", error))?;
        // Never the host's root: it owns files that take no capability to write, such as most of /proc/sys.
        let (root_outside, spare) = match self.ids {
            Sources::Range { start, count } => (start, Some((start.saturating_add(1), count.saturating_sub(1)))),
            Sources::Spare { count } => (0, Some((1, count))),
            Sources::Own => (0, None),
        };
        let mut ids = vec![(0, root_outside, 1)];
        ids.extend(spare.map(|(first, count)| (1, first, count.min(RANGE_IDS))));
        if root_outside != 0 {
            cgroup
                .delegate(root_outside)
                .map_err(|error| translate("give the range's control group to its root", error))?;
        }
        let plan = RangePlan {
            root,
            ids,
            disk_bytes: RANGE_DISK,
            inodes: RANGE_INODES,
            clone_into_cgroup: clone_into.is_some(),
            join_cgroups: u32::try_from(join.len()).unwrap_or(u32::MAX),
            cgroup_mounts: self.cgroups.mounts_of_a_range(),
            addresses: RANGE_ADDRESSES.to_vec(),
        };
        let descriptors: Vec<_> = clone_into.iter().chain(&join).map(AsFd::as_fd).collect();
        let started = self.launcher.start_sandbox(SandboxPlan::Range(plan), &descriptors).await;
        Ok((started.map_err(|error| start_error("start the range", error))?, cgroup))
    }

    fn identity(&self, shape: &Shape) -> Result<Identity> {
        let ((first, count), roots) = self.ids.shares();
        let (outside_id, users, held) = match (shape.users, shape.id) {
            // Chosen at random, so that supervisors who know nothing of each other don't meet.
            (Users::Guest, GuestId::Distinct) => (first.saturating_add(random(count)?), plan::Users::Guest, None),
            (Users::Guest, GuestId::Root) => (0, plan::Users::Guest, None),
            (Users::Root, GuestId::Distinct) => {
                let (first, held) = self.hold_range(roots)?;
                let most_processes = (!self.cgroups.limits_pids()).then_some(shape.cgroup.pids);
                (first, plan::Users::Root { ids: layers::ids_of_a_root(first), most_processes }, Some(held))
            }
            (Users::Root, GuestId::Root) => (0, plan::Users::Root { ids: vec![(0, 0, 1)], most_processes: None }, None),
        };
        Ok(Identity { outside_id, users, held })
    }

    /// Takes a range of ids that no sandbox has, of this supervisor's or of another one's on this machine. Each holds a name of the
    /// machine's network for every range that it has taken, which the kernel frees when the supervisor ends.
    fn hold_range(&self, (first, count): Stretch) -> Result<(u32, OwnedFd)> {
        let operation = "take a range of user ids";
        let ranges = count / IDS_OF_A_ROOT;
        if ranges == 0 {
            return Err(Error::new(ErrorKind::Refused, operation, "there is none for root inside"));
        }
        let start = random(ranges)?;
        for step in 0..ranges.min(MOST_RANGES_TRIED) {
            let first = first.saturating_add((start.saturating_add(step) % ranges).saturating_mul(IDS_OF_A_ROOT));
            let name = SocketAddr::from_abstract_name(format!("crucible-ids-{}", self.host_ids.of(first).0));
            match name.and_then(|name| UnixDatagram::bind_addr(&name)) {
                Ok(held) => return Ok((first, held.into())),
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
                Err(error) => {
                    let message = "its name can't be held";
                    return Err(Error::new(ErrorKind::Infrastructure, operation, message).with_source(error));
                }
            }
        }
        let message = "every range of ids is some other sandbox's that has root inside";
        Err(Error::new(ErrorKind::Unavailable, operation, message).with_hint(format!(
            "each takes {IDS_OF_A_ROOT}: give the user more in /etc/subuid and /etc/subgid, or end other sandboxes"
        )))
    }
}

/// How many ranges are tried before all are taken for taken.
const MOST_RANGES_TRIED: u32 = 4096;

fn random(count: u32) -> Result<u32> {
    host::random_below(count).map_err(|error| {
        Error::new(ErrorKind::Infrastructure, "choose a user id", "the kernel gives no random numbers")
            .with_source(error)
    })
}
