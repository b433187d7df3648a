//! Many runs in a row through the library, one in ten of them hostile: every one ends as it should, and nothing is left.
//!
//! Fewer and harmless ones on the other backends, where it is all the same that nothing may be left.
//!
//! `CRUCIBLE_SOAK=2000` runs that many in place of a hundred, or of twenty. The runs are made by a process of their own, so that all it
//! holds and all that descends from it is theirs; its temporary and home folders are private, and what the guests orphan
//! comes to it and not to the machine's first process.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests fail as tests do")]

#[path = "leftovers/cgroups.rs"]
mod cgroups;
#[path = "leftovers/processes.rs"]
mod processes;

use crucible::{ByteSize, Crucible, ErrorKind, EvaluationSpec, LimitKind, Limits, Outcome, Status, TimeSpan};
use crucible_core::{Enforcement, Validity};
use rustix::process::{Pid, WaitOptions, waitpid};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Runs at one time.
const CONCURRENT: usize = 4;
/// So many runs have one of every kind among them.
const ONE_OF_EACH: usize = 40;
/// Memory that the supervisor may gain between a quarter of the runs and their end, in KiB.
const MOST_GROWTH: u64 = 4 << 10;
/// Descriptors that a sandbox made ahead may hold.
const MOST_DESCRIPTORS: usize = 16;
/// Says that this process is the one that makes the runs, and on which backend.
const INSIDE: &str = "SOAK_INSIDE";

const SLEEPER: &str = "
import os, signal, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
time.sleep(600)
";
const HOG: &str = "
hoard = []
for _ in range(40):
    hoard.append(b'x' * (4 << 20))
";
const FORKS: &str = "
import os, signal
made = refused = 0
for _ in range(200):
    try:
        child = os.fork()
    except OSError:
        refused += 1
        continue
    if child == 0:
        os.setsid()
        signal.pause()
    made += 1
print(made, refused)
";
const FLOOD: &str = "
import os
while True:
    os.write(1, b'x' * 65536)
";

/// The kinds of programs. Each knows how it must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Prints,
    Fails,
    Crashes,
    Sleeps,
    Hoards,
    Forks,
    Floods,
}

impl Kind {
    fn of(number: usize) -> Self {
        match (number % 10, number % 40, number % 3) {
            (9, 9, _) => Self::Sleeps,
            (9, 19, _) => Self::Hoards,
            (9, 29, _) => Self::Forks,
            (9, ..) => Self::Floods,
            (_, _, 0) => Self::Fails,
            (_, _, 1) => Self::Crashes,
            _ => Self::Prints,
        }
    }

    fn code(self, number: usize) -> String {
        match self {
            Self::Prints => format!("print({number})"),
            Self::Fails => format!("import sys; print({number}); sys.exit(3)"),
            Self::Crashes => format!("import os; print({number}, flush=True); os.kill(os.getpid(), 11)"),
            Self::Sleeps => SLEEPER.to_owned(),
            Self::Hoards => HOG.to_owned(),
            Self::Forks => FORKS.to_owned(),
            Self::Floods => FLOOD.to_owned(),
        }
    }

    fn limits(self) -> Limits {
        let patient = Limits { timeout: TimeSpan::secs(120), cpu_time: TimeSpan::secs(120), ..Limits::default() };
        match self {
            Self::Prints | Self::Fails | Self::Crashes => patient,
            Self::Sleeps => Limits { timeout: TimeSpan::millis(300), ..patient },
            Self::Hoards => Limits { memory: ByteSize::mib(64), ..patient },
            Self::Forks => Limits { pids: 32, ..patient },
            Self::Floods => Limits { output: ByteSize::bytes(100_000), ..patient },
        }
    }

