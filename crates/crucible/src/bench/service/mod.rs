//! How fast the service is: what it adds to a run, how many reads it answers, how many events it delivers, what it holds.
//!
//! The service is this same process's, over loopback, so that the client's share of the processors counts against it. Only what
//! it holds while idle is read from a process of its own.

mod wire;

use super::report::{machine, median_ratio, quantile};
use super::{Request, failed};
use crate::output::{self, Format};
use bytes::Bytes;
use crucible::compose::{self, Composed, Unsafe};
use crucible::config::{Configuration, Environment, Override, Overrides};
use crucible_core::{Discard, EvaluationId, EvaluationSpec, GlobalNumber, ProjectId, Result, StoredEvent};
use crucible_engine::RunIo;
use crucible_server::{Access, Api, Metrics, Statistics, routes};
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio_util::sync::CancellationToken;
use wire::Connection;

const ROUNDS: u32 = 100;
const WARM_UP: u32 = 5;
/// How long reads are counted.
const READS: Duration = Duration::from_secs(5);
/// How many connections read at one time.
const READERS: usize = 4;
/// How many events are delivered, and how many are published at a time.
const EVENTS: u64 = 300_000;
const TOGETHER: u64 = 100;
/// What is promised.
const MOST_ADDED_MS: f64 = 2.0;
const FEWEST_READS: f64 = 10_000.0;
const FEWEST_EVENTS: f64 = 100_000.0;
const MOST_IDLE_BYTES: u64 = 60 << 20;
/// How many submit at one time, so many each; next to them, as many plain processes by as many workers as there are processors.
const CLIENTS: u32 = 16;
const RUNS_PER_CLIENT: u32 = 25;
const CROWDS: u32 = 5;
/// What is to be reached next to plain processes.
const MOST_TIMES_PLAIN: f64 = 0.35;
const LEAST_RATE_TIMES_PLAIN: f64 = 2.5;

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    benchmark: &'static str,
    machine: String,
    rounds: u32,
    /// Submitting `print(1)` and having its result, over HTTP, with `wait`.
    submit_to_result_ms: f64,
    submit_to_result_p95_ms: f64,
    /// The run itself: the same evaluation by the engine of the same process, in the same rounds, without the service.
    run_ms: f64,
    /// The part of it that its record has as making the sandbox, the command and clearing away.
    recorded_ms: f64,
    /// The median of the differences between the two of a round.
    added_ms: f64,
    added_p95_ms: f64,
    /// A plain process that does the same, in the same rounds.
    plain_ms: f64,
    /// The median of each round's ratio to it.
    submit_to_result_times_plain: f64,
    /// Results a second of many clients at one time, and plain processes a second of two workers, in the same rounds.
    results_per_second: Vec<f64>,
    plain_per_second: Vec<f64>,
    results_times_plain: f64,
    /// Answers to GET of one finished evaluation.
    reads_per_second: f64,
    /// Events that a follower of all events got over HTTP.
    events_per_second: f64,
    /// What a service holds that has done nothing; `null` where it can't be read.
    idle_bytes: Option<u64>,
}

/// Measures and writes the result to standard output.
///
/// # Errors
/// Whatever keeps the service from running.
pub(crate) fn run(request: &Request) -> Result<()> {
    let rounds = request.rounds.unwrap_or(ROUNDS);
    let folder = tempfile::tempdir().map_err(|error| failed("make a folder", "there is none").with_source(error))?;
    let idle_bytes = idle(&folder.path().join("idle"));
    let data = folder.path().join("data").display().to_string();
    let settings = vec![Override { key: "serve.data", value: data, flag: "--data-dir" }];
    let configuration = Configuration::load(&Environment::of_process(), &Overrides { preset: None, settings })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("start the runtime", "the asynchronous runtime can't be started").with_source(error))?;
    let report = runtime.block_on(measure(&configuration, rounds, idle_bytes))?;
    runtime.shutdown_background();
    match request.format {
        Format::Json => output::json(&report).map(drop),
        Format::Text => output::data(&table(&report)).map(drop),
    }
}

