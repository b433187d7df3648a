//! A supervisor that is killed takes everything below it along, and the next one clears away what it left.
//!
//! This process adopts what a dead supervisor orphans. So everything that descends from a supervisor is found by descent,
//! whatever the moment of its death, and nothing has to be recognised by its name.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests fail as tests do")]

#[path = "leftovers/cgroups.rs"]
mod cgroups;
#[path = "leftovers/processes.rs"]
mod processes;

use processes::{Process, below};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Within this time after its supervisor's death nothing of a sandbox may run.
const MOMENT: Duration = Duration::from_secs(1);
/// A supervisor killed while starting, this many times for the jail.
const KILLS_AT_START: u32 = 24;
const KILLS_DURING_THE_RUN: u32 = 10;
const KILLS_AT_THE_END: u32 = 10;
const KILLS_OF_ATTACKS: u32 = 10;

/// A guest that no signal ends but the one that can't be refused, with two children that left it and its session.
const STUBBORN: &str = "
import os, signal, time
for number in set(range(1, 65)) - {signal.SIGCHLD}:
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
for _ in range(2):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in range(3):
                os.close(number)
            while True:
                time.sleep(0.01)
        os._exit(0)
    os.wait()
print('ready', flush=True)
while True:
    time.sleep(0.01)
";
/// How many processes that guest is, with its supervisor's launcher and the sandbox's init.
const STUBBORN_PROCESSES: usize = 5;
/// How many processes an attack has at least: a launcher, and for each of two ranges an init, what serves and its launcher.
const RANGE_PROCESSES: usize = 7;

#[derive(Clone, Copy, Debug)]
struct Backend {
    name: &'static str,
    flags: &'static [&'static str],
}

const JAIL: Backend = Backend { name: "jail", flags: &["-b", "jail"] };
const SUBPROCESS: Backend = Backend { name: "subprocess", flags: &["-b", "subprocess", "--unsafe"] };

/// The place in which all runs of a test take place: one test at a time, as each looks at all that descends from here.
struct Place {
    folder: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Place {
    fn new() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for name in ["home", "temporary"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder, _alone: alone }
    }

    fn command(&self, backend: Backend, code: &str) -> Command {
        let mut command = self.bare_command();
        command.arg("run").args(backend.flags).args(["-c", code]);
        command
    }

    fn bare_command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crucible"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path().join("home"))
            .env("TMPDIR", self.folder.path().join("temporary"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A coverage build counts nothing here: half of what it counted would be worse than nothing.
        command.env("LLVM_PROFILE_FILE", "/dev/null");
        command
    }

    fn output(&self, backend: Backend, code: &str) -> Output {
        self.command(backend, code).output().unwrap()
    }

    fn start(&self, backend: Backend, code: &str) -> Supervisor {
        Supervisor(self.command(backend, code).args(["--timeout", "2m"]).spawn().unwrap())
    }

    /// Starts the attack suite, or the part of it that these arguments choose.
    fn attack(&self, arguments: &[&str]) -> Supervisor {
        Supervisor(self.bare_command().arg("attack").args(arguments).spawn().unwrap())
    }

    /// What lies in the folder for temporary files.
    fn temporary_files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path().join("temporary")).unwrap();
        entries.map(|entry| entry.unwrap().path().display().to_string()).collect()
    }

    /// The backends that can be used here. What `CRUCIBLE_REQUIRE` names must be.
    fn usable(&self, backends: &[Backend]) -> Vec<Backend> {
        let usable = |backend: &&Backend| {
            let run = self.output(**backend, "");
            let why = String::from_utf8_lossy(&run.stderr);
            let required = std::env::var("CRUCIBLE_REQUIRE").unwrap_or_default();
            if run.status.code() == Some(69) && !required.split(',').any(|name| name.trim() == backend.name) {
                eprintln!("skipped for {}: {why}", backend.name);
                return false;
            }
            assert_eq!(run.status.code(), Some(0), "{}: {why}", backend.name);
            true
        };
        backends.iter().filter(usable).copied().collect()
    }

    /// The next run works, and clears away what the dead supervisor left.
    fn expect_next_run_to_clear(&self, backend: Backend, dead: u32) {
        let run = self.output(backend, "print(1)");
        assert_eq!(
            (run.status.code(), &*run.stdout),
            (Some(0), &b"1\n"[..]),
            "after a crash on {backend:?}: {}",
            String::from_utf8_lossy(&run.stderr)
        );
        let left = cgroups::folders_of(dead);
        assert!(left.is_empty(), "the run after a crash left {left:?}");
    }
}

