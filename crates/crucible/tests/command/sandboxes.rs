//! Sandboxes that stay open, as a person meets them: many commands, files both ways, terminals, and what is left when
//! something is killed.

use crate::support::{DEADLINE, Finished, Invocation, Running, crucible};
use rustix::process::{Pid, Signal};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Instant;

/// A number of seconds to sleep that tells a test's own processes from all others.
fn marker(number: u32) -> String {
    format!("{}.{number}", 300_000 + std::process::id())
}

/// Processes whose command line holds an argument.
fn with_argument(argument: &str) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|known| known == argument.as_bytes())
    })
    .collect()
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "{what}: it never was so");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// What a folder has that only its owner may enter.
fn private() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o700)
}

/// A folder for sandboxes of this test's own, and one of them.
struct Kept {
    folder: tempfile::TempDir,
    id: String,
}

impl Kept {
    /// `None`, with a word, where the jail can't be used here.
    fn create(flags: &[&str]) -> Option<Self> {
        let folder = tempfile::Builder::new().permissions(private()).tempdir().unwrap();
        let made = with_folder(&[&["sandbox", "create"], flags].concat(), folder.path()).output();
        if made.code() == 69 {
            let required = std::env::var("CRUCIBLE_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|name| name == "jail"), "{}", made.stderr());
            eprintln!("skipped: {}", made.stderr());
            return None;
        }
        let id = made.expect_success().trim().to_owned();
        assert_eq!(id.len(), 36, "{id}");
        Some(Self { folder, id })
    }

    /// The command `crucible sandbox VERB ...`.
    fn sandbox(&self, arguments: &[&str]) -> Invocation {
        with_folder(&[&["sandbox"], arguments].concat(), self.folder.path())
    }

    /// Runs a shell script in it.
    fn sh(&self, script: &str) -> Finished {
        self.sandbox(&["exec", &self.id, "--", "sh", "-c", script]).output()
    }

    fn places(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    /// The process that keeps it.
    fn keeper(&self) -> i32 {
        let folder = format!("CRUCIBLE_SANDBOX_FOLDER={}", self.folder.path().display());
        let keepers = with_argument("--keep-in").into_iter().filter(|id| {
            let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == folder.as_bytes())
        });
        let keepers: Vec<_> = keepers.collect();
        assert_eq!(keepers.len(), 1);
        keepers[0]
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Also after a failure: a keeper would live for minutes.
        self.sandbox(&["rm", "--all"]).output();
    }
}

fn with_folder(arguments: &[&str], folder: &Path) -> Invocation {
    crucible(arguments).env("CRUCIBLE_SANDBOX_FOLDER", folder)
}

#[test]
fn a_sandbox_that_is_kept_has_the_way_out_that_it_was_made_with() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let Some(kept) = Kept::create(&["-l", "python", "--network", &format!("allow:127.0.0.1:{port}")]) else { return };
    let answers = std::thread::spawn(move || {
        let (mut caller, _) = listener.accept().unwrap();
        caller.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nword\n").unwrap();
        caller
    });
    let code = format!("import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:{port}/').read())");
    let said = kept.sandbox(&["exec", &kept.id, "--", "python3", "-c", &code]).output().expect_success();
    assert_eq!(said, "b'word\\n'\n");
    answers.join().unwrap();
}