async fn measure(configuration: &Configuration, rounds: u32, idle_bytes: Option<u64>) -> Result<Report> {
    let Composed { parts, store, queue } = compose::service(configuration, Unsafe::Refused).await?;
    let service = Arc::clone(&parts.service);
    let (stop, closing) = (CancellationToken::new(), CancellationToken::new());
    let api = parts.into_api(Access::Local, None, (Metrics::default(), Statistics::default()), closing.clone(), &store);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.map_err(|error| failed("listen", "there is no port").with_source(error))?;
    let address = listener.local_addr().map_err(|error| failed("listen", "there is no port").with_source(error))?;
    tokio::spawn(std::future::IntoFuture::into_future(axum::serve(listener, routes(Api::new(api)))));
    let dispatching = {
        let (service, stop) = (Arc::clone(&service), stop.clone());
        tokio::spawn(async move { service.dispatch(stop, Duration::from_secs(10)).await })
    };
    let (_, interpreter) = super::cold::language(configuration)?;
    let (mut whole, mut runs, mut recorded, mut added) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut plain = Vec::new();
    let mut connection = Connection::open(address).await?;
    let mut id = String::new();
    for round in 0..rounds + WARM_UP {
        let begun = Instant::now();
        let answer = connection.post("/v1/evaluations?wait=30s", r#"{"code":"print(1)","backend":"jail"}"#).await?;
        let took = begun.elapsed().as_secs_f64() * 1e3;
        let outcome = answer.get("outcome").cloned().unwrap_or_default();
        if outcome.get("stdout").and_then(serde_json::Value::as_str) != Some("1\n") {
            return Err(failed("measure", &format!("the service answers otherwise: {answer}")));
        }
        id = answer.get("id").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let part = |name: &str| outcome.pointer(&format!("/timings/{name}")).and_then(serde_json::Value::as_f64);
        let run = alone(&service, &id).await?;
        let process = plain_runs(&interpreter, 1, 1).await?.as_secs_f64() * 1e3;
        if round >= WARM_UP {
            recorded.push(["create_ms", "exec_ms", "destroy_ms"].into_iter().filter_map(part).sum());
            whole.push(took);
            runs.push(run);
            plain.push(process);
            added.push(took - run);
        }
    }
    let (mut results_per_second, mut plain_per_second) = (Vec::new(), Vec::new());
    for _ in 0..CROWDS {
        let all = f64::from(CLIENTS * RUNS_PER_CLIENT);
        results_per_second.push(all / crowd(address).await?.as_secs_f64());
        let workers = u32::try_from(std::thread::available_parallelism().map_or(1, usize::from)).unwrap_or(1);
        let each = (CLIENTS * RUNS_PER_CLIENT / 4).div_ceil(workers);
        plain_per_second.push(f64::from(workers * each) / plain_runs(&interpreter, workers, each).await?.as_secs_f64());
    }
    let reads_per_second = reads(address, &id).await?;
    let events_per_second = events(address, &service).await?;
    stop.cancel();
    closing.cancel();
    let _drained = dispatching.await.is_ok();
    drop(queue);
    Ok(Report {
        benchmark: "service",
        machine: machine(),
        rounds,
        submit_to_result_ms: quantile(&whole, 0.5),
        submit_to_result_p95_ms: quantile(&whole, 0.95),
        run_ms: quantile(&runs, 0.5),
        recorded_ms: quantile(&recorded, 0.5),
        added_ms: quantile(&added, 0.5),
        added_p95_ms: quantile(&added, 0.95),
        plain_ms: quantile(&plain, 0.5),
        submit_to_result_times_plain: median_ratio(&whole, &plain),
        results_times_plain: median_ratio(&results_per_second, &plain_per_second),
        results_per_second,
        plain_per_second,
        reads_per_second,
        events_per_second,
        idle_bytes,
    })
}

/// How long all of many clients' submissions take, each waiting for its result before it submits the next.
async fn crowd(address: SocketAddr) -> Result<Duration> {
    let begun = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            tokio::spawn(async move {
                let mut connection = Connection::open(address).await?;
                for _ in 0..RUNS_PER_CLIENT {
                    let body = r#"{"code":"print(1)","backend":"jail"}"#;
                    let answer = connection.post("/v1/evaluations?wait=30s", body).await?;
                    let stdout = answer.pointer("/outcome/stdout").and_then(serde_json::Value::as_str);
                    if stdout != Some("1\n") {
                        return Err(failed("measure", &format!("the service answers otherwise: {answer}")));
                    }
                }
                Ok(())
            })
        })
        .collect();
    for client in clients {
        client.await.map_err(|error| failed("measure", "a client broke").with_source(error))??;
    }
    Ok(begun.elapsed())
}

