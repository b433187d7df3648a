//! Behaviours of limits: each is reached by a probe that stops by itself somewhat above it.

use super::guest::Guest;
use super::stop::{Checked, Stop, ensure};
use super::suite::ConformanceSubject;
use crucible_core::{Ability, ByteSize, Enforcement, ExitStatus, LimitKind, Users};
use std::time::Duration;

/// What a probe told as `count reason`.
fn count_and_reason(told: &str) -> Result<(u64, String), Stop> {
    let (count, reason) = told.trim().split_once(' ').unwrap_or((told.trim(), ""));
    let count = count.parse().map_err(|_| Stop::Failed(format!("the probe told {told:?}")))?;
    Ok((count, reason.to_owned()))
}

pub(super) async fn the_memory_limit_kills_the_guest_and_is_told(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python_with(subject, |limits| {
        limits.memory = ByteSize::mib(48);
        limits.disk = ByteSize::mib(4);
    })
    .await?;
    let script = "
kept = [bytearray(b'x') * (4 << 20) for _ in range(48)]
print('survived')";
    let ended = guest.run(script, &[]).await?;
    // A kernel of the guest's own may tell of the end that the host's kernel made in another way than by a signal.
    let survived = ended.status == ExitStatus::Exited(0) || !ended.stdout.is_empty();
    ensure!(!survived, "192 MiB fit into 52: {}", ended.story());
    let kills = guest.sandbox.counters().await?.out_of_memory_kills;
    ensure!(kills > 0, "the guest died, but no out-of-memory kill was counted: {}", ended.story());
    // A lost sandbox may have to be destroyed with what is left of it.
    guest.finish().await
}

pub(super) async fn a_crash_is_not_told_as_out_of_memory(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    guest.run("import os; os.kill(os.getpid(), 9)", &[]).await?;
    guest.run("raise MemoryError", &[]).await?;
    let kills = guest.sandbox.counters().await?.out_of_memory_kills;
    ensure!(kills == 0, "{kills} out-of-memory kills were counted where there were none");
    guest.finish().await
}

pub(super) async fn the_peak_of_memory_is_told(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    guest.run("kept = bytearray(b'x') * (48 << 20); print(len(kept))", &[]).await?.told()?;
    let peak = guest.sandbox.counters().await?.memory_peak_bytes;
    let plausible = peak.is_none_or(|peak| (48 << 20..=320 << 20).contains(&peak));
    ensure!(plausible, "48 MiB were used under a limit of 256 MiB, and the peak is told as {peak:?}");
    guest.finish().await
}

/// How many processes or threads a program may start under a limit of 16.
const MOST_OF_16: u64 = 15;

pub(super) async fn the_limit_on_processes_stops_forks_and_is_told(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python_with(subject, |limits| limits.pids = 16).await?;
    let script = "
import errno, os
reader, writer = os.pipe()
count, reason = 0, 'none'
for _ in range(300):
    try: child = os.fork()
    except OSError as error:
        # It may well try again.
        reason = errno.errorcode[error.errno]
        continue
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    count += 1
print(count, reason)";
    let (count, reason) = count_and_reason(&guest.run(script, &[]).await?.told()?)?;
    ensure!(count <= MOST_OF_16 && reason == "EAGAIN", "{count} children under a limit of 16, then {reason}");
    let refused = guest.sandbox.counters().await?.refused;
    let is_told = subject.backend.capabilities().enforcement(LimitKind::Pids) == Enforcement::Sandbox;
    ensure!(refused.contains(&LimitKind::Pids) == is_told, "the host noticed of the refusal: {refused:?}");
    guest.finish().await
}

pub(super) async fn threads_count_as_processes(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python_with(subject, |limits| limits.pids = 16).await?;
    let script = "
import threading
done = threading.Event()
count, reason = 0, 'none'
for _ in range(300):
    try: threading.Thread(target=done.wait, daemon=True).start()
    except RuntimeError:
        reason = 'refused'
        continue
    count += 1
done.set()
print(count, reason)";
    let (count, reason) = count_and_reason(&guest.run(script, &[]).await?.told()?)?;
    ensure!(count <= MOST_OF_16 && reason == "refused", "{count} threads under a limit of 16, then {reason}");
    guest.finish().await
}

pub(super) async fn the_disk_limit_holds_over_all_writable_folders(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python_with(subject, |limits| limits.disk = ByteSize::mib(8)).await?;
    let script = "
import errno, os, sys
total, reasons, made = 0, set(), []
for folder in ['.', '/tmp', '/dev/shm']:
    path = os.path.join(folder, sys.argv[1])
    try: file = os.open(path, os.O_CREAT | os.O_WRONLY)
    except OSError: continue
    made.append(path)
    for _ in range(256):
        try: total += os.write(file, bytes(64 << 10))
        except OSError as error:
            reasons.add(errno.errorcode[error.errno])
            break
    os.close(file)
for path in made: os.unlink(path)
print(total, *sorted(reasons))";
    let (total, reason) = count_and_reason(&guest.run(script, &[&super::guest::unique("fill")]).await?.told()?)?;
    let held = total <= 8 << 20 && ["ENOSPC", "EDQUOT", "EDQUOT ENOSPC"].contains(&reason.as_str());
    ensure!(held, "{total} bytes under a limit of 8 MiB, then {reason}");
    guest.finish().await
}

