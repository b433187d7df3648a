//! The launcher and a sandbox's init, for real: as root where the tests are, else as an ordinary user.

mod support;

use crucible_jail::host::cgroup::{CgroupLimits, Cgroups, Entry};
use crucible_jail::host::{Command, JailError, Running};
use crucible_jail::plan::{DOOR, Ended, JailPlan, Network, Refusal, SandboxPlan};
use crucible_jail::seccomp::Connections;
use std::future::poll_fn;
use std::os::fd::AsFd;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};
use support::{entries, finish, launcher, plan, sandbox, shell};
use tokio::io::AsyncReadExt;

#[tokio::test]
async fn commands_run_without_any_privilege_and_see_only_themselves() {
    let launcher = launcher().await;
    let sandbox = sandbox(&launcher).await;
    let script = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; id -u; cat /proc/sys/kernel/hostname; hostname; ls /proc | grep -c '^[0-9]'; echo $$; exit 3";
    let (output, error, ended) = finish(sandbox.exec(shell(script)).await.unwrap()).await;
    assert_eq!(ended, Ended::Exited(3), "{output}{error}");
    assert_eq!(output.matches("0000000000000000").count(), 5, "{output}");
    assert!(
        output.contains("NoNewPrivs:\t1") && output.contains("Seccomp:\t2") && output.contains("\n1000\n"),
        "{output}"
    );
    assert!(output.contains("\ncrucible\n"), "{output}{error}");
}

#[tokio::test]
async fn files_go_in_and_come_out_and_links_do_not() {
    use std::io::{Read, Write};
    let launcher = launcher().await;
    let sandbox = sandbox(&launcher).await;
    sandbox.create_file("/work/a/b/c.txt", 0o644).await.unwrap().write_all(b"hello").unwrap();
    let script =
        "cat a/b/c.txt; ln -s /etc/passwd link; mkfifo pipe; ln a/b/c.txt second; mkdir folder; echo x > plain";
    assert_eq!(finish(sandbox.exec(shell(script)).await.unwrap()).await.0, "hello");
    for (path, refusal) in [
        ("/work/link", Refusal::NotRegular),
        ("/work/pipe", Refusal::NotRegular),
        ("/work/folder", Refusal::NotRegular),
        ("/work/second", Refusal::SeveralNames),
        ("/etc/passwd", Refusal::Outside),
        ("/work/../etc/passwd", Refusal::Errno(18)),
        ("/work/none", Refusal::Errno(2)),
    ] {
        match sandbox.open_file(path).await {
            Err(JailError::Refused(seen)) => assert_eq!(seen, refusal, "{path}"),
            other => panic!("{path}: {other:?}"),
        }
    }
    let mut text = String::new();
    sandbox.open_file("/work/plain").await.unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "x\n");
    let mut names: Vec<_> =
        sandbox.list("/work").await.unwrap().into_iter().map(|entry| String::from_utf8(entry.name).unwrap()).collect();
    names.sort();
    assert_eq!(names, ["a", "folder", "link", "pipe", "plain", "second"]);
}

