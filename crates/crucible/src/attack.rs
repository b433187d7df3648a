//! The attack suite put together: backends as they are used on this machine, and a range in which they are weakened.
//!
//! Invariant: sandboxes are weakened, and a backend that isolates nothing is attacked, in a range only. What runs in the
//! range is this same program, which refuses that part of its work anywhere else.

use crate::compose::{self, DOCKER, DOCKER_STOCK, GVISOR, JAIL, SUBPROCESS, WASM};
use crate::config::Configuration;
use crucible_attacks::range::{self, Range, Ranges};
use crucible_attacks::{AttackSuite, Depth, Node, OTHER_NAME, Progress, Site, Subject, Supervisor, Target, World};
use crucible_backends::jail::{self};
use crucible_backends::wasm::WasmBackend;
use crucible_core::{
    Backend, Command, Connection, ControlArms, Discard, Error, ErrorKind, EvaluationSpec, Evaluator, GuestPath,
    HostPath, Language, Layers, Outcome, Policy, ReportContext, ReportNode, Result, SuiteResult, UserKind,
};
use crucible_engine::{Engine, Internet, Outside, RunIo};
use std::collections::BTreeMap;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The hidden verb that serves in a range.
pub const RANGE_VERB: &str = "range";

/// Why containers are attacked on the machine alone.
const NO_DAEMON_IN_A_RANGE: &str =
    "the container daemon is a service of this machine, and can't be put into the suite's range";

/// An interpreter that everybody can reach.
const SYSTEM_PYTHON: &str = "/usr/bin/python3";