/// A `crucible run` that was started.
struct Supervisor(Child);

impl Supervisor {
    fn id(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    /// Waits for the guest's first line.
    fn wait_for_line(&mut self, wanted: &str) {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), wanted);
    }

    /// Waits until so many processes run below it.
    fn wait_for_processes(&self, count: usize) {
        let begun = Instant::now();
        while below(self.id()).iter().filter(|process| process.is_running()).count() < count {
            assert!(begun.elapsed() < Duration::from_secs(30), "there are only {:#?}", below(self.id()));
            pass(Duration::from_millis(5));
        }
    }

    /// Sends a signal to the supervisor alone. It may have ended by itself.
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    fn wait(mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }
}

fn own_id() -> i32 {
    i32::try_from(std::process::id()).unwrap()
}

fn runs_still(process: &Process) -> bool {
    Process::read(process.id).is_some_and(|now| now.started == process.started && now.is_running())
}

/// Asks for the dead that came to this process, which nobody else will ask for.
fn bury(dead: &[Process]) {
    for process in dead.iter().filter(|process| !process.is_running()) {
        // Fails for those that are another's to ask for.
        let _buried = waitpid(Pid::from_raw(process.id), WaitOptions::NOHANG).is_ok();
    }
}

/// Waits until nothing below this process runs, and tells how long that took. `known` are processes that were seen before.
fn expect_all_gone(since: Instant, known: &[Process], moment: &str) -> Duration {
    loop {
        let here = below(own_id());
        let mut running: Vec<Process> = here.iter().filter(|process| process.is_running()).cloned().collect();
        // Found again by number and start, should one have escaped its descent.
        running.extend(known.iter().filter(|process| runs_still(process)).cloned());
        bury(&here);
        if running.is_empty() {
            return since.elapsed();
        }
        if since.elapsed() > MOMENT {
            for process in &running {
                let _killed = kill_process(Pid::from_raw(process.id).unwrap(), Signal::KILL).is_ok();
            }
            panic!("{moment}: {MOMENT:?} later there still ran {running:#?}");
        }
        std::thread::yield_now();
    }
}

/// Waits for a time that is the test's own matter.
fn pass(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}

/// What came of killing supervisors.
#[derive(Debug, Default)]
struct Tally {
    kills: u32,
    /// Supervisors that had ended by themselves when they were to be killed.
    too_late: u32,
    /// Kills of supervisors that had processes below them.
    with_processes: u32,
    /// Kills that left control groups to the next run.
    with_control_groups: u32,
    slowest: Duration,
}

impl Tally {
    /// Kills a supervisor and sees to it that nothing is left of it.
    fn kill(&mut self, place: &Place, backend: Backend, supervisor: Supervisor, moment: &str) -> Vec<Process> {
        let id = supervisor.0.id();
        let known: Vec<Process> = below(supervisor.id()).into_iter().filter(Process::is_running).collect();
        supervisor.signal(Signal::KILL);
        let killed = Instant::now();
        let status = supervisor.wait();
        let took = expect_all_gone(killed, &known, moment);
        self.kills += 1;
        self.too_late += u32::from(status.success());
        self.with_processes += u32::from(!known.is_empty());
        self.with_control_groups += u32::from(!cgroups::folders_of(id).is_empty());
        self.slowest = self.slowest.max(took);
        place.expect_next_run_to_clear(backend, id);
        known
    }
}

