//! Makes jailed sandboxes.

use super::layers::{self, Ids};
use super::place::{GuestId, Place, Places, Shape};
use super::posture::{self, HostIds, PlannedUsers};
use super::zygotes::Of;
use super::{JailConfig, Watch, control, root, self_test};
use crate::ahead::{self, AheadCommand, Unready};
use crate::native::{
    Again, NativeParts, NativeSandbox, Nests, Waiting, process_limits, start_error, system_language,
    watching_with_a_door,
};
use crate::runtime::{self, HostInterpreter, Runtime};
use crate::users::environment;
use async_trait::async_trait;
use crucible_core::{
    Backend, Capabilities, Component, ControlSandbox, Error, ErrorKind, HostPath, Language, Layer, Layers, Limits,
    Monitoring, NetworkPolicy, Policy, ProjectId, Readiness, Result, Sandbox, SandboxId, SandboxRequest, SelfTest,
    Users,
};
use crucible_jail::host::cgroup::{CgroupLimits, Cgroups};
use crucible_jail::host::posture::{Look, PlannedMounts};
use crucible_jail::host::{self, JailError, Launcher};
use crucible_jail::plan::{Need, Network, Privilege, ProcessLimit, RootEntry, WORK};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{Mutex, OnceCell};

/// What the sandbox's init itself may take of the memory limit.
const INIT_MEMORY: u64 = 1 << 20;
/// What everything in a range may take together.
const RANGE_MEMORY: u64 = 3 << 30;
const RANGE_PIDS: u64 = 1024;

/// The native jail.
pub struct JailBackend {
    places: Arc<Places>,
    capabilities: Capabilities,
    host_ids: HostIds,
    interpreter_cache: Option<HostPath>,
    roots: Mutex<Roots>,
    unready: Unready,
}

/// The roots that the launcher holds ready.
#[derive(Default)]
struct Roots {
    prepared: Vec<Arc<PreparedRoot>>,
    /// Every one has had a number of its own, those of ranges too.
    count: u32,
}

impl Roots {
    fn next(&mut self) -> u32 {
        let number = self.count;
        self.count = self.count.saturating_add(1);
        number
    }
}

/// What a sandbox's root folder holds, and what its commands find in their environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Furnishing {
    /// What a language needs, with the few variables that every command gets.
    Language(Arc<Language>),
    /// What was found before, for a program of Crucible's own that runs the guest's. No variables: they are the guest's, and
    /// some would change what that program does.
    Own(Arc<Runtime>),
}

/// A root folder that the launcher holds ready.
struct PreparedRoot {
    of: Furnishing,
    users: Users,
    number: u32,
    entries: Vec<RootEntry>,
    mounts: PlannedMounts,
    interpreter: Option<HostInterpreter>,
    /// That of the interpreter from which sandboxes with this root are forked, once one was prepared.
    zygotes: OnceCell<u32>,
}

impl JailBackend {
    /// Starts the jail's launcher and finds out what this machine allows. Needs a running tokio runtime.
    ///
    /// # Errors
    /// `Unavailable` where the kernel allows no namespaces, with the mend.
    pub async fn start(config: JailConfig) -> Result<Self> {
        check_ids(&config)?;
        let parent = config.cgroup_parent.as_ref().map(HostPath::as_path);
        // The launcher needs a moment of its own to start; meanwhile there is something to do here.
        let open_cgroups = async {
            tokio::task::yield_now().await;
            Cgroups::open(parent)
        };
        let (launcher, cgroups) = tokio::join!(start_launcher(&config), open_cgroups);
        let (mut launcher, ids, host_ids) = launcher.map_err(|error| start_error("start the jail", error))?;
        if config.watch == Watch::Nothing {
            launcher.watch_nothing();
        }
        let capabilities = layers::capabilities(&launcher, &cgroups, ids, config.watch);
        let places = Arc::new(Places::new(launcher, cgroups, ids, host_ids, &config));
        let interpreter_cache = config.interpreter_cache;
        Ok(Self {
            places,
            capabilities,
            host_ids,
            interpreter_cache,
            roots: Mutex::default(),
            unready: Unready::default(),
        })
    }