/// Attacks a backend on this machine. `progress` is told of every property before it is looked at.
///
/// # Errors
/// `Unavailable` where the backend, or the jail that the range is made with, can't be started.
pub async fn attack(
    suite: &AttackSuite,
    backend: &str,
    policy: &Policy,
    depth: Depth,
    configuration: &Configuration,
    progress: &(dyn Fn(&Progress) + Sync),
) -> Result<(SuiteResult, Arc<dyn Backend>)> {
    // A policy that turned probes away would prove nothing about walls.
    let policy = &policy.of_protection();
    let jail = Arc::new(compose::start_jail(configuration).await?);
    let program = std::env::current_exe().map_err(|error| failed("find this program's own file", error))?;
    let wasm = if backend == WASM { Some(Arc::new(compose::start_wasm(configuration).await?)) } else { None };
    // One for sandboxes as they are used, and one for weakened ones, whose guests could reach what serves them.
    let mut sandboxes = Vec::new();
    for _ in 0..2 {
        let sandbox = jail.open_range(&HostPath::new(program.clone())).await?;
        if let Some(wasm) = &wasm {
            for (name, content) in wasm.hand_over().await? {
                let path = GuestPath::parse(&format!("{HANDED_OVER}/{name}"))?;
                sandbox.write_file(&path, &mut content.as_slice(), false).await?;
            }
        }
        sandboxes.push(sandbox);
    }
    let mut ranges = Vec::new();
    for sandbox in &sandboxes {
        ranges.push(Range::open(sandbox.exec(range_command(backend, policy)?).await?).await?);
    }
    let mut ranges = Ranges::try_from(ranges)?;
    let result = if backend == JAIL {
        let folder = canary_folder()?;
        let under_attack: Arc<dyn Backend> = jail.clone();
        let world = world(&under_attack, policy, configuration, Site::Host(folder.path().to_owned()))?;
        let (removable, subject) = (jail.removable(), Subject::Protected(Arc::clone(&under_attack)));
        let target = Target {
            name: backend,
            known_as: backend,
            isolation: under_attack.capabilities().isolation,
            users: policy.users,
            networks: &under_attack.capabilities().networks,
            layers: &under_attack.capabilities().layers_under(policy),
            removable: &removable,
            node: Node::Here { subject: &subject, world: &world },
        };
        (suite.run(&target, &mut ranges, depth, progress).await, under_attack)
    } else if matches!(backend, DOCKER | DOCKER_STOCK) {
        let folder = canary_folder()?;
        let under_attack = compose::start(backend, configuration).await?;
        let world = world(&under_attack, policy, configuration, Site::Host(folder.path().to_owned()))?;
        // Its probes' worth is shown by the jail's arms: which layers of its own hold a property can't be told by leaving
        // them off, because weakened containers would be the machine's.
        let (removable, subject) = (BTreeMap::new(), Subject::Protected(Arc::clone(&under_attack)));
        // Of what a stock container lacks nothing is excused.
        let nothing = Layers::new();
        let all = under_attack.capabilities().layers_under(policy);
        let layers = if backend == DOCKER_STOCK { &nothing } else { &all };
        let target = Target {
            name: backend,
            known_as: DOCKER,
            isolation: under_attack.capabilities().isolation,
            users: policy.users,
            networks: &under_attack.capabilities().networks,
            layers,
            removable: &removable,
            node: Node::HereAlone { subject: &subject, world: &world, reason: NO_DAEMON_IN_A_RANGE },
        };
        (suite.run(&target, &mut ranges, depth, progress).await, under_attack)
    } else if backend == GVISOR {
        let folder = canary_folder()?;
        let under_attack = compose::start(backend, configuration).await?;
        let world = world(&under_attack, policy, configuration, Site::Host(folder.path().to_owned()))?;
        // Nothing of a kernel of its own can be left off: the control arms are the jail's.
        let (removable, subject) = (BTreeMap::new(), Subject::Protected(Arc::clone(&under_attack)));
        let target = Target {
            name: backend,
            known_as: backend,
            isolation: under_attack.capabilities().isolation,
            users: policy.users,
            networks: &under_attack.capabilities().networks,
            layers: &under_attack.capabilities().layers_under(policy),
            removable: &removable,
            node: Node::Here { subject: &subject, world: &world },
        };
        (suite.run(&target, &mut ranges, depth, progress).await, Arc::clone(&under_attack))
    } else if let Some(wasm) = wasm {
        let folder = canary_folder()?;
        let under_attack: Arc<dyn Backend> = wasm.clone();
        let mut world = world(&under_attack, policy, configuration, Site::Host(folder.path().to_owned()))?;
        world.interpreter = shared_by(&wasm).await?;
        let (removable, subject) = (wasm.removable(), Subject::Protected(Arc::clone(&under_attack)));
        let target = Target {
            name: backend,
            known_as: backend,
            isolation: under_attack.capabilities().isolation,
            users: policy.users,
            networks: &under_attack.capabilities().networks,
            layers: &under_attack.capabilities().layers_under(policy),
            removable: &removable,
            node: Node::Here { subject: &subject, world: &world },
        };
        (suite.run(&target, &mut ranges, depth, progress).await, under_attack)
    } else {
        let under_attack = compose::start(backend, configuration).await?;
        let (layers, removable) = (Layers::new(), BTreeMap::new());
        let target = Target {
            name: backend,
            known_as: backend,
            isolation: under_attack.capabilities().isolation,
            users: policy.users,
            networks: &under_attack.capabilities().networks,
            layers: &layers,
            removable: &removable,
            node: Node::InRange,
        };
        (suite.run(&target, &mut ranges, depth, progress).await, under_attack)
    };
    ranges.close().await;
    for sandbox in sandboxes {
        sandbox.destroy().await?;
    }
    Ok(result)
}

/// What a report says of this machine, without any attestation.
///
/// # Errors
/// As [`Configuration::policy`].
pub fn report_context(configuration: &Configuration) -> Result<ReportContext> {
    let user = if rustix::process::geteuid().is_root() { UserKind::Root } else { UserKind::Ordinary };
    Ok(ReportContext {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node: ReportNode { kernel: compose::node().kernel, user },
        policy: configuration.policy()?.name,
        attestations: BTreeMap::new(),
    })
}

/// Where a range finds what it is handed over of the user's: what is installed for WebAssembly.
const HANDED_OVER: &str = "/run/handed-over";

/// The file of the host's that WebAssembly programs in Python share: the compiled interpreter.
async fn shared_by(wasm: &WasmBackend) -> Result<Option<PathBuf>> {
    Ok(Some(wasm.compiled(PYTHON_RUNTIME).await?.as_path().to_owned()))
}

/// The runtime of Python probes.
const PYTHON_RUNTIME: &str = "python-wasm";

