//! The warm path: one run of `print(1)` in a sandbox that stood ready with an initialised interpreter, next to one for which
//! everything is made when it is asked for, and to a plain process.
//!
//! Latency is measured with a pause before every run, in which what was used is made anew, so that each finds one ready; how
//! many did is counted. Throughput is measured without any pause: the pool then runs dry, and sandboxes are forked on request.

use super::cold::{self, LANGUAGE};
use super::report::{machine, median_ratio, quantile};
use super::{Request, failed};
use crate::output::Format;
use crucible::compose;
use crucible::config::Configuration;
use crucible_backends::jail::JailBackend;
use crucible_core::{Limits, Policy, Result};
use crucible_engine::{Engine, LanguageTable, PoolCounts, PoolSettings};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROUNDS: u32 = 15;
/// Runs of each way in a round, for latency.
const RUNS: u32 = 10;
/// Before each of them, in which a sandbox is made ahead.
const PAUSE: Duration = Duration::from_millis(20);
/// Runs of each worker in a round, for throughput.
const RUNS_PER_WORKER: u32 = 40;
const WORKERS: u32 = 2;
/// Runs that are asked for at once.
const BURST: usize = 1000;

/// What is to be reached, as a ratio to the plain process.
const LATENCY: f64 = 0.12;
const THROUGHPUT: f64 = 3.5;
/// Where no sandbox is used twice.
const FRESH_THROUGHPUT: f64 = 2.0;

/// What one way took.
struct Way {
    name: &'static str,
    engine: Option<Arc<Engine>>,
    policy: Policy,
    /// The median of each round, in milliseconds.
    latency: Vec<f64>,
    /// Runs a second in each round.
    throughput: Vec<f64>,
}

/// Measures and writes the result to standard output.
///
/// # Errors
/// `NotFound` without Python; else whatever keeps the jail from running.
pub(crate) fn run(request: &Request) -> Result<()> {
    let rounds = request.rounds.unwrap_or(ROUNDS);
    let configuration = Configuration::built_in()?;
    let (language, interpreter) = cold::language(&configuration)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(|error| {
            failed("start the runtime", "the asynchronous runtime can't be started").with_source(error)
        })?;
    let languages = LanguageTable::from(BTreeMap::from([(LANGUAGE.to_owned(), language)]));
    let engine = || -> Result<Engine> {
        let backend = Arc::new(runtime.block_on(JailBackend::start(compose::jail_config(&configuration)?))?);
        let engine = Engine::new(vec![backend], languages.clone(), Limits::maximum(), compose::node());
        Ok(engine.with_scanner(compose::scanner(&configuration)?))
    };
    let warm = Arc::new(engine()?.with_pool(PoolSettings::default()));
    let of_policy = |name, engine, policy| Way { name, engine, policy, latency: Vec::new(), throughput: Vec::new() };
    let way = |name, engine| of_policy(name, engine, Policy::default());
    let fresh = Policy { fresh: true, ..Policy::default() };
    let mut ways = [
        way("plain", None),
        way("cold jail", Some(Arc::new(engine()?))),
        of_policy("fresh jail", Some(Arc::clone(&warm)), fresh),
        way("warm jail", Some(Arc::clone(&warm))),
    ];

    for way in &ways {
        time(&runtime, way, &interpreter)?;
    }
    let before = warm.pool_counts().unwrap_or_default();
    for _ in 0..rounds {
        for way in &mut ways {
            let mut times = Vec::new();
            for _ in 0..RUNS {
                std::thread::sleep(PAUSE);
                times.push(time(&runtime, way, &interpreter)?.as_secs_f64() * 1e3);
            }
            way.latency.push(quantile(&times, 0.5));
        }
    }
    let after = warm.pool_counts().unwrap_or_default();
    let ready = f64::from(u32::try_from(after.hits - before.hits).unwrap_or(u32::MAX)) / f64::from(2 * rounds * RUNS);
    for _ in 0..rounds {
        for way in &mut ways {
            way.throughput.push(throughput(&runtime, way, &interpreter)?);
        }
    }
    let burst = runtime.block_on(burst(&warm))?;
    let counts = warm.pool_counts().unwrap_or_default();
    runtime.block_on(warm.drain_pool());
    let result = Measured { rounds, interpreter, ways, ready, burst, counts };
    let text = match request.format {
        Format::Text => result.table(),
        Format::Json => result.json(),
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| failed("write the result", "standard output can't be written").with_source(error))
}

fn time(runtime: &tokio::runtime::Runtime, way: &Way, interpreter: &str) -> Result<Duration> {
    let began = Instant::now();
    match &way.engine {
        // As somebody's task is run, on the runtime's own threads.
        Some(engine) => {
            let (engine, policy) = (Arc::clone(engine), way.policy.clone());
            let task = runtime.spawn(async move { cold::run_in_jail(&engine, policy).await });
            runtime.block_on(task).map_err(|_| failed("measure", "a run ended early"))??;
        }
        None => plain(interpreter)?,
    }
    Ok(began.elapsed())
}

/// The same program by a process of its own, with nothing around it.
pub(super) fn plain(interpreter: &str) -> Result<()> {
    let run = Command::new(interpreter).args(["-I", "-S", "-c", cold::CODE]).stdin(Stdio::null()).output();
    let output = run.map_err(|error| failed("measure", "Python can't be started").with_source(error))?;
    if output.status.success() && output.stdout == cold::OUTPUT {
        return Ok(());
    }
    Err(failed("measure", "Python didn't run the program"))
}

