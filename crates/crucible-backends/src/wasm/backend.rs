//! Makes sandboxes in which programs are WebAssembly.

use super::artifact::{self, Artifacts, Kind, Wanted};
use super::config::WasmConfig;
use super::engine;
use super::program::MountedRuntime;
use super::protocol::Imports;
use super::runtimes::{InstalledRuntime, RuntimeFolder};
use super::sandbox::{MemoryHeldBy, WasmSandbox, worker_command};
use super::self_test;
use crate::jail::{Furnishing, JailBackend};
use crate::runtime::{self, Runtime, RuntimeEntry};
use async_trait::async_trait;
use crucible_core::{
    Backend, ByteSize, Capabilities, Component, CpuCount, Error, ErrorKind, HostPath, Language, Layer, LayerState,
    Limits, LiveFeature, NetworkKind, Policy, Readiness, Result, Sandbox, SandboxId, SandboxRequest, SelfTest,
    TimeSpan, TripwireKind,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// The folder inside in which the worker and compiled runtimes are.
const FOLDER: &str = "/crucible";
/// The worker, inside.
pub(super) const WORKER: &str = "/crucible/worker";
/// Threads that the worker has for each of the guest's programs: its own, one that looks at the clock, and one that waits for
/// standard input.
const THREADS: u32 = 3;

/// WebAssembly in jailed workers.
pub struct WasmBackend {
    pub(super) jail: JailBackend,
    capabilities: Capabilities,
    config: WasmConfig,
    artifacts: Artifacts,
    /// The worker with its libraries.
    worker: Vec<RuntimeEntry>,
    digest: Option<String>,
}

impl WasmBackend {
    /// Starts the jail's launcher. Needs a running tokio runtime.
    ///
    /// # Errors
    /// As [`JailBackend::start`]; `NotFound` or `Unavailable` where the worker's program can't be used.
    pub async fn start(config: WasmConfig) -> Result<Self> {
        let worker = worker_files(&config)?;
        let artifacts = Artifacts::open(&config)?;
        let jail = JailBackend::start(config.jail.clone()).await?;
        let capabilities = capabilities(jail.capabilities());
        let digest = jail.runtime_digest();
        Ok(Self { jail, capabilities, config, artifacts, worker, digest })
    }

    /// The file with the compiled code of an installed runtime, which is compiled first where that is needed; its snapshot is
    /// made, too, where it has one.
    ///
    /// # Errors
    /// `NotFound` where it isn't installed, with the command that installs it; `Infrastructure` where it can't be compiled.
    pub async fn compiled(&self, runtime: &str) -> Result<HostPath> {
        let installed = self.runtimes()?.get(runtime)?;
        self.snapshot_of(&installed).await;
        self.compiled_of(&installed).await
    }

    /// The same for its snapshot; `None` where it has none, or where none can be made, which is told.
    ///
    /// # Errors
    /// `NotFound` where it isn't installed.
    pub async fn snapshot(&self, runtime: &str) -> Result<Option<HostPath>> {
        Ok(self.snapshot_of(&self.runtimes()?.get(runtime)?).await)
    }

    /// What another one of these, in a place where nothing of the user's is, needs to have the same runtimes: names and bytes
    /// of files, for [`WasmBackend::take_over`].
    ///
    /// # Errors
    /// As [`WasmBackend::compiled`].
    pub async fn hand_over(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut files = Vec::new();
        for installed in self.runtimes()?.list()? {
            let code = self.compiled_of(&installed).await?;
            let code = std::fs::read(code.as_path()).map_err(|error| unreadable(&code, error))?;
            files.push((format!("{}.wasm", installed.name), installed.read()?));
            files.push((format!("{}.compiled", installed.name), code));
            if let Some(code) = self.snapshot_of(&installed).await {
                let code = std::fs::read(code.as_path()).map_err(|error| unreadable(&code, error))?;
                files.push((format!("{}.snapshot", installed.name), code));
            }
        }
        Ok(files)
    }

    /// Takes what was handed over in a folder: before the backend starts.
    ///
    /// # Errors
    /// `Io` and `Refused` where it can't be read or kept.
    pub fn take_over(folder: &Path, config: &WasmConfig) -> Result<()> {
        let runtimes = runtimes(config)?;
        let artifacts = Artifacts::open(config)?;
        for name in super::runtimes::known()?.keys() {
            let read = |ending: &str| {
                let path = HostPath::new(folder.join(format!("{name}.{ending}")));
                std::fs::read(path.as_path()).map_err(|error| unreadable(&path, error))
            };
            if !folder.join(format!("{name}.wasm")).exists() {
                continue;
            }
            runtimes.keep(name, &read("wasm")?)?;
            let installed = runtimes.get(name)?;
            for (kind, ending) in [(Kind::Whole, "compiled"), (Kind::Snapshot, "snapshot")] {
                if let Some(wanted) = Wanted::new(&installed, kind)
                    && folder.join(format!("{name}.{ending}")).exists()
                {
                    artifacts.keep(&wanted, &read(ending)?)?;
                }
            }
        }
        Ok(())
    }

    fn runtimes(&self) -> Result<RuntimeFolder> {
        runtimes(&self.config)
    }

    async fn compiled_of(&self, installed: &InstalledRuntime) -> Result<HostPath> {
        let wanted = Wanted::new(installed, Kind::Whole)
            .ok_or_else(|| Error::new(ErrorKind::Infrastructure, "compile the runtime", "the runtime has no module"))?;
        self.made(installed, &wanted).await
    }

    /// Without it everything works as well, and takes longer.
    async fn snapshot_of(&self, installed: &InstalledRuntime) -> Option<HostPath> {
        let wanted = Wanted::new(installed, Kind::Snapshot).filter(|wanted| !self.artifacts.has_failed(wanted))?;
        match self.made(installed, &wanted).await {
            Ok(path) => Some(path),
            Err(error) => {
                self.artifacts.give_up(&wanted);
                let name = &installed.name;
                self.config.note.tell(&format!("'{name}' starts without a snapshot, which takes longer: {error}"));
                None
            }
        }
    }

    async fn made(&self, installed: &InstalledRuntime, wanted: &Wanted) -> Result<HostPath> {
        let _alone = self.artifacts.one_at_a_time.lock().await;
        if let Some(path) = self.artifacts.find(wanted, &self.config.note) {
            return Ok(path);
        }
        let module = installed.read()?;
        let request = SandboxRequest {
            id: SandboxId::generate(),
            language: None,
            limits: compiling(),
            policy: Policy::default(),
            readiness: Readiness::Bare,
            project: None,
        };
        let place = self.jail.make(request, self.furnishing(&BTreeMap::new()), &BTreeSet::new()).await?;
        let command = worker_command(&self.config.worker, &wanted.task, &[], &[])?;
        let code = match place.exec(command).await {
            Ok(execution) => artifact::hear(execution, &module).await,
            Err(error) => Err(error),
        };
        Box::new(place).destroy().await?;
        self.artifacts.keep(wanted, &code?)
    }

    /// The runtimes that a language, or without one any command, may use, with their code and that of their snapshots.
    async fn runtimes_for(
        &self,
        language: Option<&Language>,
    ) -> Result<Vec<(InstalledRuntime, HostPath, Option<HostPath>)>> {
        let installed = match language {
            None => self.runtimes()?.list()?,
            Some(language) if language.is_wasm_itself() => Vec::new(),
            Some(language) if language.wasm.is_empty() => {
                let message = format!("programs in {} can't run as WebAssembly", language.title);
                return Err(Error::new(ErrorKind::NotFound, "find the runtime", message)
                    .with_hint("leave out -b to run it in the jail; `crucible runtime list` says what there is"));
            }
            Some(language) => vec![self.runtimes()?.get(&language.wasm)?],
        };
        let mut found = Vec::new();
        for runtime in installed {
            let code = self.compiled_of(&runtime).await?;
            let snapshot = self.snapshot_of(&runtime).await;
            found.push((runtime, code, snapshot));
        }
        Ok(found)
    }

    /// The worker, and files of the host's under names of their own beside it.
    fn furnishing(&self, files: &BTreeMap<String, HostPath>) -> Furnishing {
        let mut entries = self.worker.clone();
        entries.extend(files.iter().map(|(target, source)| RuntimeEntry::Bind {
            source: source.as_path().to_owned(),
            target: target.clone(),
        }));
        Furnishing::Own(Arc::new(Runtime { interpreter: None, entries }))
    }

    /// Makes a sandbox, without some of the jail's layers if it is a control arm's.
    pub(super) async fn make(
        &self,
        mut request: SandboxRequest,
        without: &BTreeSet<Layer>,
        imports: Imports,
    ) -> Result<WasmSandbox> {
        let found = self.runtimes_for(request.language.as_deref()).await?;
        let mut files = BTreeMap::new();
        let mut mounted = Vec::new();
        for (runtime, code, snapshot) in found {
            let inside = format!("{FOLDER}/{}", runtime.name);
            let inside_snapshot = snapshot.as_ref().map(|_| format!("{inside}.snapshot"));
            files.extend(inside_snapshot.clone().zip(snapshot));
            mounted.push(MountedRuntime::new(&runtime.known, inside.clone(), inside_snapshot));
            files.insert(inside, code);
        }
        let furnishing = self.furnishing(&files);
        let (language, limits, readiness) = (request.language.clone(), request.limits.clone(), request.readiness);
        request.limits.pids = limits.pids.saturating_mul(THREADS);
        let place = if without.is_empty() {
            self.jail.make(request, furnishing, without).await?
        } else {
            self.jail.make_weakened(request, furnishing, without).await?
        };
        let interpreter = language.and(mounted.first()).map(|runtime| runtime.program.clone());
        let mut layers = place.layers().clone();
        layers.insert(Layer::WebAssembly, web_assembly());
        let holds_memory = layers.get(&Layer::CgroupMemory).is_some_and(LayerState::is_active);
        let mut sandbox = WasmSandbox {
            place,
            layers,
            interpreter,
            runtimes: mounted,
            worker: self.config.worker.clone(),
            limits,
            memory: if holds_memory { MemoryHeldBy::Kernel } else { MemoryHeldBy::Worker },
            imports,
            features: self.capabilities.live.clone(),
            waiting: Mutex::default(),
            baseline: Mutex::default(),
        };
        if readiness == Readiness::Interpreter
            && sandbox.interpreter.is_some()
            && let Err(error) = sandbox.make_ready().await
        {
            Box::new(sandbox).destroy().await?;
            return Err(error);
        }
        Ok(sandbox)
    }
}

fn unreadable(path: &HostPath, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "read the runtime's files", format!("{path} can't be read")).with_source(error)
}

