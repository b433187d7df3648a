//! Where the time of a WebAssembly program goes: making its place, starting its worker with loading and linking, its own start
//! and run, and clearing up; next to the same program in the jail.
//!
//! It is measured from outside, through the backend's own calls: the worker says when it is ready, before the program's first
//! instruction, and the program says when it runs.

use super::report::{machine, quantile};
use super::{Request, failed};
use crate::output::{self, Format};
use crucible::compose::{self, JAIL, WASM};
use crucible::config::{Configuration, Environment, Overrides};
use crucible_core::{
    Backend, Command, Error, ErrorKind, ExitStatus, Language, Limits, Policy, Readiness, Result, SandboxId,
    SandboxRequest,
};
use serde::Serialize;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::AsyncReadExt;

const ROUNDS: u32 = 30;
const WARM_UP: u32 = 3;

/// The stretches of one run, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Run {
    create: f64,
    ready: f64,
    speaks: f64,
    ends: f64,
    destroy: f64,
}

/// The medians of a way's runs.
#[derive(Debug, Serialize)]
struct Way {
    way: &'static str,
    /// Making the sandbox.
    create_ms: f64,
    /// From the request to start it until the program is about to start: the process, and for WebAssembly loading and linking.
    ready_ms: f64,
    /// From there until the program's first output: the interpreter's own start.
    speaks_ms: f64,
    /// From there to its end.
    ends_ms: f64,
    /// Clearing the sandbox away.
    destroy_ms: f64,
    /// From the request to start it to its end.
    run_ms: f64,
    run_p95_ms: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    benchmark: &'static str,
    machine: String,
    rounds: u32,
    ways: Vec<Way>,
}

struct Measured {
    name: &'static str,
    backend: Arc<dyn Backend>,
    runs: Vec<Run>,
}

/// Measures and writes the result to standard output.
///
/// # Errors
/// `NotFound` where the runtime isn't installed, with the command that installs it; else whatever keeps a backend from running.
pub(crate) fn run(request: &Request) -> Result<()> {
    let configuration = Configuration::load(&Environment::of_process(), &Overrides::default())?;
    let (_, python) = configuration.languages().find("python")?;
    let rounds = request.rounds.unwrap_or(ROUNDS);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("start the runtime", "the asynchronous runtime can't be started").with_source(error))?;
    let measured = runtime.block_on(async {
        let mut measured = Vec::new();
        for name in [JAIL, WASM] {
            let backend = compose::start(name, &configuration).await?;
            measured.push(Measured { name, backend, runs: Vec::new() });
        }
        for round in 0..rounds + WARM_UP {
            for Measured { backend, runs, .. } in &mut measured {
                let run = one(backend.as_ref(), &python).await?;
                if round >= WARM_UP {
                    runs.push(run);
                }
            }
        }
        Ok::<_, Error>(measured)
    });
    runtime.shutdown_background();
    let ways = measured?.iter().map(summary).collect();
    let report = Report { benchmark: "wasm", machine: machine(), rounds, ways };
    match request.format {
        Format::Json => output::json(&report)?,
        Format::Text => output::data(&table(&report))?,
    };
    Ok(())
}

async fn one(backend: &dyn Backend, python: &Arc<Language>) -> Result<Run> {
    let milliseconds = |since: Instant| since.elapsed().as_secs_f64() * 1e3;
    let request = SandboxRequest {
        id: SandboxId::generate(),
        language: Some(Arc::clone(python)),
        limits: Limits::default(),
        policy: Policy::default(),
        readiness: Readiness::Bare,
        project: None,
    };
    let began = Instant::now();
    let sandbox = backend.create(request).await?;
    let create = milliseconds(began);
    let interpreter = sandbox.interpreter().unwrap_or_default().to_owned();
    let argv = [interpreter.as_str(), "-I", "-S", "-c", "print(1, flush=True)"].map(str::to_owned).to_vec();
    let began = Instant::now();
    let mut execution = sandbox.exec(Command { argv, ..Command::default() }).await?;
    let ready = milliseconds(began);
    drop(execution.stdin);
    let mut first = [0; 1];
    let read = execution.stdout.read_exact(&mut first).await;
    let speaks = milliseconds(began) - ready;
    let status = execution.process.wait().await?;
    let ends = milliseconds(began) - speaks - ready;
    let began = Instant::now();
    sandbox.destroy().await?;
    let destroy = milliseconds(began);
    if read.is_err() || status != ExitStatus::Exited(0) {
        let message = format!("the program ended with {status:?} on backend '{}'", backend.name());
        return Err(Error::new(ErrorKind::Infrastructure, "measure a run", message));
    }
    Ok(Run { create, ready, speaks, ends, destroy })
}

fn summary(measured: &Measured) -> Way {
    let median = |of: fn(&Run) -> f64| quantile(&measured.runs.iter().map(of).collect::<Vec<_>>(), 0.5);
    let whole: Vec<f64> = measured.runs.iter().map(|run| run.ready + run.speaks + run.ends).collect();
    Way {
        way: measured.name,
        create_ms: median(|run| run.create),
        ready_ms: median(|run| run.ready),
        speaks_ms: median(|run| run.speaks),
        ends_ms: median(|run| run.ends),
        destroy_ms: median(|run| run.destroy),
        run_ms: quantile(&whole, 0.5),
        run_p95_ms: quantile(&whole, 0.95),
    }
}

fn table(report: &Report) -> String {
    let mut text = format!("python -I -S -c 'print(1)', {} interleaved rounds, {}\n\n", report.rounds, report.machine);
    text.push_str("medians in ms   create    ready   speaks     ends      run      p95   destroy\n");
    for way in &report.ways {
        // Writing to a String can't fail.
        let _ = writeln!(
            text,
            "{:13} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8.2}  {:>8.2}",
            way.way,
            way.create_ms,
            way.ready_ms,
            way.speaks_ms,
            way.ends_ms,
            way.run_ms,
            way.run_p95_ms,
            way.destroy_ms
        );
    }
    text
}
