//! One arm: a fresh canary, a fresh sandbox, one attempt, and what the host saw of it.

use crate::canary::{self, Armed, Ground, Scene, Sight};
use crate::process;
use crate::scenario::{Arm, Canary, End, Probe, Scenario};
use crate::subject::{Place, Subject};
use crucible_core::{
    ArmResult, Command, Error, ErrorKind, EvaluationId, EvaluationSpec, Evaluator, Execution, ExitStatus, GuestPath,
    InputFile, Isolation, Language, LimitKind, Limits, Outcome, Policy, Program, Reach, Result, SandboxId,
    SandboxRequest, Status,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
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
/// The most of its output that is kept.
const MOST_OUTPUT: usize = 4 << 20;

/// Where arms take place.
pub struct World {
    /// A folder for canaries that sandboxes don't have.
    pub base: PathBuf,
    /// The language of Python probes.
    pub python: Arc<Language>,
    /// The policy of every sandbox.
    pub policy: Policy,
    /// What runs whole evaluations on the backend that is attacked.
    pub evaluator: Option<Arc<dyn Evaluator>>,
    /// The backend's name.
    pub backend: String,
    /// How strong it says that it is.
    pub isolation: Isolation,
    /// The interpreter of Python probes, as a file of the host's.
    pub interpreter: Option<PathBuf>,
    /// A command that runs another one in a sandbox of this backend: what is added to it is that command.
    pub supervisor: Vec<String>,
}

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
        return evaluate(scenario, arm, world, evaluator.as_ref()).await.map(|sight| (sight, false));
    }
    if scenario.canary == (Canary::Heartbeat { end: End::SupervisorKilled }) {
        return kill_supervisor(scenario, arm, world).await;
    }
    let nonce = new_nonce()?;
    // Where nothing is isolated, what is shared could be changed: a copy stands in for it.
    let ground_arm = if world.isolation == Isolation::None { Arm::Control } else { arm };
    let interpreter = world.interpreter.as_deref();
    let ground = Ground { base: &world.base, nonce: &nonce, arm: ground_arm, interpreter };
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

/// Whole evaluations: what the engine holds shows in the outcome that it gives on the host's evidence. In the control arm
/// the limit is another, or the reader of the output is one who believes it.
async fn evaluate(scenario: &Scenario, arm: Arm, world: &World, evaluator: &dyn Evaluator) -> Result<Sight> {
    let (limits, used) = (scenario.limits(Arm::Protected)?, scenario.limits(arm)?);
    let spec = specification(scenario, world, &used)?;
    let patience = limits.timeout.get() + Duration::from_secs(2);
    match (&scenario.canary, tokio::time::timeout(patience, evaluator.evaluate(spec)).await) {
        (Canary::Forged {}, Ok(outcome)) => Ok(judge_forged(&outcome?, arm)),
        (Canary::Counter { limit, .. }, Ok(outcome)) => Ok(judge(*limit, &outcome?, &limits)),
        (Canary::Counter { limit: LimitKind::Timeout, .. }, Err(_)) => {
            Ok(Sight::Reached("it still ran two seconds after its time".to_owned()))
        }
        (_, Err(_)) => Ok(Sight::Unknown("it took too long".to_owned())),
        _ => Ok(Sight::Unknown("the engine doesn't hold this".to_owned())),
    }
}

/// Runs the probe under a supervisor of its own, and kills that.
async fn kill_supervisor(scenario: &Scenario, arm: Arm, world: &World) -> Result<(Sight, bool)> {
    let nonce = new_nonce()?;
    let ground = Ground { base: &world.base, nonce: &nonce, arm, interpreter: None };
    let armed = canary::arm(&scenario.canary, &ground).await.map_err(|error| lost("put the canary in place", error))?;
    let file = program(scenario, &nonce)?;
    let outside = world.base.join(format!("probe-{nonce}"));
    std::fs::write(&outside, file.content).map_err(|error| lost("write the probe", error))?;
    let inside = file.path.strip_prefix("/work/").unwrap_or(&file.path);
    let argv = file.argv(Some("python3"), &nonce)?;
    let (program, arguments) = world.supervisor.split_first().ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "start a supervisor", "there is no command to run a supervisor with")
    })?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&outside, mode).map_err(|error| lost("write the probe", error))?;
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .args(["--file", &format!("{}:{inside}", outside.display()), "--"])
        .args(argv)
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
    // The supervisor has the nonce in its own command line.
    let before = process::find(&nonce).len();
    let sight = match (arm, before) {
        (_, 0..=2) => Sight::Unknown("it left no process behind".to_owned()),
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
            Probe::Native(_) => None,
        };
        let policy = self.world.policy.clone();
        let request = SandboxRequest { id: SandboxId::generate(), language, limits, policy };
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
        place.write_file(&GuestPath::parse(&program.path)?, program.content).await?;
        if armed.needs_a_way_in() {
            put_inside(place, armed).await?;
        }
        let mut env = armed.env.clone();
        env.extend(more_env.clone());
        let command = Command { argv: program.argv(place.interpreter(), nonce)?, env, directory: GuestPath::work() };
        let started = Instant::now();
        let Execution { stdin, mut stdout, mut stderr, mut process } = place.exec(command).await?;
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
        let scene = Scene { output: &heard.kept, held: &held, ended, place, limits: &limits, nonce, running };
        let sight = armed.look(&scene, self.arm).await;
        leave(stdin, stdout, stderr, process, ended).await;
        Ok(Visit { sight, has_tried: heard.has_tried, output: heard.kept })
    }
}