    /// The version of control groups in use: `v1`, `v2`, `v1+v2` or `none`.
    #[must_use]
    pub fn cgroup_version(&self) -> &'static str {
        self.places.cgroups().describe()
    }

    /// Why programs of a language start cold that could start warm, if some do.
    pub(super) fn cold_languages(&self) -> BTreeSet<String> {
        self.places.failed_zygotes().into_iter().chain(self.unready.reasons()).collect()
    }

    /// Finds the prepared root of a language or of a program of ours, or prepares it.
    async fn root(&self, of: Furnishing, users: Users) -> Result<Arc<PreparedRoot>> {
        let mut roots = self.roots.lock().await;
        if let Some(root) = roots.prepared.iter().find(|root| root.of == of && root.users == users) {
            return Ok(Arc::clone(root));
        }
        let runtime = match &of {
            Furnishing::Language(language) => {
                Arc::new(runtime::resolve(language, self.interpreter_cache.as_ref().map(HostPath::as_path))?)
            }
            Furnishing::Own(runtime) => Arc::clone(runtime),
        };
        let number = roots.next();
        let entries = root::entries(&runtime, users)?;
        let mounts = PlannedMounts::of(&entries);
        self.places.prepare_root(number, entries.clone()).await?;
        let interpreter = runtime.interpreter.clone();
        let root = Arc::new(PreparedRoot { of, users, number, entries, mounts, interpreter, zygotes: OnceCell::new() });
        roots.prepared.push(Arc::clone(&root));
        Ok(root)
    }

    /// Has an interpreter made ready from which sandboxes with this root are forked, if its language has one that can be.
    async fn make_zygote(&self, root: &PreparedRoot, project: Option<ProjectId>) -> Result<()> {
        let (Furnishing::Language(language), Some(interpreter)) = (&root.of, &root.interpreter) else { return Ok(()) };
        let of = Of { root: root.number, project };
        if self.places.has_zygote(&of) {
            return Ok(());
        }
        let base = environment(Some(&interpreter.path), Users::Guest);
        let Some(command) = AheadCommand::of(language, &interpreter.path, &base) else { return Ok(()) };
        let program = ahead::program(language, root.number).inspect_err(|error| self.places.no_zygote(&of, error))?;
        let Some(program) = program else { return Ok(()) };
        let path = format!("{WORK}/{}", command.file_name);
        let prepare = || async {
            let number = self.roots.lock().await.next();
            let place = RootEntry::File { path, content: program.into_bytes() };
            let entries = root.entries.iter().cloned().chain([place]).collect();
            self.places.prepare_root(number, entries).await.map(|()| number)
        };
        let number = *root.zygotes.get_or_try_init(prepare).await?;
        self.places.make_zygote(of, number, command).await
    }

    fn process_limits(&self, limits: &Limits) -> Vec<(ProcessLimit, u64)> {
        let mut all = process_limits(limits);
        all.extend([
            (ProcessLimit::LockedMemory, 64 << 10),
            (ProcessLimit::MessageQueues, 0),
            (ProcessLimit::RealTimePriority, 0),
            (ProcessLimit::PendingSignals, 1024),
        ]);
        if !self.places.cgroups().limits_memory() {
            all.push((ProcessLimit::Data, limits.memory.get()));
        }
        if !self.places.cgroups().limits_pids() {
            // The init is one of them.
            all.push((ProcessLimit::Processes, u64::from(limits.pids) + 1));
        }
        all
    }
}

/// The lowest id that a guest may get: those below belong to the system and its users.
const LOWEST_ID: u32 = 1 << 16;

/// Refuses a range of ids that holds those of people, or runs over the end.
fn check_ids(config: &JailConfig) -> Result<()> {
    let end = config.uid_start.checked_add(config.uid_count);
    if config.uid_start < LOWEST_ID || config.uid_count == 0 || end.is_none_or(|end| end == u32::MAX) {
        let message = format!("{} user ids from {} can't be given to guests", config.uid_count, config.uid_start);
        return Err(Error::new(ErrorKind::Configuration, "check the range of user ids", message).with_hint(format!(
            "jail.uid_start is at least {LOWEST_ID}, jail.uid_count at least 1, and their sum below 2^32 - 1"
        )));
    }
    Ok(())
}

