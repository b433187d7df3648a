//! Every native probe ends by itself and says so, and those that can be shown here do what they say, to what the test made.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use support::{Rights, Running, native, nonce, open_folder, program, start};

/// Runs a probe without rights to the line that says that it tried.
fn tried(name: &str, parameters: &[(&str, &str)]) -> Running {
    let (nonce, folder) = (nonce(), open_folder());
    start(native(name, &nonce), &nonce, Rights::None, folder.path(), parameters).until_tried()
}

/// A stand-in for the process that a probe is aimed at: it waits for the end of its input.
fn stand_in(secret_file: &std::path::Path) -> std::process::Child {
    let mut child = Command::new("sh")
        .args(["-c", "exec 9<\"$0\"; echo ready; exec cat"])
        .arg(secret_file)
        .env("SECRET", "secret-of-the-environment")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    // It has become `cat` when that answers.
    child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    child
}

/// Runs a probe with the test's own rights against a stand-in, and gives both.
fn aimed(name: &str) -> (Running, std::process::Child) {
    let (nonce, folder) = (nonce(), open_folder());
    let file = folder.path().join("secret");
    std::fs::write(&file, "secret-of-the-file").unwrap();
    let child = stand_in(&file);
    let pid = child.id().to_string();
    let running = start(native(name, &nonce), &nonce, Rights::Own, folder.path(), &[("CANARY_PID", &pid)]);
    (running.until_tried(), child)
}

fn holds(running: &Running, text: &str) -> bool {
    running.output.windows(text.len()).any(|window| window == text.as_bytes())
}

fn end(mut child: std::process::Child) -> std::process::ExitStatus {
    drop(child.stdin.take());
    child.wait().unwrap()
}

#[test]
fn every_probe_says_that_it_tried_then_holds_and_ends_with_its_input() {
    for probe in crucible_probe::NAMES {
        let (nonce, folder) = (nonce(), open_folder());
        let mut command = native(probe.name, &nonce);
        if probe.name == "trace-parent" {
            // Not this test, which would wait for its tracer at the next signal.
            command = Command::new("sh");
            command.args(["-c", "\"$0\" \"$@\"; exit $?"]).arg(program()).args([probe.name, &nonce]);
        }
        let mut running = start(command, &nonce, Rights::None, folder.path(), &[]).until_tried();
        assert!(running.is_holding(), "{} doesn't hold", probe.name);
        let (status, _) = running.end();
        support::remove_traces(&nonce);
        assert!(status.success(), "{}: {status}", probe.name);
        assert!(probe.description.len() > 10);
    }
}