/// Has a process that does nothing wait in the sandbox, and a canary be put there by way of it.
async fn put_inside(place: &Place, armed: &Armed) -> Result<()> {
    let nonce = new_nonce()?;
    let path = format!("/work/probe-{nonce}");
    place.write_file(&GuestPath::parse(&path)?, crucible_probe::PROBE).await?;
    let argv = vec![format!("./probe-{nonce}"), "hold".to_owned(), nonce.clone()];
    let Execution { stdin, mut stdout, stderr, process } =
        place.exec(Command { argv, env: BTreeMap::new(), directory: GuestPath::work() }).await?;
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

/// What a probe prints. Only on its output, not among its errors, does it say that it tried.
struct Heard {
    word: Vec<u8>,
    kept: Vec<u8>,
    tail: Vec<u8>,
    has_tried: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Voice {
    Output,
    Errors,
}

impl Heard {
    fn new(nonce: &str) -> Self {
        Self { word: format!("tried {nonce}\n").into_bytes(), kept: Vec::new(), tail: Vec::new(), has_tried: false }
    }

    /// Takes what was read. Returns whether the stream goes on.
    fn take(&mut self, buffer: &[u8], read: std::io::Result<usize>, voice: Voice) -> bool {
        let Some(bytes) = read.ok().filter(|count| *count > 0).and_then(|count| buffer.get(..count)) else {
            return false;
        };
        let room = MOST_OUTPUT.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        if voice == Voice::Output {
            self.tail.extend_from_slice(bytes);
            self.has_tried |= self.tail.windows(self.word.len()).any(|window| window == self.word);
            let surplus = self.tail.len().saturating_sub(self.word.len());
            self.tail.drain(..surplus);
        }
        true
    }
}

/// A probe as it is put into a sandbox.
struct ProbeFile<'a> {
    path: String,
    content: &'a [u8],
    /// The name of a native one.
    native: Option<&'a str>,
}

impl ProbeFile<'_> {
    fn argv(&self, interpreter: Option<&str>, nonce: &str) -> Result<Vec<String>> {
        // From the work folder, wherever that is: not every backend has it under its guest path.
        let path = format!("./{}", self.path.strip_prefix("/work/").unwrap_or(&self.path));
        let words = match (self.native, interpreter) {
            (Some(name), _) => vec![path.as_str(), name, nonce],
            (None, Some(interpreter)) => vec![interpreter, path.as_str(), nonce],
            (None, None) => {
                return Err(Error::new(ErrorKind::NotFound, "start the probe", "the sandbox has no interpreter"));
            }
        };
        Ok(words.into_iter().map(str::to_owned).collect())
    }
}

fn program<'a>(scenario: &'a Scenario, nonce: &str) -> Result<ProbeFile<'a>> {
    match (&scenario.probe, &scenario.source) {
        (Probe::Native(name), _) => {
            Ok(ProbeFile { path: format!("/work/probe-{nonce}"), content: crucible_probe::PROBE, native: Some(name) })
        }
        (Probe::Python(_), Some(source)) => {
            Ok(ProbeFile { path: format!("/work/probe-{nonce}.py"), content: source.as_bytes(), native: None })
        }
        (Probe::Python(name), None) => {
            Err(Error::new(ErrorKind::NotFound, "start the probe", format!("there is no probe {name:?}")))
        }
    }
}

/// What a probe that goes for a limit is told: how much it may use at most.
fn bounds(scenario: &Scenario) -> BTreeMap<String, String> {
    let Canary::Counter { size, .. } = &scenario.canary else { return BTreeMap::new() };
    BTreeMap::from([("CANARY_SIZE".to_owned(), size.to_string())])
}

