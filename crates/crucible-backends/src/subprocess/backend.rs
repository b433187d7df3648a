//! Starts plain processes by the same launcher as the jail, so that a whole process tree can be ended.

use crate::native::{
    NativeParts, NativeSandbox, Nests, live_features, process_limits, start_error, unwatched, watching_processes,
};
use crate::runtime;
use async_trait::async_trait;
use crucible_core::{
    Ability, Backend, Capabilities, Check, Command, Component, Enforcement, Error, ErrorKind, HostPath, Isolation,
    Layer, LayerState, Layers, LimitKind, Limits, Monitoring, NetworkKind, Policy, Readiness, Result, Sandbox,
    SandboxId, SandboxRequest, SelfTest, TripwireKind, Watchable,
};
use crucible_jail::host::{Launcher, launcher_digest};
use crucible_jail::plan::{Privilege, ProcessLimit, SandboxPlan};

const REASON: &str = "the subprocess backend isolates nothing";
const MEND: &str = "use the jail";

/// What an operator can set about plain processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubprocessConfig {
    /// Where the answers of interpreters are remembered.
    pub interpreter_cache: Option<HostPath>,
}

/// Plain processes.
pub struct SubprocessBackend {
    launcher: Launcher,
    capabilities: Capabilities,
    config: SubprocessConfig,
}

impl SubprocessBackend {
    /// Starts the launcher. Needs a running tokio runtime.
    ///
    /// # Errors
    /// `Unavailable` where it can't be started.
    pub async fn start(config: SubprocessConfig) -> Result<Self> {
        let launcher =
            Launcher::start(Privilege::Bare, None).await.map_err(|error| start_error("start the launcher", error))?;
        let layers = Layer::ALL
            .into_iter()
            .map(|layer| match layer {
                Layer::CleanStart | Layer::Rlimits => (layer, LayerState::active("")),
                _ => (layer, LayerState::absent(REASON, MEND)),
            })
            .collect();
        let limits = LimitKind::ALL
            .into_iter()
            .map(|limit| match limit {
                LimitKind::Timeout | LimitKind::Output => (limit, Enforcement::Sandbox),
                LimitKind::CpuTime
                | LimitKind::Memory
                | LimitKind::OpenFiles
                | LimitKind::FileSize
                | LimitKind::Stack => (limit, Enforcement::Process),
                LimitKind::Cpus | LimitKind::Pids | LimitKind::Disk | LimitKind::Inodes => (limit, Enforcement::None),
            })
            .collect();
        let capabilities = Capabilities {
            isolation: Isolation::None,
            layers,
            limits,
            // It can't take the network away, but says so by the missing layer.
            networks: [NetworkKind::None].into(),
            absolute_paths: false,
            arbitrary_commands: true,
            abilities: Ability::ALL.into(),
            // Its work folder is the only one that a listener could be in, and not under the same path.
            tripwires: [TripwireKind::Credentials, TripwireKind::File, TripwireKind::Environment].into(),
            monitoring: monitoring(&launcher),
            live: live_features(),
            root_inside: LayerState::absent(
                "it isolates nothing, so that there is no inside",
                "take the jail (-b jail), or a policy with users = \"guest\"",
            ),
            layers_with_root: Layers::new(),
        };
        Ok(Self { launcher, capabilities, config })
    }
}

fn monitoring(launcher: &Launcher) -> Monitoring {
    let mut monitoring = unwatched("the subprocess backend doesn't come between a program and the kernel");
    monitoring.insert(Watchable::Processes, watching_processes(launcher.hears_of_programs().into()));
    monitoring
}

#[async_trait]
impl Component for SubprocessBackend {
    fn name(&self) -> &str {
        "subprocess"
    }

    async fn self_test(&self) -> SelfTest {
        let check = match run_true(self).await {
            Ok(status) => Check::new(
                "a process can be started and ended",
                (status == crucible_core::ExitStatus::Exited(0)).into(),
                format!("{status:?}"),
            ),
            Err(error) => Check::new("a process can be started and ended", false.into(), error.to_string()),
        };
        SelfTest { component: "subprocess".to_owned(), checks: vec![check] }
    }
}

async fn run_true(backend: &SubprocessBackend) -> Result<crucible_core::ExitStatus> {
    let request = SandboxRequest {
        id: SandboxId::generate(),
        language: None,
        limits: Limits::default(),
        policy: Policy::unisolated(),
        readiness: Readiness::Bare,
        project: None,
    };
    let sandbox = backend.create(request).await?;
    let command = Command { argv: vec!["true".to_owned()], ..Command::default() };
    let mut execution = sandbox.exec(command).await?;
    let status = execution.process.wait().await?;
    sandbox.destroy().await?;
    Ok(status)
}

#[async_trait]
impl Backend for SubprocessBackend {
    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    fn runtime_digest(&self) -> Option<String> {
        Some(format!("sha256:{}", launcher_digest()))
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn create(&self, request: SandboxRequest) -> Result<Box<dyn Sandbox>> {
        let SandboxRequest { id, language, limits, policy, readiness: _, project: _ } = request;
        self.capabilities.admit(self.name(), &policy)?;
        let interpreter = match language {
            Some(language) => {
                runtime::resolve(&language, self.config.interpreter_cache.as_ref().map(HostPath::as_path))?.interpreter
            }
            None => None,
        };
        let folder = tempfile::Builder::new().prefix("crucible-").tempdir().map_err(|error| {
            Error::new(ErrorKind::Unavailable, "make the work folder", "no folder can be made for temporary files")
                .with_source(error)
                .with_hint("set TMPDIR to a folder that can be written")
        })?;
        let directory = folder.path().to_str().ok_or_else(|| {
            Error::new(
                ErrorKind::Unavailable,
                "make the work folder",
                "the folder for temporary files isn't named in UTF-8",
            )
        })?;
        let plan = SandboxPlan::Bare { directory: directory.to_owned() };
        let env = vec![
            ("PATH".to_owned(), std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned())),
            ("HOME".to_owned(), directory.to_owned()),
            ("TMPDIR".to_owned(), directory.to_owned()),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ];
        let mut all_limits = process_limits(&limits);
        // Not 0, at which a core may still go to a helper of the host's.
        all_limits.extend([(ProcessLimit::Core, 1), (ProcessLimit::Data, limits.memory.get())]);
        let started =
            self.launcher.start_sandbox(plan, &[]).await.map_err(|error| start_error("start the process", error))?;
        Ok(Box::new(NativeSandbox::new(NativeParts {
            id,
            started,
            layers: self.capabilities.layers.clone(),
            monitoring: self.capabilities.monitoring.clone(),
            interpreter: interpreter.map(|interpreter| interpreter.path),
            env,
            limits: all_limits,
            cgroup: None,
            nests: Nests::No,
            look: None,
            folder: Some(folder),
            ids_held: None,
            features: live_features(),
            again: None,
            waiting: None,
        })))
    }
}
