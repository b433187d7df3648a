//! Behaviours at the end of processes and sandboxes.
//!
//! That a process is dead is seen by its pipe: as long as anything holds the guest's standard output, the host doesn't
//! read its end.

use super::guest::Guest;
use super::stop::{Checked, Stop, ensure};
use super::suite::ConformanceSubject;
use crucible_core::{Execution, ExitStatus, Limits, Readiness, SandboxId, SandboxRequest};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// Leaves a process behind that has cut every tie to the one that was started, and beats for at most 15 seconds.
const DAEMON: &str = "
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(1, 32):
            try: signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError): pass
        until = time.monotonic() + 15
        try:
            while time.monotonic() < until:
                os.write(1, b'.')
                time.sleep(0.01)
        except OSError:
            time.sleep(max(0, until - time.monotonic()))
    os._exit(0)
os.wait()
os._exit(0)";

type Beats = Box<dyn AsyncRead + Send + Unpin>;

/// Starts the daemon and hears its first beat. Its starter is then gone.
async fn daemon(guest: &Guest) -> Result<Beats, Stop> {
    let Execution { mut stdout, mut process, .. } = guest.start(DAEMON, &[]).await?;
    let status = process.wait().await?;
    ensure!(status == ExitStatus::Exited(0), "the daemon's starter ended with {status:?}");
    let mut beat = [0; 1];
    let heard = timeout(Duration::from_secs(5), stdout.read_exact(&mut beat)).await;
    ensure!(heard.is_ok_and(|heard| heard.is_ok()), "the daemon never beat");
    Ok(stdout)
}

/// Reads the beats to their end, which comes soon if the daemon is dead.
async fn stops(mut beats: Beats, after: &str) -> Checked {
    let end = async {
        let mut buffer = [0; 4096];
        // A pipe that breaks off has ended, too.
        while beats.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    };
    ensure!(timeout(Duration::from_secs(5), end).await.is_ok(), "a daemon lives on after {after}");
    Ok(())
}

pub(super) async fn ending_processes_kills_a_daemon(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let beats = daemon(&guest).await?;
    let before = guest.sandbox.counters().await?.processes;
    guest.sandbox.end_processes().await?;
    let after = guest.sandbox.counters().await?.processes;
    stops(beats, "its processes were ended").await?;
    let fewer = before.zip(after).is_none_or(|(before, after)| after < before);
    ensure!(fewer, "{before:?} processes were counted before, and {after:?} after all were ended");
    guest.finish().await
}

pub(super) async fn a_sandbox_works_on_after_its_processes_were_ended(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    guest.sandbox.end_processes().await?;
    let mut waiting = guest.start("open('kept', 'w').write('x'); print(1, flush=True); input()", &[]).await?;
    let mut one = [0; 1];
    waiting.stdout.read_exact(&mut one).await?;
    guest.sandbox.end_processes().await?;
    let status = waiting.process.wait().await?;
    ensure!(!matches!(status, ExitStatus::Exited(_)), "an ended command is told as {status:?}");
    ensure!(guest.read("kept").await? == b"x", "the files did not stay");
    guest.write("new", b"y").await?;
    let seen = guest.run("print(open('kept').read() + open('new').read())", &[]).await?.told()?;
    ensure!(seen == "xy\n", "a command after the end of all processes saw {seen:?}");
    guest.finish().await
}

pub(super) async fn destroying_leaves_no_process(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let beats = daemon(&guest).await?;
    guest.finish().await?;
    stops(beats, "the sandbox was destroyed").await
}

pub(super) async fn dropping_leaves_no_process(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let beats = daemon(&guest).await?;
    drop(guest);
    stops(beats, "the sandbox was dropped").await
}

pub(super) async fn the_end_of_a_sandbox_ends_its_command(subject: &ConformanceSubject) -> Checked {
    // Beats for at most 15 seconds.
    let script = "
import os, time
until = time.monotonic() + 15
while time.monotonic() < until:
    os.write(1, b'.')
    time.sleep(0.01)";
    for after in ["its processes were ended", "the sandbox was destroyed", "the sandbox was dropped"] {
        let guest = Guest::python(subject).await?;
        let Execution { mut stdout, .. } = guest.start(script, &[]).await?;
        let mut beat = [0; 1];
        let heard = timeout(Duration::from_secs(5), stdout.read_exact(&mut beat)).await;
        ensure!(heard.is_ok_and(|heard| heard.is_ok()), "the command never beat");
        match after {
            "its processes were ended" => {
                guest.sandbox.end_processes().await?;
                stops(stdout, after).await?;
                guest.finish().await?;
            }
            "the sandbox was destroyed" => {
                guest.finish().await?;
                stops(stdout, after).await?;
            }
            _ => {
                drop(guest);
                stops(stdout, after).await?;
            }
        }
    }
    Ok(())
}

pub(super) async fn many_sandboxes_leave_no_descriptor(subject: &ConformanceSubject) -> Checked {
    const ROUNDS: usize = 60;
    const MOST_BY_OTHERS: usize = 40;
    let open = || std::fs::read_dir("/proc/self/fd").map(Iterator::count);
    let round = async || -> Checked {
        let request = SandboxRequest {
            id: SandboxId::generate(),
            language: Some(Arc::clone(&subject.python)),
            limits: Limits::default(),
            policy: subject.policy.clone(),
            readiness: Readiness::Bare,
            project: None,
        };
        Ok(subject.backend.create(request).await?.destroy().await?)
    };
    // The first may open what is kept for all.
    round().await?;
    let before = open()?;
    for _ in 0..ROUNDS {
        round().await?;
    }
    // Tests beside this one open and close some, too; one lost in each round is more than that.
    let grown = open()?.saturating_sub(before);
    ensure!(grown < MOST_BY_OTHERS, "{grown} descriptors more after {ROUNDS} sandboxes");
    Ok(())
}
