//! A sandbox that stays open: terminals, signals, the end of one command alone, single files.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use crucible_jail::host::{Command, JailError, Running, Size};
use crucible_jail::plan::{Ended, EntryKind, Orphans, Refusal};
use std::io::Write;
use std::time::{Duration, Instant};
use support::{finish, launcher, sandbox, shell};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn live(script: &str) -> Command {
    Command { orphans: Orphans::ToCommand, ..shell(script) }
}

fn on_terminal(script: &str) -> Command {
    Command { terminal: Some(Size { rows: 33, columns: 101 }), ..live(script) }
}

/// Reads until a text has come.
async fn read_until(running: &mut Running, text: &str) -> String {
    let mut seen = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&seen).contains(text) {
            let mut piece = [0; 256];
            let read = running.stdout.read(&mut piece).await.unwrap();
            assert!(read > 0, "it ended after {:?}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&piece[..read]);
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await.unwrap();
    String::from_utf8_lossy(&seen).into_owned()
}

async fn output(sandbox: &crucible_jail::host::Sandbox, script: &str) -> String {
    finish(sandbox.exec(live(script)).await.unwrap()).await.0
}

#[tokio::test]
async fn a_terminal_is_one_with_its_size_its_keys_and_its_owner() {
    let launcher = launcher().await;
    let sandbox = sandbox(&launcher).await;
    let script = "tty; stty size; stat -c %u \"$(tty)\"; echo typed > \"$(tty)\"; trap 'echo interrupted; exit 7' INT; \
        trap 'stty size' WINCH; echo ready; while :; do sleep 0.01; done";
    let mut running = sandbox.exec(on_terminal(script)).await.unwrap();
    let seen = read_until(&mut running, "ready").await;
    assert!(seen.starts_with("/dev/pts/0\r\n33 101\r\n1000\r\ntyped\r\n"), "{seen:?}");
    running.control.resize(Size { rows: 50, columns: 200 }).unwrap().unwrap();
    read_until(&mut running, "50 200").await;
    running.stdin.write_all(&[3]).await.unwrap();
    read_until(&mut running, "interrupted").await;
    let (_, error, ended) = finish(running).await;
    assert_eq!((error.as_str(), ended), ("", Ended::Exited(7)));
}

#[tokio::test]
async fn what_hangs_up_its_terminal_ends_the_commands_on_it() {
    let launcher = launcher().await;
    let sandbox = sandbox(&launcher).await;
    let Running { stdin, stdout, ended, .. } = sandbox.exec(on_terminal("sleep 600")).await.unwrap();
    drop((stdin, stdout));
    let ended = tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap().unwrap();
    assert_eq!(ended, Ended::Signaled(1));
}

#[tokio::test]
async fn a_signal_reaches_a_command_and_its_children_and_no_other() {
    let launcher = launcher().await;
    let sandbox = sandbox(&launcher).await;
    let mut one = sandbox.exec(live("sleep 601 & echo up; wait")).await.unwrap();
    let mut other = sandbox.exec(live("echo up; sleep 602")).await.unwrap();
    read_until(&mut one, "up").await;
    read_until(&mut other, "up").await;
    let control = one.control.clone();
    control.signal(15).await.unwrap();
    assert_eq!(finish(one).await.2, Ended::Signaled(15));
    assert_eq!(output(&sandbox, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").await.matches("sleep 601").count(), 0);
    let error = control.signal(15).await.unwrap_err();
    assert!(matches!(error, JailError::Refused(Refusal::NotRunning)), "{error}");
    other.control.signal(9).await.unwrap();
    assert_eq!(finish(other).await.2, Ended::Signaled(9));
}

/// Processes of the sandbox whose command lines hold a text.
async fn count(sandbox: &crucible_jail::host::Sandbox, text: &str) -> usize {
    let script = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2>/dev/null; echo; done";
    output(sandbox, script).await.lines().filter(|line| line.starts_with(text)).count()
}

/// What a shell starts in the background needs a moment before it is what it shall be.
async fn until_there_are(sandbox: &crucible_jail::host::Sandbox, text: &str, wanted: usize) {
    let began = Instant::now();
    let mut seen = count(sandbox, text).await;
    while seen != wanted {
        assert!(began.elapsed() < Duration::from_secs(10), "{seen} of {wanted} processes are `{text}`");
        seen = count(sandbox, text).await;
    }
}

#[tokio::test]
async fn ending_a_commands_tree_ends_daemons_and_sessions_of_its_own_and_nothing_else() {
    let launcher = launcher().await;
    let sandbox = sandbox(&launcher).await;
    let mut other = sandbox.exec(live("setsid sleep 702 & sleep 702 & echo up; sleep 702")).await.unwrap();
    read_until(&mut other, "up").await;
    // A child, one in a session of its own, and one that has lost its parents twice.
    let script = "sleep 701 & setsid sleep 701 & (setsid sh -c '(sleep 701 & sleep 701 &)' &); echo up; wait";
    let mut one = sandbox.exec(live(script)).await.unwrap();
    read_until(&mut one, "up").await;
    until_there_are(&sandbox, "sleep 701", 4).await;
    until_there_are(&sandbox, "sleep 702", 3).await;
    let began = Instant::now();
    one.control.end_tree().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!((count(&sandbox, "sleep 701").await, count(&sandbox, "sleep 702").await), (0, 3));
    let control = one.control.clone();
    assert_eq!(finish(one).await.2, Ended::Signaled(9));
    control.end_tree().await.unwrap();
    other.control.end_tree().await.unwrap();
    assert_eq!((finish(other).await.2, count(&sandbox, "sleep 702").await), (Ended::Signaled(9), 0));
}

#[tokio::test]
async fn a_tree_that_forks_all_the_time_is_ended_whole() {
    let launcher = launcher().await;
    let sandbox = sandbox(&launcher).await;
    let script = "f() { while :; do (sleep 0.001; :) & (exec setsid sh -c ':' ) & wait; done; }; f & f & echo up; f";
    let processes = "set -- /proc/[0-9]*; echo $#";
    let at_first = output(&sandbox, processes).await;
    for _ in 0..5 {
        let mut running = sandbox.exec(live(script)).await.unwrap();
        read_until(&mut running, "up").await;
        running.control.end_tree().await.unwrap();
        assert_eq!(finish(running).await.2, Ended::Signaled(9));
        assert_eq!(output(&sandbox, processes).await, at_first);
    }
}

#[tokio::test]
async fn one_command_may_signal_what_another_one_started() {
    let launcher = launcher().await;
    let sandbox = sandbox(&launcher).await;
    let mut running = sandbox.exec(live("echo $$; exec sleep 603")).await.unwrap();
    let pid = read_until(&mut running, "\n").await;
    assert_eq!(output(&sandbox, &format!("kill {} && echo done", pid.trim())).await, "done\n");
    assert_eq!(finish(running).await.2, Ended::Signaled(15));
}

#[tokio::test]
async fn single_files_are_looked_at_and_removed_and_links_are_not_followed() {
    let launcher = launcher().await;
    let sandbox = sandbox(&launcher).await;
    sandbox.create_file("/work/a/b.txt", 0o644).await.unwrap().write_all(b"hello").unwrap();
    output(&sandbox, "ln -s /etc/passwd link; ln -s a folder-link; mkdir empty").await;
    let seen = sandbox.stat("/work/a/b.txt").await.unwrap();
    assert_eq!((seen.name.as_slice(), seen.kind, seen.size), (&b"b.txt"[..], EntryKind::File, 5));
    for (path, kind) in [("/work", EntryKind::Folder), ("/work/a", EntryKind::Folder), ("/work/link", EntryKind::Other)]
    {
        assert_eq!(sandbox.stat(path).await.unwrap().kind, kind, "{path}");
    }
    for path in ["/work/none", "/work/folder-link/b.txt", "/etc/passwd", "/"] {
        assert!(matches!(sandbox.stat(path).await, Err(JailError::Refused(_))), "{path}");
    }
    for path in ["/work", "/work/a", "/work/none", "/work/folder-link/b.txt", "/etc/passwd"] {
        assert!(matches!(sandbox.remove(path).await, Err(JailError::Refused(_))), "{path}");
    }
    for path in ["/work/link", "/work/folder-link", "/work/empty", "/work/a/b.txt", "/work/a"] {
        sandbox.remove(path).await.unwrap();
    }
    assert_eq!(output(&sandbox, "ls -A; test -e /etc/passwd || echo none").await, "none\n");
}

#[tokio::test]
async fn a_copy_has_the_same_files_and_takes_no_more_room() {
    let launcher = launcher().await;
    let (one, other) = (sandbox(&launcher).await, sandbox(&launcher).await);
    let script = "umask 0; echo hello > a; ln a b; ln -s a link; ln -s /etc/passwd out; mkfifo pipe; mkdir -p d/e/f; \
        echo deep > d/e/f/g; chmod 750 d/e; echo x > secret; chmod 000 secret; mkdir locked; echo y > locked/z; chmod 000 locked; \
        chmod 755 a; touch -d @1234567890 a d; dd if=/dev/zero of=sparse bs=1 count=0 seek=6M 2>/dev/null; echo end >> sparse; \
        echo t > /tmp/t; chmod 1700 /tmp; echo s > /dev/shm/s; printf x > \"$(printf 'new\\nline\\377')\"";
    output(&one, script).await;
    one.copy_into(&other).await.unwrap();
    let look = "cd /; for d in work tmp dev/shm; do find $d -printf '%p %y %m %n %u %s %T@ %l\\n' | grep -v '^work/pipe' | sed 's/ d \\([0-9]*\\) \\([0-9]*\\) \\([a-z]*\\) [0-9]*/ d \\1 \\2 \\3/' | LC_ALL=C sort; done | LC_ALL=C tr '\\377' '#'";
    let (before, after) = (output(&one, look).await, output(&other, look).await);
    assert!(
        before.lines().count() > 15 && before.contains("work/secret f 0 1") && before.contains("work/a f 755 2"),
        "{before}"
    );
    // What nobody has set the time of is of another moment only by its folder's.
    assert_eq!(after, before);
    let contents = "cat a b d/e/f/g /tmp/t /dev/shm/s; tail -c 4 sparse; stat -c %i a b | uniq | wc -l; \
        test $(du -k sparse | cut -f1) -lt 64 && echo holes; chmod 700 secret locked; cat secret locked/z";
    assert_eq!(output(&other, contents).await, "hello\nhello\ndeep\nt\ns\nend\n1\nholes\nx\ny\n");
    // Each goes on by itself, and the first one's modes are as they were.
    assert_eq!(output(&one, "echo more >> a; stat -c %a secret locked").await, "0\n0\n");
    assert_eq!(output(&other, "cat a").await, "hello\n");
}

#[tokio::test]
async fn a_copy_that_does_not_fit_or_is_too_deep_fails_with_its_reason() {
    let launcher = launcher().await;
    let (one, other) = (sandbox(&launcher).await, sandbox(&launcher).await);
    output(&other, "head -c 6M /dev/zero > full").await;
    output(&one, "head -c 6M /dev/urandom > large").await;
    match one.copy_into(&other).await.unwrap_err() {
        JailError::Step { step, errno } => {
            assert_eq!((step.as_str(), errno), ("write a file of the copy", libc_enospc()))
        }
        other => panic!("{other}"),
    }
    // The inode limit allows no depth that the copy doesn't, but a name that is there already is no fresh sandbox.
    output(&other, "rm full").await;
    assert!(matches!(one.copy_into(&other).await, Err(JailError::Step { .. })));
}

const fn libc_enospc() -> i32 {
    28
}