/// What a range is to run: this program, which finds the interpreters where it finds them outside.
fn range_command(backend: &str, policy: &Policy) -> Result<Command> {
    let policy = serde_json::to_string(policy).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, "tell the range the policy", "the policy can't be written")
            .with_source(error)
    })?;
    let argv = [jail::RANGE_PROGRAM, RANGE_VERB, backend, &policy].map(str::to_owned).to_vec();
    // The suite clears /tmp between two arms.
    let folders = [("XDG_CACHE_HOME", "/run/cache"), ("XDG_DATA_HOME", "/run/data"), ("TMPDIR", "/run")];
    let mut env: BTreeMap<_, _> = folders.map(|(name, path)| (name.to_owned(), path.to_owned())).into();
    env.extend(std::env::var("PATH").ok().map(|value| ("PATH".to_owned(), value)));
    Ok(Command { argv, env, ..Command::default() })
}

/// Serves a suite from inside a range, over standard input and output.
///
/// # Errors
/// `Refused` anywhere else.
pub async fn serve_in_range(backend: &str, policy: &str) -> Result<()> {
    if !jail::is_in_range() {
        let message = "this part of the attack suite runs in a range only";
        return Err(Error::new(ErrorKind::Refused, "serve the attack suite", message)
            .with_hint("`crucible attack` makes one and starts it there"));
    }
    jail::leave_top_of_cgroups();
    // Before the backend starts, so that it has seen what is mounted here.
    let site = Site::in_range().map_err(|error| failed("prepare the range", error))?;
    let policy: Policy = serde_json::from_str(policy).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, "read the policy", "the policy can't be read").with_source(error)
    })?;
    let configuration = Configuration::built_in()?;
    let mut interpreter = None;
    let (protected, arms): (Arc<dyn Backend>, Option<Arc<dyn ControlArms>>) = match backend {
        WASM => {
            WasmBackend::take_over(Path::new(HANDED_OVER), &compose::wasm_config(&configuration)?)?;
            let wasm = Arc::new(compose::start_wasm(&configuration).await?);
            interpreter = shared_by(&wasm).await?;
            (wasm.clone(), Some(wasm))
        }
        // For containers, too: that a probe reaches its canary without a protection is shown by the jail's weakened arms.
        JAIL | DOCKER | DOCKER_STOCK => {
            let jail = Arc::new(compose::start_jail(&configuration).await?);
            (jail.clone(), Some(jail))
        }
        GVISOR => {
            let jail = Arc::new(compose::start_jail(&configuration).await?);
            (compose::start(GVISOR, &configuration).await?, Some(jail))
        }
        SUBPROCESS => (compose::start(SUBPROCESS, &configuration).await?, None),
        other => {
            return Err(Error::new(ErrorKind::NotFound, "serve the attack suite", format!("no backend {other:?}")));
        }
    };
    let mut world = world(&protected, &policy, &configuration, site)?;
    world.interpreter = interpreter.or(world.interpreter);
    let has = protected.capabilities().layers_under(&policy);
    // A jail's protected arm must never stand for a container's.
    let subject = (!matches!(backend, DOCKER | DOCKER_STOCK)).then_some(Subject::Protected(protected));
    range::serve(&world, subject.as_ref(), arms, &has, tokio::io::stdin(), tokio::io::stdout()).await
}

fn world(backend: &Arc<dyn Backend>, policy: &Policy, configuration: &Configuration, site: Site) -> Result<World> {
    let (_, mut python): (_, Arc<Language>) = configuration.languages().find("python")?;
    if matches!(site, Site::Range { .. }) && Path::new(SYSTEM_PYTHON).exists() {
        // Neither a range's root nor a guest without a root of its own can walk to an interpreter in somebody's home.
        Arc::make_mut(&mut python).interpreters = vec![SYSTEM_PYTHON.to_owned()];
    }
    let interpreter =
        crucible_backends::runtime::describe(&python, None)?.interpreter.map(|found| PathBuf::from(found.path));
    let engine = compose::unscanned_engine(vec![Arc::clone(backend)], configuration);
    let evaluator = EngineEvaluator(engine.with_outside(Arc::new(WithOtherName)));
    let supervisor = supervisor(backend.name(), &python)?;
    Ok(World {
        site,
        python,
        module: configuration.languages().find("wasm")?.1,
        policy: policy.clone(),
        evaluator: Some(Arc::new(evaluator)),
        backend: backend.name().to_owned(),
        isolation: backend.capabilities().isolation,
        abilities: backend.capabilities().abilities.clone(),
        interpreter,
        supervisor,
    })
}

