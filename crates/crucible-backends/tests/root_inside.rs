//! Sandboxes of the policy `inspect`: root inside, as each backend gives it. What must not be is tried on canaries, of other
//! sandboxes and of the host.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests fail as tests do")]

use crucible_backends::docker::{DockerBackend, DockerConfig};
use crucible_backends::gvisor::{GvisorBackend, GvisorConfig};
use crucible_backends::jail::{JailBackend, JailConfig};
use crucible_backends::runtime::DEFAULT_LANGUAGES;
use crucible_core::{
    Backend, Command, Enforcement, Error, ErrorKind, ExitStatus, HostPath, Isolation, Language, Layer, LayerState,
    LimitKind, Limits, LiveFeature, Loss, Policy, Readiness, Sandbox, SandboxId, SandboxRequest,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::io::AsyncReadExt;

/// A backend that can have root inside here; `None` where it can't, with the reason. Docker's daemon may be one that maps no ids,
/// unless `docker-with-root` is required.
async fn able<B: Backend>(name: &str, started: Result<B, Error>) -> Option<B> {
    let required = std::env::var("CRUCIBLE_REQUIRE").unwrap_or_default();
    let is_required = required.split(',').any(|required| required == name) && rustix::process::geteuid().is_root();
    match started {
        Ok(backend) => match &backend.capabilities().root_inside {
            LayerState::Active { .. } => Some(backend),
            LayerState::Absent { reason, mend } => {
                let may_lack_it = name == "docker" && !required.contains("docker-with-root");
                assert!(!is_required || may_lack_it, "{reason}");
                assert!(!mend.is_empty());
                let error = backend.create(request(Policy::inspect())).await.err().unwrap();
                assert_eq!(error.kind(), ErrorKind::Refused);
                assert!(error.to_string().contains("policy 'inspect'"), "{error}");
                eprintln!("skipped: {name}: {reason}");
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

async fn jail_with(config: JailConfig) -> Option<JailBackend> {
    able("jail", JailBackend::start(config).await).await
}

/// Has a daemon that can have root inside have an image of this machine's ordinary programs.
async fn ordinary_programs(docker: &DockerBackend) -> Result<(), Error> {
    static MAKING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    #[derive(serde::Deserialize)]
    struct Table {
        languages: BTreeMap<String, Language>,
    }
    let mut table: Table = toml::from_str(DEFAULT_LANGUAGES).unwrap();
    let system = table.languages.remove("system").unwrap();
    let _alone = MAKING.lock().await;
    let is_able = docker.capabilities().root_inside.is_active();
    if is_able && docker.daemon().image(&system.image).await.is_err() {
        docker.daemon().import_host("system", &system, None).await?;
    }
    Ok(())
}

/// All that can.
async fn backends() -> Vec<Arc<dyn Backend>> {
    let cache = Some(HostPath::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/gvisor-cache")));
    let gvisor = GvisorBackend::start(GvisorConfig { cache, ..GvisorConfig::default() }).await;
    let docker = match DockerBackend::start(&DockerConfig::default()).await {
        Ok(docker) => ordinary_programs(&docker).await.map(|()| docker),
        failed => failed,
    };
    let mut all: Vec<Arc<dyn Backend>> = Vec::new();
    all.extend(jail_with(JailConfig::default()).await.map(|backend| Arc::new(backend) as _));
    all.extend(able("gvisor", gvisor).await.map(|backend| Arc::new(backend) as _));
    all.extend(able("docker", docker).await.map(|backend| Arc::new(backend) as _));
    all
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

async fn open(backend: &dyn Backend) -> Box<dyn Sandbox> {
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

/// The ids of a jail's sandbox outside, by its own word.
async fn ids(sandbox: &dyn Sandbox) -> Vec<(u64, u64)> {
    let (_, map) = run(sandbox, None, "cat /proc/self/uid_map").await;
    let line = |line: &str| {
        let numbers: Vec<u64> = line.split_ascii_whitespace().map(|number| number.parse().unwrap()).collect();
        (numbers[1], numbers[1] + numbers[2])
    };
    map.lines().map(line).collect()
}

#[tokio::test]
async fn two_sandboxes_with_root_inside_share_no_ids_in_the_jail() {
    let Some(backend) = jail_with(JailConfig::default()).await else { return };
    let (one, other) = (open(&backend).await, open(&backend).await);
    let (ours, theirs) = (ids(one.as_ref()).await, ids(other.as_ref()).await);
    for (first, end) in &ours {
        assert!(theirs.iter().all(|(start, stop)| end <= start || stop <= first), "{ours:?} {theirs:?}");
        assert!(*first > 0);
    }
    for sandbox in [one, other] {
        let posture = sandbox.posture().await.unwrap();
        assert!(posture.facts.iter().any(|fact| fact.name == "uid_map"), "{posture:?}");
        sandbox.destroy().await.unwrap();
    }
}

async fn share_nothing(backend: &dyn Backend) {
    let (one, other) = (open(backend).await, open(backend).await);
    let (_, said) = run(other.as_ref(), None, "echo secret > /root/canary; echo secret > /tmp/canary").await;
    assert_eq!(said, "");
    let (_, said) = run(one.as_ref(), None, "cat /root/canary /tmp/canary; ls /proc | grep -c '^[0-9]*$'").await;
    assert!(!said.contains("secret"), "{said}");
    let processes: u32 = said.lines().next().unwrap().parse().unwrap();
    assert!(processes <= 4, "{said}");
    for sandbox in [one, other] {
        let posture = sandbox.posture().await.unwrap();
        assert!(posture.is_as_planned(), "{:?}", posture.differences().collect::<Vec<_>>());
        sandbox.destroy().await.unwrap();
    }
}

#[tokio::test]
async fn two_sandboxes_with_root_inside_share_nothing() {
    for backend in backends().await {
        share_nothing(backend.as_ref()).await;
    }
}

/// What root inside of such a kind may and may not: its capabilities, the host's files below its own folders, and the process
/// that starts its commands.
#[tokio::test]
async fn root_inside_has_six_capabilities_and_reaches_no_runner() {
    for backend in backends().await {
        let name = backend.name().to_owned();
        let sandbox = open(backend.as_ref()).await;
        let script = "id -u; grep -E '^(Cap(Inh|Prm|Eff|Bnd)|Seccomp):' /proc/self/status | tr -d '\\t\\n'";
        let (_, said) = run(sandbox.as_ref(), None, script).await;
        let caps = "CapInh:0000000000000000CapPrm:00000000000000ebCapEff:00000000000000ebCapBnd:00000000000000eb";
        assert_eq!(said, format!("0\n{caps}Seccomp:2"), "{name}");

        // Nothing that the first process has open can be had, nor its memory; and it can't be ended or stopped.
        let script = "for file in /proc/[0-9]*/fd/*; do case $file in /proc/self/*|/proc/$$/*) continue;; esac; \
            [ -e $file ] && echo found $file; done; \
            echo read $(cat /proc/1/mem 2>/dev/null | wc -c); \
            for signal in 19 9 15; do kill -$signal 1; done; chown 70000 /work; mount -t tmpfs none /mnt; hostname other; \
            echo done";
        let (_, said) = run(sandbox.as_ref(), None, script).await;
        assert!(said.contains("read 0\n") && said.contains("done\n") && !said.contains("found"), "{name}: {said}");
        let (status, said) = run(sandbox.as_ref(), None, "echo lives").await;
        assert_eq!((status, said.as_str()), (ExitStatus::Exited(0), "lives\n"), "{name}");
        // All that the script has started, and itself: by their numbers, so that nobody else is meant, whoever might see it.
        let (status, _) = run(sandbox.as_ref(), None, "sleep 100 & kill -9 $! $$").await;
        assert_ne!(status, ExitStatus::SandboxLost, "{name}");
        let (_, said) = run(sandbox.as_ref(), None, "echo lives").await;
        assert_eq!(said, "lives\n", "{name}");
        assert_eq!(sandbox.loss(), None::<Loss>, "{name}");
        let posture = sandbox.posture_again().await.unwrap();
        assert!(posture.is_as_planned(), "{name}: {:?}", posture.differences().collect::<Vec<_>>());
        sandbox.destroy().await.unwrap();
    }
}

async fn users_are_theirs(backend: &dyn Backend) {
    let sandbox = open(backend).await;
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

    // The tables are root's to change, and hostile.
    let script = "echo 'far:x:4000000:4000000::/:/bin/sh' >> /etc/passwd; chmod 600 /work; chmod 755 /work; \
        chown ann /tmp && stat -c %U /tmp && chown root /tmp";
    let (_, said) = run(sandbox.as_ref(), None, script).await;
    assert_eq!(said, "ann\n");
    let of = |user: &str| Command { argv: vec!["id".to_owned()], user: Some(user.to_owned()), ..Command::default() };
    let far = sandbox.exec(of("far")).await.err().unwrap();
    assert_eq!(far.kind(), ErrorKind::InvalidInput, "{far}");
    run(sandbox.as_ref(), None, "rm /etc/passwd; mkfifo /etc/passwd").await;
    assert_eq!(sandbox.exec(of("root")).await.err().unwrap().kind(), ErrorKind::NotFound);
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn users_are_made_and_commands_are_theirs() {
    for backend in backends().await {
        users_are_theirs(backend.as_ref()).await;
    }
}

#[tokio::test]
async fn an_ordinary_sandbox_has_no_other_user_and_no_root() {
    for backend in backends().await {
        has_one_user(backend.as_ref()).await;
    }
}

async fn has_one_user(backend: &dyn Backend) {
    let sandbox = backend.create(request(Policy::default())).await.unwrap();
    assert!(sandbox.layers()[&Layer::Capabilities].is_active());
    let command = Command { argv: vec!["id".to_owned()], user: Some("root".to_owned()), ..Command::default() };
    assert_eq!(sandbox.exec(command).await.err().unwrap().kind(), ErrorKind::Refused);
    let (_, said) = run(sandbox.as_ref(), None, "id -u; touch /etc/x /home/x /var/x").await;
    assert!(!said.starts_with("0\n"), "{said}");
    assert_eq!(said.matches("cannot touch").count(), 3, "{said}");
    sandbox.destroy().await.unwrap();
    assert!(!backend.capabilities().live.contains(&LiveFeature::Users));
}

#[tokio::test]
async fn a_range_is_one_sandboxs_until_it_is_gone_whoever_asks() {
    // Room for one range only.
    let config = || JailConfig { uid_start: 1_700_000_000, uid_count: 3000, ..JailConfig::default() };
    let Some(backend) = jail_with(config()).await else { return };
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let other = jail_with(config()).await.unwrap();
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
    for backend in backends().await {
        limits_hold(backend.as_ref()).await;
    }
}

async fn limits_hold(backend: &dyn Backend) {
    let limits = Limits { pids: 20, ..Limits::default() };
    let sandbox = backend.create(SandboxRequest { limits, ..request(Policy::inspect()) }).await.unwrap();
    // Ten of root's, then as many of another's as there is room for.
    let script = "useradd ann; i=0; while [ $i -lt 10 ]; do sleep 30 >/dev/null 2>&1 & i=$((i+1)); done; \
        su ann -s /bin/sh -c 'i=0; while [ $i -lt 30 ]; do sleep 30 >/dev/null 2>&1 & i=$((i+1)); done'; true";
    let (status, said) = run(sandbox.as_ref(), None, script).await;
    assert!(matches!(status, ExitStatus::Exited(_)) && said.contains("fork"), "{status:?} {said}");
    let can = backend.capabilities();
    let refused = sandbox.counters().await.unwrap().refused;
    let is_told = can.enforcement(LimitKind::Pids) == Enforcement::Sandbox;
    assert_eq!(refused.contains(&LimitKind::Pids), is_told, "{refused:?}");
    sandbox.end_processes().await.unwrap();
    let (status, _) = run(sandbox.as_ref(), None, "head -c 1000000000 /dev/zero > /home/full").await;
    assert_ne!(status, ExitStatus::Exited(0));
    let refused = sandbox.counters().await.unwrap().refused;
    let is_told = can.isolation == Isolation::SharedKernel;
    assert_eq!(refused.contains(&LimitKind::Disk), is_told, "{refused:?}");
    sandbox.destroy().await.unwrap();
}
