//! Behaviours of a sandbox that stays open, beyond commands one after the other: each is asked of those whose capabilities
//! name it.

use super::guest::{Guest, path};
use super::stop::{Checked, Stop, ensure};
use super::suite::ConformanceSubject;
use crucible_core::{
    Command, ErrorKind, Execution, ExitStatus, FileKind, LiveFeature, SandboxId, Signal, TerminalSize, Tree,
};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

/// How long something may take that happens soon.
const SOON: Duration = Duration::from_secs(10);

/// Reads until a text has come.
async fn hear(reader: &mut (dyn AsyncRead + Send + Unpin), text: &str) -> Result<String, Stop> {
    let mut heard = Vec::new();
    let hearing = async {
        let mut piece = [0; 256];
        while !String::from_utf8_lossy(&heard).contains(text) {
            match reader.read(&mut piece).await {
                Ok(read @ 1..) => heard.extend_from_slice(piece.get(..read).unwrap_or_default()),
                Ok(0) | Err(_) => return false,
            }
        }
        true
    };
    let came = timeout(SOON, hearing).await.unwrap_or(false);
    let heard = String::from_utf8_lossy(&heard).into_owned();
    ensure!(came, "{text:?} never came, only {heard:?}");
    Ok(heard)
}

async fn ends(execution: &mut Execution) -> Result<ExitStatus, Stop> {
    match timeout(SOON, execution.process.wait()).await {
        Ok(status) => Ok(status?),
        Err(_) => Err(Stop::Failed("the command did not end".to_owned())),
    }
}

pub(super) async fn what_a_backend_cannot_do_is_refused(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let can = subject.backend.capabilities().live_under(&subject.policy);
    let plain = || guest.command("print('ran')", &[]);
    for (feature, command) in [
        (LiveFeature::Users, Command { user: Some("nobody".to_owned()), ..plain() }),
        (LiveFeature::Terminals, Command { terminal: Some(TerminalSize::default()), ..plain() }),
        (LiveFeature::CommandTrees, Command { tree: Tree::Own, ..plain() }),
    ] {
        if can.contains(&feature) {
            continue;
        }
        match guest.sandbox.exec(command).await {
            Ok(_) => return Err(Stop::Failed(format!("a command that needs {feature} was started without it"))),
            Err(error) => ensure!(error.kind() == ErrorKind::Refused, "{feature} gave {:?}: {error}", error.kind()),
        }
    }
    if !can.contains(&LiveFeature::Forks) {
        let forked = guest.sandbox.fork(SandboxId::generate()).await.map(drop);
        let kind = forked.err().map(|error| error.kind());
        ensure!(kind == Some(ErrorKind::Refused), "a fork gave {kind:?} where there is none");
    }
    guest.finish().await
}

pub(super) async fn a_terminal_is_one_with_its_size_and_its_keys(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let script = "
import os, signal, sys, time
# Not printed: a signal may come in the middle of printing something else.
size = lambda *_: os.write(1, b'size %d %d\\n' % os.get_terminal_size(0))
signal.signal(signal.SIGWINCH, size)
print(all(os.isatty(number) for number in range(3)), os.getsid(0) == os.getpid(), flush=True)
size()
try:
    print('typed', input(), flush=True)
    while True: time.sleep(0.01)
except KeyboardInterrupt:
    sys.exit(7)";
    let size = TerminalSize { rows: 33, columns: 101 };
    let mut execution = guest.sandbox.exec(Command { terminal: Some(size), ..guest.command(script, &[]) }).await?;
    let seen = hear(&mut execution.stdout, "size 101 33").await?;
    ensure!(seen.starts_with("True True"), "its streams are no terminal of its own: {seen:?}");
    execution.stdin.write_all(b"keys\n").await?;
    hear(&mut execution.stdout, "typed keys").await?;
    execution.process.control().resize(TerminalSize { rows: 50, columns: 200 }).await?;
    hear(&mut execution.stdout, "size 200 50").await?;
    // Ctrl-C.
    execution.stdin.write_all(&[3]).await?;
    let status = ends(&mut execution).await?;
    ensure!(status == ExitStatus::Exited(7), "Ctrl-C led to {status:?}");
    guest.finish().await
}

