//! The cold start benchmark: one complete isolated run of `print(1)`, next to the same without any isolation, and next to
//! bubblewrap where that is installed.
//!
//! Every round measures every way, one after the other, so that a machine that is busy for a while is so for all of them.
//! What counts is the ratio to the plain process within a round. What looking at a sandbox from outside adds is what the very
//! runs say that are measured.

use super::report::{Differences, Latency, Looks, Report, Throughput};
use super::{Request, failed};
use crate::output::Format;
use crucible::compose::{self, JAIL};
use crucible::config::Configuration;
use crucible_backends::jail::{JailBackend, JailConfig, Watch};
use crucible_backends::runtime;
use crucible_core::{Discard, EvaluationId, EvaluationSpec, Language, Limits, Policy, Program, Result, Status};
use crucible_engine::{Engine, LanguageTable, RunIo};
use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// What every way runs.
pub(super) const CODE: &str = "print(1)";
pub(super) const OUTPUT: &[u8] = b"1\n";
/// The name of the language table's entry that runs Python without `site`, as the plain process does.
pub(super) const LANGUAGE: &str = "bare_python";
/// Runs of each way in a round, for latency.
const RUNS_FOR_LATENCY: u32 = 10;
/// Pairs of two runs with and two without watching the guest, in a round.
const PAIRS: u32 = 10;
/// Runs of each worker in a round, for throughput.
const RUNS_PER_WORKER: u32 = 12;
/// How many runs are made at the same time.
const WORKERS: [u32; 3] = [1, 2, 4];
const ROUNDS: u32 = 15;

/// One way to run the program.
enum Way {
    /// A process of its own: the program and its arguments, with the benchmark's configuration file.
    Process { command: Vec<String>, configuration: PathBuf },
    /// A jail, through the library.
    Library(Arc<Engine>),
}

/// How long a run took, and what looking at its sandbox from outside added, where there is one that says so.
struct Timed {
    all: Duration,
    looking: Option<Duration>,
}