fn specification(scenario: &Scenario, world: &World, limits: &Limits) -> Result<EvaluationSpec> {
    let nonce = crate::nonce().map_err(|error| lost("make a nonce", error))?;
    let file = program(scenario, &nonce)?;
    let mut files = Vec::new();
    let program = match scenario.probe {
        Probe::Native(_) => {
            let path = GuestPath::parse(&file.path)?;
            files.push(InputFile { path, content: file.content.to_vec(), executable: true });
            Program::Command { argv: file.argv(None, &nonce)? }
        }
        Probe::Python(_) => {
            Program::Source { language: "python".to_owned(), code: file.content.to_vec(), args: vec![nonce] }
        }
    };
    Ok(EvaluationSpec {
        id: EvaluationId::generate(),
        program,
        backend: world.backend.clone(),
        stdin: Vec::new(),
        files,
        collect: Vec::new(),
        tripwires: Vec::new(),
        env: bounds(scenario),
        limits: limits.clone(),
        policy: world.policy.clone(),
    })
}

/// Limits that the engine holds: by the outcome that it gives on the host's evidence, and by what was used.
fn judge(limit: LimitKind, outcome: &Outcome, limits: &Limits) -> Sight {
    let is_ended = match limit {
        LimitKind::Timeout => outcome.status == Status::TimedOut,
        other => outcome.status == Status::LimitExceeded { limit: other },
    };
    let usage = &outcome.usage;
    let written = outcome.stdout.bytes.len().max(outcome.stderr.bytes.len());
    let (used, most) = match limit {
        LimitKind::Timeout => (usage.wall.as_millis(), limits.timeout.get().as_millis()),
        LimitKind::CpuTime => (usage.cpu.as_millis(), limits.cpu_time.get().as_millis()),
        _ => (u128::try_from(written).unwrap_or(u128::MAX), u128::from(limits.output.get())),
    };
    let seen = format!("status {}, {used} of {most} used", status_word(outcome.status));
    // The host looks from time to time, and on a busy machine later than it wanted.
    if used > most + most / 2 {
        Sight::Reached(seen)
    } else if is_ended {
        Sight::Stopped(seen)
    } else {
        Sight::Unknown(seen)
    }
}

fn status_word(status: Status) -> String {
    match status {
        Status::Exited { code } => format!("exited with {code}"),
        Status::LimitExceeded { limit } => format!("{limit} limit reached"),
        Status::TimedOut => "timed out".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// The code that the probe ends with that forges a record.
const FORGERS_CODE: i32 = 23;

/// Whether the record says what was so. In the control arm it is read by one who takes the last line of the output for it.
fn judge_forged(outcome: &Outcome, arm: Arm) -> Sight {
    let is_true = match arm {
        Arm::Protected => {
            outcome.status == Status::Exited { code: FORGERS_CODE } || outcome.exit_code == Some(FORGERS_CODE)
        }
        Arm::Control => {
            let text = String::from_utf8_lossy(&outcome.stdout.bytes);
            let lines = text.lines().rev().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            let Some(claimed) = lines.into_iter().find(serde_json::Value::is_object) else {
                return Sight::Unknown("it printed no record".to_owned());
            };
            claimed.get("exit_code") == Some(&serde_json::Value::from(FORGERS_CODE))
        }
    };
    if is_true {
        Sight::Stopped(format!("the record says that it ended with {FORGERS_CODE}, as it did"))
    } else {
        Sight::Reached("the record says what the guest wanted".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_word_on_its_own_output_says_that_a_probe_tried() {
        let mut heard = Heard::new("abc");
        heard.take(b"tried ab", Ok(8), Voice::Output);
        assert!(!heard.has_tried);
        heard.take(b"tried abc\n", Ok(10), Voice::Errors);
        assert!(!heard.has_tried);
        heard.take(b"x\ntried a", Ok(9), Voice::Output);
        heard.take(b"bc\n", Ok(3), Voice::Output);
        assert!(heard.has_tried);
    }

    #[test]
    fn a_flood_is_kept_only_in_part_and_still_heard_to_its_end() {
        let mut heard = Heard::new("abc");
        let flood = vec![b'x'; 1 << 20];
        for _ in 0..8 {
            assert!(heard.take(&flood, Ok(flood.len()), Voice::Output));
        }
        assert!(heard.take(b"tried abc\n", Ok(10), Voice::Output));
        assert_eq!(heard.kept.len(), MOST_OUTPUT);
        assert!(heard.has_tried && heard.tail.len() <= heard.word.len());
        assert!(!heard.take(b"", Ok(0), Voice::Output));
    }
}
