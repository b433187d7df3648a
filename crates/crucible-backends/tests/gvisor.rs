//! gVisor's own faults: no `runsc`, something else in its place, a platform that there is none of, its kernel killed, its agent
//! killed. Each is told for what it is, and nothing is left.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests fail as tests do")]

use crucible_backends::gvisor::{GvisorBackend, GvisorConfig};
use crucible_core::{
    Backend, Command, ErrorKind, Execution, ExitStatus, HostPath, Limits, Loss, Policy, Readiness, Sandbox, SandboxId,
    SandboxRequest,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(60);

fn config() -> GvisorConfig {
    let cache = Some(HostPath::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/gvisor-cache")));
    GvisorConfig { cache, ..GvisorConfig::default() }
}

async fn backend() -> Option<GvisorBackend> {
    match GvisorBackend::start(config()).await {
        Ok(backend) => Some(backend),
        Err(error) => {
            let required = std::env::var("CRUCIBLE_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|name| name == "gvisor"), "{error}");
            eprintln!("skipped: {error}");
            None
        }
    }
}

async fn sandbox(backend: &GvisorBackend) -> Box<dyn Sandbox> {
    let request = SandboxRequest {
        id: SandboxId::generate(),
        language: None,
        limits: Limits::default(),
        policy: Policy::default(),
        readiness: Readiness::Bare,
        project: None,
    };
    timeout(LONG, backend.create(request)).await.unwrap().unwrap()
}

fn shell(script: &str) -> Command {
    let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
    Command { argv, ..Command::default() }
}

/// The processes of this machine that were started for a sandbox, and the folder with its state.
fn processes_of(id: SandboxId) -> Vec<(i32, String)> {
    let name = format!("crucible-{id}");
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let line = |process: i32| {
        let line = std::fs::read(format!("/proc/{process}/cmdline")).ok()?;
        Some((process, String::from_utf8_lossy(&line).replace('\0', " ")))
    };
    numbers.filter_map(line).filter(|(_, line)| line.contains(&name)).collect()
}

fn state_of(id: SandboxId) -> PathBuf {
    let all = processes_of(id);
    let flag = all.iter().flat_map(|(_, line)| line.split(' ')).find_map(|word| word.strip_prefix("--root="));
    PathBuf::from(flag.unwrap())
}

async fn nothing_is_left(id: SandboxId, state: &Path) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !processes_of(id).is_empty() && Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    assert_eq!(processes_of(id), []);
    assert!(!state.parent().unwrap().exists(), "{} is left", state.display());
}

/// Starts something that says that it runs, and goes on for long.
async fn running(sandbox: &dyn Sandbox) -> Execution {
    let mut execution = sandbox.exec(shell("echo ready; exec sleep 1000")).await.unwrap();
    let mut ready = [0; 6];
    timeout(LONG, execution.stdout.read_exact(&mut ready)).await.unwrap().unwrap();
    execution
}

#[tokio::test]
async fn a_runsc_that_is_not_there_or_something_else_is_told_with_the_mend() {
    for (program, part) in [("/no/such/runsc", "no program"), ("/bin/true", "version"), ("/etc/passwd", "no program")] {
        let config = GvisorConfig { runsc: Some(HostPath::new(program)), ..GvisorConfig::default() };
        let error = GvisorBackend::start(config).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{program}");
        assert!(error.to_string().contains(part), "{program}: {error}");
        assert!(error.hint().unwrap().contains("install"), "{program}");
    }
}

#[tokio::test]
async fn a_platform_that_there_is_none_of_is_refused_and_not_waited_for() {
    if backend().await.is_none() {
        return;
    }
    let config = GvisorConfig { platform: Some("quaternion".to_owned()), ..config() };
    let error = timeout(LONG, GvisorBackend::start(config)).await.unwrap().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("quaternion"), "{error}");
    assert!(error.hint().unwrap().contains("gvisor.platform"));
}

#[tokio::test]
async fn gvisors_death_is_a_loss_of_machinery_and_leaves_nothing() {
    let Some(backend) = backend().await else { return };
    let sandbox = sandbox(&backend).await;
    let (id, state) = (sandbox.id(), state_of(sandbox.id()));
    let Execution { mut process, mut stdout, .. } = running(sandbox.as_ref()).await;
    assert_eq!(sandbox.loss(), None);
    let kernel = processes_of(id).into_iter().find(|(_, line)| line.starts_with("runsc-sandbox ")).unwrap().0;
    let kernel = rustix::process::Pid::from_raw(kernel).unwrap();
    rustix::process::kill_process(kernel, rustix::process::Signal::KILL).unwrap();
    assert_eq!(timeout(LONG, process.wait()).await.unwrap().unwrap(), ExitStatus::SandboxLost);
    assert_eq!(sandbox.loss(), Some(Loss::MachineryLost));
    let mut rest = Vec::new();
    timeout(LONG, stdout.read_to_end(&mut rest)).await.unwrap().unwrap();
    let error = sandbox.exec(shell("true")).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Infrastructure);
    assert!(sandbox.posture().await.is_err());
    timeout(LONG, sandbox.destroy()).await.unwrap().unwrap();
    nothing_is_left(id, &state).await;
}