    /// A complaint where it ended otherwise than it should have. Where this machine can't enforce a limit, the program
    /// that runs into it ends as it pleases.
    fn complaint(self, number: usize, outcome: &Outcome) -> Option<String> {
        let enforced = |limit| outcome.evidence.limits.get(&limit) == Some(&Enforcement::Sandbox);
        let said = format!("{number}\n");
        let stdout = outcome.stdout_text();
        let as_it_should = match self {
            Self::Prints => outcome.status == Status::Exited { code: 0 } && stdout == said,
            Self::Fails => outcome.status == Status::Exited { code: 3 } && stdout == said,
            Self::Crashes => outcome.status == Status::Signaled { signal: 11 } && stdout == said,
            Self::Sleeps => outcome.status == Status::TimedOut,
            Self::Hoards => outcome.status == Status::OutOfMemory || !enforced(LimitKind::Memory),
            Self::Forks => {
                let refused = outcome.limits_observed.contains(&LimitKind::Pids) && !stdout.ends_with(" 0\n");
                outcome.status == Status::Exited { code: 0 } && (refused || !enforced(LimitKind::Pids))
            }
            Self::Floods => {
                let limit = LimitKind::Output;
                let cut = outcome.stdout.truncated && outcome.stdout.bytes.len() == 100_000;
                outcome.status == Status::LimitExceeded { limit } && cut
            }
        };
        let as_it_should = as_it_should && outcome.validity == Validity::Valid;
        (!as_it_should).then(|| {
            format!(
                "run {number} ({self:?}) ended as {:?}, {:?}, observed {:?}, with {:?} and {:?}",
                outcome.status,
                outcome.validity,
                outcome.limits_observed,
                stdout.chars().take(200).collect::<String>(),
                outcome.stderr_text().chars().take(400).collect::<String>(),
            )
        })
    }
}

/// What the supervisor holds while nothing runs.
#[derive(Debug)]
struct Held {
    descriptors: BTreeMap<String, String>,
    memory_kib: u64,
    /// Sandboxes that stand ready, and those that are being made or cleared away.
    ahead: usize,
}

impl Held {
    fn now(crucible: &Crucible) -> Self {
        let ahead = crucible.engine().pool_counts().map_or(0, |counts| counts.ready + counts.under_way);
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        Self { descriptors: descriptors(), memory_kib: memory.trim().trim_end_matches(" kB").parse().unwrap(), ahead }
    }
}

fn descriptors() -> BTreeMap<String, String> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    // The one by which this folder is read is gone by the time it is asked for.
    let pointing = entries.filter_map(|entry| {
        let target = std::fs::read_link(entry.path()).ok()?;
        Some((entry.file_name().into_string().ok()?, target.display().to_string()))
    });
    let reading = format!("/proc/{}/fd", std::process::id());
    pointing.filter(|(_, target)| *target != reading).collect()
}

fn mounts() -> BTreeSet<String> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    text.lines().map(str::to_owned).collect()
}

fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        found.push(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_below(&entry.path()));
        }
    }
    found
}

/// Asks again until the list is empty or two seconds are over: what other programs mount comes and goes.
fn expect_empty_soon<T: std::fmt::Debug>(what: &str, list: impl Fn() -> Vec<T>) {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let left = list();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {left:#?}");
        std::thread::yield_now();
    }
}

/// What is there beyond what a supervisor keeps between two runs: its launcher, the interpreter that others are forked from, the
/// sandboxes that its pool says stand ready, and the control groups of some that were made ahead in vain, which it removes when
/// it makes the next sandbox.
fn unrest(backend: &str, crucible: &Crucible) -> Option<String> {
    let ready = crucible.engine().pool_counts().map_or(0, |counts| counts.ready);
    let sandboxes = |tree: &PathBuf| files_below(tree).iter().filter(|path| Path::new(path).is_dir()).count();
    let groups = cgroups::folders_of(std::process::id()).iter().map(sandboxes).max().unwrap_or(0);
    // What runsc starts and doesn't wait for comes to the machine's first process, for which this one stands.
    if backend == "gvisor" {
        bury(&processes::below(own_id()));
    }
    let below = processes::below(own_id());
    let complaint =
        || format!("{groups} control groups of sandboxes in one tree, {ready} stand ready; below here: {below:#?}");
    let dead = below.iter().filter(|process| !process.is_running()).count();
    // A sandbox is its init and an interpreter that waits, and a few processes more where it has a kernel of its own: the most where
    // an ordinary user runs that.
    let most_below = if backend == "gvisor" { 1 + 10 * ready } else { 2 + 2 * ready };
    (groups > ready + CONCURRENT || below.len() > most_below || dead > 0).then(complaint)
}