pub(super) async fn a_signal_reaches_a_running_command(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let script = "
import signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: sys.exit(9))
print('up', flush=True)
while True: time.sleep(0.01)";
    for (signal, expected) in [("USR1", ExitStatus::Exited(9)), ("TERM", ExitStatus::Signaled(15))] {
        let mut execution = guest.start(script, &[]).await?;
        hear(&mut execution.stdout, "up").await?;
        let control = execution.process.control();
        control.signal(signal.parse::<Signal>()?).await?;
        let status = ends(&mut execution).await?;
        ensure!(status == expected, "{signal} led to {status:?}");
        let late = control.signal(Signal::TERMINATE).await.err().map(|error| error.kind());
        ensure!(late == Some(ErrorKind::NotFound), "a signal to a command that has ended gave {late:?}");
    }
    guest.finish().await
}

/// Leaves a process behind that has cut every tie, and beats into a file for at most 15 seconds, as its starter does.
const BEATING: &str = "
import os, sys, time
def beat(name):
    until = time.monotonic() + 15
    while time.monotonic() < until:
        with open(name, 'a') as file: file.write('.')
        time.sleep(0.01)
    os._exit(0)
name = sys.argv[1]
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: beat(name + '-daemon')
    os._exit(0)
os.wait()
while not os.path.exists(name + '-daemon'): time.sleep(0.005)
open(name, 'a').close()
print('up', flush=True)
beat(name)";

async fn beats(guest: &Guest, name: &str) -> Result<usize, Stop> {
    Ok(guest.read(name).await?.len())
}

pub(super) async fn ending_one_command_ends_what_came_of_it_and_nothing_else(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let start = async |name: &str| -> Result<Execution, Stop> {
        let command = Command { tree: Tree::Own, ..guest.command(BEATING, &[name]) };
        let mut execution = guest.sandbox.exec(command).await?;
        hear(&mut execution.stdout, "up").await?;
        Ok(execution)
    };
    let (mut one, _other) = (start("one").await?, start("other").await?);
    one.process.control().end_tree().await?;
    let at_end = (beats(&guest, "one").await?, beats(&guest, "one-daemon").await?);
    let others = (beats(&guest, "other").await?, beats(&guest, "other-daemon").await?);
    let until = Instant::now() + SOON;
    loop {
        let now = (beats(&guest, "other").await?, beats(&guest, "other-daemon").await?);
        if now.0 > others.0 + 5 && now.1 > others.1 + 5 {
            break;
        }
        ensure!(Instant::now() < until, "another command was ended as well");
        sleep(Duration::from_millis(20)).await;
    }
    let now = (beats(&guest, "one").await?, beats(&guest, "one-daemon").await?);
    ensure!(now == at_end, "it went on after its end: {at_end:?}, then {now:?}");
    let status = ends(&mut one).await?;
    ensure!(status == ExitStatus::Signaled(9), "it ended with {status:?}");
    one.process.control().end_tree().await?;
    guest.finish().await
}

pub(super) async fn single_files_are_looked_at_and_removed(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    guest.write("folder/file", b"12345").await?;
    guest.run("import os; os.symlink('folder', 'link'); os.mkdir('empty')", &[]).await?;
    for (name, kind, size) in [
        ("folder/file", FileKind::File, Some(5)),
        ("folder", FileKind::Directory, None),
        ("link", FileKind::Other, None),
    ] {
        let seen = guest.sandbox.stat(&path(name)?).await?;
        let is_so = seen.kind == kind && size.is_none_or(|size| seen.size == size);
        ensure!(is_so && name.as_bytes().ends_with(&seen.name), "{name} is seen as {seen:?}");
    }
    let kept = guest.sandbox.remove(&path("folder")?).await.err().map(|error| error.kind());
    ensure!(kept == Some(ErrorKind::Refused), "removing a folder that isn't empty gave {kept:?}");
    for name in ["link", "empty", "folder/file", "folder"] {
        guest.sandbox.remove(&path(name)?).await?;
        let gone = guest.sandbox.stat(&path(name)?).await.err().map(|error| error.kind());
        ensure!(gone == Some(ErrorKind::NotFound), "{name} was removed, and looking at it gave {gone:?}");
    }
    guest.finish().await
}