#[test]
fn commands_share_a_sandbox_with_their_own_streams_codes_folders_and_variables() {
    let Some(kept) = Kept::create(&["--env", "SHARED=1"]) else { return };
    let run = kept.sandbox(&[
        "exec",
        &kept.id,
        "-w",
        "/tmp",
        "--env",
        "OWN=2",
        "--",
        "sh",
        "-c",
        "cat; pwd; echo $SHARED$OWN; echo err >&2; exit 3",
    ]);
    let run = run.stdin("input\n").output();
    assert_eq!((run.code(), run.stdout().as_str(), run.stderr().as_str()), (3, "input\n/tmp\n12\n", "err\n"));
    assert_eq!(kept.sh("echo kept > file").code(), 0);
    assert_eq!(kept.sh("cat file").stdout(), "kept\n");
    for (script, code) in [("kill -9 $$", 137), ("kill -TERM $$", 143), ("exit 255", 255)] {
        assert_eq!(kept.sh(script).code(), code, "{script}");
    }
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let echoed = kept.sandbox(&["exec", &kept.id, "--", "cat"]).stdin(bytes.clone()).output();
    assert!(echoed.output.stdout == bytes);
    let listed = kept.sandbox(&["list", "--json"]).output().json();
    assert_eq!(listed["sandboxes"][0]["id"], *kept.id);
    assert!(listed["sandboxes"][0]["commands"].as_u64().unwrap() >= 6);
    // The beginning or the end of an id is enough.
    assert_eq!(kept.sandbox(&["exec", &kept.id[..8], "--", "true"]).output().code(), 0);
    assert_eq!(kept.sandbox(&["exec", &kept.id[24..], "--", "true"]).output().code(), 0);
    assert_eq!(kept.sandbox(&["rm", &kept.id]).output().expect_success(), "");
    kept.sandbox(&["exec", &kept.id, "--", "true"]).output().expect_failure(66, &["there is no sandbox", "hint: "]);
    wait_until("the keeper is gone", || kept.places().is_empty());
}

#[test]
fn a_timeout_ends_one_command_with_all_that_came_of_it_and_nothing_else() {
    let Some(kept) = Kept::create(&[]) else { return };
    let (mine, others) = (marker(1), marker(2));
    let beside =
        kept.sandbox(&["exec", &kept.id, "--", "sh", "-c", &format!("setsid sleep {others} & sleep {others}")]).start();
    wait_until("the other command runs", || with_argument(&others).len() >= 2);
    let script = format!("(setsid sleep {mine} &) ; sleep {mine} & sleep {mine}");
    let late = kept.sandbox(&["exec", &kept.id, "--timeout", "1s", "--", "sh", "-c", &script]).output();
    assert_eq!(late.code(), 124);
    assert!(late.stderr().contains("the timeout ended the command"));
    assert_eq!(with_argument(&mine), [0; 0]);
    assert!(with_argument(&others).len() >= 2);
    // A limit of every command that names none, and another command's own.
    let Some(strict) = Kept::create(&["--timeout", "500ms"]) else { return };
    assert_eq!(strict.sh("sleep 60").code(), 124);
    assert_eq!(strict.sandbox(&["exec", &strict.id, "--timeout", "30s", "--", "sleep", "0.7"]).output().code(), 0);
    beside.signal(Signal::TERM);
    assert_eq!(beside.finish().code(), 143);
}

#[test]
fn several_commands_run_at_once() {
    let Some(kept) = Kept::create(&[]) else { return };
    // Each waits for all of the others.
    let script = |own: usize| {
        format!("mkdir -p m; touch m/{own}; while [ $(ls m | wc -l) -lt 8 ]; do sleep 0.01; done; echo {own}")
    };
    let running: Vec<Running> =
        (0..8).map(|own| kept.sandbox(&["exec", &kept.id, "--", "sh", "-c", &script(own)]).start()).collect();
    for (own, run) in running.into_iter().enumerate() {
        assert_eq!(run.finish().stdout(), format!("{own}\n"));
    }
}

#[test]
fn a_large_file_goes_in_and_comes_out_and_nobody_holds_it_in_memory() {
    const SIZE: usize = 300 << 20;
    let Some(kept) = Kept::create(&["--disk", "350MiB", "--file-size", "350MiB", "--memory", "64MiB"]) else { return };
    let here = tempfile::tempdir().unwrap();
    let (original, copy) = (here.path().join("large"), here.path().join("copy"));
    let mut random = File::open("/dev/urandom").unwrap().take(1 << 20);
    let mut piece = Vec::new();
    random.read_to_end(&mut piece).unwrap();
    let mut file = File::create(&original).unwrap();
    for number in 0..SIZE >> 20 {
        piece[0] = u8::try_from(number % 256).unwrap();
        file.write_all(&piece).unwrap();
    }
    let place = format!("{}:", kept.id);
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    kept.sandbox(&["cp", &path(&original), &place]).output().expect_success();
    kept.sandbox(&["cp", &format!("{place}large"), &path(&copy)]).output().expect_success();
    let same = std::process::Command::new("cmp").args([&original, &copy]).status().unwrap();
    assert!(same.success());
    let status = std::fs::read_to_string(format!("/proc/{}/status", kept.keeper())).unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let most: u64 = most.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(most < 100 << 10, "the keeper took {most} kB");
    // What doesn't fit leaves no half of it.
    let refused = kept.sandbox(&["cp", &path(&original), &format!("{place}again")]).output();
    refused.expect_failure(77, &["disk limit", "--disk"]);
    assert_eq!(kept.sandbox(&["ls", &place]).output().expect_success(), format!("{SIZE:>12}  large\n"));
}