fn runtimes(config: &WasmConfig) -> Result<RuntimeFolder> {
    config.runtimes.clone().map(RuntimeFolder::new).ok_or_else(|| {
        Error::new(ErrorKind::Configuration, "find the folder of runtimes", "there is no folder for runtimes")
            .with_hint("set wasm.runtimes, XDG_DATA_HOME or HOME")
    })
}

/// Removes what was compiled of a runtime, if anything.
///
/// # Errors
/// `Io` where it can't be removed.
pub fn forget_compiled(folder: &HostPath, runtime: &str) -> Result<()> {
    artifact::forget(folder, runtime).map_err(|error| {
        Error::new(
            ErrorKind::Io,
            "remove the compiled runtime",
            format!("what was compiled in {folder} can't be removed"),
        )
        .with_source(error)
    })
}

/// What compiling may use: a Python takes a gibibyte.
fn compiling() -> Limits {
    Limits {
        timeout: TimeSpan::secs(600),
        cpu_time: TimeSpan::secs(600),
        cpus: CpuCount::millis(4000),
        memory: ByteSize::mib(3 << 10),
        ..Limits::default()
    }
}

/// The worker's executable under its name inside, with the host's libraries that it needs.
fn worker_files(config: &WasmConfig) -> Result<Vec<RuntimeEntry>> {
    let program = &config.worker.program;
    let failed = |message: String| Error::new(ErrorKind::NotFound, "find the worker", message);
    let real = std::fs::canonicalize(program.as_path())
        .map_err(|error| failed(format!("the worker's program {program} isn't there")).with_source(error))?;
    let text = real.to_str().ok_or_else(|| failed(format!("the name of {program} isn't UTF-8")))?;
    let language = Language {
        title: "the WebAssembly worker".to_owned(),
        endings: Vec::new(),
        aliases: Vec::new(),
        interpreters: vec![text.to_owned()],
        run: Vec::new(),
        file_name: String::new(),
        probe: Vec::new(),
        files: Vec::new(),
        image: String::new(),
        env: BTreeMap::new(),
        install_hint: String::new(),
        wasm: String::new(),
        ready: String::new(),
        preload: Vec::new(),
    };
    let found = runtime::resolve(&language, None)?;
    let rename = |entry| match entry {
        RuntimeEntry::Bind { source, .. } if source == real => RuntimeEntry::Bind { source, target: WORKER.to_owned() },
        other => other,
    };
    Ok(found.entries.into_iter().map(rename).collect())
}