/// How long a supervisor takes until its guest speaks.
fn time_to_start(place: &Place, backend: Backend) -> Duration {
    let begun = Instant::now();
    let mut supervisor = place.start(backend, STUBBORN);
    supervisor.wait_for_line("ready");
    let took = begun.elapsed();
    supervisor.signal(Signal::TERM);
    supervisor.wait();
    took
}

fn kill_at_every_moment(place: &Place, backend: Backend, part: u32) {
    let mut starting = Tally::default();
    let whole = time_to_start(place, backend);
    for number in 0..KILLS_AT_START / part {
        // Now and then nothing is known of the interpreter yet, which makes the start a longer one.
        if number % 4 == 3 {
            let cache = place.folder.path().join("home/.cache");
            std::fs::remove_dir_all(cache).unwrap();
        }
        let delay = whole * number / (KILLS_AT_START / part - 1);
        let supervisor = place.start(backend, STUBBORN);
        pass(delay);
        starting.kill(place, backend, supervisor, &format!("killed {delay:?} after its start"));
    }
    let mut running = Tally::default();
    let mut had_control_groups = false;
    for number in 0..KILLS_DURING_THE_RUN / part {
        let mut supervisor = place.start(backend, STUBBORN);
        supervisor.wait_for_line("ready");
        pass(Duration::from_millis(3) * number);
        had_control_groups |= !cgroups::folders_of(supervisor.0.id()).is_empty();
        let known = running.kill(place, backend, supervisor, "killed while its guest ran");
        assert!(known.len() >= STUBBORN_PROCESSES, "only {known:#?} ran");
    }
    let mut ending = Tally::default();
    for number in 0..KILLS_AT_THE_END / part {
        let mut supervisor = place.start(backend, "print('done', flush=True)");
        supervisor.wait_for_line("done");
        pass(whole * number / (KILLS_AT_THE_END / part) / 4);
        ending.kill(place, backend, supervisor, "killed at its end");
    }
    eprintln!(
        "{}: a start takes {whole:?}\n  starting {starting:?}\n  running {running:?}\n  ending {ending:?}",
        backend.name
    );
    assert_eq!(running.too_late, 0);
    assert!(starting.with_processes > 0 && ending.too_late < ending.kills, "no kill hit what it should have");
    assert_eq!(had_control_groups, running.with_control_groups > 0, "a killed supervisor can't clear away its groups");
}

#[test]
fn whenever_its_supervisor_is_killed_a_jail_is_gone_within_a_second_and_the_next_run_clears_up() {
    let place = Place::new();
    for backend in place.usable(&[JAIL]) {
        kill_at_every_moment(&place, backend, 1);
        assert_eq!(place.temporary_files(), [""; 0]);
    }
}

#[test]
fn whenever_its_supervisor_is_killed_a_plain_process_is_gone_within_a_second() {
    let place = Place::new();
    for backend in place.usable(&[SUBPROCESS]) {
        kill_at_every_moment(&place, backend, 2);
    }
}

#[test]
fn a_signal_ends_daemons_too_and_is_in_the_exit_code() {
    let place = Place::new();
    for backend in place.usable(&[JAIL, SUBPROCESS]) {
        for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
            // A busy machine takes its time until all of it runs.
            let mut command = place.command(backend, STUBBORN);
            let mut supervisor = Supervisor(command.args(["--timeout", "1m"]).spawn().unwrap());
            supervisor.wait_for_line("ready");
            let known = below(supervisor.id());
            assert!(known.len() >= STUBBORN_PROCESSES, "only {known:#?} ran");
            let id = supervisor.0.id();
            supervisor.signal(signal);
            assert_eq!(supervisor.wait().code(), Some(code), "{backend:?}");
            let took = expect_all_gone(Instant::now(), &known, "ended by a signal");
            eprintln!("{}: {signal:?} left nothing {took:?} after the exit", backend.name);
            expect_nothing_else(&place, id);
        }
    }
}

