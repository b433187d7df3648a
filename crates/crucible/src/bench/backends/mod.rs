//! The benchmark of backends: one complete isolated run of `print(1)` on each that is here, and another command in a sandbox
//! that is open, each next to the same by the tool that a person would use without Crucible.
//!
//! Every round measures every way, one after the other, so that a machine that is busy for a while is so for all of them.
//! What counts is the ratio to that tool within a round. A backend or tool that isn't here is left out, and said to be.

mod peers;
mod report;

use super::{Request, failed};
use crate::output::Format;
use crucible::compose;
use crucible::config::{Configuration, Environment, Overrides};
use crucible_core::{
    Backend, Command, Discard, Error, EvaluationId, EvaluationSpec, ExitStatus, Language, Limits, Policy, Program,
    Readiness, Result, Sandbox, SandboxId, SandboxRequest, Status,
};
use crucible_engine::{Engine, LanguageTable, PoolSettings, RunIo};
use peers::{Peer, Peers};
use report::{Measured, Report};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

/// What every way runs, and what it prints.
pub(super) const CODE: &str = "print(1)";
pub(super) const OUTPUT: &[u8] = b"1\n";
/// How Python is called, so that it does the same everywhere.
pub(super) const FLAGS: [&str; 2] = ["-I", "-S"];
/// The name of the table's entry for that.
const LANGUAGE: &str = "bare_python";
/// Runs of each way in a round; of each worker, where there are two.
const RUNS: u32 = 3;
/// How long one waits at most until a sandbox stands ready.
const PATIENCE: Duration = Duration::from_secs(2);
const ROUNDS: u32 = 9;
/// How much of what a command prints is read.
const MOST_OUTPUT: u64 = 4096;

/// A backend that is measured.
struct Candidate {
    backend: Arc<dyn Backend>,
    engine: Engine,
    /// The same with a pool.
    warm: Engine,
    policy: Policy,
    /// Where it finds Python.
    interpreter: Option<String>,
    /// A sandbox that stays open; `None` where it has no programs but a language's.
    open: Option<Box<dyn Sandbox>>,
}

/// What is run.
struct Languages {
    python: Arc<Language>,
    /// A language whose sandboxes have ordinary programs.
    shell: Arc<Language>,
}

/// Measures the backends and writes the result to standard output.
///
/// # Errors
/// `Unavailable` where no backend runs here.
pub(crate) fn run(request: &Request) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("start the runtime", "the asynchronous runtime can't be started").with_source(error))?;
    let report = runtime.block_on(measure(request.rounds.unwrap_or(ROUNDS)));
    runtime.shutdown_background();
    let report = report?;
    let text = match request.format {
        Format::Text => report.table(),
        Format::Json => report.json(),
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| failed("write the result", "standard output can't be written").with_source(error))
}

async fn measure(rounds: u32) -> Result<Report> {
    let configuration = Configuration::load(&Environment::of_process(), &Overrides::default())?;
    let languages = Languages {
        python: configuration.languages().find("python")?.1,
        shell: configuration.languages().find("bash")?.1,
    };
    let (mut left_out, mut candidates) = (Vec::new(), Vec::new());
    for name in compose::BACKENDS {
        match candidate(name, &configuration, &languages).await {
            Ok(candidate) => candidates.push(candidate),
            Err(error) => left_out.push((name.to_owned(), error.to_string())),
        }
    }
    if candidates.is_empty() {
        return Err(failed("measure the backends", "none of them runs here"));
    }
    let interpreter =
        |name: &str| candidates.iter().find(|candidate| candidate.backend.name() == name)?.interpreter.clone();
    let peers = Peers::find(&configuration, &languages, &interpreter, &mut left_out);
    let measured = rounds_of(rounds, &candidates, &peers).await;
    // What was opened is closed, whatever came of it.
    for candidate in candidates {
        candidate.warm.drain_pool().await;
        if let Some(sandbox) = candidate.open {
            sandbox.destroy().await?;
        }
    }
    drop(peers);
    Ok(Report::new(rounds, measured?, left_out))
}

/// A backend with an engine over it, and a sandbox that stays open.
async fn candidate(name: &str, configuration: &Configuration, languages: &Languages) -> Result<Candidate> {
    let backend = compose::start(name, configuration).await?;
    let policy = compose::policy(configuration, name)?.of_protection();
    let request = |language: &Arc<Language>| SandboxRequest {
        id: SandboxId::generate(),
        language: Some(Arc::clone(language)),
        limits: configuration.limits().clone(),
        policy: policy.clone(),
        readiness: Readiness::Bare,
        project: None,
    };
    let python = backend.create(request(&languages.python)).await?;
    let interpreter = python.interpreter().map(str::to_owned);
    python.destroy().await?;
    let open = backend.create(request(&languages.shell)).await.ok();
    let run = std::iter::once("{interpreter}").chain(FLAGS).chain(["{file}"]).map(str::to_owned).collect();
    let bare = Language { endings: Vec::new(), aliases: Vec::new(), run, ..Language::clone(&languages.python) };
    let table = LanguageTable::from(BTreeMap::from([(LANGUAGE.to_owned(), bare)]));
    let engine = || -> Result<Engine> {
        let engine = Engine::new(vec![Arc::clone(&backend)], table.clone(), Limits::maximum(), compose::node());
        // With the scanner, as every run has it.
        Ok(engine.with_scanner(compose::scanner(configuration)?))
    };
    let (engine, warm) = (engine()?, engine()?.with_pool(PoolSettings::default()));
    Ok(Candidate { backend, engine, warm, policy, interpreter, open })
}

