//! Every Python probe ends by itself and says so, and those that can be shown here reach what the test made for them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use support::{Rights, Running, nonce, open_folder, python, start, suite};

/// The Python probes that end like all the others.
fn files() -> Vec<String> {
    let names = std::fs::read_dir(suite("probes")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() > 30);
    names
}

fn has_python() -> bool {
    let found = Command::new("python3").arg("--version").output().is_ok();
    if !found {
        support::skip("python", "there is no python3");
    }
    found
}

fn tried(file: &str, folder: &std::path::Path, parameters: &[(&str, &str)]) -> Running {
    let nonce = nonce();
    start(python(file, &nonce), &nonce, Rights::None, folder, parameters).until_tried()
}

fn holds(running: &Running, text: &str) -> bool {
    running.output.windows(text.len()).any(|window| window == text.as_bytes())
}

/// A folder with the canary that `writable_folder` describes.
fn canary_folder() -> tempfile::TempDir {
    let folder = open_folder();
    let file = folder.path().join("canary");
    std::fs::write(&file, "secret-of-the-file").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
    folder
}

#[test]
fn every_probe_says_what_it_tries_and_has_the_same_frame() {
    let mut frames = std::collections::BTreeSet::new();
    for file in files() {
        let text = std::fs::read_to_string(suite("probes").join(&file)).unwrap();
        let (own, frame) = text.split_once("# The frame, the same in every probe.").unwrap();
        frames.insert(frame.to_owned());
        let comment = own.strip_prefix("\"\"\"").unwrap().split("\"\"\"").next().unwrap();
        assert!(comment.contains("\n\nWhy: ") && comment.contains("Harmless: "), "{file}");
        assert!(own.lines().count() < 70, "{file} can't be read in a minute");
        assert!(text.lines().all(|line| line.len() <= 130), "{file}");
    }
    assert_eq!(frames.len(), 1);
}

#[test]
fn every_probe_says_that_it_tried_then_holds_and_ends_with_its_input() {
    if !has_python() {
        return;
    }
    for file in files().iter().filter(|file| *file != "ignore_signals.py") {
        let (nonce, folder) = (nonce(), open_folder());
        let mut running = start(python(file, &nonce), &nonce, Rights::None, folder.path(), &[]).until_tried();
        if file == "forge_result.py" {
            // It says so twice: once too early.
            running = running.until_tried();
        }
        assert!(running.is_holding(), "{file} doesn't hold");
        let expected = if file == "forge_result.py" { 23 } else { 0 };
        let (status, _) = running.end();
        assert_eq!(status.code(), Some(expected), "{file}");
        for left in support::processes_of(&nonce) {
            assert_eq!(file, "daemon.py");
            let pid = rustix::process::Pid::from_raw(left).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
        let made: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.path()).collect();
        assert!(made.is_empty(), "{file} without parameters made {made:?}");
    }
}

#[test]
fn a_daemon_outlives_the_probe_and_is_found_by_its_nonce() {
    if !has_python() {
        return;
    }
    let (nonce, folder) = (nonce(), open_folder());
    let running = start(python("daemon.py", &nonce), &nonce, Rights::None, folder.path(), &[]).until_tried();
    running.end();
    let left = support::processes_of(&nonce);
    assert!(!left.is_empty());
    for pid in left.into_iter().filter_map(rustix::process::Pid::from_raw) {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
}

#[test]
fn the_deaf_sleeper_can_only_be_killed() {
    if !has_python() {
        return;
    }
    let (nonce, folder) = (nonce(), open_folder());
    let mut running =
        start(python("ignore_signals.py", &nonce), &nonce, Rights::None, folder.path(), &[]).until_tried();
    let pid = rustix::process::Pid::from_child(&running.child);
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT, rustix::process::Signal::HUP] {
        rustix::process::kill_process(pid, signal).unwrap();
    }
    assert!(running.is_holding());
    running.child.kill().unwrap();
    assert_eq!(running.end().0.signal(), Some(9));
}

#[test]
fn a_file_is_read_in_every_way() {
    if !has_python() {
        return;
    }
    let folder = canary_folder();
    let path = folder.path().join("canary").to_str().unwrap().to_owned();
    let relative = format!("{}{}", "../".repeat(20), path.trim_start_matches('/'));
    for file in ["read_path.py", "read_parent.py", "read_proc_links.py", "read_leaked_folder.py"] {
        let own = open_folder();
        let running = tried(file, own.path(), &[("CANARY_PATH", &path), ("CANARY_RELATIVE", &relative)]);
        assert!(holds(&running, "secret-of-the-file"), "{file}: {}", String::from_utf8_lossy(&running.output));
        running.end();
    }
}

#[test]
fn a_folder_is_changed_in_every_way() {
    if !has_python() {
        return;
    }
    for (file, expected) in [("create_outside.py", 3), ("link_canary.py", 2)] {
        let (folder, own) = (canary_folder(), open_folder());
        let nonce = nonce();
        let parameters = [("CANARY_PATH", folder.path().to_str().unwrap())];
        // Links to another user's file are often forbidden.
        let running = start(python(file, &nonce), &nonce, Rights::Own, own.path(), &parameters).until_tried();
        let names = std::fs::read_dir(folder.path()).unwrap().count();
        assert!(names > expected, "{file}: {names}, {}", String::from_utf8_lossy(&running.output));
        running.end();
        for left in [format!("/tmp/{nonce}"), format!("/tmp/{nonce}-again")] {
            drop(std::fs::remove_file(left));
        }
    }
}

