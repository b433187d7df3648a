//! One arm: a fresh canary, a fresh sandbox, one attempt, and what the host saw of it.

mod engine;
mod heard;
mod unlisted;

pub use unlisted::OTHER_NAME;

use crate::canary::{self, Armed, Ground, Scene, Sight};
use crate::process;
use crate::scenario::{Arm, Canary, End, Probe, Scenario, module};
use crate::subject::{Place, Subject};
use crucible_core::{
    Ability, ArmResult, Command, Error, ErrorKind, Evaluator, Execution, ExitStatus, GuestPath, Isolation, Language,
    Policy, Reach, Readiness, Result, SandboxId, SandboxRequest,
};
use heard::{Heard, Voice};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::Instant;

/// How long a probe may try.
const TRY: Duration = Duration::from_secs(15);
/// How long the rest of its output is waited for once it has ended.
const REST: Duration = Duration::from_millis(200);
/// How long it may take to end when it is told to.
const LEAVE: Duration = Duration::from_secs(5);

/// Where arms take place.
pub struct World {
    /// Where it is.
    pub site: Site,
    /// The language of Python probes.
    pub python: Arc<Language>,
    /// The language of probes that are WebAssembly modules.
    pub module: Arc<Language>,
    /// The policy of every sandbox.
    pub policy: Policy,
    /// What runs whole evaluations on the backend that is attacked.
    pub evaluator: Option<Arc<dyn Evaluator>>,
    /// The backend's name.
    pub backend: String,
    /// How strong it says that it is.
    pub isolation: Isolation,
    /// What it says that programs have inside.
    pub abilities: BTreeSet<Ability>,
    /// The interpreter of Python probes, as a file of the host's.
    pub interpreter: Option<PathBuf>,
    /// What runs a Python probe in a sandbox of this backend, as a process of its own.
    pub supervisor: Supervisor,
}

/// A command that runs programs in sandboxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Supervisor {
    /// It runs any command: what is added to it is that command.
    OfCommands(Vec<String>),
    /// It runs programs in its own languages: what is added to it is a program's file.
    OfPrograms(Vec<String>),
}

/// Where canaries are put.
#[derive(Clone, Debug)]
pub enum Site {
    /// On the host: files below a folder, processes and listeners. Nothing that the whole machine has once.
    Host(PathBuf),
    /// In a range.
    Range {
        /// A mount that was there before the backend started.
        mounted: PathBuf,
    },
}

impl Site {
    /// Prepares a range. To be called before the backend starts in it.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn in_range() -> std::io::Result<Self> {
        let mounted = Path::new(RANGE_BASE).join(format!("mount-{}", crate::nonce()?));
        std::fs::create_dir(&mounted)?;
        let flags = rustix::mount::MountFlags::NODEV | rustix::mount::MountFlags::NOSUID;
        rustix::mount::mount("canary", &mounted, "tmpfs", flags, None)?;
        Ok(Self::Range { mounted })
    }

    /// The folder for canaries that sandboxes don't have.
    pub(crate) fn base(&self) -> &Path {
        match self {
            Self::Host(folder) => folder,
            Self::Range { .. } => Path::new(RANGE_BASE),
        }
    }
}

/// The folder for canaries in a range.
const RANGE_BASE: &str = "/canary";

/// Runs one arm. A failure of the machinery is no verdict either: it comes out as unproven.
pub(crate) async fn run(scenario: &Scenario, subject: &Subject, arm: Arm, world: &World) -> ArmResult {
    let began = Instant::now();
    let sight = match try_it(scenario, subject, arm, world).await {
        Ok(sight) => sight,
        Err(error) => (Sight::Unknown(error.to_string()), false),
    };
    let (reach, seen) = match sight {
        (Sight::Reached(seen), _) => (Reach::Reached, seen),
        (Sight::Stopped(seen), _) | (Sight::Nothing(seen), true) => (Reach::NotReached, seen),
        (Sight::Nothing(seen), false) => (Reach::Unproven, format!("{seen}; but the probe didn't say that it tried")),
        (Sight::Unknown(seen), _) => (Reach::Unproven, seen),
    };
    ArmResult { reach, seen, took: began.elapsed() }
}

