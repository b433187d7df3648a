//! A range is a place of its own: its root can change nothing of the host, and sandboxes run in it.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests fail as tests do")]

use crucible_backends::jail::{JailBackend, JailConfig};
use crucible_core::{Command, ControlSandbox, ErrorKind, ExitStatus, HostPath};
use tokio::io::AsyncReadExt;

async fn backend() -> Option<JailBackend> {
    match JailBackend::start(JailConfig::default()).await {
        Ok(backend) => Some(backend),
        Err(error) => {
            let required = std::env::var("CRUCIBLE_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|name| name == "jail"), "{error}");
            eprintln!("skipped: {error}");
            None
        }
    }
}

async fn shell(range: &ControlSandbox, script: &str) -> (ExitStatus, String) {
    let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let command = Command { argv, ..Command::default() };
    let mut execution = range.exec(command).await.unwrap();
    drop(execution.stdin);
    let (mut out, mut errors) = (String::new(), String::new());
    execution.stdout.read_to_string(&mut out).await.unwrap();
    execution.stderr.read_to_string(&mut errors).await.unwrap();
    (execution.process.wait().await.unwrap(), out + &errors)
}

#[tokio::test]
async fn a_range_changes_nothing_of_the_host() {
    let Some(backend) = backend().await else { return };
    let outside = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let range = backend.open_range(&HostPath::new("/usr/bin/env")).await.unwrap();
    let script = format!(
        "id -u; cat /proc/sys/kernel/hostname; echo $$; for place in /etc /usr /root {}; do touch $place/canary-file 2>/dev/null && echo wrote $place; done; \
         for place in /work /tmp /run /canary /dev/shm; do touch $place/file || echo no $place; done; \
         test -x /crucible-range/crucible || echo no program; cat /proc/self/mountinfo | grep -c cgroup; cat /proc/net/if_inet6 /proc/net/fib_trie",
        outside.path().display()
    );
    let (status, said) = shell(&range, &script).await;
    eprintln!("{said}");
    assert_eq!(status, ExitStatus::Exited(0));
    assert!(said.starts_with("0\ncrucible-range\n"), "{said}");
    assert!(!said.contains("wrote") && !said.contains("no "), "{said}");
    for address in ["192.0.2.1", "169.254.169.254", "20010db8"] {
        assert!(said.contains(address), "{address} is missing: {said}");
    }
    assert_eq!(outside.path().read_dir().unwrap().count(), 0);
    range.destroy().await.unwrap();
}

/// What a range has one of its own of, below `/proc/sys`.
const OF_ITS_OWN: [&str; 9] = [
    "net/",
    "kernel/hostname",
    "kernel/domainname",
    "kernel/sem",
    "kernel/auto_msgmni",
    "kernel/ns_last_pid",
    "kernel/pid_max",
    "user/",
    "fs/mqueue/",
];

#[tokio::test]
async fn a_ranges_root_can_write_no_setting_of_the_machine() {
    let Some(backend) = backend().await else { return };
    let range = backend.open_range(&HostPath::new("/usr/bin/env")).await.unwrap();
    // Opening for appending writes nothing.
    let script = "cd /proc/sys; find . -type f | while read -r file; do (exec 3>>\"$file\") 2>/dev/null && echo \"$file\"; done; \
                  for file in /proc/sysrq-trigger /proc/irq/*/smp_affinity; do (exec 3>>\"$file\") 2>/dev/null && echo $file; done; true";
    let (status, said) = shell(&range, script).await;
    assert_eq!(status, ExitStatus::Exited(0));
    let is_its_own = |path: &str| {
        let path = path.trim_start_matches("./");
        OF_ITS_OWN.iter().any(|own| path.starts_with(own))
            || path.starts_with("kernel/msg")
            || path.starts_with("kernel/shm")
    };
    let machines: Vec<_> = said.lines().filter(|path| !is_its_own(path)).collect();
    assert!(machines.is_empty(), "{machines:?}");
    // It did find something, so that it looked.
    assert!(said.contains("net/"), "{said}");
    range.destroy().await.unwrap();
}

#[tokio::test]
async fn nothing_is_weakened_outside_of_a_range() {
    use crucible_core::{ControlArms, Layer, Limits, Policy, Readiness, SandboxId, SandboxRequest};
    let Some(backend) = backend().await else { return };
    let request = SandboxRequest {
        id: SandboxId::generate(),
        language: None,
        limits: Limits::default(),
        policy: Policy::built_in("default").unwrap(),
        readiness: Readiness::Bare,
        project: None,
    };
    let error = backend.create_control(request, &[Layer::Seccomp].into()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Refused);
}
