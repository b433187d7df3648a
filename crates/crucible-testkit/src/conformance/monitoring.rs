//! Behaviours of the monitor: what a guest tries is seen by the host, what it doesn't try is not, and a flood is counted.

use super::guest::Guest;
use super::stop::{Checked, Stop, ensure};
use super::suite::ConformanceSubject;
use crucible_core::{Ability, BehaviorKind, Coverage, Observed, Source, Users, Watchable};
use std::time::{Duration, Instant};

/// What the host sees while a script runs to its end, and what the script told.
async fn watched(guest: &Guest, script: &str) -> Result<(Vec<Observed>, String), Stop> {
    let mut observer = guest.sandbox.observe().await?;
    let began = Instant::now();
    let told = guest.run(script, &[]).await?.told()?;
    let seen = observer.seen();
    let now = Instant::now();
    let in_time = seen.iter().all(|seen| seen.first.at >= began && seen.first.at <= now);
    ensure!(in_time, "it was seen at another time than the script ran: {seen:?}");
    let harmless = |text: &str| text.chars().count() < 300 && !text.chars().any(char::is_control);
    ensure!(seen.iter().all(|seen| harmless(&seen.first.name)), "a name isn't fit for a record: {seen:?}");
    Ok((seen, told))
}

fn count(seen: &[Observed], kind: BehaviorKind, name: &str) -> u64 {
    let matching = seen.iter().filter(|seen| seen.first.kind == kind && seen.first.name.contains(name));
    matching.map(|seen| seen.count).sum()
}

pub(super) async fn a_quiet_program_shows_nothing(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let script = "
import json, os, re
open('x', 'w').write(json.dumps(os.listdir('.')))
did = ['files']
try:
    import threading
    threading.Thread(target=lambda: None).start()
    did.append('threads')
except (ImportError, RuntimeError): pass
try:
    import socket
    ours, theirs = socket.socketpair()
    ours.send(b'x')
    named = socket.socket(socket.AF_UNIX)
    named.bind('named.socket'); named.listen()
    caller = socket.socket(socket.AF_UNIX)
    caller.connect('named.socket')
    theirs.recv(1), caller.send(b'x')
    did.append('sockets')
except (ImportError, AttributeError, OSError): pass
print(*did)";
    let (seen, did) = watched(&guest, script).await?;
    for (ability, name) in [(Ability::Threads, "threads"), (Ability::Sockets, "sockets")] {
        let has = subject.backend.capabilities().abilities.contains(&ability);
        ensure!(did.contains(name) == has, "the backend says that {name} are there: {has}; the program did {did:?}");
    }
    ensure!(seen.is_empty(), "a program that did nothing of interest shows {seen:?}");
    guest.finish().await
}

pub(super) async fn refused_system_calls_are_seen_by_name(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let script = "
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
# With arguments that ask for nothing.
for _ in range(3): libc.ptrace(-1, 0, 0, 0)
libc.unshare(0x10000000)
libc.mount(None, None, None, 0, None)
try: socket.socket(17, 3)
except OSError as error: print(error.errno)";
    let (seen, _) = watched(&guest, script).await?;
    for (name, times) in [("ptrace", 3), ("unshare", 1), ("mount", 1), ("socket of family 17", 1)] {
        let seen_of_it = count(&seen, BehaviorKind::SyscallDenied, name);
        ensure!(seen_of_it == times, "{name} was tried {times} times and is seen {seen_of_it} times: {seen:?}");
    }
    ensure!(seen.iter().all(|seen| seen.first.source == Source::Host), "a call's name is the kernel's word: {seen:?}");
    guest.finish().await
}

pub(super) async fn addresses_are_seen_as_the_guest_claims_them_and_refused(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let script = "
import errno, socket
def refused(what):
    try: what()
    except OSError as error: return errno.errorcode[error.errno]
    return 'done'
# Datagrams: calling somebody sends nothing, wherever it isn't refused.
four, six = socket.socket(type=socket.SOCK_DGRAM), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
print(refused(lambda: four.connect(('127.0.0.1', 9))), refused(lambda: four.bind(('127.0.0.1', 0))),
    refused(lambda: six.sendto(b'x', ('::1', 9))))";
    let (seen, told) = watched(&guest, script).await?;
    ensure!(!told.contains("done"), "not every attempt is refused: {told:?}");
    for (kind, name) in [
        (BehaviorKind::ConnectionRefused, "127.0.0.1:9"),
        (BehaviorKind::BindRefused, "127.0.0.1:0"),
        (BehaviorKind::SendRefused, "[::1]:9"),
    ] {
        ensure!(count(&seen, kind, name) == 1, "{kind} of {name} isn't seen once: {seen:?}");
    }
    ensure!(seen.iter().all(|seen| seen.first.source == Source::Claimed), "an address is the guest's word: {seen:?}");
    guest.finish().await
}