/// This program as a supervisor of its own, of commands that may be Python's.
fn supervisor(backend: &str, python: &Language) -> Result<Supervisor> {
    let program = std::env::current_exe().map_err(|error| failed("find this program's own file", error))?;
    let mut words = Vec::new();
    if matches!(backend, DOCKER | DOCKER_STOCK) {
        words.extend(["/usr/bin/env".to_owned(), format!("CRUCIBLE_DOCKER_IMAGE={}", python.image)]);
    }
    words.push(program.display().to_string());
    words.extend([if backend == WASM { "run" } else { "exec" }, "--backend", backend].map(str::to_owned));
    if matches!(backend, SUBPROCESS | DOCKER_STOCK) {
        words.push("--unsafe".to_owned());
    }
    Ok(if backend == WASM { Supervisor::OfPrograms(words) } else { Supervisor::OfCommands(words) })
}

/// What the names of folders for canaries begin with.
const CANARY_FOLDERS: &str = "crucible-canaries-";

/// A folder for canaries, locked for as long as its maker lives: by that the next suite tells one that was left.
struct CanaryFolder {
    folder: tempfile::TempDir,
    _lock: File,
}

impl CanaryFolder {
    fn make_in(place: &Path) -> std::io::Result<Self> {
        loop {
            let folder = tempfile::Builder::new().prefix(CANARY_FOLDERS).tempdir_in(place)?;
            let lock = File::open(folder.path())?;
            lock.lock()?;
            // Before it was locked it could be taken for one that was left.
            if folder.path().exists() {
                std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
                return Ok(Self { folder, _lock: lock });
            }
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A folder for canaries outside of everything that a sandbox has one of its own of.
fn canary_folder() -> Result<CanaryFolder> {
    let mut last = None;
    for place in [Path::new("/var/tmp"), Path::new("/tmp"), &std::env::temp_dir()] {
        remove_left_folders(place);
        match CanaryFolder::make_in(place) {
            Ok(folder) => return Ok(folder),
            Err(error) => last = Some(error),
        }
    }
    Err(failed("make a folder for canaries", last.unwrap_or_else(|| std::io::ErrorKind::NotFound.into())))
}

/// Removes what suites of this user left that were killed.
fn remove_left_folders(place: &Path) {
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        let is_named = entry.file_name().to_str().is_some_and(|name| name.starts_with(CANARY_FOLDERS));
        let is_own = |seen: std::fs::Metadata| seen.is_dir() && seen.uid() == rustix::process::geteuid().as_raw();
        if !is_named || !entry.metadata().is_ok_and(is_own) {
            continue;
        }
        let lock = File::open(entry.path()).and_then(|folder| folder.try_lock().map(|()| folder).map_err(Into::into));
        // What can't be removed is in nobody's way.
        let _removed = lock.and_then(|_held| std::fs::remove_dir_all(entry.path())).is_ok();
    }
}

fn failed(operation: &'static str, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, operation, format!("could not {operation}")).with_source(error)
}

/// This machine's own network, in which the suite's name stands for the loopback as if somebody had made it so.
struct WithOtherName;

#[async_trait::async_trait]
impl Outside for WithOtherName {
    async fn look_up(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        match name {
            OTHER_NAME => Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
            name => Internet.look_up(name).await,
        }
    }

    async fn connect(&self, address: SocketAddr) -> std::io::Result<(Box<dyn Connection>, IpAddr)> {
        Internet.connect(address).await
    }
}

/// The engine, for properties that it holds.
struct EngineEvaluator(Engine);

#[async_trait::async_trait]
impl Evaluator for EngineEvaluator {
    async fn evaluate(&self, spec: EvaluationSpec) -> Result<Outcome> {
        self.0
            .evaluate(spec, RunIo { stdin: None, events: &Discard, cancel: CancellationToken::new(), project: None })
            .await
    }
}