struct Bench {
    runtime: Runtime,
    /// A jail that watches its guests and one that doesn't.
    watching: [Arc<Engine>; 2],
    ways: Vec<(&'static str, Way)>,
}

/// Measures cold starts and writes the result to standard output.
///
/// # Errors
/// `NotFound` without Python; else whatever keeps the jail from running.
pub(crate) fn run(request: &Request) -> Result<()> {
    let rounds = request.rounds.unwrap_or(ROUNDS);
    let configuration = Configuration::built_in()?;
    let (bare, interpreter) = language(&configuration)?;
    let folder = settings_with(&bare)?;
    let own = std::env::current_exe()
        .map_err(|error| failed("find this program", "its path can't be read").with_source(error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("start the runtime", "the asynchronous runtime can't be started").with_source(error))?;
    let languages = LanguageTable::from(BTreeMap::from([(LANGUAGE.to_owned(), bare)]));
    let engine = |watch| -> Result<Arc<Engine>> {
        let config = JailConfig { watch, ..compose::jail_config(&configuration)? };
        let backend = Arc::new(runtime.block_on(JailBackend::start(config))?);
        // With the scanner, as every run has it.
        let engine = Engine::new(vec![backend], languages.clone(), Limits::maximum(), compose::node());
        Ok(Arc::new(engine.with_scanner(compose::scanner(&configuration)?)))
    };

    let watching = [engine(Watch::Everything)?, engine(Watch::Nothing)?];
    let python = [interpreter.as_str(), "-I", "-S", "-c", CODE];
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let process = |command| Way::Process { command, configuration: folder.file.clone() };
    let own = own.to_string_lossy();
    let mut ways = vec![
        ("plain", process(owned(&python))),
        (JAIL, Way::Library(Arc::clone(&watching[0]))),
        ("crucible run", process(owned(&[&own, "run", "-l", LANGUAGE, "-c", CODE]))),
    ];
    if works(&["bwrap", "--version"]) {
        let bwrap = "bwrap --unshare-all --ro-bind / / --proc /proc --dev /dev --tmpfs /tmp";
        let words: Vec<&str> = bwrap.split(' ').chain(python).collect();
        ways.push(("bwrap", process(owned(&words))));
    }
    let bench = Bench { runtime, watching, ways };
    let report = bench.measure(rounds, &interpreter)?;
    let text = match request.format {
        Format::Text => report.table(),
        Format::Json => report.json(),
    };
    drop(folder);
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| failed("write the result", "standard output can't be written").with_source(error))
}

/// Python without `site`, as the plain process is started, and the path of its interpreter.
pub(super) fn language(configuration: &Configuration) -> Result<(Language, String)> {
    let (_, python) = configuration.languages().find("python")?;
    let cache = configuration.interpreter_cache();
    let found = runtime::resolve(&python, cache.as_ref().map(crucible_core::HostPath::as_path))?;
    let interpreter =
        found.interpreter.ok_or_else(|| failed("find Python", "the language table names no interpreter for python"))?;
    let bare = Language {
        endings: Vec::new(),
        aliases: Vec::new(),
        run: ["{interpreter}", "-I", "-S", "{file}"].map(str::to_owned).to_vec(),
        ..Language::clone(&python)
    };
    Ok((bare, interpreter.path))
}

impl Bench {
    fn measure(&self, rounds: u32, interpreter: &str) -> Result<Report> {
        let mut latencies: Vec<Latency> = self.ways.iter().map(|(name, _)| Latency::new(name)).collect();
        let mut throughputs: Vec<Throughput> =
            self.ways.iter().flat_map(|(name, _)| WORKERS.map(|workers| Throughput::new(name, workers))).collect();
        let (mut looks, mut watching) = (Looks::default(), Differences::default());
        self.watching_costs()?;
        // The first runs find files that aren't in memory yet.
        for (_, way) in &self.ways {
            self.times(way, 1, 3)?;
        }
        for _ in 0..rounds {
            for ((_, way), latency) in self.ways.iter().zip(&mut latencies) {
                let runs = self.times(way, 1, RUNS_FOR_LATENCY)?;
                looks.add(runs.iter().filter_map(|run| run.looking));
                latency.add_round(runs.iter().map(|run| run.all).collect());
            }
            for _ in 0..PAIRS {
                watching.add(self.watching_costs()?);
            }
            let mut next = throughputs.iter_mut();
            for (_, way) in &self.ways {
                for workers in WORKERS {
                    let start = Instant::now();
                    self.times(way, workers, RUNS_PER_WORKER)?;
                    if let Some(throughput) = next.next() {
                        throughput.add_round(f64::from(workers * RUNS_PER_WORKER) / start.elapsed().as_secs_f64());
                    }
                }
            }
        }
        Ok(Report::new(rounds, interpreter, latencies, throughputs, (looks, watching)))
    }

    /// What one run takes in the jail that watches its guests, and one right beside it in the one that doesn't; which comes first
    /// alternates. What differs by so little is lost where other things are measured in between.
    fn watching_costs(&self) -> Result<[Duration; 2]> {
        self.runtime.block_on(async {
            let [watching, unwatched] = &self.watching;
            let mut times = [Duration::ZERO; 4];
            for (time, engine) in times.iter_mut().zip([watching, unwatched, unwatched, watching]) {
                *time = timed_async(run_in_jail(engine, Policy::default())).await?.all;
            }
            Ok([(times[0] + times[3]) / 2, (times[1] + times[2]) / 2])
        })
    }