pub(super) async fn addresses_that_cannot_be_read_are_refused_all_the_same(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let script = "
import ctypes, socket
libc = ctypes.CDLL(None, use_errno=True)
file = socket.socket(type=socket.SOCK_DGRAM).detach()
print([libc.connect(file, ctypes.c_void_p(at), length) for at in (0, 8, 2**63, -1) for length in (16, 28, 128, 2**31 - 1)])";
    let (seen, told) = watched(&guest, script).await?;
    ensure!(told.matches("-1").count() == 16, "not every attempt is refused: {told:?}");
    let seen_of_it = count(&seen, BehaviorKind::ConnectionRefused, "");
    ensure!(seen_of_it == 16, "16 attempts are seen {seen_of_it} times: {seen:?}");
    guest.finish().await
}

pub(super) async fn a_unix_address_as_long_as_an_internet_one_is_told_and_no_other(
    subject: &ConformanceSubject,
) -> Checked {
    let guest = Guest::python(subject).await?;
    let script = "
import errno, socket
for length in range(6, 40):
    path = '/tmp/' + 'x' * (length - 5)
    try:
        listener = socket.socket(socket.AF_UNIX); listener.bind(path); listener.listen()
        socket.socket(socket.AF_UNIX).connect(path)
    except OSError as error: print(length, errno.errorcode[error.errno])";
    let (seen, told) = watched(&guest, script).await?;
    // With the byte that ends it, and the two of the family.
    ensure!(told == "13 ENAMETOOLONG\n25 ENAMETOOLONG\n", "paths of other lengths are refused: {told:?}");
    let all = count(&seen, BehaviorKind::BindRefused, "unix:/tmp/xxxxxxxx");
    ensure!(all == 2 && seen.len() == 2, "what was refused isn't told: {seen:?}");
    guest.finish().await
}

pub(super) async fn started_programs_are_seen_with_their_command_lines(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    // Long enough to be seen by one who looks from time to time, on a busy machine, too.
    let script = "
import os, sys
for number in range(3):
    pid = os.fork()
    if pid == 0: os.execv(sys.executable, [sys.executable, '-I', '-S', '-c', 'import time; time.sleep(1)', 'told by nobody'])
    os.waitpid(pid, 0)
print('ended')";
    let (seen, _) = watched(&guest, script).await?;
    let name = "-I -S -c 'import time; time.sleep(1)' 'told by nobody'";
    let seen_of_it = count(&seen, BehaviorKind::ProcessStarted, name);
    ensure!(seen_of_it == 3, "three programs were started, and {seen_of_it} are seen: {seen:?}");
    let others = count(&seen, BehaviorKind::ProcessStarted, "") - seen_of_it;
    // One who looks from time to time may look between the fork and the start of the program.
    let is_exact = guest.sandbox.observe().await?.monitoring().get(&Watchable::Processes) == Some(&Coverage::Events);
    ensure!(others == 0 || !is_exact, "what was asked for, or nobody started, is seen: {seen:?}");
    guest.finish().await
}

pub(super) async fn files_are_seen_that_neither_its_language_nor_itself_has(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let script = "
import json, os, sys
open('own', 'w').write('x'); open('/tmp/own', 'w').write('x'); open(json.__file__).read()
open('/proc/self/status').read(); open('/proc/self/maps').read()
open('/etc/passwd').read()
open('/proc/self/environ', 'rb').read()
print(os.getpid(), flush=True)
# What belongs to a process can be looked at only while it lives.
import time; time.sleep(0.4)";
    let (seen, told) = watched(&guest, script).await?;
    // With root inside the table of users is the sandbox's own.
    let table = (subject.policy.users == Users::Guest).then(|| "/etc/passwd".to_owned());
    let expected: Vec<_> = table.into_iter().chain([format!("/proc/{}/environ", told.trim())]).collect();
    for path in &expected {
        let seen_of_it = count(&seen, BehaviorKind::FileOpened, path);
        ensure!(seen_of_it == 1, "{path} was opened once and is seen {seen_of_it} times: {seen:?}");
    }
    ensure!(seen.len() == expected.len(), "what every program opens is seen, too: {seen:?}");
    guest.finish().await
}

pub(super) async fn a_flood_is_counted_and_does_not_hold_up_a_peer(subject: &ConformanceSubject) -> Checked {
    const MANY: u32 = 700;
    let (noisy, peer) = (Guest::python(subject).await?, Guest::python(subject).await?);
    let script = format!(
        "
import socket
for port in range({MANY}):
    try: socket.socket(type=socket.SOCK_DGRAM).connect(('127.0.0.1', 1000 + port))
    except OSError: pass
print('ended')"
    );
    let own = async {
        let began = Instant::now();
        peer.run("print('peer')", &[]).await?.told()?;
        Ok::<_, Stop>(began.elapsed())
    };
    let (flood, took) = tokio::join!(watched(&noisy, &script), own);
    let ((seen, _), took) = (flood?, took?);
    ensure!(took < Duration::from_secs(20), "beside a flood a small program took {took:?}");
    let all: u64 = seen.iter().map(|seen| seen.count).sum();
    ensure!(all == u64::from(MANY), "{MANY} attempts are counted as {all}");
    ensure!(seen.len() < 400, "{} entries are kept of a flood", seen.len());
    ensure!(count(&seen, BehaviorKind::Flooded, "") > 0, "a flood isn't told as one");
    noisy.finish().await?;
    peer.finish().await
}