#[test]
fn a_keeper_that_is_killed_leaves_nothing() {
    let Some(kept) = Kept::create(&[]) else { return };
    let sleeper = marker(10);
    let client = kept
        .sandbox(&["exec", &kept.id, "--", "sh", "-c", &format!("setsid sleep {sleeper} & sleep {sleeper}")])
        .start();
    wait_until("the command runs", || with_argument(&sleeper).len() >= 2);
    rustix::process::kill_process(Pid::from_raw(kept.keeper()).unwrap(), Signal::KILL).unwrap();
    let client = client.finish();
    client.expect_failure(75, &["broke off"]);
    wait_until("its processes are gone", || with_argument(&sleeper).is_empty());
    assert_eq!(kept.places(), std::slice::from_ref(&kept.id));
    // Its lock ends a moment after its sockets.
    wait_until("its place is removed", || {
        kept.sandbox(&["list"]).output().expect_success().is_empty() && kept.places().is_empty()
    });
}

#[test]
fn a_client_that_is_killed_takes_its_command_along_and_the_sandbox_stays() {
    let Some(kept) = Kept::create(&[]) else { return };
    let sleeper = marker(20);
    for _ in 0..3 {
        let client = kept
            .sandbox(&["exec", &kept.id, "--", "sh", "-c", &format!("setsid sleep {sleeper} & sleep {sleeper}")])
            .start();
        wait_until("the command runs", || with_argument(&sleeper).len() >= 2);
        client.signal(Signal::KILL);
        drop(client);
        wait_until("its processes are gone", || with_argument(&sleeper).is_empty());
        assert_eq!(kept.sh("echo here").stdout(), "here\n");
    }
    // Also one that goes away in the middle of a file: no half of it is there.
    let slow = kept.sandbox(&["cp", "-", &format!("{}:half", kept.id)]).start();
    slow.child.stdin.as_ref().unwrap().write_all(&[7; 100_000]).unwrap();
    wait_until("some of it has come", || kept.sh("test -s half").code() == 0);
    slow.signal(Signal::KILL);
    drop(slow);
    wait_until("it is gone", || kept.sh("test -e half").code() == 1);
}

#[test]
fn what_asks_us_to_end_is_passed_on_once() {
    let Some(kept) = Kept::create(&[]) else { return };
    let sleeper = marker(30);
    let script = format!("trap 'echo trapped; exit 9' INT; sleep {sleeper} & echo up; wait");
    let run = kept.sandbox(&["exec", &kept.id, "--", "sh", "-c", &script]).start();
    wait_until("it runs", || !with_argument(&sleeper).is_empty());
    run.signal(Signal::INT);
    let run = run.finish();
    assert_eq!((run.code(), run.stdout().as_str()), (9, "up\ntrapped\n"));
    // One that doesn't want to end is ended by the second.
    let stubborn = format!("trap 'echo >> asked' INT; while :; do sleep {sleeper}1; done");
    let run = kept.sandbox(&["exec", &kept.id, "--", "sh", "-c", &stubborn]).start();
    wait_until("it runs", || !with_argument(&format!("{sleeper}1")).is_empty());
    run.signal(Signal::INT);
    wait_until("it was asked", || kept.sh("test -s asked").code() == 0);
    run.signal(Signal::INT);
    assert_eq!(run.finish().code(), 130);
    wait_until("it is gone", || with_argument(&format!("{sleeper}1")).is_empty());
}

