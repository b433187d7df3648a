//! Makes sandboxes with a kernel of their own.

use super::bundle::{self, Home, Root};
use super::place::{Places, Shape};
use super::runsc;
use super::sandbox::{GvisorSandbox, Parts};
use super::{GvisorConfig, layers, platform, self_test};
use crate::agent::{AgentSide, process_limits};
use crate::ahead::Unready;
use crate::native::{start_error, system_language, watching_with_a_door};
use crate::runtime;
use async_trait::async_trait;
use crucible_agent::host::ProcessLimit;
use crucible_core::{
    Backend, Capabilities, Component, HostPath, Language, Limits, LiveFeature, NetworkKind, Policy, Result, Sandbox,
    SandboxId, SandboxRequest, SelfTest, Users,
};
use crucible_jail::host::Launcher;
use crucible_jail::host::cgroup::Cgroups;
use crucible_jail::host::posture::Look;
use crucible_jail::plan::Privilege;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Mutex;

/// gVisor.
pub struct GvisorBackend {
    places: Arc<Places>,
    capabilities: Arc<Capabilities>,
    cache: Option<HostPath>,
    roots: Mutex<Vec<PreparedRoot>>,
    agent: PathBuf,
    unready: Unready,
}

/// A root folder that is ready for a language.
struct PreparedRoot {
    language: Language,
    users: Users,
    root: Arc<Root>,
    interpreter: Option<String>,
}

impl GvisorBackend {
    /// Finds `runsc` and a platform that works here. Needs a running tokio runtime.
    ///
    /// # Errors
    /// `Unavailable` where there is no `runsc`, or it makes no sandboxes here, with the mend.
    pub async fn start(config: GvisorConfig) -> Result<Self> {
        let program = runsc::find(&config)?;
        let started = Launcher::start(Privilege::Bare, None).await;
        let mut launcher = started.map_err(|error| start_error("start the launcher", error))?;
        // What runs below it is gVisor, whose programs are no guest's.
        launcher.watch_nothing();
        let cgroups = Cgroups::open(config.cgroup_parent.as_ref().map(HostPath::as_path));
        let home = Arc::new(Home::make()?);
        let agent = bundle::write_agent(home.path())?;
        let runsc = platform::choose(&launcher, &config, &program, &home, &agent).await?;
        let capabilities = Arc::new(layers::capabilities(&runsc, &cgroups));
        let places = Arc::new(Places::new(launcher, cgroups, runsc, home));
        Ok(Self {
            places,
            capabilities,
            cache: config.cache,
            roots: Mutex::default(),
            agent,
            unready: Unready::default(),
        })
    }

    /// The platform in use.
    #[must_use]
    pub fn platform(&self) -> &str {
        &self.places.runsc().platform
    }

    /// Finds the prepared root of a language, or prepares it.
    async fn root(&self, language: &Language, users: Users) -> Result<(Arc<Root>, Option<String>)> {
        let mut roots = self.roots.lock().await;
        if let Some(ready) = roots.iter().find(|ready| ready.language == *language && ready.users == users) {
            return Ok((Arc::clone(&ready.root), ready.interpreter.clone()));
        }
        let runtime = runtime::resolve(language, self.cache.as_ref().map(HostPath::as_path))?;
        let folder = self.places.home().path().join(format!("root-{}", roots.len()));
        let root = Arc::new(Root::make(folder, users, Some(&runtime), &self.agent)?);
        let interpreter = runtime.interpreter.map(|interpreter| interpreter.path);
        roots.push(PreparedRoot {
            language: language.clone(),
            users,
            root: Arc::clone(&root),
            interpreter: interpreter.clone(),
        });
        Ok((root, interpreter))
    }
}

#[async_trait]
impl Component for GvisorBackend {
    fn name(&self) -> &str {
        "gvisor"
    }

    async fn self_test(&self) -> SelfTest {
        self_test::run(self).await
    }
}

#[async_trait]
impl Backend for GvisorBackend {
    fn version(&self) -> String {
        format!("{} on {}", self.places.runsc().version, self.places.runsc().platform)
    }

    fn runtime_digest(&self) -> Option<String> {
        Some(format!("sha256:{}", self.places.runsc().digest))
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn create(&self, request: SandboxRequest) -> Result<Box<dyn Sandbox>> {
        self.capabilities.admit(self.name(), &request.policy)?;
        let language = match &request.language {
            Some(language) => Arc::clone(language),
            None => Arc::new(system_language()?),
        };
        self.unready.make(&request, &language, || self.make(&request, &language)).await
    }
}

impl GvisorBackend {
    /// Why there are languages whose interpreters don't wait in sandboxes that are made ahead.
    pub(super) fn cold_languages(&self) -> Vec<String> {
        self.unready.reasons()
    }

    async fn make(&self, request: &SandboxRequest, language: &Language) -> Result<GvisorSandbox> {
        let SandboxRequest { id, limits, policy, .. } = request;
        let (root, interpreter) = self.root(language, policy.users).await?;
        let recipe = Recipe {
            places: Arc::clone(&self.places),
            capabilities: Arc::clone(&self.capabilities),
            shape: Shape::new(root, limits, policy),
            limits: limits.clone(),
            policy: policy.clone(),
            interpreter,
        };
        Arc::new(recipe).make(*id).await
    }
}

/// What sandboxes are made by that are like one another.
pub(super) struct Recipe {
    places: Arc<Places>,
    capabilities: Arc<Capabilities>,
    shape: Shape,
    limits: Limits,
    policy: Policy,
    interpreter: Option<String>,
}

impl Recipe {
    pub(super) async fn make(self: Arc<Self>, id: SandboxId) -> Result<GvisorSandbox> {
        let Self { places, capabilities, shape, limits, policy, interpreter } = self.as_ref();
        let (machine, client) = places.make(shape, id).await?;
        let planned = layers::planned(places.runsc());
        let look = machine.kernel().map(|pid| Look::of_process(pid, planned, machine.cgroup()));
        let mut process_limits = process_limits(limits);
        if places.counts_cpu() {
            // gVisor's kernel takes a thread that waits for a processor of the host's for one that runs.
            process_limits.retain(|(limit, _)| *limit != ProcessLimit::CpuSeconds);
        }
        let mut monitoring = capabilities.monitoring.clone();
        if policy.network.kind() == NetworkKind::AllowList {
            watching_with_a_door(&mut monitoring);
        }
        let features = capabilities.live_under(policy);
        let forks = features.contains(&LiveFeature::Forks);
        Ok(GvisorSandbox::new(Parts {
            id,
            machine,
            agent: AgentSide::new(client, policy, features, interpreter.as_deref(), process_limits),
            layers: capabilities.layers_under(policy),
            monitoring,
            interpreter: interpreter.clone(),
            look,
            again: forks.then(|| Arc::clone(&self)),
        }))
    }
}
