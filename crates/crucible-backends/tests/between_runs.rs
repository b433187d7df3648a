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
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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
            .replace("@MARK@", &self.whole())
            .replace("@STAYS@", python(how.stays))
            .replace("@EXITS@", python(how.exits))
            .replace("@SENDS@", python(how.sends))
    }

    fn furtive(&self, exits: bool) -> String {
        include_str!("between_runs/furtive.py")
            .replace("@MARK@", &self.whole())
            .replace("@EXITS@", if exits { "True" } else { "False" })
    }

    fn whole(&self) -> String {
        format!("{}{}", self.first, self.second)
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

/// Whether a sandbox is used again here after a quiet run: not where a control group's counters can't be set back.
fn renews(jail: &JailBackend) -> bool {
    let renews = jail.cgroup_version().starts_with("v1");
    if !renews {
        eprintln!("skipped: control groups here can't be made as new");
    }
    renews
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
    run_with(sandbox, code, "").await
}

/// One that is given something, where it isn't empty: as another file's name and content, an argument, a variable, and input.
async fn run_with(sandbox: &dyn Sandbox, code: &str, given: &str) -> Ran {
    let path = GuestPath::parse("/work/main.py").unwrap();
    sandbox.write_file(&path, &mut code.as_bytes(), false).await.unwrap();
    let mut argv = vec![sandbox.interpreter().unwrap().to_owned(), "main.py".to_owned()];
    let mut env = python().env.clone();
    if !given.is_empty() {
        let path = GuestPath::parse(&format!("/work/{given}-{given}-{given}-{given}.txt")).unwrap();
        sandbox.write_file(&path, &mut given.as_bytes(), false).await.unwrap();
        argv.push(given.to_owned());
        env.insert("GIVEN".to_owned(), given.to_owned());
    }
    let command = Command { argv, env, ..Command::default() };
    let work = async {
        let mut execution = sandbox.exec(command).await.unwrap();
        execution.stdin.write_all(given.as_bytes()).await.unwrap();
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

    /// The same but for the numbers of processes: they go on where a sandbox is used again.
    fn numbered_as(mut self, other: &Self) -> Self {
        if let (Some(Value::Object(own)), Some(Value::Object(others))) =
            (self.seen.get_mut("status"), other.seen.get("status"))
        {
            for name in ["Pid", "NSpid", "NSsid"] {
                let number = own.get(name).and_then(Value::as_str).unwrap();
                assert!(number.trim().parse::<u32>().unwrap() > 1, "{number}");
                own.insert(name.to_owned(), others[name].clone());
            }
        }
        self
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
    let (sight, sandbox) = look_in(sandbox(jail).await, mark).await;
    sandbox.destroy().await.unwrap();
    sight
}

async fn look_in(sandbox: Box<dyn Sandbox>, mark: &Mark) -> (Sight, Box<dyn Sandbox>) {
    let ran = run(sandbox.as_ref(), &mark.innocent()).await;
    assert_eq!((ran.status, ran.stderr.as_str()), (ExitStatus::Exited(0), ""), "{}", ran.stdout);
    sandbox.end_processes().await.unwrap();
    let posture = sandbox.posture_again().await.unwrap();
    assert_eq!(posture.differences().count(), 0, "{:?}", posture.differences().collect::<Vec<_>>());
    (Sight::read(&ran), sandbox)
}

/// One furtive run in a sandbox that is as new after it; `None` where it isn't used again, as one of an interpreter isn't that has
/// become too old meanwhile.
async fn leave_nothing(sandbox: Box<dyn Sandbox>, mark: &Mark, exits: bool) -> Option<Box<dyn Sandbox>> {
    let ran = run_with(sandbox.as_ref(), &mark.furtive(exits), &mark.whole()).await;
    let expected = if exits { 3 } else { 0 };
    assert_eq!((ran.status, ran.stdout.as_str()), (ExitStatus::Exited(expected), "1 True True\n"), "{}", ran.stderr);
    sandbox.end_processes().await.unwrap();
    let sandbox = sandbox.renew(SandboxId::generate()).await.unwrap()?;
    let posture = sandbox.posture().await.unwrap();
    assert_eq!(posture.differences().count(), 0, "{:?}", posture.differences().collect::<Vec<_>>());
    Some(sandbox)
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
        let fresh = fresh.clone();
        under_way.spawn(async move {
            leave(&jail, &mark, How::of(number)).await;
            if !renews(&jail) {
                return (number, look(&jail, &mark).await);
            }
            let exits = number.is_multiple_of(2);
            let renewed = match leave_nothing(sandbox(&jail).await, &mark, exits).await {
                Some(renewed) => renewed,
                // Of an interpreter that isn't old.
                None => leave_nothing(sandbox(&jail).await, &mark, exits).await.unwrap(),
            };
            let (sight, again) = look_in(renewed, &mark).await;
            assert_eq!(again.former_runs(), 1);
            again.destroy().await.unwrap();
            (number, sight.numbered_as(&fresh))
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

/// Whatever a program leaves that can be seen, and whatever it does that is noted: its sandbox isn't used again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_in_which_anything_was_left_is_not_used_again() {
    let _alone = ALONE.lock().await;
    let Some(jail) = jail().await else { return };
    let renew = async |code: &str| {
        let sandbox = sandbox(&jail).await;
        let ran = run(sandbox.as_ref(), code).await;
        assert_eq!((ran.status, ran.stdout.as_str()), (ExitStatus::Exited(0), "done\n"), "{code}: {}", ran.stderr);
        sandbox.end_processes().await.unwrap();
        sandbox.renew(SandboxId::generate()).await.unwrap()
    };
    for (what, code) in [
        ("a file", "open('/work/a', 'w').write('x')"),
        ("an empty file in memory", "open('/dev/shm/a', 'w')"),
        ("a folder", "os.mkdir('/tmp/a')"),
        ("a link", "os.symlink('/etc', '/tmp/a')"),
        ("a pipe", "os.mkfifo('/tmp/a')"),
        ("a file that it made and removed", "open('/tmp/a', 'w'); os.unlink('/tmp/a')"),
        ("a file without a name", "os.open('/tmp', os.O_TMPFILE | os.O_RDWR)"),
        ("its own file elsewhere", "os.rename('/work/main.py', '/tmp/main.py')"),
        ("another name of its own file", "os.link('/work/main.py', '/tmp/main.py')"),
        ("its own file no more", "os.unlink('/work/main.py')"),
        ("other permissions", "os.chmod('/work', 0o700)"),
        ("permissions for all", "os.chmod('/dev/shm', 0o777)"),
        ("an attribute", "os.setxattr('/work', 'user.canary', b'x')"),
        ("a process", "import subprocess; subprocess.Popen(['sleep', '60'])"),
        ("a process that has ended", "os.fork() or os._exit(0); os.wait()"),
        (
            "a thread beside it",
            "import threading; t = threading.Thread(target=print, args=('', ), kwargs={'end': ''}); t.start(); t.join(); u = [threading.Thread(target=time.sleep, args=(.1,)) for _ in range(3)]; [x.start() for x in u]; [x.join() for x in u]",
        ),
        ("a refused call", "import ctypes; ctypes.CDLL(None).mount(None, None, None, 0, None)"),
        ("a program", "os.system('true')"),
    ] {
        // What the file system can't do, it can't leave.
        let tried = format!(
            "import os, time\ntry:\n    {code}\n    print('done')\nexcept OSError as error:\n    print('done', file=__import__('sys').stdout)\n    os.mkdir('/tmp/instead')"
        );
        assert!(renew(&tried).await.is_none(), "{what} is left, and it is given again");
    }
    if !renews(&jail) {
        return;
    }
    let renewed = renew("print('done')").await.expect("a quiet run");
    assert_eq!((renewed.former_runs(), renewed.readiness()), (1, Readiness::Interpreter));
    renewed.destroy().await.unwrap();
    // One in which nothing has waited, or another command ran.
    let sandbox = sandbox(&jail).await;
    let argv = vec![sandbox.interpreter().unwrap().to_owned(), "-c".to_owned(), "pass".to_owned()];
    let mut execution = sandbox.exec(Command { argv, ..Command::default() }).await.unwrap();
    execution.process.wait().await.unwrap();
    sandbox.end_processes().await.unwrap();
    assert!(sandbox.renew(SandboxId::generate()).await.unwrap().is_none());
}

/// What a former run is counted for isn't the next one's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_sandbox_that_is_used_again_counts_is_its_own() {
    let _alone = ALONE.lock().await;
    let Some(jail) = jail().await else { return };
    if !renews(&jail) {
        return;
    }
    let mut sandbox = sandbox(&jail).await;
    let quiet = "print('done')";
    let mut all = Vec::new();
    for code in [
        quiet,
        "import time\nx = bytearray(40 << 20)\nend = time.process_time() + .2\nwhile time.process_time() < end: pass",
        quiet,
    ] {
        run(sandbox.as_ref(), code).await;
        sandbox.end_processes().await.unwrap();
        all.push(sandbox.counters().await.unwrap());
        sandbox = sandbox.renew(SandboxId::generate()).await.unwrap().expect("a quiet run");
    }
    sandbox.destroy().await.unwrap();
    let [first, greedy, last] = all.as_slice() else { panic!() };
    assert!(greedy.cpu >= Duration::from_millis(200) && last.cpu < Duration::from_millis(100), "{greedy:?} {last:?}");
    if let (Some(first), Some(greedy), Some(last)) =
        (first.memory_peak_bytes, greedy.memory_peak_bytes, last.memory_peak_bytes)
    {
        assert!(greedy > 40 << 20 && last < first + (8 << 20), "{first} {greedy} {last}");
    }
    let written = |counters: &crucible_core::Counters| counters.written_bytes.unwrap_or(0);
    assert!(written(last) <= written(first) + 1024, "{first:?} {last:?}");
}
