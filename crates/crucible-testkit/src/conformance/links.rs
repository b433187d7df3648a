//! Behaviours of file calls on what a guest can plant: links, pipes, devices, files with several names.

use super::guest::{Guest, path, read_all, unique};
use super::stop::{Checked, Stop, ensure};
use super::suite::ConformanceSubject;
use crucible_core::{Ability, ErrorKind, FileKind};
use std::time::Duration;
use tokio::time::timeout;

/// Opening must be refused, and at once: a pipe must not make the host wait for a writer.
async fn refused(guest: &Guest, name: &str) -> Checked {
    let opened = timeout(Duration::from_secs(5), async {
        match guest.sandbox.read_file(&path(name)?).await {
            Ok(content) => {
                let bytes = read_all(content).await?;
                Ok(format!("it was read: {:?}", String::from_utf8_lossy(&bytes)))
            }
            Err(error) if matches!(error.kind(), ErrorKind::Refused | ErrorKind::NotFound) => Ok(String::new()),
            Err(error) => Ok(format!("it gave {:?}: {error}", error.kind())),
        }
    });
    let story: Result<String, Stop> = opened.await.unwrap_or_else(|_| Ok("opening it hangs".to_owned()));
    let story = story?;
    ensure!(story.is_empty(), "{name} must be refused, but {story}");
    Ok(())
}

async fn listed_as(guest: &Guest, name: &str, kind: FileKind) -> Checked {
    let entries = guest.sandbox.list_files(&crucible_core::GuestPath::work()).await?;
    let entry = entries.iter().find(|entry| entry.name == name.as_bytes());
    ensure!(entry.is_some_and(|entry| entry.kind == kind), "{name} must be listed as {kind:?}, but is {entry:?}");
    Ok(())
}

pub(super) async fn links_are_not_followed_out(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let script = "
import os
open('real', 'w').write('x')
os.makedirs('folder/sub')
open('folder/file', 'w').write('x')
for name, target in [('to_file', 'real'), ('to_host', '/etc/passwd'), ('to_nothing', 'nothing'), ('to_folder', 'folder'),
                     ('to_root', '/'), ('up', '..'), ('to_proc', '/proc/self/environ'), ('folder/sub/up', '../..')]:
    try:
        os.symlink(target, name)
        print(name)
    except OSError: pass";
    let planted = guest.run(script, &[]).await?.told()?;
    let planted: Vec<&str> = planted.lines().collect();
    let can_link_anywhere = subject.backend.capabilities().abilities.contains(&Ability::KernelCalls);
    ensure!(planted.contains(&"to_file"), "not even a link beside its target was planted: {planted:?}");
    ensure!(planted.len() == 8 || !can_link_anywhere, "not every link was planted: {planted:?}");
    for name in planted.iter().copied().chain(["to_root/etc/passwd", "to_folder/file", "folder/sub/up/real"]) {
        refused(&guest, name).await?;
    }
    for name in ["to_folder", "to_root", "up", "folder/sub/up", "to_root/etc"] {
        let listed = guest.sandbox.list_files(&path(name)?).await.is_ok();
        ensure!(!listed, "listing follows the link in {name}");
    }
    for name in planted.into_iter().filter(|name| !name.contains('/')) {
        listed_as(&guest, name, FileKind::Other).await?;
    }
    ensure!(guest.read("folder/file").await? == b"x", "a real file in a real folder can't be read");
    guest.finish().await
}

pub(super) async fn pipes_sockets_and_folders_are_refused_without_a_hang(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let script = "
import os, socket
os.mkfifo('pipe')
os.mkdir('folder')
try:
    socket.socket(socket.AF_UNIX).bind('socket')
    print('socket')
except OSError:
    print('no socket')";
    let planted = guest.run(script, &[]).await?.told()?;
    refused(&guest, "pipe").await?;
    listed_as(&guest, "pipe", FileKind::Other).await?;
    refused(&guest, "folder").await?;
    if planted == "socket\n" {
        refused(&guest, "socket").await?;
        listed_as(&guest, "socket", FileKind::Other).await?;
    }
    let listed = guest.sandbox.list_files(&path("pipe")?).await.is_ok();
    ensure!(!listed, "a pipe is listed as a folder");
    guest.finish().await
}

pub(super) async fn a_file_with_two_names_is_refused(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let script = "
import os
open('one', 'w').write('x')
try:
    os.link('one', 'two')
    print('linked')
except OSError:
    print('no links here')";
    if guest.run(script, &[]).await?.told()? != "linked\n" {
        return guest.finish().await;
    }
    for name in ["one", "two"] {
        refused(&guest, name).await?;
        listed_as(&guest, name, FileKind::Other).await?;
    }
    guest.finish().await
}

pub(super) async fn a_device_is_refused(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    for device in ["/dev/null", "/dev/zero", "/dev/tty"] {
        refused(&guest, device).await?;
    }
    guest.finish().await
}

pub(super) async fn nothing_is_written_through_a_planted_link(subject: &ConformanceSubject) -> Checked {
    let outside = tempfile::tempdir()?;
    let victim = outside.path().join(unique("victim"));
    std::fs::write(&victim, "safe")?;
    let guest = Guest::python(subject).await?;
    let script = "
import os, sys
open('inside', 'w').write('safe')
for target, name in [('inside', 'to_inside'), (sys.argv[1], 'to_victim'), (os.path.dirname(sys.argv[1]), 'to_folder')]:
    try:
        os.symlink(target, name)
        print(name)
    except OSError: pass";
    let planted = guest.run(script, &[&victim.to_string_lossy()]).await?.told()?;
    let can_link_anywhere = subject.backend.capabilities().abilities.contains(&Ability::KernelCalls);
    let expected = if can_link_anywhere { "to_inside\nto_victim\nto_folder\n" } else { "to_inside\n" };
    ensure!(planted == expected, "other links were planted: {planted:?}");
    for name in ["to_inside", "to_victim", "to_folder/new", "to_folder/below/new"] {
        // Refusing and replacing the link itself are both right.
        let _ = guest.sandbox.write_file(&path(name)?, &mut &b"overwritten"[..], false).await;
    }
    ensure!(guest.read("inside").await? == b"safe", "a link's target in the work folder was overwritten");
    let victim_now = std::fs::read_to_string(&victim)?;
    ensure!(victim_now == "safe", "a file of the host was overwritten through a link: {victim_now:?}");
    let count = std::fs::read_dir(outside.path())?.count();
    ensure!(count == 1, "{} new things stand in a folder of the host", count - 1);
    guest.finish().await
}
