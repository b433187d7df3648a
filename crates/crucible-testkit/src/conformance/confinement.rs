//! Behaviours of the wall: what of the host a guest can see, read, write and reach.
//!
//! Where it can, the host is the witness: a canary that only it knows, a listener that counts who came.

use super::guest::{Guest, unique};
use super::stop::{Checked, ensure};
use super::suite::ConformanceSubject;
use crucible_core::Users;
use std::io::{ErrorKind, Write as _};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

pub(super) async fn only_its_own_processes_are_visible(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let script = "
import os
seen = [name for name in os.listdir('/proc') if name.isdigit()] if os.path.isdir('/proc') else []
print(len(seen))
for name in seen:
    try: print(open('/proc/' + name + '/cmdline', 'rb').read())
    except OSError: print('hidden')";
    let seen = guest.run(script, &[]).await?.told()?;
    let count = seen.lines().next().and_then(|count| count.parse::<usize>().ok());
    // The guest itself and what the backend starts beside it.
    ensure!(count.is_some_and(|count| count <= 4), "{count:?} processes are visible");
    let own = std::env::args().next().unwrap_or_default();
    ensure!(own.is_empty() || !seen.contains(&own), "the test's own process is visible");
    guest.finish().await
}

pub(super) async fn no_process_outside_can_be_signalled(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    // Signal 0 only asks whether a signal could be sent.
    let script = "
import os, sys
def reached(target):
    try: os.kill(target, 0)
    except OSError: return False
    return True
print(reached(-1), reached(int(sys.argv[1])), os.getppid() > 1 and reached(os.getppid()))";
    let seen = guest.run(script, &[&std::process::id().to_string()]).await?.told()?;
    let mut reached = seen.trim().split(' ');
    ensure!(reached.next() == Some("False"), "signals reach other processes: {seen:?}");
    // A process inside may happen to have the test's number, but then it isn't alone and the first answer tells.
    ensure!(reached.next() == Some("False"), "the test's own number can be signalled: {seen:?}");
    ensure!(reached.next() == Some("False"), "its starter can be signalled: {seen:?}");
    guest.finish().await
}

pub(super) async fn a_file_of_the_host_cannot_be_read(subject: &ConformanceSubject) -> Checked {
    let secret = unique("secret");
    let mut files = Vec::new();
    let beside_the_test = std::env::current_exe()?.parent().map(std::path::Path::to_path_buf);
    for folder in std::iter::once(std::env::temp_dir()).chain(beside_the_test) {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(secret.as_bytes())?;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        files.push(file);
    }
    let guest = Guest::python(subject).await?;
    let script = "
import sys
for path in sys.argv[1:]:
    for way in ['', '/proc/1/root', '/proc/self/root', '/proc/1/cwd/../../../../../../..', '/../../..']:
        try: print(open(way + path).read())
        except OSError as error: print(error.strerror)";
    let paths: Vec<String> = files.iter().map(|file| file.path().to_string_lossy().into_owned()).collect();
    let arguments: Vec<&str> = paths.iter().map(String::as_str).collect();
    let seen = guest.run(script, &arguments).await?.told()?;
    ensure!(!seen.contains(&secret), "a file of the host was read: {seen}");
    guest.finish().await
}

pub(super) async fn nothing_outside_the_writable_folders_can_be_written(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    // What can be made is removed at once.
    let script = "
import os, sys
for folder in ['/', '/bin', '/boot', '/dev', '/etc', '/home', '/lib', '/mnt', '/opt', '/proc', '/root', '/run', '/sbin',
               '/srv', '/sys', '/usr', '/usr/bin', '/usr/lib', '/usr/local', '/var', '/var/tmp', os.path.dirname(sys.executable)]:
    if any(folder == own or folder.startswith(own + '/') for own in sys.argv[2:]): continue
    path = os.path.join(folder, sys.argv[1])
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        # Where there is no current folder, the one that it starts in goes by other names, too; /var/tmp may be another one of /tmp.
        is_own = any(os.path.exists(os.path.join(own, sys.argv[1])) for own in ('/work', '/tmp'))
        os.unlink(path)
        if not is_own: print('written:', folder)
    except OSError: pass
    try:
        os.mkdir(path)
        is_own = any(os.path.exists(os.path.join(own, sys.argv[1])) for own in ('/work', '/tmp'))
        os.rmdir(path)
        if not is_own: print('made:', folder)
    except OSError: pass
print('tried')";
    // Root inside has some more of its own.
    let roots: &[&str] = match subject.policy.users {
        Users::Guest => &[],
        Users::Root => &["/etc", "/home", "/root", "/run", "/var"],
    };
    let probe = unique("probe");
    let arguments: Vec<&str> = std::iter::once(probe.as_str()).chain(roots.iter().copied()).collect();
    let seen = guest.run(script, &arguments).await?.told()?;
    ensure!(seen == "tried\n", "outside the writable folders: {}", seen.replace('\n', ", "));
    guest.finish().await
}

pub(super) async fn the_temporary_folders_are_its_own(subject: &ConformanceSubject) -> Checked {
    let name = unique("canary");
    let plant = "
import os, sys
for folder in ['/tmp', '/dev/shm', '/var/tmp']:
    try: open(os.path.join(folder, sys.argv[1]), 'w').close()
    except OSError: pass
print('planted')";
    let look = "
import os, sys
print('found:', *[folder for folder in ['/tmp', '/dev/shm', '/var/tmp'] if os.path.exists(os.path.join(folder, sys.argv[1]))])";
    let first = Guest::python(subject).await?;
    first.run(plant, &[&name]).await?.told()?;
    let second = Guest::python(subject).await?;
    let seen = second.run(look, &[&name]).await?.told()?;
    let mut on_host = Vec::new();
    for folder in ["/tmp", "/dev/shm", "/var/tmp"] {
        // What a leak leaves is taken away again; most often there is nothing.
        if std::fs::remove_file(std::path::Path::new(folder).join(&name)).is_ok() {
            on_host.push(folder);
        }
    }
    ensure!(seen == "found:\n", "another sandbox sees the first one's files: {seen}");
    ensure!(on_host.is_empty(), "the guest's files stand on the host, in {on_host:?}");
    first.finish().await?;
    second.finish().await
}

pub(super) async fn a_listener_of_the_host_is_never_reached(subject: &ConformanceSubject) -> Checked {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port().to_string();
    let guest = Guest::python(subject).await?;
    let script = "
import socket, sys
try:
    connection = socket.socket()
    connection.settimeout(2)
    connection.connect(('127.0.0.1', int(sys.argv[1])))
    print('connected')
except OSError as error: print('refused', error)";
    let seen = guest.run(script, &[&port]).await?.told()?;
    let nobody = listener.accept().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    ensure!(nobody, "the guest reached a listener of the host, and says: {seen}");
    ensure!(seen.starts_with("refused"), "the guest says: {seen}");
    guest.finish().await
}

pub(super) async fn an_abstract_socket_of_the_host_is_never_reached(subject: &ConformanceSubject) -> Checked {
    let name = unique("conformance");
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
    listener.set_nonblocking(true)?;
    let guest = Guest::python(subject).await?;
    let script = "
import socket, sys
try:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(2)
    connection.connect('\\0' + sys.argv[1])
    print('connected')
except (OSError, AttributeError) as error: print('refused', error)";
    let seen = guest.run(script, &[&name]).await?.told()?;
    let nobody = listener.accept().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    ensure!(nobody, "the guest reached an abstract socket of the host, and says: {seen}");
    ensure!(seen.starts_with("refused"), "the guest says: {seen}");
    guest.finish().await
}
