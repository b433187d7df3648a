//! Sandboxes of the policy `inspect`: root inside, as a backend gives it. What must not be is tried on canaries, of other sandboxes
//! and of the host.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests fail as tests do")]

use crucible_backends::jail::{JailBackend, JailConfig};
use crucible_core::{
    Backend, Command, ErrorKind, ExitStatus, Layer, LayerState, Limits, LiveFeature, Policy, Readiness, Sandbox,
    SandboxId, SandboxRequest,
};
use tokio::io::AsyncReadExt;

async fn backend_with(config: JailConfig) -> Option<JailBackend> {
    let required = std::env::var("CRUCIBLE_REQUIRE").unwrap_or_default();
    let is_required = required.split(',').any(|name| name == "jail") && rustix::process::geteuid().is_root();
    match JailBackend::start(config).await {
        Ok(backend) => match &backend.capabilities().root_inside {
            LayerState::Active { .. } => Some(backend),
            LayerState::Absent { reason, mend } => {
                assert!(!is_required, "{reason}");
                assert!(!mend.is_empty());
                let error = backend.create(request(Policy::inspect())).await.err().unwrap();
                assert_eq!(error.kind(), ErrorKind::Refused);
                assert!(error.to_string().contains("policy 'inspect'"), "{error}");
                eprintln!("skipped: {reason}");
                None
            }
        },
        Err(error) => {
            assert!(!is_required, "{error}");
            eprintln!("skipped: {error}");
            None
        }
    }
}

async fn backend() -> Option<JailBackend> {
    backend_with(JailConfig::default()).await
}

fn request(policy: Policy) -> SandboxRequest {
    SandboxRequest {
        id: SandboxId::generate(),
        language: None,
        limits: Limits::default(),
        policy,
        readiness: Readiness::Bare,
        project: None,
    }
}

async fn open(backend: &JailBackend) -> Box<dyn Sandbox> {
    backend.create(request(Policy::inspect())).await.unwrap()
}

async fn run(sandbox: &dyn Sandbox, user: Option<&str>, script: &str) -> (ExitStatus, String) {
    let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let command = Command { argv, user: user.map(str::to_owned), ..Command::default() };
    let mut execution = sandbox.exec(command).await.unwrap();
    drop(execution.stdin);
    let (mut out, mut errors) = (String::new(), String::new());
    execution.stdout.read_to_string(&mut out).await.unwrap();
    execution.stderr.read_to_string(&mut errors).await.unwrap();
    (execution.process.wait().await.unwrap(), out + &errors)
}

/// The ids of a sandbox outside, by its own word.
async fn ids(sandbox: &dyn Sandbox) -> Vec<(u64, u64)> {
    let (_, map) = run(sandbox, None, "cat /proc/self/uid_map").await;
    let line = |line: &str| {
        let numbers: Vec<u64> = line.split_ascii_whitespace().map(|number| number.parse().unwrap()).collect();
        (numbers[1], numbers[1] + numbers[2])
    };
    map.lines().map(line).collect()
}

#[tokio::test]
async fn two_sandboxes_with_root_inside_share_nothing() {
    let Some(backend) = backend().await else { return };
    let (one, other) = (open(&backend).await, open(&backend).await);
    let (ours, theirs) = (ids(one.as_ref()).await, ids(other.as_ref()).await);
    for (first, end) in &ours {
        assert!(theirs.iter().all(|(start, stop)| end <= start || stop <= first), "{ours:?} {theirs:?}");
        assert!(*first > 0);
    }
    let (_, said) = run(other.as_ref(), None, "echo secret > /root/canary; echo secret > /tmp/canary").await;
    assert_eq!(said, "");
    let (_, said) = run(one.as_ref(), None, "cat /root/canary /tmp/canary; ls /proc | grep -c '^[0-9]*$'").await;
    assert!(!said.contains("secret"), "{said}");
    let processes: u32 = said.lines().next().unwrap().parse().unwrap();
    assert!(processes <= 4, "{said}");
    for sandbox in [one, other] {
        let posture = sandbox.posture().await.unwrap();
        assert!(posture.is_as_planned(), "{:?}", posture.differences().collect::<Vec<_>>());
        assert!(posture.facts.iter().any(|fact| fact.name == "uid_map"), "{posture:?}");
        sandbox.destroy().await.unwrap();
    }
}

