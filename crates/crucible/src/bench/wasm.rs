//! Where the time of a WebAssembly program goes: making its place, starting its worker with loading and linking, its own start
//! and run, and clearing up; from its beginning, from a snapshot, and from a snapshot with a worker that waits; next to the same
//! program in the jail and as a plain process.
//!
//! It is measured from outside, through the backend's own calls: the worker says when it is ready, before the program's first
//! instruction, and the program says when it runs.

use super::report::{machine, median_ratio, quantile};
use super::{Request, failed};
use crate::output::{self, Format};
use crucible::compose::{self, JAIL, WASM};
use crucible::config::{Configuration, Environment, Overrides};
use crucible_core::{
    Backend, Command, Error, ErrorKind, ExitStatus, GuestPath, Language, Limits, Policy, Readiness, Result, Sandbox,
    SandboxId, SandboxRequest,
};
use serde::Serialize;
use std::fmt::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::AsyncReadExt;

const ROUNDS: u32 = 30;
const WARM_UP: u32 = 3;
/// How many runs of a round each worker makes for the throughput.
const RUNS_PER_WORKER: u32 = 8;
const WORKERS: [usize; 2] = [1, 2];

const FILE: &str = "main.py";
const PROGRAM: &str = "print(1, flush=True)\n";
/// What keeps Python from what it doesn't need for that, and from a snapshot.
const LITTLE: [&str; 2] = ["-I", "-S"];

/// The way that the others are compared with.
const PLAIN: &str = "plain process";
const READY: &str = "snapshot, ready";
/// What is promised for the last way, with a program that waits for its order: either of these,
const MOST_MILLISECONDS: f64 = 5.0;
const MOST_OF_PLAIN: f64 = 0.5;
/// and this, with so many workers.
const LEAST_THROUGHPUT: f64 = 2.0;
const WORKERS_FOR_THROUGHPUT: usize = 2;

/// The stretches of one run, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    create: f64,
    ready: f64,
    speaks: f64,
    ends: f64,
    destroy: f64,
}

impl Run {
    const fn whole(&self) -> f64 {
        self.ready + self.speaks + self.ends
    }
}

/// The medians of a way's runs.
#[derive(Debug, Serialize)]
struct Way {
    way: &'static str,
    /// Making the sandbox, with all that stands ready in it.
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
    /// What that is to a plain process of the same round.
    to_plain: f64,
    /// Runs a second, with making and clearing away, by so many workers at once.
    throughput: Vec<Throughput>,
}

#[derive(Debug, Serialize)]
struct Throughput {
    workers: usize,
    per_second: f64,
    to_plain: f64,
}

/// What is promised.
#[derive(Debug, Serialize)]
struct Target {
    target: String,
    measured: String,
    kept: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    benchmark: &'static str,
    machine: String,
    rounds: u32,
    ways: Vec<Way>,
    targets: Vec<Target>,
}

/// How a program is run.
#[derive(Clone)]
enum How {
    Plain(String),
    /// In a sandbox of this backend's.
    In(Arc<dyn Backend>, Readiness, Option<[&'static str; 2]>),
}

struct Measured {
    name: &'static str,
    how: How,
    runs: Vec<Run>,
    /// For each number of workers, one figure for each round.
    throughput: Vec<Vec<f64>>,
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
        let jail = compose::start(JAIL, &configuration).await?;
        let wasm = compose::start(WASM, &configuration).await?;
        let sandbox = create(jail.as_ref(), &python, Readiness::Bare).await?;
        let interpreter = sandbox.interpreter().unwrap_or_default().to_owned();
        sandbox.destroy().await?;
        let ways = [
            (PLAIN, How::Plain(interpreter)),
            ("jail", How::In(jail, Readiness::Bare, Some(LITTLE))),
            ("wasm, from start", How::In(Arc::clone(&wasm), Readiness::Bare, Some(LITTLE))),
            ("snapshot, cold", How::In(Arc::clone(&wasm), Readiness::Bare, None)),
            (READY, How::In(wasm, Readiness::Interpreter, None)),
        ];
        let mut measured = ways.map(|(name, how)| Measured {
            name,
            how,
            runs: Vec::new(),
            throughput: WORKERS.map(|_| Vec::new()).to_vec(),
        });
        for round in 0..rounds + WARM_UP {
            for way in &mut measured {
                let run = one(&way.how, &python).await?;
                if round >= WARM_UP {
                    way.runs.push(run);
                }
            }
        }
        for round in 0..=rounds.div_ceil(4) {
            for way in &mut measured {
                for (workers, figures) in WORKERS.into_iter().zip(&mut way.throughput) {
                    let figure = throughput(&way.how, &python, workers).await?;
                    if round > 0 {
                        figures.push(figure);
                    }
                }
            }
        }
        Ok::<_, Error>(measured)
    });
    runtime.shutdown_background();
    let measured = measured?;
    let [plain, ..] = &measured;
    let ways: Vec<_> = measured.iter().map(|way| summary(way, plain)).collect();
    let targets = targets(&ways);
    let report = Report { benchmark: "wasm", machine: machine(), rounds, ways, targets };
    match request.format {
        Format::Json => output::json(&report)?,
        Format::Text => output::data(&table(&report))?,
    };
    Ok(())
}