async fn start_launcher(config: &JailConfig) -> Result<(Launcher, Ids, HostIds), JailError> {
    if host::effective_user() == 0 {
        match Launcher::start(Privilege::Root, None).await {
            Ok(launcher) => {
                let ids = ids_of_root(config, &host::mapped_ids());
                // The launcher has no user namespace of its own, so that ids are the same on both sides.
                let host_ids = if ids == Ids::Own { HostIds::new(ids, None) } else { HostIds::Same };
                return Ok((launcher, ids, host_ids));
            }
            // Root of a container without capabilities: a user namespace may still be allowed. But with nothing else to
            // map, guests would have root's own id outside, so root must not be root outside of the container.
            Err(JailError::Step { .. }) if host::root_is_somebody_else_outside() => {}
            Err(error) => return Err(error),
        }
    } else if let Some(spare) = host::spare_ids() {
        let count = spare.0.1.min(spare.1.1);
        match Launcher::start(Privilege::Ordinary { spare_ids: true }, Some(spare)).await {
            Ok(launcher) => {
                let ids = Ids::Spare { count };
                return Ok((launcher, ids, HostIds::new(ids, Some(spare))));
            }
            // The helpers may be there and not allowed to do their work.
            Err(JailError::Step { .. } | JailError::Os { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let launcher = Launcher::start(Privilege::Ordinary { spare_ids: false }, None).await?;
    Ok((launcher, Ids::Own, HostIds::new(Ids::Own, None)))
}

/// The ids that root can give to guests: those of the configuration, or what a container's user namespace has.
fn ids_of_root(config: &JailConfig, mapped: &[(u32, u32)]) -> Ids {
    let (start, count) = (config.uid_start, config.uid_count);
    let holds = |(first, length): &(u32, u32)| {
        start >= *first && u64::from(start) + u64::from(count) <= u64::from(*first) + u64::from(*length)
    };
    if mapped.iter().any(holds) {
        return Ids::Range { start, count };
    }
    // From 1 on, as far as it goes in one piece or in two: a range has its own root mapped apart.
    let spare = mapped.iter().find_map(|(first, length)| match first {
        0 => Some(length.saturating_sub(1)).filter(|count| *count > 0),
        1 => Some(*length),
        _ => None,
    });
    spare.map_or(Ids::Own, |count| Ids::Spare { count })
}

fn need(policy: &Policy, layer: Layer) -> Need {
    if policy.require.contains(&layer) { Need::Required } else { Need::Preferred }
}

#[async_trait]
impl Component for JailBackend {
    fn name(&self) -> &str {
        "jail"
    }

    async fn self_test(&self) -> SelfTest {
        self_test::run(self).await
    }
}

#[async_trait]
impl Backend for JailBackend {
    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    fn runtime_digest(&self) -> Option<String> {
        Some(format!("sha256:{}", host::launcher_digest()))
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn create(&self, request: SandboxRequest) -> Result<Box<dyn Sandbox>> {
        self.capabilities.admit(self.name(), &request.policy)?;
        let furnishing = furnishing(&request)?;
        let nothing = BTreeSet::new();
        let make = || self.make(request.clone(), furnishing.clone(), &nothing);
        match &furnishing {
            // Where it can't be forked.
            Furnishing::Language(language) if language.ready != Language::PYTHON => {
                self.unready.make(&request, language, make).await
            }
            _ => Ok(Box::new(make().await?)),
        }
    }
}

impl JailBackend {
    /// Makes a sandbox without some layers (see [`super::control`]), with a root folder that isn't the request's language's.
    pub(crate) async fn make(
        &self,
        request: SandboxRequest,
        furnishing: Furnishing,
        without: &BTreeSet<Layer>,
    ) -> Result<NativeSandbox> {
        let SandboxRequest { id, limits, policy, readiness, project, .. } = request;
        let root = self.root(furnishing, policy.users).await?;
        let forks = may_be_a_fork(policy.users, without);
        if readiness == Readiness::Interpreter && forks {
            // Without one, the interpreter starts when the program does.
            let _made = self.make_zygote(&root, project.clone()).await.is_ok();
        }
        let shape = Shape {
            root: root.number,
            cgroup: CgroupLimits {
                // What is written to the sandbox's files is memory, too.
                memory: limits.memory.get().saturating_add(limits.disk.get()).saturating_add(INIT_MEMORY),
                pids: u64::from(limits.pids) + 1,
                cpu_thousandths: limits.cpus.get(),
            },
            disk_bytes: limits.disk.get(),
            inodes: limits.inodes,
            proc: need(&policy, Layer::PrivateProc),
            terminals: need(&policy, Layer::PrivateDev),
            network: match policy.network {
                NetworkPolicy::None => Network::Closed,
                NetworkPolicy::AllowList(_) => Network::Door,
            },
            without: Vec::new(),
            id: GuestId::Distinct,
            interpreter: (readiness != Readiness::Bare && forks).then_some(project),
            users: policy.users,
        };
        let recipe = Recipe {
            places: Arc::clone(&self.places),
            capabilities: Capabilities {
                layers: self.capabilities.layers_under(&policy),
                live: self.capabilities.live_under(&policy),
                ..self.capabilities.clone()
            },
            host_ids: self.host_ids,
            root,
            shape,
            process_limits: self.process_limits(&limits),
        };
        Arc::new(recipe).make_without(id, without).await
    }

    /// Opens a range, in which `program` is found at [`crucible_jail::plan::RANGE_PROGRAM`]. Its root is
    /// nobody on the host. It is no sandbox for anything untrusted.
    ///
    /// # Errors
    /// As [`Backend::create`].
    pub async fn open_range(&self, program: &HostPath) -> Result<ControlSandbox> {
        let mut roots = self.roots.lock().await;
        let number = roots.next();
        self.places
            .prepare_root(number, root::entries_of_a_range(program, &self.places.cgroups().mounts_of_a_range())?)
            .await?;
        drop(roots);
        let limits = CgroupLimits { memory: RANGE_MEMORY, pids: RANGE_PIDS, cpu_thousandths: control::whole_machine() };
        let (started, cgroup) = self.places.open_range(number, &limits).await?;
        let env = [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("HOME", "/run"),
            ("TMPDIR", "/tmp"),
        ];
        Ok(ControlSandbox::new(Box::new(NativeSandbox::new(NativeParts {
            id: SandboxId::generate(),
            layers: Layers::new(),
            monitoring: Monitoring::new(),
            look: None,
            started,
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            interpreter: None,
            limits: Vec::new(),
            cgroup: Some(cgroup),
            folder: None,
            nests: Nests::Yes,
            ids_held: None,
            features: BTreeSet::new(),
            again: None,
            waiting: None,
        }))))
    }
}

/// Everything of which a sandbox is made, so that another one can be.
struct Recipe {
    places: Arc<Places>,
    capabilities: Capabilities,
    host_ids: HostIds,
    root: Arc<PreparedRoot>,
    shape: Shape,
    process_limits: Vec<(ProcessLimit, u64)>,
}

impl Recipe {
    async fn make_without(self: Arc<Self>, id: SandboxId, without: &BTreeSet<Layer>) -> Result<NativeSandbox> {
        let shape = self.shape.clone();
        let mut layers = self.capabilities.layers.clone();
        let mut process_limits = self.process_limits.clone();
        let shape = if without.is_empty() {
            shape
        } else {
            control::weaken(without, &mut layers, &mut process_limits);
            control::weakened(shape, without)
        };
        let Place { zygote, started, cgroup, outside_id, ids, held } = self.places.make(&shape).await?;
        let waiting = zygote.map(|zygote| Waiting::new(zygote.command, zygote.launcher, zygote.until));
        let interpreter = self.root.interpreter.as_ref().map(|interpreter| interpreter.path.clone());
        let mut monitoring = self.capabilities.monitoring.clone();
        if started.door.is_some() {
            watching_with_a_door(&mut monitoring);
        }
        let layers = layers::of_sandbox(&layers, started.sandbox.without());
        let users = PlannedUsers { users: shape.users, own: outside_id, ids: &ids };
        let planned = posture::planned(&layers, self.host_ids, &users, &self.root.mounts);
        Ok(NativeSandbox::new(NativeParts {
            id,
            look: Some(Arc::new(Look::new(&started, planned, Some(&cgroup)))),
            layers,
            monitoring,
            started,
            env: match self.root.of {
                Furnishing::Language(_) => environment(interpreter.as_deref(), shape.users),
                Furnishing::Own(_) => Vec::new(),
            },
            interpreter,
            limits: process_limits,
            cgroup: Some(cgroup),
            folder: None,
            nests: Nests::No,
            ids_held: held,
            features: self.capabilities.live.clone(),
            again: may_be_a_fork(shape.users, without).then(|| Arc::clone(&self) as Arc<dyn Again>),
            waiting,
        }))
    }
}

#[async_trait]
impl Again for Recipe {
    async fn make(self: Arc<Self>, id: SandboxId) -> Result<NativeSandbox> {
        self.make_without(id, &BTreeSet::new()).await
    }
}

/// Whether a sandbox may be forked from an interpreter, and made anew for another run. Whoever forks from one has its one user,
/// and of a weakened one its launcher is what is looked at.
fn may_be_a_fork(users: Users, without: &BTreeSet<Layer>) -> bool {
    without.is_empty() && users == Users::Guest
}

/// What a request's language needs.
pub(super) fn furnishing(request: &SandboxRequest) -> Result<Furnishing> {
    Ok(Furnishing::Language(match &request.language {
        Some(language) => Arc::clone(language),
        None => Arc::new(system_language()?),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_ids_that_holds_those_of_people_is_refused() {
        check_ids(&JailConfig::default()).unwrap();
        for (uid_start, uid_count) in [(0, 1), (1000, 10), (1 << 16, 0), (u32::MAX - 5, 10), (1 << 16, u32::MAX)] {
            let config = JailConfig { uid_start, uid_count, ..JailConfig::default() };
            assert_eq!(check_ids(&config).unwrap_err().kind(), ErrorKind::Configuration, "{uid_start} {uid_count}");
        }
    }
}
