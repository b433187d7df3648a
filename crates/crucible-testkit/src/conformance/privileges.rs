//! Behaviours of privileges: what the kernel says of the guest's own process.

use super::guest::Guest;
use super::stop::{Checked, Stop, ensure};
use super::suite::ConformanceSubject;
use tokio::io::AsyncReadExt;

/// The guest's own `/proc/self/status`, if it has a `/proc`.
async fn status(subject: &ConformanceSubject) -> Result<String, Stop> {
    let guest = Guest::python(subject).await?;
    // A kernel that doesn't tell of this in a file may be asked: 39 is PR_GET_NO_NEW_PRIVS.
    let script = "
try: status = open('/proc/self/status').read()
except FileNotFoundError: status = 'no proc'
if 'NoNewPrivs:' not in status and 'no proc' != status:
    try:
        import ctypes
        status += 'NoNewPrivs: %d' % ctypes.CDLL(None).prctl(39, 0, 0, 0, 0)
    except ImportError: pass
print(status)";
    let seen = guest.run(script, &[]).await?.told()?;
    guest.finish().await?;
    if seen == "no proc\n" {
        return Err(Stop::CannotTell("the sandbox has no /proc in which the guest could look".to_owned()));
    }
    Ok(seen)
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

pub(super) async fn it_has_no_capabilities(subject: &ConformanceSubject) -> Checked {
    let status = status(subject).await?;
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let seen = field(&status, set);
        // A kernel without ambient capabilities doesn't tell of any. They would be among the permitted ones.
        if set == "CapAmb" && seen.is_none() {
            continue;
        }
        ensure!(seen == Some("0000000000000000"), "{set} is {seen:?}");
    }
    Ok(())
}

pub(super) async fn it_can_gain_no_privileges(subject: &ConformanceSubject) -> Checked {
    let status = status(subject).await?;
    ensure!(field(&status, "NoNewPrivs") == Some("1"), "NoNewPrivs is {:?}", field(&status, "NoNewPrivs"));
    Ok(())
}

pub(super) async fn its_system_calls_are_filtered(subject: &ConformanceSubject) -> Checked {
    let status = status(subject).await?;
    ensure!(field(&status, "Seccomp") == Some("2"), "Seccomp is {:?}", field(&status, "Seccomp"));
    Ok(())
}

pub(super) async fn it_can_make_no_user_namespace(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    // A guest that may make one has all capabilities in it, and with them most of the kernel to attack.
    let script = "
try: import ctypes
except ImportError: print('no ctypes')
else: print('made' if ctypes.CDLL(None).unshare(0x10000000) == 0 else 'refused')";
    let seen = guest.run(script, &[]).await?;
    guest.finish().await?;
    if seen.text() == "no ctypes\n" {
        return Err(Stop::CannotTell("the guest's Python has no ctypes".to_owned()));
    }
    // A filter that kills for it refuses as well.
    ensure!(seen.text() != "made\n", "the guest made a user namespace");
    ensure!(!seen.story().contains("Exited(1)"), "the probe failed: {}", seen.story());
    Ok(())
}

pub(super) async fn no_core_file_is_written(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let script = "import resource; print(*resource.getrlimit(resource.RLIMIT_CORE))";
    let seen = guest.run(script, &[]).await?.told()?;
    // One byte is the kernel's word for never; at none it would still call a helper of the host's, if there is one.
    ensure!(matches!(seen.as_str(), "0 0\n" | "1 1\n"), "the limits on core files (now, at most) are {seen:?}");
    guest.run("import os; os.abort()", &[]).await?;
    let left = guest.sandbox.list_files(&crucible_core::GuestPath::work()).await?;
    ensure!(left.is_empty(), "a crash left {left:?}");
    guest.finish().await
}

pub(super) async fn what_is_seen_from_outside_is_as_planned(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let mut execution = guest.start("print(1, flush=True); input()", &[]).await?;
    let mut one = [0; 1];
    execution.stdout.read_exact(&mut one).await?;
    let posture = guest.sandbox.posture().await?;
    ensure!(!posture.facts.is_empty(), "nothing was looked at, and that proves nothing");
    let otherwise: Vec<_> = posture.facts.iter().filter(|fact| !fact.is_as_planned()).collect();
    ensure!(posture.is_as_planned(), "not as planned: {otherwise:?}");
    drop(execution);
    guest.finish().await
}
