//! Places: gVisor sandboxes in which nothing has run yet.
//!
//! Invariant: a place is fresh, and used once.

use super::bundle::{Home, Root};
use super::runsc::Runsc;
use super::sandbox::{self, Machine};
use crucible_agent::host::AgentClient;
use crucible_core::{Limits, NetworkKind, Policy, Result, SandboxId, Users};
use crucible_jail::host::Launcher;
use crucible_jail::host::cgroup::{CgroupLimits, Cgroups};
use std::sync::Arc;

/// What gVisor's own processes may take of memory until a sandbox stands. What they took by then is added to the guest's limit.
const OWN_MEMORY: u64 = 96 << 20;
/// What they may take more while a guest runs.
const UPKEEP: u64 = 4 << 20;
/// What gVisor's own processes may have of threads on the host, and how many a guest's process may take there.
const OWN_THREADS: u64 = 512;
const THREADS_PER_PROCESS: u64 = 4;

/// Everything that tells one place from another before anything ran in it.
#[derive(Clone)]
pub(super) struct Shape {
    pub(super) root: Arc<Root>,
    /// The limits until a sandbox stands.
    host: CgroupLimits,
    /// Those from then on, to which what gVisor itself has in memory is added.
    guest: CgroupLimits,
    disk: u64,
    processes: u32,
    users: Users,
    network: NetworkKind,
}

impl Shape {
    pub(super) fn new(root: Arc<Root>, limits: &Limits, policy: &Policy) -> Self {
        let host = CgroupLimits {
            memory: guest_memory(limits).saturating_add(OWN_MEMORY),
            // How many a guest may have is held by its own kernel. This is for what that kernel makes of them.
            pids: u64::from(limits.pids).saturating_mul(THREADS_PER_PROCESS).saturating_add(OWN_THREADS),
            // Until it stands nothing of a guest runs in it.
            cpu_thousandths: whole_machine(),
        };
        let guest = CgroupLimits { memory: guest_memory(limits), cpu_thousandths: limits.cpus.get(), ..host };
        let (users, network) = (policy.users, policy.network.kind());
        Self { root, host, guest, disk: limits.disk.get(), processes: limits.pids, users, network }
    }
}

/// Thousandths of a processor that this machine has.
fn whole_machine() -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(processors).unwrap_or(u32::MAX).saturating_mul(1000)
}

/// What is written to a sandbox's files is memory, too.
fn guest_memory(limits: &Limits) -> u64 {
    limits.memory.get().saturating_add(limits.disk.get()).saturating_add(UPKEEP)
}

/// A sandbox in which nothing has run yet, and its agent.
pub(super) type Place = (Machine, AgentClient);

/// Makes places.
pub(super) struct Places {
    // In this order, so that all that the launcher started is dying when groups and folders are removed.
    launcher: Launcher,
    cgroups: Cgroups,
    runsc: Runsc,
    home: Arc<Home>,
}

impl Places {
    pub(super) fn new(launcher: Launcher, cgroups: Cgroups, runsc: Runsc, home: Arc<Home>) -> Self {
        Self { launcher, cgroups, runsc, home }
    }

    pub(super) const fn runsc(&self) -> &Runsc {
        &self.runsc
    }

    /// Whether the host counts the processor time of a whole sandbox.
    pub(super) fn counts_cpu(&self) -> bool {
        self.cgroups.counts_cpu()
    }

    pub(super) fn home(&self) -> &Home {
        &self.home
    }

    /// Makes one.
    pub(super) async fn make(&self, shape: &Shape, id: SandboxId) -> Result<Place> {
        let cgroup = self.cgroups.create(&shape.host).map_err(sandbox::cgroup_error)?;
        let machine = Machine::start(&self.launcher, &self.runsc, &self.home, &shape.root, Some(cgroup), id).await?;
        let beginning = sandbox::beginning(shape.disk, shape.processes, shape.users, shape.network);
        let (mut machine, agent) = machine.greet(beginning).await?;
        machine.settle(shape.guest)?;
        Ok((machine, agent))
    }
}
