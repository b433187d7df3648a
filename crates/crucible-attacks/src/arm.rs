//! One arm: a fresh canary, a fresh sandbox, one attempt, and what the host saw of it.

use crate::canary::{self, Armed, Scene, Sight};
use crate::process;
use crate::scenario::{Canary, Probe, Scenario};
use crate::subject::{Place, Subject};
use crucible_core::{
    ArmResult, Command, Error, ErrorKind, EvaluationId, EvaluationSpec, Evaluator, ExitStatus, GuestPath, InputFile,
    Language, LimitKind, Limits, Outcome, Policy, Program, Reach, Result, SandboxId, SandboxRequest, Status,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
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
/// How much a probe that goes for a limit may use: three times what the limit allows.
const BEYOND: u64 = 3;

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
}

/// Runs one arm. A failure of the machinery is no verdict either: it comes out as unproven.
pub(crate) async fn run(scenario: &Scenario, subject: &Subject, world: &World) -> ArmResult {
    let began = Instant::now();
    let sight = match try_it(scenario, subject, world).await {
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
async fn try_it(scenario: &Scenario, subject: &Subject, world: &World) -> Result<(Sight, bool)> {
    let limits = scenario.limits()?;
    if let (Canary::Counter { limit }, Subject::Protected(_), Some(evaluator)) =
        (&scenario.canary, subject, &world.evaluator)
        && matches!(limit, LimitKind::Timeout | LimitKind::Output | LimitKind::CpuTime)
    {
        let spec = specification(scenario, world, &limits)?;
        let outcome = evaluator.evaluate(spec).await?;
        return Ok((judge(*limit, &outcome, &limits), false));
    }
    let nonce = crate::nonce().map_err(|error| lost("make a nonce", error))?;
    let armed = canary::arm(&scenario.canary, &world.base, &nonce).await;
    let mut armed = armed.map_err(|error| lost("put the canary in place", error))?;
    let visit = visit(scenario, subject, world, &nonce, &mut armed, &BTreeMap::new()).await?;
    if armed.is_residue() {
        let look = BTreeMap::from([("LOOK".to_owned(), "1".to_owned())]);
        let second_nonce = crate::nonce().map_err(|error| lost("make a nonce", error))?;
        let second = self::visit(scenario, subject, world, &second_nonce, &mut armed, &look).await?;
        return Ok((armed.look_for_residue(&second.output), visit.has_tried && second.has_tried));
    }
    let sight = match armed.look_after() {
        Some(after @ Sight::Reached(_)) => after,
        // A daemon's end is judged after the sandbox's, and in a weakened arm before.
        Some(after) if armed.is_heartbeat() && visit.after.is_none() => after,
        _ => visit.after.unwrap_or(visit.sight),
    };
    Ok((sight, visit.has_tried))
}

fn lost(operation: &'static str, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Infrastructure, operation, format!("the suite could not {operation}")).with_source(error)
}

/// What came of one sandbox.
struct Visit {
    sight: Sight,
    /// What was seen where the sandbox's end is what was left off.
    after: Option<Sight>,
    has_tried: bool,
    output: Vec<u8>,
}

async fn visit(
    scenario: &Scenario,
    subject: &Subject,
    world: &World,
    nonce: &str,
    armed: &mut Armed,
    more_env: &BTreeMap<String, String>,
) -> Result<Visit> {
    let limits = scenario.limits()?;
    let language = match scenario.probe {
        Probe::Python(_) => Some(Arc::clone(&world.python)),
        Probe::Native(_) => None,
    };
    let request =
        SandboxRequest { id: SandboxId::generate(), language, limits: limits.clone(), policy: world.policy.clone() };
    let place = subject.create(request).await?;
    let visited = inside(scenario, &place, nonce, armed, more_env, &limits).await;
    let after = match subject {
        Subject::Weakened(..) if armed.is_heartbeat() => armed.look_after(),
        _ => None,
    };
    place.destroy().await?;
    let (sight, has_tried, output) = visited?;
    Ok(Visit { sight, after, has_tried, output })
}

async fn inside(
    scenario: &Scenario,
    place: &Place,
    nonce: &str,
    armed: &mut Armed,
    more_env: &BTreeMap<String, String>,
    limits: &Limits,
) -> Result<(Sight, bool, Vec<u8>)> {
    let program = program(scenario, nonce)?;
    let path = GuestPath::parse(&program.path)?;
    place.write_file(&path, program.content).await?;
    let mut env = armed.env.clone();
    env.extend(more_env.clone());
    env.extend(bounds(scenario, limits));
    let command = Command { argv: program.argv(place.interpreter(), nonce)?, env, directory: GuestPath::work() };
    let execution = place.exec(command).await?;
    let crucible_core::Execution { stdin, mut stdout, mut stderr, mut process } = execution;
    let mut heard = Heard::new(nonce);
    let mut ended = None;
    let mut until = Instant::now() + TRY;
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
    let held = process::first(&process::find(nonce));
    let scene = Scene { output: &heard.kept, held: held.as_ref(), ended, place, limits };
    let sight = armed.look(&scene).await;
    leave(stdin, stdout, stderr, process, ended).await;
    Ok((sight, heard.has_tried, heard.kept))
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
        let words = match (self.native, interpreter) {
            (Some(name), _) => vec![self.path.as_str(), name, nonce],
            (None, Some(interpreter)) => vec![interpreter, self.path.as_str(), nonce],
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
fn bounds(scenario: &Scenario, limits: &Limits) -> BTreeMap<String, String> {
    let Canary::Counter { limit } = &scenario.canary else { return BTreeMap::new() };
    let amount = match limit {
        LimitKind::Memory => limits.memory.get() + limits.disk.get(),
        LimitKind::Pids => limits.pids.into(),
        LimitKind::Disk => limits.disk.get(),
        LimitKind::Inodes => limits.inodes,
        LimitKind::OpenFiles => limits.open_files.into(),
        LimitKind::FileSize => limits.file_size.get(),
        LimitKind::Stack => limits.stack.get(),
        LimitKind::Output => limits.output.get(),
        LimitKind::Timeout => u64::try_from(limits.timeout.get().as_millis()).unwrap_or(u64::MAX),
        LimitKind::CpuTime => u64::try_from(limits.cpu_time.get().as_millis()).unwrap_or(u64::MAX),
        LimitKind::Cpus => limits.cpus.get().into(),
    };
    BTreeMap::from([
        ("CANARY_LIMIT".to_owned(), amount.to_string()),
        ("CANARY_SIZE".to_owned(), amount.saturating_mul(BEYOND).to_string()),
    ])
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
        env: bounds(scenario, limits),
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
    let (used, most) = match limit {
        LimitKind::Timeout => (usage.wall.as_millis(), limits.timeout.get().as_millis()),
        LimitKind::CpuTime => (usage.cpu.as_millis(), limits.cpu_time.get().as_millis()),
        _ => (outcome.stdout.bytes.len().max(outcome.stderr.bytes.len()) as u128, u128::from(limits.output.get())),
    };
    let seen = format!("the outcome is {:?}, {used} of {most} were used", outcome.status);
    // The host looks from time to time, and a busy machine later than it wanted.
    if used > most * 3 {
        Sight::Reached(seen)
    } else if is_ended {
        Sight::Stopped(seen)
    } else {
        Sight::Unknown(seen)
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