#[test]
fn names_are_unique_and_an_unknown_one_is_an_error() {
    let names: std::collections::BTreeSet<_> = crucible_probe::NAMES.iter().map(|probe| probe.name).collect();
    assert_eq!(names.len(), crucible_probe::NAMES.len());
    for arguments in [&["nothing", "nonce"][..], &["hold"], &[], &["hold", "nonce", "more"]] {
        let status = Command::new(program()).args(arguments).stdin(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_probe_ends_although_its_input_never_does() {
    let mut running = tried("hold", &[]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while running.is_holding() {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn what_it_got_is_seen_in_the_process_that_holds() {
    for (name, expected) in [
        ("userfaultfd", "anon_inode:[userfaultfd]"),
        ("watch-files", "anon_inode:inotify"),
        ("rare-socket", "socket:["),
        ("io-uring", "anon_inode:[io_uring]"),
    ] {
        let running = tried(name, &[]);
        if running.answers().iter().all(|answer| ["EPERM", "ENOSYS"].contains(&answer.as_str())) {
            support::skip(name, &format!("this kernel has no {name} for ordinary users"));
            continue;
        }
        let seen = running.descriptors();
        assert!(seen.iter().any(|link| link.starts_with(expected)), "{name}: {seen:?}");
        running.end();
    }
}

#[test]
fn without_a_filter_every_question_reaches_the_kernel() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    if !status.lines().any(|line| line.split_whitespace().eq(["Seccomp:", "0"])) {
        support::skip("questions", "the test itself is under a filter of system calls");
        return;
    }
    for name in [
        "bpf",
        "perf-events",
        "keys",
        "set-namespace",
        "clock-calls",
        "mount-calls",
        "quota",
        "swap",
        "hardware",
        "peek-calls",
        "file-handle",
        "personality",
        "terminal-input",
    ] {
        let running = tried(name, &[]);
        let answers = running.answers();
        let is_refusal = |answer: &String| ["EPERM", "EACCES", "ENOSYS"].contains(&answer.as_str());
        assert!(!answers.is_empty() && !answers.iter().all(is_refusal), "{name}: {answers:?}");
        running.end();
    }
}

#[test]
fn a_namespace_that_was_made_is_seen_from_outside() {
    for (name, file) in [("user-namespace", "user"), ("network-namespace", "net")] {
        let (nonce, folder) = (nonce(), open_folder());
        let running = start(native(name, &nonce), &nonce, Rights::None, folder.path(), &[]).until_tried();
        let of = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/{file}")).unwrap();
        let own = of("self");
        let pids = support::processes_of(&nonce);
        let other = pids.iter().filter(|pid| of(&pid.to_string()) != own).count();
        let made = running.answers().iter().filter(|answer| *answer == "OK").count();
        assert!((made > 0) == (other > 0), "{name}: {:?}, {other} of {} are elsewhere", running.answers(), pids.len());
        running.end();
    }
}

#[test]
fn the_stand_in_is_signalled() {
    use std::os::unix::process::ExitStatusExt;
    let (running, child) = aimed("signal");
    assert_eq!(end(child).signal(), Some(10));
    running.end();
}

#[test]
fn the_stand_in_is_traced_and_let_go() {
    let (running, child) = aimed("trace");
    let tracer = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:")).unwrap();
        line.trim().parse::<u32>().unwrap()
    };
    assert_eq!(tracer(), running.child.id(), "{:?}", running.answers());
    running.end();
    assert_eq!(tracer(), 0);
    assert!(end(child).success());
}

#[test]
fn the_stand_ins_memory_and_open_file_are_read() {
    for (name, secret) in [("read-memory", "secret-of-the-environment"), ("take-descriptor", "secret-of-the-file")] {
        let (running, child) = aimed(name);
        assert!(holds(&running, secret), "{name}: {:?}", running.answers());
        running.end();
        assert!(end(child).success());
    }
}

#[test]
fn a_program_is_overwritten_with_the_byte_that_it_has() {
    let (nonce, folder) = (nonce(), open_folder());
    let file = folder.path().join("program");
    std::fs::write(&file, b"\x7fELF and so on").unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    let path = file.to_str().unwrap();
    let command = native("overwrite-runtime", &nonce);
    let running = start(command, &nonce, Rights::Own, folder.path(), &[("CANARY_PATH", path)]).until_tried();
    assert!(running.answers().contains(&"OK".to_owned()), "{:?}", running.answers());
    running.end();
    assert_eq!(std::fs::read(&file).unwrap(), b"\x7fELF and so on");
    assert_ne!(file.metadata().unwrap().modified().unwrap(), before);
}

#[test]
fn the_stack_grows_as_far_as_it_may() {
    let running = tried("stack", &[("CANARY_SIZE", "262144")]);
    assert!(holds(&running, "the stack grew"));
    running.end();
    let limited = |size: &str| {
        let (nonce, folder) = (nonce(), open_folder());
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -c 0; ulimit -s 1024; exec \"$0\" \"$@\""]).arg(program()).args(["stack", &nonce]);
        start(command, &nonce, Rights::None, folder.path(), &[("CANARY_SIZE", size)]).until_tried()
    };
    for (size, line) in [("262144", "the stack grew"), ("6291456", "the stack didn't grow")] {
        let running = limited(size);
        assert!(holds(&running, line), "{size}");
        running.end();
    }
}

#[test]
fn processor_time_is_used_and_no_more_than_asked() {
    let running = tried("burn-processor", &[("CANARY_SIZE", "100")]);
    let output = String::from_utf8_lossy(&running.output).into_owned();
    let used: u64 = output.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
    assert!((100..2000).contains(&used), "{used} ms");
    running.end();
}

#[test]
fn a_program_in_memory_is_become() {
    let (nonce, folder) = (nonce(), open_folder());
    let running = start(native("memory-program", &nonce), &nonce, Rights::None, folder.path(), &[]).until_tried();
    let executable = std::fs::read_link(format!("/proc/{}/exe", running.child.id())).unwrap();
    assert!(executable.to_str().unwrap().starts_with("/memfd:"), "{executable:?}");
    running.end();
}

#[test]
fn a_32_bit_call_is_made_where_the_kernel_has_them() {
    let answers = tried("other-architecture", &[]).answers();
    let has = std::path::Path::new("/proc/sys/abi/vsyscall32").exists();
    assert_eq!(answers, [if has { "OK" } else { "KILLED" }]);
}

/// Runs a shell line as root of namespaces of its own, in which `$0` is the native program. Gives its output, or nothing
/// where such namespaces can't be had.
fn in_namespaces(line: &str) -> Option<String> {
    let mut command = Command::new("unshare");
    command.args([
        "--user",
        "--map-root-user",
        "--mount",
        "--uts",
        "--ipc",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
    ]);
    command.args(["--mount-proc", "sh", "-c", line]).arg(program()).current_dir("/").stdin(Stdio::null());
    let output = command.output().unwrap();
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        support::skip("jail", &format!("namespaces can't be made here: {why}"));
        return None;
    }
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn as_root_of_a_namespace_a_probe_reaches_what_it_is_after() {
    for probe in ["mount", "chroot", "raw-socket"] {
        let line = format!("mount -t tmpfs none /mnt && cd /mnt && \"$0\" {probe} nonce");
        let Some(output) = in_namespaces(&line) else { return };
        assert!(output.contains("errno OK"), "{probe}: {output}");
    }
    let line = "mount -t sysfs none /sys && CANARY_NAME=lo CANARY_SIZE=1400 \"$0\" interface nonce >/dev/null && \
                cat /sys/class/net/lo/mtu";
    let Some(output) = in_namespaces(line) else { return };
    assert_eq!(output.trim(), "1400");
}

#[test]
fn what_was_left_is_found_and_what_was_not_is_not() {
    for probe in ["leave-ipc", "leave-host-name", "leave-mount"] {
        let both = format!(
            "mount -t tmpfs none /mnt && cd /mnt && export CANARY_NAME=unlikely && \"$0\" {probe} nonce >/dev/null && \
             LOOK=1 \"$0\" {probe} nonce"
        );
        let Some(output) = in_namespaces(&both) else { return };
        assert!(output.contains("unlikely"), "{probe}: {output}");
        let look = format!("CANARY_NAME=unlikely LOOK=1 \"$0\" {probe} nonce");
        let Some(output) = in_namespaces(&look) else { panic!("namespaces were to be had") };
        assert!(!output.contains("unlikely") && output.contains("tried nonce"), "{probe}: {output}");
    }
}