/// Runs a second by workers that make one after the other.
fn throughput(runtime: &tokio::runtime::Runtime, way: &Way, interpreter: &str) -> Result<f64> {
    let began = Instant::now();
    match &way.engine {
        Some(engine) => runtime.block_on(async {
            let mut workers = tokio::task::JoinSet::new();
            for _ in 0..WORKERS {
                let (engine, policy) = (Arc::clone(engine), way.policy.clone());
                workers.spawn(async move {
                    for _ in 0..RUNS_PER_WORKER {
                        cold::run_in_jail(&engine, policy.clone()).await?;
                    }
                    Ok::<_, crucible_core::Error>(())
                });
            }
            while let Some(done) = workers.join_next().await {
                done.map_err(|_| failed("measure", "a worker ended early"))??;
            }
            Ok::<_, crucible_core::Error>(())
        })?,
        None => {
            let work = || (0..RUNS_PER_WORKER).try_for_each(|_| plain(interpreter));
            std::thread::scope(|scope| {
                let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
                workers
                    .into_iter()
                    .try_for_each(|worker| worker.join().map_err(|_| failed("measure", "a worker ended early"))?)
            })?;
        }
    }
    Ok(f64::from(WORKERS * RUNS_PER_WORKER) / began.elapsed().as_secs_f64())
}

/// How long all of many took that were asked for at once; an error for the first that came to nothing.
async fn burst(engine: &Arc<Engine>) -> Result<Duration> {
    let began = Instant::now();
    let mut runs = tokio::task::JoinSet::new();
    let places = Arc::new(tokio::sync::Semaphore::new(16));
    for _ in 0..BURST {
        let (engine, places) = (Arc::clone(engine), Arc::clone(&places));
        runs.spawn(async move {
            // As a service has places: what waits for one takes nothing of the machine's.
            let _place = places.acquire().await;
            cold::run_in_jail(&engine, Policy::default()).await
        });
    }
    while let Some(done) = runs.join_next().await {
        done.map_err(|_| failed("measure", "a run ended early"))??;
    }
    Ok(began.elapsed())
}

struct Measured {
    rounds: u32,
    interpreter: String,
    ways: [Way; 4],
    /// The part of the runs for latency that found a sandbox ready.
    ready: f64,
    burst: Duration,
    counts: PoolCounts,
}

impl Measured {
    fn ratios(&self, way: &Way) -> (f64, f64) {
        let [plain, ..] = &self.ways;
        (median_ratio(&way.latency, &plain.latency), median_ratio(&way.throughput, &plain.throughput))
    }

    fn targets(&self) -> [(&'static str, f64, &'static str, f64, bool); 3] {
        let [.., fresh, warm] = &self.ways;
        let (latency, throughput) = self.ratios(warm);
        let (_, fresh) = self.ratios(fresh);
        [
            ("throughput of 2 workers, fresh", fresh, "at least", FRESH_THROUGHPUT, fresh >= FRESH_THROUGHPUT),
            ("latency when one stands ready", latency, "at most", LATENCY, latency <= LATENCY),
            ("throughput of 2 workers", throughput, "at least", THROUGHPUT, throughput >= THROUGHPUT),
        ]
    }

    fn table(&self) -> String {
        let mut text = format!(
            "One run of print(1) by {}, {} interleaved rounds, {}\n\n{:<12} {:>10} {:>12} {:>10} {:>12}\n",
            self.interpreter,
            self.rounds,
            machine(),
            "",
            "median",
            "times plain",
            "runs/s",
            "times plain"
        );
        for way in &self.ways {
            let (latency, throughput) = self.ratios(way);
            let (median, rate) = (quantile(&way.latency, 0.5), quantile(&way.throughput, 0.5));
            let _ = writeln!(text, "{:<12} {median:>7.2} ms {latency:>12.2} {rate:>10.0} {throughput:>12.2}", way.name);
        }
        let rate = f64::from(u32::try_from(BURST).unwrap_or(u32::MAX)) / self.burst.as_secs_f64();
        let _ = writeln!(
            text,
            "\n{:.0}% found a sandbox ready; {BURST} at once: all came to their end, {rate:.0} a second\n\
             pool: {} hits, {} misses, {} discarded, {} failed, {} renewed, {} not cleared away\n",
            self.ready * 100.0,
            self.counts.hits,
            self.counts.misses,
            self.counts.discarded,
            self.counts.failed,
            self.counts.renewed,
            self.counts.uncleared
        );
        for (name, ratio, how, wanted, is_kept) in self.targets() {
            let kept = if is_kept { "kept" } else { "NOT KEPT" };
            let _ = writeln!(text, "{name}: {ratio:.2} times plain, {how} {wanted}: {kept}");
        }
        text
    }

    fn json(&self) -> String {
        let ways: Vec<_> = self
            .ways
            .iter()
            .map(|way| {
                let (latency, throughput) = self.ratios(way);
                json!({
                    "name": way.name,
                    "latency_ms": way.latency,
                    "latency_times_plain": latency,
                    "runs_per_second": way.throughput,
                    "throughput_times_plain": throughput,
                })
            })
            .collect();
        let targets: Vec<_> = self
            .targets()
            .into_iter()
            .map(|(name, ratio, how, wanted, kept)| json!({"name": name, "ratio": ratio, how: wanted, "kept": kept}))
            .collect();
        let document = json!({
            "benchmark": "warm",
            "version": env!("CARGO_PKG_VERSION"),
            "machine": machine(),
            "interpreter": self.interpreter,
            "rounds": self.rounds,
            "ways": ways,
            "found_ready": self.ready,
            "burst": {"runs": BURST, "seconds": self.burst.as_secs_f64()},
            "pool": {
                "hits": self.counts.hits,
                "misses": self.counts.misses,
                "discarded": self.counts.discarded,
                "failed": self.counts.failed,
                "renewed": self.counts.renewed,
                "uncleared": self.counts.uncleared,
            },
            "targets": targets,
        });
        format!("{document:#}\n")
    }
}