pub(super) async fn the_inode_limit_refuses_more_files(subject: &ConformanceSubject) -> Checked {
    // With root inside its folders begin with something, which counts, too.
    let most: u64 = match subject.policy.users {
        Users::Guest => 200,
        Users::Root => 1000,
    };
    let guest = Guest::python_with(subject, |limits| limits.inodes = most).await?;
    let script = "
import errno, os, sys
count, reason = 0, 'none'
for number in range(4 * int(sys.argv[1])):
    try: os.close(os.open('f%d' % number, os.O_CREAT | os.O_WRONLY))
    except OSError as error:
        reason = errno.errorcode[error.errno]
        break
    count += 1
print(count, reason)";
    let (count, reason) = count_and_reason(&guest.run(script, &[&most.to_string()]).await?.told()?)?;
    let held = count <= most && ["ENOSPC", "EDQUOT"].contains(&reason.as_str());
    ensure!(held, "{count} files under a limit of {most}, then {reason}");
    guest.finish().await
}

pub(super) async fn the_file_size_limit_refuses_more_bytes(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python_with(subject, |limits| limits.file_size = ByteSize::mib(1)).await?;
    // Python ignores the signal, so that the call itself fails.
    let script = "
import errno, os
total, reason = 0, 'none'
file = os.open('big', os.O_CREAT | os.O_WRONLY)
for _ in range(64):
    try: total += os.write(file, bytes(64 << 10))
    except OSError as error:
        reason = errno.errorcode[error.errno]
        break
print(total, reason)";
    let (total, reason) = count_and_reason(&guest.run(script, &[]).await?.told()?)?;
    ensure!(total <= 1 << 20 && reason == "EFBIG", "{total} bytes in one file under a limit of 1 MiB, then {reason}");
    guest.finish().await
}

pub(super) async fn the_file_size_limit_sends_its_signal(subject: &ConformanceSubject) -> Checked {
    const SIGXFSZ: i32 = 25;
    let guest = Guest::shell_with(subject, |limits| limits.file_size = ByteSize::mib(1)).await?;
    let script = "i=0; while [ $i -lt 64 ]; do printf '%065536d' 0; i=$((i+1)); done > big; echo survived";
    let ended = guest.run(script, &[]).await?;
    ensure!(ended.status == ExitStatus::Signaled(SIGXFSZ), "4 MiB in one file under a limit of 1: {}", ended.story());
    guest.finish().await
}

pub(super) async fn the_limit_on_open_files_refuses_more(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python_with(subject, |limits| limits.open_files = 32).await?;
    let script = "
import errno, os
kept, reason = [], 'none'
for _ in range(128):
    try: kept.append(os.open('.', os.O_RDONLY))
    except OSError as error:
        reason = errno.errorcode[error.errno]
        break
print(len(kept), reason)";
    let (count, reason) = count_and_reason(&guest.run(script, &[]).await?.told()?)?;
    // WASI has no word for it.
    let has_words = subject.backend.capabilities().abilities.contains(&Ability::KernelCalls);
    let is_refused = reason == "EMFILE" || (reason == "EIO" && !has_words);
    ensure!(count <= 32 && is_refused, "{count} more open files under a limit of 32, then {reason}");
    guest.finish().await
}

pub(super) async fn the_stack_limit_is_in_force_and_cannot_be_raised(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python_with(subject, |limits| limits.stack = ByteSize::mib(1)).await?;
    let script = "import resource; print(*resource.getrlimit(resource.RLIMIT_STACK))";
    let seen = guest.run(script, &[]).await?.told()?;
    ensure!(seen == "1048576 1048576\n", "the limits on the stack (now, at most) are {seen:?}");
    guest.finish().await
}

pub(super) async fn processor_time_is_counted(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let before = guest.sandbox.counters().await?.cpu;
    // No clock tells every guest of its processor time; five million rounds take any of them a while.
    guest.run("for _ in range(5_000_000): pass\nprint('burnt')", &[]).await?.told()?;
    let used = guest.sandbox.counters().await?.cpu.saturating_sub(before);
    let plausible = (Duration::from_millis(30)..Duration::from_secs(20)).contains(&used);
    ensure!(plausible, "five million rounds were made, and {used:?} were counted");
    guest.finish().await
}

pub(super) async fn processor_time_is_counted_for_children_too(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let before = guest.sandbox.counters().await?.cpu;
    let script = "
import os, time
if os.fork() == 0:
    until = time.process_time() + 0.4
    while time.process_time() < until: pass
    os._exit(0)
os.wait()
print('burnt')";
    guest.run(script, &[]).await?.told()?;
    let used = guest.sandbox.counters().await?.cpu.saturating_sub(before);
    // A kernel of the guest's own may take a thread that waits for a processor for one that runs, so that less was used.
    let plausible = (Duration::from_millis(150)..Duration::from_secs(20)).contains(&used);
    ensure!(plausible, "400 ms were used in a child, and {used:?} were counted");
    guest.finish().await
}