/// What the canary says, and whether the probe is known to have tried.
async fn try_it(scenario: &Scenario, subject: &Subject, arm: Arm, world: &World) -> Result<(Sight, bool)> {
    if let (true, Some(evaluator)) = (scenario.canary.is_the_engines(), &world.evaluator) {
        return engine::evaluate(scenario, arm, world, evaluator.as_ref()).await.map(|sight| (sight, false));
    }
    if scenario.canary == (Canary::Heartbeat { end: End::SupervisorKilled }) {
        return kill_supervisor(scenario, arm, world).await;
    }
    let nonce = new_nonce()?;
    // Where nothing is isolated, what is shared could be changed: a copy stands in for it.
    let ground_arm = if world.isolation == Isolation::None { Arm::Control } else { arm };
    let interpreter = world.interpreter.as_deref();
    let ground = Ground { site: &world.site, nonce: &nonce, arm: ground_arm, interpreter };
    let armed = canary::arm(&scenario.canary, &ground).await;
    let mut armed = armed.map_err(|error| lost("put the canary in place", error))?;
    let attempt = Attempt { scenario, subject, arm, world };
    let visit = attempt.visit(&nonce, &mut armed, &BTreeMap::new()).await?;
    if scenario.canary == (Canary::Residue {}) {
        let look = BTreeMap::from([("LOOK".to_owned(), "1".to_owned())]);
        let second = attempt.visit(&new_nonce()?, &mut armed, &look).await?;
        return Ok((armed.look_for_residue(&second.output), visit.has_tried && second.has_tried));
    }
    let sight = match (&scenario.canary, arm) {
        (Canary::Heartbeat { .. }, _) if matches!(visit.sight, Sight::Unknown(_)) => visit.sight,
        (Canary::Heartbeat { .. }, Arm::Protected) => armed.look_for_survivors().await,
        // What is left off is the end itself: it was looked at before.
        (Canary::Heartbeat { .. }, Arm::Control) => {
            Sight::Reached("processes of it lived on until they were ended".to_owned())
        }
        _ => armed.look_again().filter(|again| matches!(again, Sight::Reached(_))).unwrap_or(visit.sight),
    };
    Ok((sight, visit.has_tried))
}

fn new_nonce() -> Result<String> {
    crate::nonce().map_err(|error| lost("make a nonce", error))
}

/// Runs the probe under a supervisor of its own, and kills that.
async fn kill_supervisor(scenario: &Scenario, arm: Arm, world: &World) -> Result<(Sight, bool)> {
    let nonce = new_nonce()?;
    let ground = Ground { site: &world.site, nonce: &nonce, arm, interpreter: None };
    let armed = canary::arm(&scenario.canary, &ground).await.map_err(|error| lost("put the canary in place", error))?;
    let file = program(scenario, &nonce)?;
    let outside = world.site.base().join(format!("probe-{nonce}"));
    std::fs::write(&outside, &file.content).map_err(|error| lost("write the probe", error))?;
    let inside = file.path.strip_prefix("/work/").unwrap_or(&file.path);
    let (words, more) = match &world.supervisor {
        Supervisor::OfCommands(words) => {
            let argv = file.argv(Some("python3"), &nonce)?;
            let file = ["--file".to_owned(), format!("{}:{inside}", outside.display()), "--".to_owned()];
            (words, file.into_iter().chain(argv).collect::<Vec<_>>())
        }
        Supervisor::OfPrograms(words) => (words, vec![outside.display().to_string(), "--".to_owned(), nonce.clone()]),
    };
    let (program, arguments) = words.split_first().ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "start a supervisor", "there is no command to run a supervisor with")
    })?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&outside, mode).map_err(|error| lost("write the probe", error))?;
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| lost("start a supervisor", error))?;
    let leash = child.stdin.take();
    let mut heard = Heard::new(&nonce);
    if let Some(mut stdout) = child.stdout.take() {
        let listen = async {
            let mut buffer = vec![0; 64 << 10];
            while !heard.has_tried {
                let read = stdout.read(&mut buffer).await;
                if !heard.take(&buffer, read, Voice::Output) {
                    break;
                }
            }
        };
        let _in_time = tokio::time::timeout(TRY, listen).await.is_ok();
    }
    // The supervisor has the nonce in its own command line, as the probe itself has. Where the probe can start no other
    // process, it is what is left.
    let known = if world.abilities.contains(&Ability::Processes) { 2 } else { 1 };
    let sight = match (arm, armed.look_for_processes(known).await) {
        (_, unknown @ Sight::Unknown(_)) => unknown,
        (Arm::Control, _) => Sight::Reached("processes of it lived on while the supervisor lived".to_owned()),
        (Arm::Protected, _) => {
            child.kill().await.map_err(|error| lost("kill the supervisor", error))?;
            armed.look_for_survivors().await
        }
    };
    drop(leash);
    let _killed = child.kill().await.is_ok();
    let _cleaned = std::fs::remove_file(&outside).is_ok();
    Ok((sight, heard.has_tried))
}