async fn rounds_of(rounds: u32, candidates: &[Candidate], peers: &Peers) -> Result<Measured> {
    let mut measured = Measured::default();
    // The first runs find files that aren't in memory yet.
    for round in 0..=rounds {
        let mut keep = |kind: report::Kind, way: &str, times: Vec<Duration>| {
            if round > 0 {
                measured.add(kind, way, &times);
            }
        };
        for candidate in candidates {
            let name = candidate.backend.name();
            until_quiet(candidates).await;
            keep(report::Kind::Cold, name, times(|| evaluate(candidate, &candidate.engine)).await?);
            let mut warm = Vec::new();
            for _ in 0..RUNS {
                until_ready(&candidate.warm).await;
                let start = Instant::now();
                evaluate(candidate, &candidate.warm).await?;
                warm.push(start.elapsed());
            }
            keep(report::Kind::Warm, name, warm);
            keep(report::Kind::Sustained, name, sustained(|| evaluate(candidate, &candidate.warm)).await?);
            if let Some(sandbox) = &candidate.open {
                keep(report::Kind::Again, name, times(|| again(sandbox.as_ref())).await?);
            }
        }
        until_quiet(candidates).await;
        for Peer { kind, name, command, output } in peers.all() {
            let run = || peers::run(command, output);
            let times = match kind {
                report::Kind::Sustained => sustained(run).await?,
                report::Kind::Cold | report::Kind::Again | report::Kind::Warm => times(run).await?,
            };
            keep(*kind, name, times);
        }
    }
    Ok(measured)
}

async fn times<Work: Future<Output = Result<()>>>(work: impl Fn() -> Work) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        work().await?;
        times.push(start.elapsed());
    }
    Ok(times)
}

/// What each of the runs takes that two make, one after the other.
async fn sustained<Work: Future<Output = Result<()>>>(work: impl Fn() -> Work) -> Result<Vec<Duration>> {
    const WORKERS: u32 = 2;
    let start = Instant::now();
    let (one, other) = tokio::join!(times(&work), times(&work));
    one?;
    other?;
    Ok(vec![start.elapsed() / (WORKERS * RUNS)])
}

/// Waits until a sandbox stands ready, if any does soon, and nothing is made or cleared away beside it.
async fn until_ready(engine: &Engine) {
    until(&|| engine.pool_counts().is_none_or(|counts| counts.ready > 0 && counts.under_way == 0)).await;
}

/// Waits until no pool makes or clears away anything: what that costs is in the runs of two workers, and whatever else is
/// measured has the machine for itself.
async fn until_quiet(candidates: &[Candidate]) {
    let is_quiet = |candidate: &Candidate| candidate.warm.pool_counts().is_none_or(|counts| counts.under_way == 0);
    until(&|| candidates.iter().all(is_quiet)).await;
}

async fn until(is_so: &(dyn Fn() -> bool + Sync)) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A whole evaluation: the sandbox is made, or stood ready, and is used and put away.
async fn evaluate(candidate: &Candidate, engine: &Engine) -> Result<()> {
    let spec = EvaluationSpec {
        id: EvaluationId::generate(),
        program: Program::Source { language: LANGUAGE.to_owned(), code: CODE.into(), args: Vec::new() },
        backend: candidate.backend.name().to_owned(),
        stdin: Vec::new(),
        files: Vec::new(),
        collect: Vec::new(),
        tripwires: Vec::new(),
        env: BTreeMap::new(),
        limits: Limits::default(),
        policy: candidate.policy.clone(),
        review: None,
        label: None,
    };
    let io = RunIo { stdin: None, events: &Discard, cancel: CancellationToken::new(), project: None };
    let outcome = engine.evaluate(spec, io).await?;
    if outcome.status == (Status::Exited { code: 0 }) && outcome.stdout.bytes == OUTPUT {
        return Ok(());
    }
    let message = format!("{} didn't run it: {:?} {}", candidate.backend.name(), outcome.status, outcome.stderr_text());
    Err(failed("measure", &message))
}

/// Another command in an open sandbox.
async fn again(sandbox: &dyn Sandbox) -> Result<()> {
    let command = Command { argv: vec!["true".to_owned()], ..Command::default() };
    let mut execution = sandbox.exec(command).await?;
    drop(execution.stdin);
    let mut output = Vec::new();
    execution
        .stdout
        .take(MOST_OUTPUT)
        .read_to_end(&mut output)
        .await
        .map_err(|source| failed("measure", "the output can't be read").with_source(source))?;
    match execution.process.wait().await? {
        ExitStatus::Exited(0) => Ok(()),
        other => Err::<(), Error>(failed("measure", &format!("true ended with {other:?}"))),
    }
}