/// Files of all kinds, in all folders.
const FILES: &str = "
import os
os.umask(0)
contents = {'a': 'hello', 'd/e/f/g': 'deep', '/tmp/t': 't', '/dev/shm/s': 's', 'secret': 'x', 'locked/z': 'y', 'new\\nline': 'n'}
for path, content in contents.items():
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    open(path, 'w').write(content)
os.link('a', 'd/b')
os.link('/tmp/t', '/tmp/u')
os.link('/dev/shm/s', '/dev/shm/r')
open('old', 'w').write('o')
os.mkdir('closed')
os.link('old', 'closed/o')
os.symlink('a', 'link')
os.symlink('/etc/passwd', 'out')
os.mkfifo('pipe', 0o600)
with open('sparse', 'wb') as sparse:
    sparse.seek(6 << 20)
    sparse.write(os.urandom(200000))
for path, mode in [('a', 0o755), ('d/e', 0o750), ('secret', 0), ('locked', 0), ('closed', 0)]:
    os.chmod(path, mode)
for path in ['a', 'd/e/f/g', 'd']:
    os.utime(path, (1234567890, 1234567890.5))
print('made')
";
/// What can be seen of them.
const LOOK: &str = "
import hashlib, os, stat
for folder in ['/work', '/tmp', '/dev/shm']:
    for path, folders, files in os.walk(folder):
        for name in sorted(folders + files):
            whole = os.path.join(path, name)
            seen = os.lstat(whole)
            is_file, is_link = stat.S_ISREG(seen.st_mode), os.path.islink(whole)
            if name.startswith(('beat', 'conformance-')):
                continue
            digest = is_file and seen.st_mode & 0o400 and hashlib.sha256(open(whole, 'rb').read()).hexdigest()
            print(repr(whole), stat.filemode(seen.st_mode), seen.st_uid == os.getuid(), is_file and (seen.st_nlink, seen.st_size, seen.st_blocks * 512 < seen.st_size),
                name != 'pipe' and seen.st_mtime_ns, is_link and os.readlink(whole), digest)
";
/// What nobody may read, once one may.
const CLOSED: &str = "
import os
for path in ['secret', 'locked', 'closed']:
    os.chmod(path, 0o700)
print(open('secret').read(), open('locked/z').read(), os.path.samefile('a', 'd/b'), os.path.samefile('old', 'closed/o'))
";

pub(super) async fn a_fork_has_the_same_files_and_no_process(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    guest.run(FILES, &[]).await?.told()?;
    let command = Command { tree: Tree::OfSandbox, ..guest.command(BEATING, &["beat"]) };
    let mut beating = guest.sandbox.exec(command).await?;
    hear(&mut beating.stdout, "up").await?;
    let before = guest.run(LOOK, &[]).await?.told()?;
    ensure!(before.lines().count() > 12 && before.contains("'/work/new\\nline'"), "there is only {before}");
    let fork = guest.with(guest.sandbox.fork(SandboxId::generate()).await?);
    let after = fork.run(LOOK, &[]).await?.told()?;
    ensure!(after == before, "the fork has\n{after}in place of\n{before}");
    let closed = fork.run(CLOSED, &[]).await?.told()?;
    ensure!(closed == "x y True True\n", "the fork has {closed:?}");
    let again = guest.run(LOOK, &[]).await?.told()?;
    ensure!(again == before, "being forked made\n{again}of\n{before}");
    let first = beats(&fork, "beat").await?;
    sleep(Duration::from_millis(200)).await;
    ensure!(beats(&fork, "beat").await? == first, "a process runs on in the fork");
    fork.run("open('a', 'w').write('other')", &[]).await?;
    let kept = guest.run("print(open('a').read())", &[]).await?.told()?;
    ensure!(kept == "hello\n", "what the fork does changes the first one");
    fork.finish().await?;
    guest.finish().await
}