fn lost(operation: &'static str, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Infrastructure, operation, format!("the suite could not {operation}")).with_source(error)
}

/// What came of one sandbox.
struct Visit {
    sight: Sight,
    has_tried: bool,
    output: Vec<u8>,
}

/// One scenario in one arm.
struct Attempt<'a> {
    scenario: &'a Scenario,
    subject: &'a Subject,
    arm: Arm,
    world: &'a World,
}

impl Attempt<'_> {
    /// Makes a sandbox, has the probe try in it, and destroys it.
    async fn visit(&self, nonce: &str, armed: &mut Armed, more_env: &BTreeMap<String, String>) -> Result<Visit> {
        let limits = self.scenario.limits(self.arm)?;
        let language = match self.scenario.probe {
            Probe::Python(_) => Some(Arc::clone(&self.world.python)),
            Probe::Module(_) => Some(Arc::clone(&self.world.module)),
            Probe::Native(_) => None,
        };
        let policy = self.world.policy.clone();
        // As runs under this policy have it, unless the probe's processes have to be found on the host: that is by their command
        // line, and a fork of an interpreter has that one's.
        let is_found = matches!(
            self.scenario.canary,
            Canary::Held { .. }
                | Canary::SetuidProgram {}
                | Canary::SharedFile {}
                | Canary::SupervisorImage {}
                | Canary::Counter { .. }
                | Canary::Heartbeat { .. }
                | Canary::Residue {}
                | Canary::Collected {}
        );
        let readiness = if policy.warm && !is_found { Readiness::Interpreter } else { Readiness::Bare };
        let request = SandboxRequest { id: SandboxId::generate(), language, limits, policy, readiness, project: None };
        let place = self.subject.create(request).await?;
        let visited = self.inside(&place, nonce, armed, more_env).await;
        place.destroy().await?;
        visited
    }

    async fn inside(
        &self,
        place: &Place,
        nonce: &str,
        armed: &mut Armed,
        more_env: &BTreeMap<String, String>,
    ) -> Result<Visit> {
        // The bounds are those of the protected arm, whatever is left off.
        let limits = self.scenario.limits(Arm::Protected)?;
        let program = program(self.scenario, nonce)?;
        place.write_file(&GuestPath::parse(&program.path)?, &program.content).await?;
        if armed.needs_a_way_in() {
            put_inside(place, armed).await?;
        }
        // A probe in Python finds what every program of the language does, without which no interpreter that waits would become it.
        let mut env = match self.scenario.probe {
            Probe::Python(_) => self.world.python.env.clone(),
            Probe::Module(_) | Probe::Native(_) => BTreeMap::new(),
        };
        env.extend(armed.env.clone());
        env.extend(more_env.clone());
        let command = Command { argv: program.argv(place.interpreter(), nonce)?, env, ..Command::default() };
        let started = Instant::now();
        let Execution { stdin, mut stdout, mut stderr, mut process, readiness: _ } = match place.exec(command).await {
            Err(error) if self.scenario.canary == (Canary::Started {}) && error.kind() == ErrorKind::InvalidInput => {
                let sight = Sight::Stopped(format!("it was refused: {error}"));
                return Ok(Visit { sight, has_tried: true, output: Vec::new() });
            }
            started => started?,
        };
        let mut heard = Heard::new(nonce);
        let mut ended = None;
        let mut until = started + TRY;
        let (mut out_is_open, mut err_is_open) = (true, true);
        let (mut out_buffer, mut err_buffer) = (vec![0; 64 << 10], vec![0; 64 << 10]);
        while !heard.has_tried && (ended.is_none() || out_is_open || err_is_open) {
            tokio::select! {
                read = stdout.read(&mut out_buffer), if out_is_open => {
                    out_is_open = heard.take(&out_buffer, read, Voice::Output);
                }
                read = stderr.read(&mut err_buffer), if err_is_open => {
                    err_is_open = heard.take(&err_buffer, read, Voice::Errors);
                }
                status = process.wait(), if ended.is_none() => {
                    ended = Some(status?);
                    until = until.min(Instant::now() + REST);
                }
                () = tokio::time::sleep_until(until) => break,
            }
        }
        let running = started.elapsed();
        let held = process::find(nonce);
        let output = heard.all();
        let scene = Scene { output: &output, held: &held, ended, place, limits: &limits, nonce, running };
        let sight = armed.look(&scene, self.arm).await;
        leave(stdin, stdout, stderr, process, ended).await;
        Ok(Visit { sight, has_tried: heard.has_tried, output })
    }
}