#[test]
fn folders_go_both_ways_and_hostile_names_come_nowhere() {
    let Some(kept) = Kept::create(&[]) else { return };
    let here = tempfile::tempdir().unwrap();
    let path = |name: &str| here.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir_all(path("in/a/b")).unwrap();
    std::fs::write(path("in/a/b/c.txt"), "deep").unwrap();
    std::fs::write(path("in/run.sh"), "#!/bin/sh\necho ran\n").unwrap();
    std::process::Command::new("chmod").args(["755", &path("in/run.sh")]).status().unwrap();
    let place = format!("{}:", kept.id);
    kept.sandbox(&["cp", &path("in"), &place]).output().expect_failure(65, &["-r"]);
    kept.sandbox(&["cp", "-r", &path("in"), &place]).output().expect_success();
    assert_eq!(kept.sh("cat in/a/b/c.txt; in/run.sh").stdout(), "deepran\n");
    kept.sandbox(&["cp", "-r", &format!("{place}in"), &path("out")]).output().expect_success();
    assert_eq!(std::fs::read_to_string(path("out/a/b/c.txt")).unwrap(), "deep");

    let script = "mkdir bad; cd bad; echo good > good; ln -s /etc/passwd passwd; ln good two; mkfifo pipe; \
        for name in 'new\\nline' '\\033[2J' '\\377' ; do echo x > \"$(printf \"$name.\")\"; done; ln -s /etc folder; echo hid > ..hidden";
    assert_eq!(kept.sh(script).code(), 0);
    let copied = kept.sandbox(&["cp", "-r", &format!("{place}bad"), &path("bad")]).output();
    assert_eq!(copied.code(), 77, "{}", copied.stderr());
    assert!(!copied.stderr().contains('\x1b') || !copied.stderr().contains("\x1b[2J"), "{}", copied.stderr());
    let names: Vec<_> = std::fs::read_dir(path("bad")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["..hidden"]);
    // One by one, links are not followed either.
    for name in ["bad/passwd", "bad/folder/passwd", "bad/pipe", "bad/good"] {
        let copied = kept.sandbox(&["cp", &format!("{place}{name}"), &path("x")]).output();
        assert!(matches!(copied.code(), 66 | 77), "{name}: {}", copied.stderr());
    }
    for name in ["../x", "a\u{1b}b", "/proc/self/environ", "/etc/hostname"] {
        let copied = kept.sandbox(&["cp", &path("out/a/b/c.txt"), &format!("{place}{name}")]).output();
        assert!(matches!(copied.code(), 65 | 77), "{name}: {}", copied.stderr());
    }
    // What is here is replaced and not followed.
    std::fs::write(path("victim"), "untouched").unwrap();
    std::os::unix::fs::symlink(path("victim"), path("link")).unwrap();
    kept.sandbox(&["cp", &format!("{place}in/a/b/c.txt"), &path("link")]).output().expect_success();
    assert_eq!(std::fs::read_to_string(path("victim")).unwrap(), "untouched");
    assert_eq!(std::fs::read_to_string(path("link")).unwrap(), "deep");
    let shown = kept.sandbox(&["ls", &format!("{place}bad")]).output().expect_success();
    assert!(!shown.contains('\x1b') && shown.lines().count() == 9, "{shown}");
}

/// Both ends of a new pseudo-terminal.
fn terminal() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    (ours.into(), theirs)
}