fn web_assembly() -> LayerState {
    LayerState::active(engine::VERSION)
}

/// What this backend can do: what the jail can, less what WebAssembly doesn't have.
///
/// The wall is told as the jail's, that of a shared kernel: the engine compiles to the machine's own code, so that a mistake
/// in it leads to the jail and not to a kernel of the guest's own.
fn capabilities(jail: &Capabilities) -> Capabilities {
    let mut capabilities = jail.clone();
    capabilities.layers.insert(Layer::WebAssembly, web_assembly());
    capabilities.absolute_paths = false;
    capabilities.arbitrary_commands = false;
    capabilities.abilities = BTreeSet::new();
    capabilities.networks = [NetworkKind::None].into();
    // A worker says on its standard output that it is ready, and the guest's root has its runtimes in it.
    capabilities.live = [LiveFeature::Signals, LiveFeature::CommandTrees, LiveFeature::Files].into();
    capabilities.root_inside = LayerState::absent("WebAssembly programs have no users", "take the jail (-b jail)");
    // A guest without sockets can't call anybody.
    capabilities.tripwires.remove(&TripwireKind::Listener);
    capabilities
}

#[async_trait]
impl Component for WasmBackend {
    fn name(&self) -> &str {
        "wasm"
    }

    async fn self_test(&self) -> SelfTest {
        self_test::run(self).await
    }
}

#[async_trait]
impl Backend for WasmBackend {
    fn version(&self) -> String {
        format!("{} ({})", env!("CARGO_PKG_VERSION"), engine::VERSION)
    }

    fn runtime_digest(&self) -> Option<String> {
        self.digest.clone()
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn create(&self, request: SandboxRequest) -> Result<Box<dyn Sandbox>> {
        self.capabilities.admit(self.name(), &request.policy)?;
        Ok(Box::new(self.make(request, &BTreeSet::new(), Imports::Refused).await?))
    }
}