#[tokio::test]
async fn users_are_made_and_commands_are_theirs() {
    let Some(backend) = backend().await else { return };
    let sandbox = open(&backend).await;
    let (status, said) = run(sandbox.as_ref(), None, "useradd -m ann && id -u && echo $HOME $USER").await;
    assert_eq!((status, said.as_str()), (ExitStatus::Exited(0), "0\n/root root\n"));
    let script = "whoami; echo $HOME; touch ~/hers && stat -c %U ~/hers; cat /etc/shadow; kill 1; su -c id; echo x > /dev/stdout";
    let (_, said) = run(sandbox.as_ref(), Some("ann"), script).await;
    assert!(said.starts_with("ann\n/home/ann\nann\nx\n"), "{said}");
    assert!(!said.contains("uid=0") && said.contains("/etc/shadow: Permission denied"), "{said}");
    // What the interface puts in is root's, and read as root.
    let (_, said) = run(sandbox.as_ref(), Some("guest"), "whoami; cat /root/x; touch /work/x").await;
    assert!(said.starts_with("guest\n") && said.matches("Permission denied").count() == 2, "{said}");

    let command = Command { argv: vec!["id".to_owned()], user: Some("nobody-here".to_owned()), ..Command::default() };
    let error = sandbox.exec(command).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("nobody-here"), "{error}");
    let error = sandbox.fork(SandboxId::generate()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Refused);
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn an_ordinary_sandbox_has_no_other_user_and_no_root() {
    let Some(backend) = backend().await else { return };
    let sandbox = backend.create(request(Policy::default())).await.unwrap();
    assert!(sandbox.layers()[&Layer::Capabilities].is_active());
    let command = Command { argv: vec!["id".to_owned()], user: Some("root".to_owned()), ..Command::default() };
    assert_eq!(sandbox.exec(command).await.err().unwrap().kind(), ErrorKind::Refused);
    let (_, said) =
        run(sandbox.as_ref(), None, "cat /proc/self/uid_map | tr -s ' ' | wc -l; touch /etc/x /home/x /var/x").await;
    assert!(said.starts_with("1\n"), "{said}");
    assert_eq!(said.matches("cannot touch").count(), 3, "{said}");
    sandbox.destroy().await.unwrap();
    assert!(!backend.capabilities().live.contains(&LiveFeature::Users));
}

#[tokio::test]
async fn a_range_is_one_sandboxs_until_it_is_gone_whoever_asks() {
    // Room for one range only.
    let config = || JailConfig { uid_start: 1_700_000_000, uid_count: 3000, ..JailConfig::default() };
    let Some(backend) = backend_with(config()).await else { return };
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let other = backend_with(config()).await.unwrap();
    let held = open(&backend).await;
    let error = other.create(request(Policy::inspect())).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.hint().unwrap().contains("/etc/subuid"), "{error}");
    held.destroy().await.unwrap();
    open(&other).await.destroy().await.unwrap();
}

#[tokio::test]
async fn too_few_ids_are_refused_by_name_with_the_mend() {
    let config = JailConfig { uid_start: 1_700_010_000, uid_count: 1000, ..JailConfig::default() };
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let Ok(backend) = JailBackend::start(config).await else { return };
    let error = backend.create(request(Policy::inspect())).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("fewer ids than the 2048"), "{error}");
    assert!(error.hint().unwrap().contains("jail.uid_count"), "{error}");
    backend.create(request(Policy::default())).await.unwrap().destroy().await.unwrap();
}

#[tokio::test]
async fn its_limits_hold_for_all_its_users_together() {
    let Some(backend) = backend().await else { return };
    let limits = Limits { pids: 20, ..Limits::default() };
    let sandbox = backend.create(SandboxRequest { limits, ..request(Policy::inspect()) }).await.unwrap();
    // Ten of root's, then as many of another's as there is room for.
    let script = "useradd ann; i=0; while [ $i -lt 10 ]; do sleep 30 & i=$((i+1)); done; \
        su ann -s /bin/sh -c 'i=0; while [ $i -lt 30 ]; do sleep 30 & i=$((i+1)); done' 2>&1; true";
    let command = Command { argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(), ..Command::default() };
    let mut execution = sandbox.exec(command).await.unwrap();
    drop(execution.stdin);
    let status = execution.process.wait().await.unwrap();
    assert!(matches!(status, ExitStatus::Exited(_)), "{status:?}");
    let counters = sandbox.counters().await.unwrap();
    assert!(counters.refused.contains(&crucible_core::LimitKind::Pids), "{counters:?}");
    sandbox.end_processes().await.unwrap();
    let (status, _) = run(sandbox.as_ref(), None, "head -c 1000000000 /dev/zero > /home/full").await;
    assert_ne!(status, ExitStatus::Exited(0));
    assert!(sandbox.counters().await.unwrap().refused.contains(&crucible_core::LimitKind::Disk));
    sandbox.destroy().await.unwrap();
}