/// How long plain processes take, by so many workers that start so many each.
async fn plain_runs(interpreter: &str, workers: u32, each: u32) -> Result<Duration> {
    let begun = Instant::now();
    let workers: Vec<_> = (0..workers)
        .map(|_| {
            let interpreter = interpreter.to_owned();
            tokio::task::spawn_blocking(move || (0..each).try_for_each(|_| super::warm::plain(&interpreter)))
        })
        .collect();
    for worker in workers {
        worker.await.map_err(|error| failed("measure", "a worker broke").with_source(error))??;
    }
    Ok(begun.elapsed())
}

/// Runs what was submitted once more, without a service around it, and says how many milliseconds that took.
async fn alone(service: &crucible_engine::Service, id: &str) -> Result<f64> {
    let id = id.parse().map_err(|_| failed("measure", "the service gives an id that is none"))?;
    let parts = service.parts();
    let spec = EvaluationSpec { id: EvaluationId::generate(), ..parts.store.specification(None, id).await? };
    let io = RunIo { stdin: None, events: &Discard, cancel: CancellationToken::new(), project: None };
    let begun = Instant::now();
    parts.engine.evaluate(spec, io).await?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// Reads one evaluation again and again, over several connections.
#[expect(clippy::cast_precision_loss, reason = "so many aren't read")]
async fn reads(address: SocketAddr, id: &str) -> Result<f64> {
    let path = format!("/v1/evaluations/{id}");
    let begun = Instant::now();
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let path = path.clone();
            tokio::spawn(async move {
                let mut connection = Connection::open(address).await?;
                let mut count = 0_u64;
                while begun.elapsed() < READS {
                    connection.get(&path).await?;
                    count += 1;
                }
                Ok::<_, crucible_core::Error>(count)
            })
        })
        .collect();
    let mut all = 0;
    for reader in readers {
        all += reader.await.map_err(|error| failed("read", "a reader broke").with_source(error))??;
    }
    Ok(all as f64 / begun.elapsed().as_secs_f64())
}

/// Publishes events on the service's bus, and counts what a follower over HTTP gets of them.
#[expect(clippy::cast_precision_loss, reason = "so many aren't published")]
async fn events(address: SocketAddr, service: &Arc<crucible_engine::Service>) -> Result<f64> {
    let bus = Arc::clone(&service.parts().bus);
    let latest = service.parts().store.latest_event().await?.0;
    let mut follower = Connection::open(address).await?;
    follower.follow("/v1/events").await?;
    let (evaluation, project, body) = (EvaluationId::generate(), ProjectId::default(), Bytes::from_static(b"{}"));
    let event = |number: u64| {
        Arc::new(StoredEvent {
            global: GlobalNumber(latest + number),
            project: project.clone(),
            evaluation,
            number,
            at: SystemTime::now(),
            kind: Cow::Borrowed("command_started"),
            body: body.clone(),
        })
    };
    let begun = Instant::now();
    let (mut sent, mut heard) = (0, 0);
    while heard < EVENTS {
        // No further ahead than a subscriber's buffer, as a store that is synced would be.
        while sent < EVENTS && sent - heard < TOGETHER * 20 {
            let batch: Vec<_> = (sent + 1..=sent + TOGETHER).map(event).collect();
            bus.publish(&batch);
            sent += TOGETHER;
        }
        heard += follower.hear().await?;
    }
    Ok(heard as f64 / begun.elapsed().as_secs_f64())
}

