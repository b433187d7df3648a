//! Faults of containers with a real daemon: whatever fails says what and why, and leaves nothing in the daemon.
//!
//! Without a daemon the tests are skipped, unless `CRUCIBLE_REQUIRE` names docker. A daemon that stops in the middle is one
//! behind a line that the test cuts: no other daemon's containers are touched.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests fail as tests do")]

use bollard::Docker;
use bollard::query_parameters::ListContainersOptionsBuilder;
use crucible_backends::docker::{DockerBackend, DockerConfig};
use crucible_backends::runtime::DEFAULT_LANGUAGES;
use crucible_core::{
    Backend, Command, Error, ErrorKind, Execution, ExitStatus, Language, Limits, Loss, Policy, Readiness, Sandbox,
    SandboxId, SandboxRequest,
};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::Instant;

/// How long something may take that should happen soon.
const SOON: Duration = Duration::from_secs(15);

/// One test at a time makes the image that the others find.
static IMAGES: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn python() -> Language {
    #[derive(serde::Deserialize)]
    struct Table {
        languages: BTreeMap<String, Language>,
    }
    toml::from_str::<Table>(DEFAULT_LANGUAGES).unwrap().languages.remove("python").unwrap()
}

/// A backend with an image for Python, if there is a daemon.
async fn backend(config: &DockerConfig) -> Option<DockerBackend> {
    match ready(config).await {
        Ok(backend) => Some(backend),
        Err(error) => {
            let required = std::env::var("CRUCIBLE_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|name| name == "docker"), "{error}");
            eprintln!("skipped: {error}");
            None
        }
    }
}

async fn ready(config: &DockerConfig) -> Result<DockerBackend, Error> {
    let backend = DockerBackend::start(config).await?;
    let _making = IMAGES.lock().await;
    let language = python();
    if backend.daemon().image(&language.image).await.is_err() {
        backend.daemon().import_host("python", &language, None).await?;
    }
    Ok(backend)
}

fn request(language: Language) -> SandboxRequest {
    SandboxRequest {
        id: SandboxId::generate(),
        language: Some(Arc::new(language)),
        limits: Limits::default(),
        policy: Policy::default(),
        readiness: Readiness::Bare,
        project: None,
    }
}

fn script(sandbox: &dyn Sandbox, text: &str, argument: &str) -> Command {
    let argv = [sandbox.interpreter().unwrap(), "-I", "-S", "-c", text, argument].map(str::to_owned).to_vec();
    Command { argv, ..Command::default() }
}

/// How many containers the daemon has of a sandbox.
async fn containers_of(sandbox: SandboxId) -> usize {
    let client = Docker::connect_with_defaults().unwrap().negotiate_version().await.unwrap();
    let filters = HashMap::from([("name", vec![format!("crucible-{sandbox}")])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    client.list_containers(Some(options)).await.unwrap().len()
}

async fn is_soon_gone(sandbox: SandboxId) -> bool {
    let deadline = Instant::now() + SOON;
    while Instant::now() < deadline {
        if containers_of(sandbox).await == 0 {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

/// A command that waits, with the agent's process as this machine numbers it: the parent of the command's own.
async fn waiting(sandbox: &dyn Sandbox) -> (Execution, u32) {
    let nonce = format!("nonce-{}", SandboxId::generate());
    let mut execution = sandbox.exec(script(sandbox, "print('on', flush=True); input()", &nonce)).await.unwrap();
    let mut on = [0; 3];
    execution.stdout.read_exact(&mut on).await.unwrap();
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has_nonce = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.windows(nonce.len()).any(|part| part == nonce.as_bytes())
    };
    let own = pids.find(has_nonce).unwrap();
    let status = fs::read_to_string(format!("/proc/{own}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    let program = fs::read_link(format!("/proc/{parent}/exe")).unwrap();
    assert_eq!(program.to_str(), Some("/crucible-agent"));
    (execution, parent)
}

/// The agent's line to the supervisor: of the pipes that it writes to, the one that it has had longest.
fn line_of(agent: u32) -> fs::File {
    let numbers = fs::read_dir(format!("/proc/{agent}/fd")).unwrap().flatten();
    let mut numbers: Vec<u32> = numbers.map(|entry| entry.file_name().to_str().unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    let is_written_to = |number: &&u32| {
        let target = fs::read_link(format!("/proc/{agent}/fd/{number}")).unwrap();
        let info = fs::read_to_string(format!("/proc/{agent}/fdinfo/{number}")).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim().to_owned();
        // Not its standard error, on which it complains.
        target.to_string_lossy().starts_with("pipe:") && flags.ends_with('1') && **number != 2
    };
    let number = numbers.iter().find(is_written_to).unwrap();
    fs::OpenOptions::new().write(true).open(format!("/proc/{agent}/fd/{number}")).unwrap()
}

async fn lost(sandbox: Box<dyn Sandbox>, mut execution: Execution, expected: Loss) {
    let id = sandbox.id();
    let status = tokio::time::timeout(SOON, execution.process.wait()).await.unwrap().unwrap();
    assert_eq!(status, ExitStatus::SandboxLost);
    assert_eq!(sandbox.loss(), Some(expected));
    let error = sandbox.exec(script(sandbox.as_ref(), "print(1)", "")).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Infrastructure);
    assert_eq!(sandbox.posture().await.unwrap_err().kind(), ErrorKind::Infrastructure);
    sandbox.destroy().await.unwrap();
    assert_eq!(containers_of(id).await, 0);
}

#[tokio::test]
async fn an_image_that_is_missing_or_another_is_told_with_its_mend() {
    let Some(backend) = backend(&DockerConfig::default()).await else { return };
    let create = async |image: &str| {
        let request = request(Language { image: image.to_owned(), ..python() });
        let id = request.id;
        let error = backend.create(request).await.err().unwrap();
        assert_eq!(containers_of(id).await, 0);
        error
    };
    let error = create("crucible/no-such-5f1c:host").await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.hint().unwrap().contains("import-host no-such-5f1c"), "{:?}", error.hint());
    assert!(create("no-such-5f1c:1").await.hint().unwrap().contains("image pull no-such-5f1c:1"));
    let nothing = "0".repeat(64);
    let error = create(&format!("{}@sha256:{nothing}", python().image)).await;
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains(&nothing) && error.hint().is_some(), "{error}");
    assert_eq!(create("../containers").await.kind(), ErrorKind::InvalidInput);
    assert_eq!(create("").await.kind(), ErrorKind::Configuration);
}

#[tokio::test]
async fn an_image_is_found_by_its_digest_and_the_record_names_it() {
    let Some(backend) = backend(&DockerConfig::default()).await else { return };
    let known = backend.daemon().image(&python().image).await.unwrap();
    for name in [format!("{}@{}", python().image, known.id), known.id.clone()] {
        let sandbox = backend.create(request(Language { image: name, ..python() })).await.unwrap();
        assert!(sandbox.image().unwrap().ends_with(&known.id), "{:?}", sandbox.image());
        sandbox.destroy().await.unwrap();
    }
}

#[tokio::test]
async fn an_image_without_the_interpreter_is_told_and_nothing_is_left() {
    let Some(backend) = backend(&DockerConfig::default()).await else { return };
    let interpreters = vec!["no-such-interpreter-5f1c".to_owned()];
    let image = backend.daemon().image(&python().image).await.unwrap().id;
    // By its id, so that nothing is known of what it was made for.
    let request = request(Language { interpreters, image, ..python() });
    let id = request.id;
    let error = backend.create(request).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("no-such-interpreter-5f1c") && error.hint().is_some(), "{error}");
    assert!(is_soon_gone(id).await);
}

#[tokio::test]
async fn a_killed_agent_loses_the_sandbox_and_leaves_nothing() {
    let Some(backend) = backend(&DockerConfig::default()).await else { return };
    let sandbox = backend.create(request(python())).await.unwrap();
    let (execution, agent) = waiting(sandbox.as_ref()).await;
    let agent = rustix::process::Pid::from_raw(agent.try_into().unwrap()).unwrap();
    rustix::process::kill_process(agent, rustix::process::Signal::KILL).unwrap();
    lost(sandbox, execution, Loss::RunnerEnded).await;
}

#[tokio::test]
async fn garbage_in_the_agents_place_loses_the_sandbox_and_leaves_nothing() {
    let Some(backend) = backend(&DockerConfig::default()).await else { return };
    // A frame of four gigabytes, and bytes that are none.
    for garbage in [&[0xFF_u8; 8][..], b"\x05\x00\x00\x00hello, supervisor\n"] {
        let sandbox = backend.create(request(python())).await.unwrap();
        let (execution, agent) = waiting(sandbox.as_ref()).await;
        line_of(agent).write_all(garbage).unwrap();
        lost(sandbox, execution, Loss::RunnerBrokeItsWord).await;
    }
}

/// A line to the real daemon that can be cut.
struct Line {
    host: String,
    _folder: tempfile::TempDir,
    carrying: tokio::task::JoinHandle<()>,
}

impl Line {
    fn to(daemon: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let carrying = tokio::spawn(async move {
            // What is carried ends with this task.
            let mut carried = tokio::task::JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let daemon = daemon.clone();
                carried.spawn(async move {
                    if let Ok(mut daemon) = UnixStream::connect(daemon).await {
                        let _ended = tokio::io::copy_bidirectional(&mut client, &mut daemon).await.is_ok();
                    }
                });
            }
        });
        Self { host: format!("unix://{}", path.display()), _folder: folder, carrying }
    }

    async fn cut(&mut self) {
        self.carrying.abort();
        let _ended = (&mut self.carrying).await.is_ok();
    }
}

#[tokio::test]
async fn a_daemon_that_is_gone_in_the_middle_is_told_and_what_ran_goes_with_the_line() {
    let Some(direct) = backend(&DockerConfig::default()).await else { return };
    let address = direct.daemon().address();
    let Some(socket) = address.strip_prefix("unix://") else {
        eprintln!("skipped: the daemon's line can be cut only at a socket");
        return;
    };
    let mut line = Line::to(socket.into());
    let config = DockerConfig { host: Some(line.host.clone()), ..DockerConfig::default() };
    let backend = backend(&config).await.unwrap();
    let sandbox = backend.create(request(python())).await.unwrap();
    let id = sandbox.id();
    let mut execution = sandbox.exec(script(sandbox.as_ref(), "input()", "")).await.unwrap();
    assert_eq!(containers_of(id).await, 1);
    line.cut().await;
    let status = tokio::time::timeout(SOON, execution.process.wait()).await.unwrap().unwrap();
    assert_eq!(status, ExitStatus::SandboxLost);
    assert_eq!(sandbox.loss(), Some(Loss::MachineryLost));
    let error = sandbox.destroy().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Infrastructure);
    assert!(error.hint().unwrap().contains("still running"), "{:?}", error.hint());
    let error = backend.create(request(python())).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Infrastructure);
    // The daemon itself ran on, and the agent ended when nobody was at the other end any more.
    assert!(is_soon_gone(id).await, "the container outlived the line to it");
}

#[tokio::test]
async fn a_dropped_sandbox_is_removed_and_so_is_one_whose_limits_leave_little_room() {
    let Some(backend) = backend(&DockerConfig::default()).await else { return };
    let mut small = request(python());
    small.limits = Limits { pids: 2, ..Limits::default() };
    let sandbox = backend.create(small).await.unwrap();
    let mut execution = sandbox
        .exec(script(sandbox.as_ref(), "import os\nfor n in range(9):\n  os.fork() or os._exit(0)\nprint('all')", ""))
        .await
        .unwrap();
    let mut said = String::new();
    execution.stdout.read_to_string(&mut said).await.unwrap();
    assert_ne!(execution.process.wait().await.unwrap(), ExitStatus::Exited(0), "{said}");
    let id = sandbox.id();
    drop(sandbox);
    assert!(is_soon_gone(id).await);
}

/// How many control groups of containers this machine has.
fn container_groups() -> usize {
    let trees = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let groups = trees.filter_map(|tree| fs::read_dir(tree.path().join("docker")).ok());
    groups.map(|groups| groups.flatten().filter(|group| group.path().is_dir()).count()).sum()
}

/// `CRUCIBLE_SOAK=500` for the full length.
#[tokio::test]
async fn many_sandboxes_leave_nothing_in_the_daemon() {
    let Some(backend) = backend(&DockerConfig::default()).await else { return };
    let rounds = std::env::var("CRUCIBLE_SOAK").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(10);
    let mut ids = Vec::new();
    for round in 0..rounds {
        let sandbox = backend.create(request(python())).await.unwrap();
        ids.push(sandbox.id());
        let mut execution = sandbox.exec(script(sandbox.as_ref(), "print(1)", "")).await.unwrap();
        let mut said = String::new();
        execution.stdout.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "1\n", "round {round}");
        sandbox.destroy().await.unwrap();
        assert_eq!(containers_of(ids[ids.len() - 1]).await, 0, "round {round}");
    }
    let text: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!text.iter().any(|id| mounts.contains(id)), "a mount is left");
    // Tests beside this one have containers, too.
    assert!(container_groups() < rounds.max(100), "{} control groups are left", container_groups());
}