#[test]
fn a_timeout_ends_daemons_too() {
    let place = Place::new();
    for backend in place.usable(&[JAIL, SUBPROCESS]) {
        let mut command = place.command(backend, STUBBORN);
        let mut supervisor = Supervisor(command.args(["--timeout", "3s"]).spawn().unwrap());
        supervisor.wait_for_line("ready");
        let known = below(supervisor.id());
        assert!(known.len() >= STUBBORN_PROCESSES, "only {known:#?} ran");
        let id = supervisor.0.id();
        assert_eq!(supervisor.wait().code(), Some(124), "{backend:?}");
        let took = expect_all_gone(Instant::now(), &known, "ended by its time limit");
        eprintln!("{}: the time limit left nothing {took:?} after the exit", backend.name);
        expect_nothing_else(&place, id);
    }
}

/// Folders for canaries of suites that this user ran, wherever the suite makes them.
fn canary_folders(place: &Place) -> BTreeSet<PathBuf> {
    let places =
        [Path::new("/var/tmp"), Path::new("/tmp"), &place.folder.path().join("temporary")].map(std::fs::read_dir);
    let all = places.into_iter().flatten().flatten().flatten();
    let is_own = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let own = rustix::process::geteuid().as_raw();
        name.starts_with("crucible-canaries-") && path.metadata().is_ok_and(|seen| seen.uid() == own)
    };
    all.map(|entry| entry.path()).filter(is_own).collect()
}

#[test]
fn whenever_an_attack_is_killed_its_ranges_are_gone_within_a_second_and_the_next_one_clears_up() {
    let place = Place::new();
    if place.usable(&[JAIL]).is_empty() {
        return;
    }
    let before = canary_folders(&place);
    let (mut tally, mut left) = (Tally::default(), BTreeSet::new());
    for number in 0..KILLS_OF_ATTACKS {
        // All of it, as a part could end by itself before it is killed.
        let attack = place.attack(&[]);
        let is_under_way = number % 2 == 1;
        if is_under_way {
            attack.wait_for_processes(RANGE_PROCESSES);
        }
        pass(Duration::from_millis(60) * number);
        let known = tally.kill(&place, JAIL, attack, "killed while it attacked");
        assert!(!is_under_way || known.len() >= RANGE_PROCESSES, "only {known:#?} ran");
        left.extend(canary_folders(&place).difference(&before).cloned());
    }
    assert_eq!((tally.too_late, left.is_empty()), (0, false), "no kill hit what it should have: {tally:?}");
    let next = place.attack(&["--only", "filesystem.host_path"]);
    let id = next.0.id();
    assert_eq!(next.wait().code(), Some(0));
    expect_nothing_else(&place, id);
    let now = canary_folders(&place);
    let still: Vec<_> = left.iter().filter(|folder| now.contains(*folder)).collect();
    assert!(still.is_empty(), "the attack after a crash left {still:?}");
    eprintln!("attack: {tally:?}, and {} folders", left.len());
}

#[test]
fn what_a_dead_parent_orphans_is_seen_here() {
    let _place = Place::new();
    let script = "setsid sh -c 'sleep 600 & exec sleep 600' >/dev/null 2>&1 </dev/null & echo $!";
    let parent = Command::new("sh").args(["-c", script]).output().unwrap();
    assert!(parent.status.success());
    let begun = Instant::now();
    let sleepers = || below(own_id()).into_iter().filter(Process::is_running).collect::<Vec<_>>();
    while sleepers().len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(30), "only {:#?} were found", sleepers());
    }
    for process in sleepers() {
        kill_process(Pid::from_raw(process.id).unwrap(), Signal::KILL).unwrap();
    }
    expect_all_gone(Instant::now(), &[], "killed one by one");
}

/// A supervisor that ended in good order leaves no control group and no file.
fn expect_nothing_else(place: &Place, supervisor: u32) {
    let left = cgroups::folders_of(supervisor);
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(place.temporary_files(), [""; 0]);
}