async fn create(backend: &dyn Backend, python: &Arc<Language>, readiness: Readiness) -> Result<Box<dyn Sandbox>> {
    let request = SandboxRequest {
        id: SandboxId::generate(),
        language: Some(Arc::clone(python)),
        limits: Limits::default(),
        policy: Policy::default(),
        readiness,
        project: None,
    };
    backend.create(request).await
}

/// As many runs as `workers` make at once, a second.
async fn throughput(how: &How, python: &Arc<Language>, workers: usize) -> Result<f64> {
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..workers {
        let (how, python) = (how.clone(), Arc::clone(python));
        tasks.spawn(async move {
            for _ in 0..RUNS_PER_WORKER {
                one(&how, &python).await?;
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(|_| failed("measure", "a worker ended early"))??;
    }
    let runs = u32::try_from(workers).unwrap_or(1) * RUNS_PER_WORKER;
    Ok(f64::from(runs) / began.elapsed().as_secs_f64())
}

async fn one(how: &How, python: &Arc<Language>) -> Result<Run> {
    match how {
        How::Plain(interpreter) => plain(interpreter).await,
        How::In(backend, readiness, options) => inside(backend.as_ref(), python, *readiness, *options).await,
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn unexpected(status: impl std::fmt::Debug, place: &str) -> Error {
    let message = format!("the program ended with {status:?} {place}");
    Error::new(ErrorKind::Infrastructure, "measure a run", message)
}

async fn plain(interpreter: &str) -> Result<Run> {
    let cannot = |error| failed("measure a run", "a plain process can't be started").with_source(error);
    let began = Instant::now();
    let mut process = tokio::process::Command::new(interpreter);
    process.args(LITTLE).args(["-c", PROGRAM]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = process.spawn().map_err(cannot)?;
    let ready = milliseconds(began);
    let mut first = [0; 1];
    let read = match &mut process.stdout {
        Some(stdout) => stdout.read_exact(&mut first).await.is_ok(),
        None => false,
    };
    let speaks = milliseconds(began) - ready;
    let status = process.wait().await.map_err(cannot)?;
    let ends = milliseconds(began) - speaks - ready;
    if !read || !status.success() {
        return Err(unexpected(status, "as a plain process"));
    }
    Ok(Run { ready, speaks, ends, ..Run::default() })
}

async fn inside(
    backend: &dyn Backend,
    python: &Arc<Language>,
    readiness: Readiness,
    options: Option<[&'static str; 2]>,
) -> Result<Run> {
    let began = Instant::now();
    let sandbox = create(backend, python, readiness).await?;
    let create = milliseconds(began);
    if sandbox.readiness() != readiness {
        return Err(Error::new(
            ErrorKind::Infrastructure,
            "measure a run",
            "the sandbox isn't as ready as it should be",
        ));
    }
    sandbox.write_file(&GuestPath::parse(FILE)?, &mut PROGRAM.as_bytes(), false).await?;
    let interpreter = sandbox.interpreter().unwrap_or_default().to_owned();
    let options = options.unwrap_or_default().into_iter().filter(|option| !option.is_empty()).map(str::to_owned);
    let argv = std::iter::once(interpreter).chain(options).chain([FILE.to_owned()]).collect();
    let began = Instant::now();
    let mut execution = sandbox.exec(Command { argv, env: python.env.clone(), ..Command::default() }).await?;
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
        return Err(unexpected(status, &format!("on backend '{}'", backend.name())));
    }
    Ok(Run { create, ready, speaks, ends, destroy })
}

fn summary(measured: &Measured, plain: &Measured) -> Way {
    let median = |of: fn(&Run) -> f64| quantile(&measured.runs.iter().map(of).collect::<Vec<_>>(), 0.5);
    let whole = |measured: &Measured| measured.runs.iter().map(Run::whole).collect::<Vec<_>>();
    let throughput = WORKERS.into_iter().zip(&measured.throughput).zip(&plain.throughput);
    Way {
        way: measured.name,
        create_ms: median(|run| run.create),
        ready_ms: median(|run| run.ready),
        speaks_ms: median(|run| run.speaks),
        ends_ms: median(|run| run.ends),
        destroy_ms: median(|run| run.destroy),
        run_ms: quantile(&whole(measured), 0.5),
        run_p95_ms: quantile(&whole(measured), 0.95),
        to_plain: median_ratio(&whole(measured), &whole(plain)),
        throughput: throughput
            .map(|((workers, figures), plain)| Throughput {
                workers,
                per_second: quantile(figures, 0.5),
                to_plain: median_ratio(figures, plain),
            })
            .collect(),
    }
}

fn targets(ways: &[Way]) -> Vec<Target> {
    let Some(ready) = ways.iter().find(|way| way.way == READY) else { return Vec::new() };
    let throughput = ready.throughput.iter().find(|throughput| throughput.workers == WORKERS_FOR_THROUGHPUT);
    let throughput = throughput.map_or(0.0, |throughput| throughput.to_plain);
    vec![
        Target {
            target: format!(
                "a start with a ready sandbox: at most {MOST_MILLISECONDS} ms, or {MOST_OF_PLAIN} times a plain process"
            ),
            measured: format!("{:.2} ms, {:.2} times", ready.run_ms, ready.to_plain),
            kept: ready.run_ms <= MOST_MILLISECONDS || ready.to_plain <= MOST_OF_PLAIN,
        },
        Target {
            target: format!(
                "runs a second with {WORKERS_FOR_THROUGHPUT} workers: at least {LEAST_THROUGHPUT} times plain processes"
            ),
            measured: format!("{throughput:.2} times"),
            kept: throughput >= LEAST_THROUGHPUT,
        },
    ]
}

fn table(report: &Report) -> String {
    let mut text = format!("python print(1), {} interleaved rounds, {}\n\n", report.rounds, report.machine);
    text.push_str(
        "medians in ms        create    ready   speaks     ends      run      p95   destroy  to plain   runs/s with 1 and 2 workers, to plain\n",
    );
    for way in &report.ways {
        // Writing to a String can't fail.
        let _ = write!(
            text,
            "{:18} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8.2}  {:>8.2} {:>8.2}  ",
            way.way,
            way.create_ms,
            way.ready_ms,
            way.speaks_ms,
            way.ends_ms,
            way.run_ms,
            way.run_p95_ms,
            way.destroy_ms,
            way.to_plain
        );
        for Throughput { per_second, to_plain, .. } in &way.throughput {
            let _ = write!(text, " {per_second:>8.1} {to_plain:>6.2}");
        }
        text.push('\n');
    }
    text.push('\n');
    for Target { target, measured, kept } in &report.targets {
        let kept = if *kept { "kept" } else { "NOT KEPT" };
        let _ = writeln!(text, "{target}: {measured}: {kept}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: &'static str, run: f64, per_second: f64) -> Measured {
        let runs = vec![Run { speaks: run, ..Run::default() }; 3];
        Measured { name, how: How::Plain(String::new()), runs, throughput: vec![vec![per_second; 3]; WORKERS.len()] }
    }

    #[test]
    fn a_target_is_kept_by_either_time_and_by_the_throughput_alone() {
        let plain = measured(PLAIN, 12.0, 100.0);
        for (run, per_second, kept) in
            [(4.9, 200.0, [true, true]), (6.0, 199.0, [true, false]), (6.1, 250.0, [false, true])]
        {
            let ways = [summary(&plain, &plain), summary(&measured(READY, run, per_second), &plain)];
            let targets = targets(&ways);
            assert_eq!(targets.iter().map(|target| target.kept).collect::<Vec<_>>(), kept, "{run}");
            let report = Report { benchmark: "wasm", machine: String::new(), rounds: 3, ways: ways.into(), targets };
            assert_eq!(table(&report).contains("NOT KEPT"), kept.contains(&false));
        }
    }
}
