//! Nothing of one run is in the next: hostile programs leave whatever they can, innocent ones look for it, in sandboxes whose
//! interpreter stood ready, in quick succession and several at a time.
//!
//! `CRUCIBLE_BETWEEN_RUNS=20000` makes that many runs in place of 150. What an innocent program finds of the marker is one
//! complaint; whatever else it sees otherwise than the first program of a fresh jail did is another. The same is done with leaks
//! that are there on purpose, so that each way of looking is known to find something.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test's own sandboxes")]

#[path = "../../crucible/tests/leftovers/cgroups.rs"]
mod cgroups;
#[path = "../../crucible/tests/leftovers/processes.rs"]
mod processes;

use crucible_backends::jail::{JailBackend, JailConfig};
use crucible_backends::runtime::DEFAULT_LANGUAGES;
use crucible_core::{
    Backend, Command, ExitStatus, GuestPath, Language, Limits, Policy, ProcessHandle, Readiness, Sandbox, SandboxId,
    SandboxRequest,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Pairs of runs at one time.
const CONCURRENT: usize = 4;
/// How long a program may take here, before it is a failure.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a supervisor's process holds is looked at here, so that only one test has a jail at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The word that hostile programs leave everywhere, in the halves that innocent ones know.
struct Mark {
    first: String,
    second: String,
}

impl Mark {
    fn new() -> Self {
        let random = SandboxId::generate().to_string().replace('-', "");
        let (first, second) = random.split_at(random.len() / 2);
        Self { first: format!("canary{first}"), second: second.to_owned() }
    }

    fn innocent(&self) -> String {
        include_str!("between_runs/innocent.py").replace("@FIRST@", &self.first).replace("@SECOND@", &self.second)
    }

    fn hostile(&self, how: How) -> String {
        let python = |is_so: bool| if is_so { "True" } else { "False" };
        include_str!("between_runs/hostile.py")
            .replace("@MARK@", &format!("{}{}", self.first, self.second))
            .replace("@STAYS@", python(how.stays))
            .replace("@EXITS@", python(how.exits))
            .replace("@SENDS@", python(how.sends))
    }
}

/// How a hostile program ends.
#[derive(Clone, Copy)]
struct How {
    /// Processes of it stay.
    stays: bool,
    /// Without Python putting anything away.
    exits: bool,
    /// With sockets on their way to each other, which outlive every process until the kernel looks for such.
    sends: bool,
}

impl How {
    const fn of(number: usize) -> Self {
        Self { stays: !number.is_multiple_of(3), exits: number.is_multiple_of(2), sends: false }
    }
}

fn python() -> Arc<Language> {
    #[derive(serde::Deserialize)]
    struct Table {
        languages: BTreeMap<String, Language>,
    }
    let mut table: Table = toml::from_str(DEFAULT_LANGUAGES).unwrap();
    Arc::new(table.languages.remove("python").unwrap())
}

async fn jail() -> Option<Arc<JailBackend>> {
    match JailBackend::start(JailConfig::default()).await {
        Ok(jail) => Some(Arc::new(jail)),
        Err(error) if std::env::var("CRUCIBLE_REQUIRE").is_ok_and(|list| list.contains("jail")) => panic!("{error}"),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

/// A sandbox that is as planned.
async fn sandbox(jail: &JailBackend) -> Box<dyn Sandbox> {
    let request = SandboxRequest {
        id: SandboxId::generate(),
        language: Some(python()),
        limits: Limits::default(),
        policy: Policy::default(),
        readiness: Readiness::Interpreter,
        project: None,
    };
    let sandbox = jail.create(request).await.unwrap();
    assert_eq!(sandbox.readiness(), Readiness::Interpreter);
    let posture = sandbox.posture().await.unwrap();
    let differing: Vec<_> = posture.differences().collect();
    assert!(!posture.facts.is_empty() && differing.is_empty(), "{differing:?}");
    sandbox
}

struct Ran {
    status: ExitStatus,
    stdout: String,
    stderr: String,
    /// Held while the run isn't over: processes of it may hold its streams.
    _process: Box<dyn ProcessHandle>,
}

async fn run(sandbox: &dyn Sandbox, code: &str) -> Ran {
    let path = GuestPath::parse("/work/main.py").unwrap();
    sandbox.write_file(&path, &mut code.as_bytes(), false).await.unwrap();
    let argv = vec![sandbox.interpreter().unwrap().to_owned(), "main.py".to_owned()];
    let command = Command { argv, env: python().env.clone(), ..Command::default() };
    let work = async {
        let mut execution = sandbox.exec(command).await.unwrap();
        drop(execution.stdin);
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let status = {
            let reading = async {
                let (out, err) =
                    tokio::join!(execution.stdout.read_to_end(&mut stdout), execution.stderr.read_to_end(&mut stderr));
                assert!(out.is_ok() && err.is_ok());
            };
            // Where processes stay that hold its streams, what was written by then is all.
            let mut reading = std::pin::pin!(reading);
            tokio::select! {
                status = execution.process.wait() => {
                    let status = status.unwrap();
                    let _all = tokio::time::timeout(Duration::from_millis(50), &mut reading).await.is_ok();
                    status
                }
                () = &mut reading => execution.process.wait().await.unwrap(),
            }
        };
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran { status, stdout: text(stdout), stderr: text(stderr), _process: execution.process }
    };
    tokio::time::timeout(PATIENCE, work).await.unwrap()
}

/// What an innocent program sees.
#[derive(Clone, Debug)]
struct Sight {
    /// Where it found the marker.
    found: BTreeSet<String>,
    /// What is around it in memory.
    places: Vec<String>,
    seen: BTreeMap<String, Value>,
}

impl Sight {
    /// Of the two last lines that it prints.
    fn read(ran: &Ran) -> Self {
        let lines: Vec<_> = ran.stdout.lines().collect();
        let [.., marks, seen] = lines.as_slice() else { panic!("it prints nothing: {:?}, {}", ran.status, ran.stderr) };
        let marks: BTreeMap<String, Vec<String>> = serde_json::from_str(marks)
            .unwrap_or_else(|error| panic!("{error}: {:?}, {}{}", ran.status, ran.stdout, ran.stderr));
        assert_eq!(marks["unseen"], [""; 0], "it couldn't look everywhere");
        let places = marks["where"].clone();
        let seen: BTreeMap<String, Value> = serde_json::from_str(seen).unwrap();
        Self { found: marks["found"].iter().cloned().collect(), places, seen }
    }

    /// Whatever isn't as another one saw it, by name.
    fn differences(&self, other: &Self) -> BTreeSet<String> {
        let names = self.seen.keys().chain(other.seen.keys());
        names.filter(|name| self.seen.get(*name) != other.seen.get(*name)).cloned().collect()
    }

    /// Complaints about it, where a fresh one saw what `fresh` says.
    fn complaints(&self, fresh: &Self) -> Vec<String> {
        let found = self.found.iter().map(|place| format!("the marker is in: {place}; {:?}", self.places));
        let others = self
            .differences(fresh)
            .into_iter()
            .map(|name| format!("{name} was {:?} and is {:?}", fresh.seen.get(&name), self.seen.get(&name)));
        found.chain(others).collect()
    }
}

/// One innocent run in a sandbox of its own.
async fn look(jail: &JailBackend, mark: &Mark) -> Sight {
    let sandbox = sandbox(jail).await;
    let ran = run(sandbox.as_ref(), &mark.innocent()).await;
    assert_eq!((ran.status, ran.stderr.as_str()), (ExitStatus::Exited(0), ""), "{}", ran.stdout);
    sandbox.end_processes().await.unwrap();
    let posture = sandbox.posture_again().await.unwrap();
    assert_eq!(posture.differences().count(), 0, "{:?}", posture.differences().collect::<Vec<_>>());
    sandbox.destroy().await.unwrap();
    Sight::read(&ran)
}

/// One hostile run in a sandbox of its own; gives what it could leave.
async fn leave(jail: &JailBackend, mark: &Mark, how: How) -> String {
    let sandbox = sandbox(jail).await;
    let ran = run(sandbox.as_ref(), &mark.hostile(how)).await;
    assert!(ran.stdout.contains("file /work\n"), "{:?}: {}{}", ran.status, ran.stdout, ran.stderr);
    sandbox.end_processes().await.unwrap();
    sandbox.destroy().await.unwrap();
    ran.stdout
}

fn runs() -> usize {
    std::env::var("CRUCIBLE_BETWEEN_RUNS").map_or(150, |runs| runs.parse().unwrap())
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn mounts() -> BTreeSet<String> {
    std::fs::read_to_string("/proc/self/mountinfo").unwrap().lines().map(str::to_owned).collect()
}

async fn expect_soon(what: &str, left: impl Fn() -> Option<String>) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Some(left) = left() {
        assert!(Instant::now() < deadline, "{what}: {left}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Pairs of a hostile run and an innocent one, several at a time.
async fn alternate(
    jail: &Arc<JailBackend>,
    mark: &Arc<Mark>,
    fresh: &Sight,
    pairs: std::ops::Range<usize>,
) -> Vec<String> {
    let mut pairs = pairs.into_iter();
    let (mut under_way, mut complaints) = (JoinSet::new(), Vec::new());
    let mut start = |under_way: &mut JoinSet<_>| {
        let Some(number) = pairs.next() else { return };
        let (jail, mark) = (Arc::clone(jail), Arc::clone(mark));
        under_way.spawn(async move {
            leave(&jail, &mark, How::of(number)).await;
            (number, look(&jail, &mark).await)
        });
    };
    (0..CONCURRENT).for_each(|_| start(&mut under_way));
    while let Some(ended) = under_way.join_next().await {
        let (number, sight) = ended.unwrap();
        complaints.extend(sight.complaints(fresh).into_iter().map(|complaint| format!("pair {number}: {complaint}")));
        start(&mut under_way);
    }
    complaints
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_one_run_is_in_the_next() {
    let _alone = ALONE.lock().await;
    let (descriptors_before, mounts_before) = (descriptors(), mounts());
    let Some(jail) = jail().await else { return };
    let own = i32::try_from(std::process::id()).unwrap();
    let mark = Arc::new(Mark::new());
    // Nothing has been left yet.
    let fresh = look(&jail, &mark).await;
    assert_eq!((&fresh.found, look(&jail, &mark).await.complaints(&fresh)), (&BTreeSet::new(), vec![]));
    let pairs = runs().div_ceil(2);
    let first = (CONCURRENT * 2).min(pairs);
    let mut complaints = alternate(&jail, &mark, &fresh, 0..first).await;
    let between = (descriptors(), processes::below(own).len());
    complaints.extend(alternate(&jail, &mark, &fresh, first..pairs).await);
    complaints.truncate(20);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    // As many are held after all of them as after a few.
    expect_soon("descriptors are left", || {
        (descriptors() > between.0 + 4).then(|| format!("{} and then {}", between.0, descriptors()))
    })
    .await;
    expect_soon("processes are left", || {
        (processes::below(own).len() > between.1).then(|| format!("{:#?}", processes::below(own)))
    })
    .await;
    drop(jail);
    expect_soon("processes are left", || {
        let left: Vec<_> = processes::below(own).into_iter().filter(processes::Process::is_running).collect();
        (!left.is_empty()).then(|| format!("{left:#?}"))
    })
    .await;
    expect_soon("control groups are left", || {
        let left = cgroups::folders_of(std::process::id());
        (!left.is_empty()).then(|| format!("{left:?}"))
    })
    .await;
    assert_eq!(mounts().difference(&mounts_before).collect::<Vec<_>>(), [""; 0], "mounts are left");
    expect_soon("descriptors are left", || {
        // Those of the runtime's own signal handling stay.
        (descriptors() > descriptors_before + 4).then(|| format!("{descriptors_before} and then {}", descriptors()))
    })
    .await;
}

/// Sockets in each other's queues outlive those who made them, until the kernel looks for such; their names are the guest's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_socket_on_its_way_was_called_is_in_no_later_program() {
    let _alone = ALONE.lock().await;
    let Some(jail) = jail().await else { return };
    let mark = Mark::new();
    let fresh = look(&jail, &mark).await;
    let mut complaints = Vec::new();
    for _ in 0..20 {
        let left = leave(&jail, &mark, How { stays: false, exits: true, sends: true }).await;
        assert!(left.contains("\nsockets on their way\n"), "{left}");
        complaints.extend(look(&jail, &mark).await.complaints(&fresh));
    }
    complaints.truncate(5);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// What a program must see, where everything of the former one's is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_that_is_given_again_is_found_out() {
    let _alone = ALONE.lock().await;
    let Some(jail) = jail().await else { return };
    let mark = Mark::new();
    let fresh = look(&jail, &mark).await;
    let sandbox = sandbox(&jail).await;
    let how = How { stays: true, exits: true, sends: true };
    let hostile = run(sandbox.as_ref(), &mark.hostile(how)).await;
    eprintln!("{}", hostile.stdout);
    let sight = Sight::read(&run(sandbox.as_ref(), &mark.innocent()).await);
    sandbox.end_processes().await.unwrap();
    let again = Sight::read(&run(sandbox.as_ref(), &mark.innocent()).await);
    sandbox.end_processes().await.unwrap();
    sandbox.destroy().await.unwrap();
    let differing = sight.differences(&fresh);
    for place in ["file /work", "file /tmp", "net unix", "abstract socket"] {
        assert!(sight.found.contains(place), "not found in {place}: {:?}", sight.found);
    }
    for name in ["files", "processes", "net unix"] {
        assert!(differing.contains(name), "{name} isn't seen to differ: {differing:?}");
    }
    // With every process ended, its files are still found.
    assert!(again.found.contains("file /tmp") && again.differences(&fresh).contains("files"), "{:?}", again.found);
}

/// What a program must see, where the former one ran in the same Python.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interpreter_that_is_used_again_is_found_out() {
    let _alone = ALONE.lock().await;
    let Some(jail) = jail().await else { return };
    let mark = Mark::new();
    let fresh = look(&jail, &mark).await;
    let sandbox = sandbox(&jail).await;
    let hostile = mark.hostile(How { stays: false, exits: false, sends: true });
    let ran = run(sandbox.as_ref(), &format!("{hostile}\n{}", mark.innocent())).await;
    let sight = Sight::read(&ran);
    sandbox.end_processes().await.unwrap();
    sandbox.destroy().await.unwrap();
    for place in ["memory", "environment", "modules", "search path", "maps", "file /work", "abstract socket"] {
        assert!(sight.found.contains(place), "not found in {place}: {:?}", sight.found);
    }
    let differing = sight.differences(&fresh);
    let expected = [
        "actions",
        "descriptors",
        "environment",
        "files",
        "folder",
        "limits",
        "nice",
        "python attributes",
        "python builtins",
        "python collector",
        "python displayhook",
        "python errors",
        "python excepthook",
        "python filters",
        "python hooks",
        "python meta path",
        "python modules",
        "python numbers",
        "python path",
        "python recursion",
        "python switch",
        "status",
        "timer",
    ];
    let missed: Vec<_> = expected.into_iter().filter(|name| !differing.contains(*name)).collect();
    assert!(missed.is_empty(), "{missed:?} aren't seen to differ; seen: {differing:?}");
}