/// Has a process that does nothing wait in the sandbox, and a canary be put there by way of it.
async fn put_inside(place: &Place, armed: &Armed) -> Result<()> {
    let nonce = new_nonce()?;
    let path = format!("/work/probe-{nonce}");
    place.write_file(&GuestPath::parse(&path)?, crucible_probe::PROBE).await?;
    let argv = vec![format!("./probe-{nonce}"), "hold".to_owned(), nonce.clone()];
    let Execution { stdin, mut stdout, stderr, process, readiness: _ } =
        place.exec(Command { argv, ..Command::default() }).await?;
    let mut heard = Heard::new(&nonce);
    let mut buffer = vec![0; 4096];
    let listen = async {
        while !heard.has_tried {
            let read = stdout.read(&mut buffer).await;
            if !heard.take(&buffer, read, Voice::Output) {
                break;
            }
        }
    };
    let _in_time = tokio::time::timeout(TRY, listen).await.is_ok();
    let found = process::find(&nonce);
    let first = found.first().ok_or_else(|| {
        Error::new(ErrorKind::Infrastructure, "put the canary in place", "the way into the sandbox wasn't found")
    })?;
    let put = armed.put_inside(first).map_err(|error| lost("put the canary in place", error));
    leave(stdin, stdout, stderr, process, None).await;
    put
}

/// Tells the probe to end, and gives it a moment for that. What doesn't end by itself ends with the sandbox.
async fn leave(
    stdin: Box<dyn AsyncWrite + Send + Unpin>,
    mut stdout: Box<dyn AsyncRead + Send + Unpin>,
    mut stderr: Box<dyn AsyncRead + Send + Unpin>,
    mut process: Box<dyn crucible_core::ProcessHandle>,
    ended: Option<ExitStatus>,
) {
    drop(stdin);
    if ended.is_some() {
        return;
    }
    let (mut sink, mut other_sink) = (tokio::io::sink(), tokio::io::sink());
    let leaving = async {
        tokio::select! {
            _ended = process.wait() => {}
            () = async {
                let _drained = tokio::join!(
                    tokio::io::copy(&mut stdout, &mut sink),
                    tokio::io::copy(&mut stderr, &mut other_sink),
                );
                std::future::pending::<()>().await;
            } => {}
        }
    };
    let _in_time = tokio::time::timeout(LEAVE, leaving).await.is_ok();
}

/// What starts a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start<'a> {
    /// It is a program itself; with the name of what it is to do, where it can do several things.
    Itself(Option<&'a str>),
    /// The language's interpreter.
    Interpreter,
}

/// A probe as it is put into a sandbox.
struct ProbeFile<'a> {
    path: String,
    content: Cow<'a, [u8]>,
    /// What starts it.
    start: Start<'a>,
}

impl ProbeFile<'_> {
    fn argv(&self, interpreter: Option<&str>, nonce: &str) -> Result<Vec<String>> {
        // From the work folder, wherever that is: not every backend has it under its guest path.
        let path = format!("./{}", self.path.strip_prefix("/work/").unwrap_or(&self.path));
        let words = match (self.start, interpreter) {
            (Start::Itself(name), _) => std::iter::once(path.as_str()).chain(name).chain([nonce]).collect(),
            (Start::Interpreter, Some(interpreter)) => vec![interpreter, path.as_str(), nonce],
            (Start::Interpreter, None) => {
                return Err(Error::new(ErrorKind::NotFound, "start the probe", "the sandbox has no interpreter"));
            }
        };
        Ok(words.into_iter().map(str::to_owned).collect())
    }
}

fn program<'a>(scenario: &'a Scenario, nonce: &str) -> Result<ProbeFile<'a>> {
    match (&scenario.probe, &scenario.source) {
        (Probe::Native(name), _) => {
            let content = Cow::Borrowed(crucible_probe::PROBE);
            Ok(ProbeFile { path: format!("/work/probe-{nonce}"), content, start: Start::Itself(Some(name)) })
        }
        (Probe::Python(_), Some(source)) => {
            let content = Cow::Borrowed(source.as_bytes());
            Ok(ProbeFile { path: format!("/work/probe-{nonce}.py"), content, start: Start::Interpreter })
        }
        (Probe::Module(digits), _) => {
            let content = Cow::Owned(module(digits).unwrap_or_default());
            Ok(ProbeFile { path: format!("/work/probe-{nonce}.wasm"), content, start: Start::Itself(None) })
        }
        (Probe::Python(name), None) => {
            Err(Error::new(ErrorKind::NotFound, "start the probe", format!("there is no probe {name:?}")))
        }
    }
}