/// What a service of its own holds once it listens.
fn idle(folder: &std::path::Path) -> Option<u64> {
    let mut service = Command::new(std::env::current_exe().ok()?)
        .args(["serve", "--listen", "127.0.0.1:0", "--log", "off", "--data-dir"])
        .arg(folder)
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let held = service.stdout.take().and_then(|said| {
        let ready =
            BufReader::new(said).lines().map_while(std::result::Result::ok).any(|line| line.starts_with("listening"));
        let status = std::fs::read_to_string(format!("/proc/{}/status", service.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        ready.then_some(kib << 10)
    });
    // It is ours, and has done nothing.
    let _ended = service.kill().and_then(|()| service.wait()).is_ok();
    held
}

fn table(report: &Report) -> String {
    let kept = |kept: bool| if kept { "kept" } else { "NOT KEPT" };
    let mut text = format!("The service, {} rounds, {}\n\n", report.rounds, report.machine);
    let Report { submit_to_result_ms, submit_to_result_p95_ms, run_ms, recorded_ms, added_ms, added_p95_ms, .. } =
        report;
    // Writing to a text never fails.
    let _ = writeln!(
        text,
        "print(1), from submitting to its result  {submit_to_result_ms:9.2} ms   p95 {submit_to_result_p95_ms:.2}"
    );
    let _ = writeln!(
        text,
        "the same run without the service         {run_ms:9.2} ms   {recorded_ms:.2} of it in the sandbox"
    );
    let _ = writeln!(
        text,
        "what the service adds                    {added_ms:9.2} ms   p95 {added_p95_ms:.2}; at most {MOST_ADDED_MS} is promised: {}",
        kept(*added_ms <= MOST_ADDED_MS)
    );
    let _ = writeln!(
        text,
        "from submitting to its result            {:9.2} times a plain process ({:.2} ms); at most {MOST_TIMES_PLAIN} is wanted: {}",
        report.submit_to_result_times_plain,
        report.plain_ms,
        kept(report.submit_to_result_times_plain <= MOST_TIMES_PLAIN)
    );
    let _ = writeln!(
        text,
        "results of {CLIENTS} clients                    {:9.0} /s   {:.2} times plain processes; at least {LEAST_RATE_TIMES_PLAIN} are wanted: {}",
        quantile(&report.results_per_second, 0.5),
        report.results_times_plain,
        kept(report.results_times_plain >= LEAST_RATE_TIMES_PLAIN)
    );
    let _ = writeln!(
        text,
        "reads of one evaluation                  {:9.0} /s   at least {FEWEST_READS} are promised: {}",
        report.reads_per_second,
        kept(report.reads_per_second >= FEWEST_READS)
    );
    let _ = writeln!(
        text,
        "events to one follower over HTTP         {:9.0} /s   at least {FEWEST_EVENTS} are promised: {}",
        report.events_per_second,
        kept(report.events_per_second >= FEWEST_EVENTS)
    );
    if let Some(bytes) = report.idle_bytes {
        let _ = writeln!(
            text,
            "memory while idle                        {:9} MiB  less than {} is promised: {}",
            bytes >> 20,
            MOST_IDLE_BYTES >> 20,
            kept(bytes < MOST_IDLE_BYTES)
        );
    }
    text
}
