//! HumanEval's 164 programs, each with its canonical solution and its test, on a backend and next to plain CPython.
//!
//! Invariant: what counts is that a program comes out as it does without any isolation; one that doesn't is named with what it
//! said. The programs are fetched with a locked hash, and run under the same limits on both sides.

use super::report::{machine, quantile};
use super::scan::python::{Python, Script, Sight};
use super::{Request, failed};
use crate::output::{self, Format};
use crucible::compose::{self, JAIL, SUBPROCESS, Unsafe};
use crucible::config::{Configuration, Environment, Overrides};
use crucible_core::{
    ByteSize, Discard, Error, ErrorKind, EvaluationId, EvaluationSpec, Limits, Outcome, Program, Result, Status,
    TimeSpan,
};
use crucible_engine::{Engine, RunIo};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;
use tokio_util::sync::CancellationToken;

/// Fetches the programs.
const PREPARE: Script =
    Script { operation: "fetch HumanEval", text: include_str!("prepare.py"), sight: Sight::Everything };
const REQUIREMENTS: &str = include_str!("requirements.txt");

#[derive(Debug, Deserialize)]
struct Prepared {
    programs: Vec<Task>,
}

#[derive(Debug, Deserialize)]
struct Task {
    id: String,
    code: String,
}

/// How a program came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Verdict {
    /// The status, with its code or limit.
    status: String,
    /// The last line on standard error, where it failed.
    said: Option<String>,
}

impl Verdict {
    fn of(outcome: &Outcome) -> Self {
        let status = match outcome.status {
            Status::Exited { code: 0 } => "passed".to_owned(),
            Status::Exited { code } => format!("exited with {code}"),
            Status::LimitExceeded { limit } => format!("{limit} limit reached"),
            other => format!("{other:?}").to_lowercase(),
        };
        let errors = String::from_utf8_lossy(&outcome.stderr.bytes).into_owned();
        let last = errors.lines().rfind(|line| !line.trim().is_empty());
        let said = last.map(|line| line.chars().filter(|char| !char.is_control()).take(200).collect());
        Self { said: said.filter(|_| status != "passed"), status }
    }
}

/// A program that came out otherwise.
#[derive(Debug, Serialize)]
struct Exception {
    program: String,
    plain: Verdict,
    backend: Verdict,
}

#[derive(Debug, Serialize)]
struct Report {
    benchmark: &'static str,
    machine: String,
    backend: String,
    programs: usize,
    /// Programs whose verdict is plain CPython's.
    same: usize,
    /// Programs by verdict.
    verdicts: BTreeMap<String, usize>,
    exceptions: Vec<Exception>,
    /// The median of what a program takes from its submission to its record, in milliseconds.
    median_ms: f64,
    plain_median_ms: f64,
}

/// One side: a backend with its policy.
struct Side {
    engine: Engine,
    backend: &'static str,
    configuration: Configuration,
    times: Vec<f64>,
}

impl Side {
    async fn start(backend: &'static str, configuration: &Configuration) -> Result<Self> {
        let started = compose::start(backend, configuration).await?;
        let engine = compose::unscanned_engine(vec![started], configuration);
        Ok(Self { engine, backend, configuration: configuration.clone(), times: Vec::new() })
    }

    async fn run(&mut self, task: &Task) -> Result<Verdict> {
        let spec = EvaluationSpec {
            id: EvaluationId::generate(),
            program: Program::Source {
                language: "python".to_owned(),
                code: task.code.clone().into(),
                args: Vec::new(),
            },
            backend: self.backend.to_owned(),
            stdin: Vec::new(),
            files: Vec::new(),
            collect: Vec::new(),
            tripwires: Vec::new(),
            env: BTreeMap::new(),
            limits: Limits {
                timeout: TimeSpan::secs(60),
                cpu_time: TimeSpan::secs(60),
                memory: ByteSize::mib(512),
                ..Limits::default()
            },
            policy: compose::policy(&self.configuration, self.backend)?,
            review: None,
            label: None,
        };
        let began = std::time::Instant::now();
        let io = RunIo { stdin: None, events: &Discard, cancel: CancellationToken::new(), project: None };
        let outcome = self.engine.evaluate(spec, io).await?;
        self.times.push(began.elapsed().as_secs_f64() * 1e3);
        Ok(Verdict::of(&outcome))
    }
}

/// Runs the programs and writes the result to standard output.
///
/// # Errors
/// `Unavailable` where they can't be fetched or the backend can't run; else Crucible's own failures.
pub(crate) fn run(request: &Request) -> Result<()> {
    let configuration = Configuration::load(&Environment::of_process(), &Overrides::default())?;
    let backend = compose::choose(request.backend.as_deref().unwrap_or(JAIL), Unsafe::Admitted)?;
    let python = Python::find()?;
    let prepared: Prepared = python.call(
        PREPARE,
        &serde_json::json!({ "work": python.folder(), "downloads": request.scan.downloads, "requirements": REQUIREMENTS }),
    )?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("start the runtime", "the asynchronous runtime can't be started").with_source(error))?;
    let report = runtime.block_on(compare(backend, &prepared.programs, &configuration));
    runtime.shutdown_background();
    let report = report?;
    match request.format {
        Format::Json => output::json(&report)?,
        Format::Text => output::data(&table(&report))?,
    };
    if report.same == report.programs {
        return Ok(());
    }
    let otherwise = report.programs - report.same;
    let message = format!("{otherwise} of {} programs came out otherwise than by plain CPython", report.programs);
    Err(Error::new(ErrorKind::Unavailable, "compare the verdicts", message)
        .with_hint("the report names each with what it said"))
}

async fn compare(backend: &'static str, tasks: &[Task], configuration: &Configuration) -> Result<Report> {
    let (mut plain, mut tested) =
        (Side::start(SUBPROCESS, configuration).await?, Side::start(backend, configuration).await?);
    let (mut verdicts, mut exceptions) = (BTreeMap::new(), Vec::new());
    for task in tasks {
        let (by_plain, by_backend) = (plain.run(task).await?, tested.run(task).await?);
        *verdicts.entry(by_backend.status.clone()).or_default() += 1;
        if by_plain.status != by_backend.status {
            exceptions.push(Exception { program: task.id.clone(), plain: by_plain, backend: by_backend });
        }
    }
    Ok(Report {
        benchmark: "human-eval",
        machine: machine(),
        backend: backend.to_owned(),
        programs: tasks.len(),
        same: tasks.len() - exceptions.len(),
        verdicts,
        exceptions,
        median_ms: quantile(&tested.times, 0.5),
        plain_median_ms: quantile(&plain.times, 0.5),
    })
}

fn table(report: &Report) -> String {
    let Report { machine, backend, programs, same, median_ms, plain_median_ms, .. } = report;
    let mut text = format!("HumanEval on {backend}, next to plain CPython, {machine}\n\n");
    // Writing to a String can't fail.
    let _ = writeln!(text, "same verdict   {same} of {programs}");
    for (verdict, count) in &report.verdicts {
        let _ = writeln!(text, "{verdict:14} {count}");
    }
    let _ = writeln!(text, "median         {median_ms:.1} ms; plain {plain_median_ms:.1} ms");
    for Exception { program, plain, backend } in &report.exceptions {
        let said = backend.said.as_deref().or(plain.said.as_deref()).unwrap_or_default();
        let _ = writeln!(text, "{program}: plain {}, here {}: {}", plain.status, backend.status, output::neutral(said));
    }
    text
}