    /// Runs one way so often by so many workers at once, and says how long each run took.
    fn times(&self, way: &Way, workers: u32, runs: u32) -> Result<Vec<Timed>> {
        match way {
            Way::Process { command, configuration } => {
                let threads: Vec<_> = (0..workers)
                    .map(|_| {
                        let (command, configuration) = (command.clone(), configuration.clone());
                        std::thread::spawn(move || {
                            (0..runs)
                                .map(|_| timed(|| run_process(&command, &configuration)))
                                .collect::<Result<Vec<_>>>()
                        })
                    })
                    .collect();
                let mut all = Vec::new();
                for thread in threads {
                    all.extend(thread.join().map_err(|_| failed("measure", "a worker ended early"))??);
                }
                Ok(all)
            }
            Way::Library(engine) => self.runtime.block_on(async {
                let tasks: Vec<_> = (0..workers)
                    .map(|_| {
                        let engine = Arc::clone(engine);
                        tokio::spawn(async move {
                            let mut times = Vec::new();
                            for _ in 0..runs {
                                times.push(timed_async(run_in_jail(&engine, Policy::default())).await?);
                            }
                            Ok::<_, crucible_core::Error>(times)
                        })
                    })
                    .collect();
                let mut all = Vec::new();
                for task in tasks {
                    all.extend(task.await.map_err(|_| failed("measure", "a worker ended early"))??);
                }
                Ok(all)
            }),
        }
    }
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Timed> {
    let start = Instant::now();
    work().map(|()| Timed { all: start.elapsed(), looking: None })
}

async fn timed_async(work: impl Future<Output = Result<Duration>>) -> Result<Timed> {
    let start = Instant::now();
    work.await.map(|looking| Timed { all: start.elapsed(), looking: Some(looking) })
}

fn run_process(command: &[String], configuration: &Path) -> Result<()> {
    let (program, arguments) = command.split_first().ok_or_else(|| failed("measure", "there is no command"))?;
    let output = Command::new(program)
        .args(arguments)
        .env("CRUCIBLE_CONFIG", configuration)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed("measure", &format!("{program} can't be started")).with_source(error))?;
    if output.stdout == OUTPUT && output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned();
    Err(failed("measure", &format!("{program} didn't run the program: {} {said}", output.status)))
}

/// Runs the program, and says what looking at its sandbox added.
pub(super) async fn run_in_jail(engine: &Engine, policy: Policy) -> Result<Duration> {
    let spec = EvaluationSpec {
        id: EvaluationId::generate(),
        program: Program::Source { language: LANGUAGE.to_owned(), code: CODE.into(), args: Vec::new() },
        backend: JAIL.to_owned(),
        stdin: Vec::new(),
        files: Vec::new(),
        collect: Vec::new(),
        tripwires: Vec::new(),
        env: BTreeMap::new(),
        limits: Limits::default(),
        policy,
        review: None,
        label: None,
    };
    let io = RunIo { stdin: None, events: &Discard, cancel: CancellationToken::new(), project: None };
    let outcome = engine.evaluate(spec, io).await?;
    if outcome.status == (Status::Exited { code: 0 }) && outcome.stdout.bytes == OUTPUT {
        return Ok(outcome.timings.posture);
    }
    Err(failed("measure", &format!("the jail didn't run the program: {:?} {}", outcome.status, outcome.stderr_text())))
}

fn works(command: &[&str]) -> bool {
    let Some((program, arguments)) = command.split_first() else {
        return false;
    };
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A configuration file with the benchmark's language, for `crucible run` as a whole process.
struct Settings {
    file: PathBuf,
}

fn settings_with(language: &Language) -> Result<Settings> {
    let document = BTreeMap::from([("languages", BTreeMap::from([(LANGUAGE, language)]))]);
    let text = toml::to_string(&document)
        .map_err(|error| failed("write the settings", "the language can't be written").with_source(error))?;
    let file = std::env::temp_dir().join(format!("crucible-bench-{}.toml", EvaluationId::generate()));
    std::fs::write(&file, text)
        .map_err(|error| failed("write the settings", "no temporary file can be written").with_source(error))?;
    Ok(Settings { file })
}

impl Drop for Settings {
    fn drop(&mut self) {
        let _removed = std::fs::remove_file(&self.file).is_ok();
    }
}