#[test]
fn a_shared_file_is_opened_for_writing_or_touched_and_no_byte_changes() {
    use std::os::unix::fs::MetadataExt;
    if !has_python() {
        return;
    }
    for file in ["write_read_only.py", "touch_read_only.py"] {
        let (folder, own, nonce) = (canary_folder(), open_folder(), nonce());
        let path = folder.path().join("canary");
        let before = path.metadata().unwrap();
        let parameters = [("CANARY_PATH", path.to_str().unwrap())];
        let running = start(python(file, &nonce), &nonce, Rights::Own, own.path(), &parameters).until_tried();
        let after = path.metadata().unwrap();
        let has_it_open = running.descriptors().iter().any(|link| link == path.to_str().unwrap());
        let is_touched = (before.ctime(), before.ctime_nsec()) != (after.ctime(), after.ctime_nsec());
        assert_eq!((has_it_open, is_touched), (file == "write_read_only.py", file == "touch_read_only.py"), "{file}");
        assert_eq!((before.mode(), before.mtime_nsec()), (after.mode(), after.mtime_nsec()));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "secret-of-the-file");
        running.end();
    }
}

#[test]
fn listeners_of_every_kind_are_reached() {
    if !has_python() {
        return;
    }
    let own = open_folder();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let parameters = [("CANARY_ADDRESS", "127.0.0.1"), ("CANARY_PORT", port.as_str())];
    let running = tried("connect_tcp.py", own.path(), &parameters);
    let mut asked = [0; 3];
    listener.accept().unwrap().0.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"GET");
    running.end();
    drop(listener);

    let running = tried("listen.py", own.path(), &parameters);
    std::net::TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    running.end();

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port().to_string();
    let running = tried("send_udp.py", own.path(), &[("CANARY_ADDRESS", "127.0.0.1"), ("CANARY_PORT", &port)]);
    assert!(socket.recv(&mut [0; 512]).unwrap() > 12);
    running.end();

    let path = own.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
    let running = tried("connect_unix.py", own.path(), &[("CANARY_PATH", path.to_str().unwrap())]);
    listener.accept().unwrap();
    running.end();
}

#[test]
fn a_process_is_seen_read_and_signalled() {
    if !has_python() {
        return;
    }
    let folder = canary_folder();
    let file = folder.path().join("canary");
    let stand_in = || {
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec 9<\"$0\"; echo ready; exec cat"])
            .arg(&file)
            .env("SECRET", "secret-of-the-environment");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
        while !std::fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap().starts_with("cat") {
            std::thread::yield_now();
        }
        child
    };
    for (probe, secret) in [
        ("list_processes.py", "cat"),
        ("read_process.py", "secret-of-the-environment"),
        ("read_process.py", "secret-of-the-file"),
        ("print_environment.py", "secret-of-the-environment"),
        ("print_commands.py", "cat"),
        ("signal_process.py", "tried"),
    ] {
        let (mut child, nonce, own) = (stand_in(), nonce(), open_folder());
        let pid = child.id().to_string();
        let running =
            start(python(probe, &nonce), &nonce, Rights::Own, own.path(), &[("CANARY_PID", &pid)]).until_tried();
        assert!(holds(&running, secret), "{probe}: {secret}");
        running.end();
        drop(child.stdin.take());
        let by = child.wait().unwrap().signal();
        assert_eq!(by, (probe == "signal_process.py").then_some(10), "{probe}");
    }
}

#[test]
fn what_is_used_up_is_bounded_by_the_size() {
    if !has_python() {
        return;
    }
    for (file, size, line) in [
        ("allocate.py", "4194304", "used"),
        ("memory_files.py", "4194304", "written"),
        ("pipes.py", "131072", "filled "),
        ("fork_many.py", "5", "started 5"),
        ("fill_inodes.py", "7", "made 7"),
        ("fill_disk.py", "1500000", "written 1500000"),
        ("open_many.py", "9", "opened 9"),
        ("burn.py", "20", "counted "),
    ] {
        let (nonce, own) = (nonce(), open_folder());
        let running =
            start(python(file, &nonce), &nonce, Rights::None, own.path(), &[("CANARY_SIZE", size)]).until_tried();
        assert!(holds(&running, line), "{file}: {}", String::from_utf8_lossy(&running.output));
        if file == "fork_many.py" {
            assert_eq!(support::processes_of(&nonce).len(), 6);
        }
        running.end();
    }
    let own = open_folder();
    let running = tried("flood.py", own.path(), &[("CANARY_SIZE", "131072")]);
    assert!((131_072..140_000).contains(&running.output.len()), "{}", running.output.len());
    running.end();
    let running = tried("large_file.py", own.path(), &[("CANARY_SIZE", "2097152")]);
    let sizes = std::fs::read_dir(own.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    assert_eq!(sizes.max(), Some(2_097_152));
    running.end();
}

#[test]
fn planted_links_lead_to_the_canary() {
    if !has_python() {
        return;
    }
    let (folder, own) = (canary_folder(), open_folder());
    let path = folder.path().join("canary");
    tried("plant_links.py", own.path(), &[("CANARY_PATH", path.to_str().unwrap())]).end();
    assert_eq!(std::fs::read_link(own.path().join("collected")).unwrap(), path);
    assert_eq!(std::fs::read_to_string(own.path().join("collected")).unwrap(), "secret-of-the-file");
}