/// Asks, and doesn't wait for the answer. On a busy machine it may be there at once; then nothing was abandoned, which is no
/// fault of whoever answered.
async fn abandon(asking: impl Future) {
    let mut asking = pin!(asking);
    poll_fn(|context| {
        drop(asking.as_mut().poll(context));
        Poll::Ready(())
    })
    .await;
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_takes_nothing_from_the_next() {
    let launcher = launcher().await;
    abandon(launcher.start_sandbox(SandboxPlan::Jailed(plan()), &[])).await;
    abandon(launcher.prepare_root(2, entries())).await;
    let sandbox = sandbox(&launcher).await;
    // More than one packet holds, so that it is told in parts.
    let script = "i=0; while [ $i -lt 90 ]; do : >$i-$(printf %0200d $i); i=$((i+1)); done; echo hello > plain";
    assert_eq!(finish(sandbox.exec(shell(script)).await.unwrap()).await.2, Ended::Exited(0));
    abandon(sandbox.list("/work")).await;
    abandon(sandbox.open_file("/work/none")).await;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut sandbox.open_file("/work/plain").await.unwrap(), &mut text).unwrap();
    assert_eq!(text, "hello\n");
    assert_eq!(sandbox.list("/work").await.unwrap().len(), 91);
    assert!(!sandbox.broke_its_word());
    // The one that was started in vain is gone: its first process ended when nobody listened to it.
    let children = format!("/proc/{0}/task/{0}/children", launcher.process_id());
    let deadline = Instant::now() + Duration::from_secs(5);
    while std::fs::read_to_string(&children).unwrap().split_whitespace().count() > 1 {
        assert!(Instant::now() < deadline, "a sandbox that nobody asked for lives on");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_missing_program_is_told_and_the_sandbox_lives_on() {
    let launcher = launcher().await;
    let sandbox = sandbox(&launcher).await;
    let command = Command { argv: vec!["no-such-program".to_owned()], ..shell("") };
    assert!(matches!(sandbox.exec(command).await, Err(JailError::NotStarted { errno: 2, .. })));
    assert_eq!(finish(sandbox.exec(shell("echo on")).await.unwrap()).await.0, "on\n");
}

#[tokio::test]
async fn everything_dies_with_the_sandbox_and_with_the_launcher() {
    let launcher = launcher().await;
    let sandbox = sandbox(&launcher).await;
    let running = sandbox.exec(shell("(setsid sleep 1000 &) ; sleep 1000")).await.unwrap();
    sandbox.end_processes().await.unwrap();
    assert_eq!(finish(running).await.2, Ended::Signaled(9));
    let running = sandbox.exec(shell("sleep 1000")).await.unwrap();
    drop(launcher);
    sandbox.wait_until_dead().await.unwrap();
    // Its pipes are closed, and nobody can tell how it ended.
    let Running { mut stdout, ended, .. } = running;
    assert_eq!(stdout.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    assert!(ended.await.is_err());
}

#[tokio::test]
async fn a_sandbox_in_a_cgroup_is_counted_and_leaves_no_trace() {
    let cgroups = Cgroups::open(None);
    let launcher = launcher().await;
    let limits = CgroupLimits { memory: 64 << 20, pids: 8, cpu_thousandths: 1000 };
    let cgroup = cgroups.create(&limits).unwrap();
    let (clone_into, join) = cgroup.entrances(Entry::Cloned).unwrap();
    let plan = JailPlan {
        clone_into_cgroup: clone_into.is_some(),
        join_cgroups: u32::try_from(join.len()).unwrap(),
        ..plan()
    };
    let descriptors: Vec<_> = clone_into.iter().chain(&join).map(AsFd::as_fd).collect();
    let started = launcher.start_sandbox(SandboxPlan::Jailed(plan), &descriptors).await.unwrap();
    let script = "i=0; while [ $i -lt 20 ]; do sleep 1 & i=$((i+1)); done";
    let (_, error, _) = finish(started.sandbox.exec(shell(script)).await.unwrap()).await;
    let counters = cgroup.counters();
    if cgroups.limits_pids() {
        assert!(error.contains("fork") && counters.forks_refused > 0, "{error} {counters:?}");
    }
    if cgroups.counts_cpu() {
        assert!(counters.cpu.unwrap().as_micros() > 0);
    }
    started.sandbox.kill();
    started.sandbox.wait_until_dead().await.unwrap();
    cgroup.remove().await.unwrap();
}

#[tokio::test]
async fn a_way_out_leads_to_the_supervisor_and_nowhere_else() {
    let launcher = launcher().await;
    let plan =
        JailPlan { network: Network::Door, seccomp: crucible_jail::seccomp::compile(Connections::Made), ..plan() };
    let started = launcher.start_sandbox(SandboxPlan::Jailed(plan), &[]).await.unwrap();
    let door = started.door.unwrap();
    let script = format!(
        "exec 3<>/dev/tcp/{}/{}; cat <&3; for port in 22 80 {}; do (: <>/dev/tcp/127.0.0.1/$port) 2>/dev/null && echo past; done; (: <>/dev/tcp/192.0.2.1/80) 2>/dev/null && echo out; echo end",
        DOOR.ip(),
        DOOR.port(),
        door.local_addr().unwrap().port() + 1,
    );
    let command = Command { argv: ["bash", "-c", &script].map(str::to_owned).to_vec(), ..shell("") };
    let running = started.sandbox.exec(command).await.unwrap();
    let (mut guest, _) = door.accept().await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut guest, b"heard\n").await.unwrap();
    drop(guest);
    assert_eq!(finish(running).await.0, "heard\nend\n");
}