/// Waits until nothing is left of the runs, letting the supervisor do in the background what it has to.
async fn expect_rest(backend: &str, crucible: &Crucible) {
    let deadline = Instant::now() + Duration::from_secs(2);
    while let Some(unrest) = unrest(backend, crucible) {
        assert!(Instant::now() < deadline, "{unrest}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn required(backend: &str) -> bool {
    std::env::var("CRUCIBLE_REQUIRE").is_ok_and(|names| names.split(',').any(|name| name.trim() == backend))
}

fn own_id() -> i32 {
    i32::try_from(std::process::id()).unwrap()
}

/// Asks for the dead, as the machine's first process would: a launcher may end before it asked for its last sandbox.
fn bury(processes: &[processes::Process]) {
    for process in processes.iter().filter(|process| !process.is_running()) {
        // Fails for those that are another's to ask for.
        let _buried = waitpid(Pid::from_raw(process.id), WaitOptions::NOHANG).is_ok();
    }
}

/// The kind of a run: the mixture is the jail's, which is to stand all of it for hours.
fn kind(backend: &str, number: usize) -> Kind {
    if backend == "jail" { Kind::of(number) } else { Kind::Prints }
}

fn specification(crucible: &Crucible, kind: Kind, number: usize) -> EvaluationSpec {
    let mut specification = crucible.specification(kind.code(number));
    specification.limits = kind.limits();
    specification
}

/// Makes the runs with these numbers, some at a time, and counts them by kind.
async fn make_runs(
    crucible: &Arc<Crucible>,
    backend: &'static str,
    numbers: std::ops::Range<usize>,
    made: &mut BTreeMap<Kind, usize>,
) {
    let mut numbers = numbers.into_iter();
    let mut under_way = JoinSet::new();
    let mut start = |under_way: &mut JoinSet<_>| {
        if let Some(number) = numbers.next() {
            let crucible = Arc::clone(crucible);
            under_way.spawn(async move {
                let kind = kind(backend, number);
                let outcome = crucible.evaluate(specification(&crucible, kind, number)).await;
                (number, kind, outcome)
            });
        }
    };
    for _ in 0..CONCURRENT {
        start(&mut under_way);
    }
    while let Some(ended) = under_way.join_next().await {
        let (number, kind, outcome) = ended.unwrap();
        let outcome = outcome.unwrap_or_else(|error| panic!("run {number} ({kind:?}): {error}: {error:?}"));
        let complaint = kind.complaint(number, &outcome);
        assert_eq!(complaint, None);
        *made.entry(kind).or_default() += 1;
        start(&mut under_way);
    }
}

/// Makes all runs, looking at what is held after each quarter of them. Nothing where the backend can't be used here.
async fn soak(backend: &'static str, runs: usize) -> Option<Vec<Held>> {
    let crucible = match Crucible::builder().backend(backend).build_async().await {
        Ok(crucible) => Arc::new(crucible),
        Err(error) if error.kind() == ErrorKind::Unavailable && !required(backend) => {
            eprintln!("skipped: backend '{backend}' can't be used here: {error}");
            return None;
        }
        Err(error) => panic!("{error}: {error:?}"),
    };
    // What is made once and kept belongs to no run: each thread's parsers, the rules for bytes that a program's constants need.
    make_runs(&crucible, backend, 0..ONE_OF_EACH.min(runs), &mut BTreeMap::new()).await;
    let mut made = BTreeMap::new();
    let mut held = Vec::new();
    let begun = Instant::now();
    for quarter in 0..4 {
        make_runs(&crucible, backend, runs * quarter / 4..runs * (quarter + 1) / 4, &mut made).await;
        expect_rest(backend, &crucible).await;
        held.push(Held::now(&crucible));
    }
    let memory: Vec<_> = held.iter().map(|held| held.memory_kib).collect();
    let counts: Vec<_> = held.iter().map(|held| held.descriptors.len()).collect();
    eprintln!(
        "{runs} runs on {backend} in {:.1} s: {made:?}; KiB held after each quarter: {memory:?}; descriptors: {counts:?}",
        begun.elapsed().as_secs_f64(),
    );
    Some(held)
}

/// What the process of its own does.
fn inside(backend: &'static str, runs: usize) {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // The first runtime of a process opens a pair of sockets for signals, which stay for all later ones.
    drop(runtime());
    let (descriptors_before, mounts_before) = (descriptors(), mounts());
    let runtime = runtime();
    let held = runtime.block_on(soak(backend, runs));
    drop(runtime);
    if let Some(held) = held {
        let (early, late) = (&held[0], &held[3]);
        let growth = late.memory_kib.saturating_sub(early.memory_kib);
        assert!(growth < MOST_GROWTH, "the supervisor's memory grew by {growth} KiB");
        // Sandboxes made ahead hold some, and may be there at one time and not at the other; one may just have come.
        let ahead = late.ahead.saturating_sub(early.ahead) + 1;
        let more = late.descriptors.len().saturating_sub(early.descriptors.len());
        assert!(more < ahead * MOST_DESCRIPTORS, "{more} descriptors more: {early:#?}\n{late:#?}");
    }
    expect_empty_soon("processes are left", || {
        let left = processes::below(own_id());
        bury(&left);
        left
    });
    expect_empty_soon("control groups are left", || cgroups::folders_of(std::process::id()));
    expect_empty_soon("mounts are left", || mounts().difference(&mounts_before).cloned().collect());
    assert_eq!(descriptors(), descriptors_before, "descriptors are left");
    assert_eq!(files_below(&std::env::temp_dir()), [""; 0], "files are left");
    // What was found out about interpreters and runsc, and compiled for WebAssembly, is kept on purpose.
    let home = PathBuf::from(std::env::var_os("HOME").unwrap());
    let kept = files_below(&home).into_iter().filter(|path| !Path::new(path).is_dir());
    let cached = |path: &String| {
        ["interpreters", "compiled"].iter().any(|name| path.contains(&format!("/.cache/crucible/{name}/")))
    };
    let kept: Vec<_> = kept.filter(|path| !cached(path)).collect();
    assert_eq!(kept, [""; 0], "files are left");
    let known = std::fs::read_dir(home.join(".cache/crucible/interpreters")).map_or(0, Iterator::count);
    assert!(known <= 3, "two interpreters and a program are remembered {known} times");
}

/// Makes the runs in a process of its own, which runs the test of this name.
fn outside(test: &str, backend: &str, data: &Path) {
    let (temporary, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, backend)
        .env("TMPDIR", temporary.path())
        .env("HOME", home.path())
        .env("XDG_DATA_HOME", data)
        .env_remove("XDG_CACHE_HOME")
        .env_remove("XDG_CONFIG_HOME")
        .status()
        .unwrap();
    assert!(status.success(), "{backend}: {status}: what was wrong is said above");
}

fn runs(fewest: usize) -> usize {
    std::env::var("CRUCIBLE_SOAK").map_or(fewest, |runs| runs.parse().unwrap())
}

#[test]
fn many_runs_leave_nothing_behind() {
    if std::env::var_os(INSIDE).is_some() {
        return inside("jail", runs(100));
    }
    let data = tempfile::tempdir().unwrap();
    outside("many_runs_leave_nothing_behind", "jail", data.path());
}

#[test]
fn many_runs_on_the_other_backends_leave_nothing_behind() {
    match std::env::var(INSIDE).as_deref() {
        Ok("docker") => return inside("docker", runs(20)),
        Ok(_) => return inside("gvisor", runs(20)),
        Err(_) => {}
    }
    // Images are what a user has, and stay from one test run to the next. WebAssembly runs in the jail's own sandboxes.
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak");
    for (backend, preparation) in [("docker", &["image", "import-host", "python"][..]), ("gvisor", &["self-test"])] {
        let mut preparing = Command::new(env!("CARGO_BIN_EXE_crucible"));
        // On a machine that has only what was copied there, the command isn't where it was built.
        let prepared = preparing.args(preparation).env("XDG_DATA_HOME", &data).output();
        let why = match &prepared {
            Ok(prepared) if prepared.status.success() => {
                outside("many_runs_on_the_other_backends_leave_nothing_behind", backend, &data);
                continue;
            }
            Ok(prepared) => String::from_utf8_lossy(&prepared.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        assert!(!required(backend), "{backend}: {why}");
        eprintln!("skipped: backend '{backend}' can't be used here: {why}");
    }
}

#[test]
fn the_kinds_of_programs_are_mixed_as_promised() {
    let kinds: Vec<Kind> = (0..200).map(Kind::of).collect();
    let hostile = kinds.iter().filter(|kind| **kind >= Kind::Sleeps).count();
    assert_eq!(kinds[..ONE_OF_EACH].iter().collect::<BTreeSet<_>>().len(), 7);
    assert_eq!(hostile, 20);
    for kind in [Kind::Sleeps, Kind::Hoards, Kind::Forks, Kind::Floods] {
        assert_eq!(kinds.iter().filter(|known| **known == kind).count(), 5);
    }
}