/// Reads until a text has been shown.
fn read_until(screen: &mut File, shown: &mut String, text: &str) {
    let start = Instant::now();
    let from = shown.len();
    while !shown[from..].contains(text) {
        assert!(start.elapsed() < DEADLINE, "{text:?} was never shown: {shown:?}");
        let mut piece = [0; 4096];
        let read = screen.read(&mut piece).unwrap();
        shown.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
}

#[test]
fn a_shell_has_a_terminal_of_its_own_and_ours_is_put_back() {
    let Some(kept) = Kept::create(&[]) else { return };
    let (mut ours, theirs) = terminal();
    let size = |rows, columns| Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&ours, size(40, 132)).unwrap();
    let before = tcgetattr(&theirs).unwrap();
    let mut command = std::process::Command::new("setsid");
    command.args(["--ctty", "--wait", env!("CARGO_BIN_EXE_crucible"), "sandbox", "shell", &kept.id, "--", "sh"]);
    command.env("CRUCIBLE_SANDBOX_FOLDER", kept.folder.path()).env("HOME", kept.folder.path()).env("PS1", "ready> ");
    let again = || theirs.try_clone().unwrap();
    let mut shell = command.stdin(again()).stdout(again()).stderr(again()).spawn().unwrap();
    let mut shown = String::new();
    read_until(&mut ours, &mut shown, "$ ");
    ours.write_all(b"tty; stty size; echo done=$((40+2))\n").unwrap();
    read_until(&mut ours, &mut shown, "done=42");
    assert!(shown.contains("/dev/pts/0") && shown.contains("40 132"), "{shown}");
    // Ctrl-C is the command's, and only that.
    ours.write_all(b"sleep 1000; echo went-on\n").unwrap();
    read_until(&mut ours, &mut shown, "went-on");
    wait_until("it sleeps", || kept.sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -q 'sleep 1000 '").code() == 0);
    ours.write_all(&[3]).unwrap();
    read_until(&mut ours, &mut shown, "$ ");
    tcsetwinsize(&ours, size(50, 100)).unwrap();
    rustix::process::kill_process(Pid::from_raw(child_of(shell.id())).unwrap(), Signal::WINCH).unwrap();
    wait_until("the size has come", || {
        let mut asked = ours.try_clone().unwrap();
        asked.write_all(b"stty size; echo sized=$((1+1))\n").unwrap();
        let mut seen = String::new();
        read_until(&mut asked, &mut seen, "sized=2");
        seen.contains("50 100")
    });
    ours.write_all(b"exit 5\n").unwrap();
    assert_eq!(shell.wait().unwrap().code(), Some(5));
    let after = tcgetattr(&theirs).unwrap();
    assert_eq!(format!("{:?}", after.local_modes), format!("{:?}", before.local_modes));
    assert_eq!(format!("{:?}", after.input_modes), format!("{:?}", before.input_modes));
    // What is written to it as a whole ends with its input.
    let typed = kept
        .sandbox(&["exec", "-t", &kept.id, "--", "sh", "-c", "read line; echo got=$line; cat"])
        .stdin("one\n")
        .output();
    assert!(typed.code() == 0 && typed.stdout().contains("got=one"), "{}", typed.stdout());
}

fn child_of(parent: u32) -> i32 {
    let listed = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    listed
        .split_ascii_whitespace()
        .next()
        .map_or_else(|| i32::try_from(parent).unwrap(), |child| child.parse().unwrap())
}

#[test]
fn a_sandbox_that_nobody_uses_and_one_that_is_old_end_by_themselves() {
    let Some(idle) = Kept::create(&["--idle-timeout", "1s"]) else { return };
    let Some(old) = Kept::create(&["--lifetime", "2s"]) else { return };
    // Something that goes on keeps it from being idle, and from nothing else.
    let sleeper = marker(40);
    let cut = old.sandbox(&["exec", &old.id, "--", "sleep", &sleeper]).start();
    assert_eq!(idle.sh("sleep 1.5; echo still here").stdout(), "still here\n");
    wait_until("the idle one is gone", || idle.places().is_empty());
    wait_until("the old one is gone", || old.places().is_empty());
    assert_eq!(with_argument(&sleeper), [0; 0]);
    let cut = cut.finish();
    assert_eq!(cut.code(), 75, "{}", cut.stderr());
    assert!(cut.stderr().contains("the sandbox was ended"), "{}", cut.stderr());
    idle.sandbox(&["exec", &idle.id, "--", "true"]).output().expect_failure(66, &["no sandbox"]);
}

#[test]
fn a_fork_has_the_files_and_none_of_the_processes() {
    let Some(kept) = Kept::create(&[]) else { return };
    let sleeper = marker(50);
    let script =
        format!("echo one > file; ln -s file link; ln file twin; chmod 700 file; (setsid sleep {sleeper} &) ; sleep 0");
    assert_eq!(kept.sh(&script).code(), 0);
    let fork = kept.sandbox(&["fork", &kept.id]).output().expect_success().trim().to_owned();
    assert_ne!(fork, kept.id);
    let in_fork = |script: &str| kept.sandbox(&["exec", &fork, "--", "sh", "-c", script]).output().stdout();
    assert_eq!(in_fork("cat file; readlink link; stat -c '%a %h' file"), "one\nfile\n700 2\n");
    assert_eq!(in_fork("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c '^sleep'").trim(), "0");
    assert_eq!(in_fork("echo two > file"), "");
    assert_eq!(kept.sh("cat file").stdout(), "one\n");
    let mut ids: Vec<String> = kept.places();
    ids.sort();
    assert_eq!(ids, [kept.id.clone(), fork.clone()]);
    kept.sandbox(&["rm", &kept.id]).output().expect_success();
    assert_eq!(in_fork("cat file"), "two\n");
    kept.sandbox(&["rm", &fork]).output().expect_success();
    wait_until("both are gone", || kept.places().is_empty());
}

#[test]
fn what_cannot_be_done_is_one_clear_line() {
    let Some(kept) = Kept::create(&[]) else { return };
    let id = kept.id.as_str();
    let inside = format!("{id}:x");
    for (arguments, code, part) in [
        (&["exec", "019b-nosuch", "--", "true"][..], 66, "no sandbox"),
        (&["exec", id, "--", "no-such-program"], 66, "no such program"),
        (&["exec", id, "-w", "/nowhere", "--", "true"], 65, "folder"),
        (&["exec", id, "--user", "root", "--", "id"], 77, "another user"),
        (&["exec", id, "--timeout", "0s", "--", "true"], 65, "timeout"),
        (&["exec", id, "--env", "=x", "--", "true"], 65, "environment"),
        (&["cp", "a", "b"], 65, "neither path is in a sandbox"),
        (&["cp", &inside, &inside], 65, "both paths"),
        (&["cp", &inside, "-"], 66, "no such file"),
        (&["cp", "/no/such/file", &inside], 66, "/no/such/file"),
        (&["cp", "-", id], 65, "neither path is in a sandbox"),
        (&["ls", &format!("{id}:/etc")], 77, "writable folders"),
        (&["create", "--lifetime", "0s"], 65, "lifetime"),
        (&["create", "--policy", "strict"], 77, "stays open"),
        (&["create", "-l", "cobol"], 66, "cobol"),
        (&["create", "-b", "subprocess"], 77, "--unsafe"),
    ] {
        let run = kept.sandbox(arguments).output();
        run.expect_failure(code, &[part]);
    }
    assert_eq!(kept.places(), [id]);
    // Somebody who can write where places are kept could be anybody.
    let open = tempfile::tempdir().unwrap();
    std::fs::set_permissions(open.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    with_folder(&["sandbox", "create"], open.path()).output().expect_failure(74, &["chmod 700"]);
}

#[test]
fn limits_hold_for_all_of_a_sandbox_and_are_told() {
    let Some(kept) = Kept::create(&["--memory", "64MiB", "--disk", "8MiB", "--pids", "16"]) else { return };
    let hungry =
        kept.sandbox(&["exec", &kept.id, "--", "python3", "-I", "-S", "-c", "x = bytearray(256 << 20)"]).output();
    assert!(matches!(hungry.code(), 137 | 1), "{}", hungry.stderr());
    assert_eq!(kept.sh("head -c 16M /dev/zero > full").code(), 1);
    let refused = kept.sandbox(&["cp", "/bin/sh", &format!("{}:sh", kept.id)]).output();
    assert!(matches!(refused.code(), 65 | 77), "{}", refused.stderr());
    assert_eq!(kept.sh("test -e sh; echo $?; rm full; echo alive").stdout(), "1\nalive\n");
    let told: BTreeMap<String, serde_json::Value> =
        serde_json::from_value(kept.sandbox(&["list", "--json"]).output().json()["sandboxes"][0].clone()).unwrap();
    assert_eq!((&told["limits"]["memory"], &told["isolation"]), (&"64MiB".into(), &"shared_kernel".into()));
}