#[tokio::test]
async fn the_agents_death_is_a_loss_of_machinery_and_leaves_nothing() {
    let Some(backend) = backend().await else { return };
    let sandbox = sandbox(&backend).await;
    let (id, state) = (sandbox.id(), state_of(sandbox.id()));
    let Execution { mut process, .. } = running(sandbox.as_ref()).await;
    // As gVisor's kernel would by itself: from inside nobody can.
    let root = format!("--root={}", state.display());
    let name = format!("crucible-{id}");
    let killed = std::process::Command::new("runsc").args([&root, "kill", &name, "KILL"]).output().unwrap();
    assert!(killed.status.success(), "{killed:?}");
    assert_eq!(timeout(LONG, process.wait()).await.unwrap().unwrap(), ExitStatus::SandboxLost);
    assert_eq!(sandbox.loss(), Some(Loss::MachineryLost));
    timeout(LONG, sandbox.destroy()).await.unwrap().unwrap();
    nothing_is_left(id, &state).await;
}

#[tokio::test]
async fn a_guest_can_neither_signal_nor_look_into_its_agent() {
    let Some(backend) = backend().await else { return };
    let sandbox = sandbox(&backend).await;
    let script = "kill -9 1; kill -15 1; cat /proc/1/environ; cat /proc/1/maps; ls /proc/1/fd; ls /proc/1/root; \
                  echo x > /proc/1/fd/4; echo still here >&3";
    let script = format!("({script}) 3>&1 >/dev/null 2>&1 || true; cat /proc/1/status | grep CapEff; id -u");
    let Execution { stdin, mut stdout, mut process, .. } = sandbox.exec(shell(&script)).await.unwrap();
    drop(stdin);
    let mut said = String::new();
    timeout(LONG, stdout.read_to_string(&mut said)).await.unwrap().unwrap();
    assert_eq!(timeout(LONG, process.wait()).await.unwrap().unwrap(), ExitStatus::Exited(0));
    // The agent has kept three capabilities, which it needs for commands of another user.
    assert_eq!(said, "still here\nCapEff:\t00000000000000e0\n1000\n");
    assert_eq!(sandbox.loss(), None);
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn several_commands_live_with_input_later_and_one_tree_is_ended_alone() {
    let Some(backend) = backend().await else { return };
    let sandbox = sandbox(&backend).await;
    let daemon = "(sh -c 'sh -c \"while echo beat; do sleep 0.01; done\" & exit 0' &) ; echo ready; exec sleep 1000";
    let mut first = sandbox.exec(shell(daemon)).await.unwrap();
    let mut second = sandbox.exec(shell("while read line; do echo \"<$line>\"; done; exit 9")).await.unwrap();
    let mut heard = [0; 11];
    timeout(LONG, first.stdout.read_exact(&mut heard)).await.unwrap().unwrap();
    timeout(LONG, first.process.control().end_tree()).await.unwrap().unwrap();
    assert_eq!(timeout(LONG, first.process.wait()).await.unwrap().unwrap(), ExitStatus::Signaled(9));
    let mut rest = Vec::new();
    timeout(LONG, first.stdout.read_to_end(&mut rest)).await.unwrap().unwrap();
    second.stdin.write_all(b"later\n").await.unwrap();
    let mut echoed = [0; 8];
    timeout(LONG, second.stdout.read_exact(&mut echoed)).await.unwrap().unwrap();
    assert_eq!(&echoed, b"<later>\n");
    drop(second.stdin);
    assert_eq!(timeout(LONG, second.process.wait()).await.unwrap().unwrap(), ExitStatus::Exited(9));
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_command_for_which_the_limit_leaves_no_room_is_not_started() {
    let Some(backend) = backend().await else { return };
    let request = SandboxRequest {
        id: SandboxId::generate(),
        language: None,
        limits: Limits { pids: 3, ..Limits::default() },
        policy: Policy::default(),
        readiness: Readiness::Bare,
        project: None,
    };
    let sandbox = backend.create(request).await.unwrap();
    let sleep = || Command { argv: ["sleep", "1000"].map(str::to_owned).to_vec(), ..Command::default() };
    let mut asleep = Vec::new();
    for _ in 0..3 {
        asleep.push(sandbox.exec(sleep()).await.unwrap());
    }
    let refused = sandbox.exec(sleep()).await.map(drop).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
    assert_eq!(refused.hint(), Some("the limits leave no room for another process"), "{refused}");
    let mut first = asleep.remove(0);
    timeout(LONG, first.process.control().end_tree()).await.unwrap().unwrap();
    assert_eq!(timeout(LONG, first.process.wait()).await.unwrap().unwrap(), ExitStatus::Signaled(9));
    sandbox.exec(sleep()).await.unwrap();
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_command_in_an_open_sandbox_costs_less_than_runsc_exec() {
    const ROUNDS: usize = 15;
    let Some(backend) = backend().await else { return };
    let sandbox = sandbox(&backend).await;
    let (root, name) = (format!("--root={}", state_of(sandbox.id()).display()), format!("crucible-{}", sandbox.id()));
    let command = || Command { argv: vec!["true".to_owned()], ..Command::default() };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let mut execution = sandbox.exec(command()).await.unwrap();
        assert_eq!(execution.process.wait().await.unwrap(), ExitStatus::Exited(0));
        ours.push(began.elapsed());
        let began = Instant::now();
        let ran = std::process::Command::new("runsc").args([&root, "exec", &name, "/usr/bin/true"]).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        theirs.push(began.elapsed());
    }
    ours.sort();
    theirs.sort();
    eprintln!("median {:?}, of runsc exec {:?}", ours[ROUNDS / 2], theirs[ROUNDS / 2]);
    assert!(ours[ROUNDS / 2] < theirs[ROUNDS / 2]);
    sandbox.destroy().await.unwrap();
}
