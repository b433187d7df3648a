//! Probes of the kernel's surface: features that a guest needn't have, each of which has had holes.
//!
//! Two kinds: those that get something which can be seen in the held process, and those that ask with invalid arguments.
//! A kernel that is reached answers the latter with another error than one that refuses. They have no effect either way.

use super::{Attempt, hold_as_child};
use crate::sys::{self, Call, Forked, call};
use rustix::fs::{Mode, OFlags};
use rustix::process::{WaitOptions, wait};

/// A call with invalid arguments.
type Question = (Call, [i16; 6]);

/// The attempt of that name.
pub(super) fn find(name: &str) -> Option<fn(&mut Attempt)> {
    Some(match name {
        "io-uring" => |attempt| attempt.hold(sys::io_uring_setup()),
        "userfaultfd" => userfaultfd,
        "watch-files" => watch_files,
        "user-namespace" => user_namespace,
        "network-namespace" => network_namespace,
        "terminal-input" => terminal_input,
        "personality" => personality,
        "other-architecture" => other_architecture,
        "kernel-log" => kernel_log,
        "file-handle" => |attempt| ask(attempt, FILE_HANDLE),
        "bpf" => |attempt| ask(attempt, BPF),
        "perf-events" => |attempt| ask(attempt, PERF_EVENTS),
        "keys" => |attempt| ask(attempt, KEYS),
        "load-module" => |attempt| ask(attempt, LOAD_MODULE),
        "load-kernel" => |attempt| ask(attempt, LOAD_KERNEL),
        "set-namespace" => |attempt| ask(attempt, SET_NAMESPACE),
        "clock-calls" => |attempt| ask(attempt, CLOCK_CALLS),
        "mount-calls" => |attempt| ask(attempt, MOUNT_CALLS),
        "quota" => |attempt| ask(attempt, QUOTA),
        "swap" => |attempt| ask(attempt, SWAP),
        "hardware" => |attempt| ask(attempt, HARDWARE),
        "peek-calls" => |attempt| ask(attempt, PEEK_CALLS),
        _ => return None,
    })
}

/// The folder that a process is in, where a call takes an open folder.
const HERE: i16 = -100;

// What a kernel that is reached answers stands beside each question.
#[rustfmt::skip]
const BPF: &[Question] = &[(Call::Bpf, [0, 0, 8192, 0, 0, 0])]; // more than a page of nothing: E2BIG
#[rustfmt::skip]
const PERF_EVENTS: &[Question] = &[(Call::PerfEventOpen, [0, 0, 0, -1, -1, 0])]; // every flag at once: EINVAL
#[rustfmt::skip]
const KEYS: &[Question] = &[
    (Call::AddKey, [0, 0, 0, 0, 0, 0]), // no type: EFAULT
    (Call::RequestKey, [0, 0, 0, 0, 0, 0]), // no type: EFAULT
    (Call::Keyctl, [9999, 0, 0, 0, 0, 0]), // no such command: EOPNOTSUPP
];
#[rustfmt::skip]
const LOAD_MODULE: &[Question] = &[
    (Call::FinitModule, [-1, 0, 0, 0, 0, 0]), // no file: EBADF
    (Call::InitModule, [0, 0, 0, 0, 0, 0]), // no image: ENOEXEC
    (Call::DeleteModule, [0, 0, 0, 0, 0, 0]), // no name: EFAULT
];
#[rustfmt::skip]
const LOAD_KERNEL: &[Question] = &[(Call::KexecLoad, [0, 9999, 0, 0x7FFE, 0, 0])]; // too many pieces, unknown flags: EINVAL
#[rustfmt::skip]
const SET_NAMESPACE: &[Question] = &[(Call::Setns, [-1, 0, 0, 0, 0, 0])]; // no namespace: EBADF
#[rustfmt::skip]
const CLOCK_CALLS: &[Question] = &[
    (Call::ClockSettime, [0, 0, 0, 0, 0, 0]), // no time: EFAULT
    (Call::Settimeofday, [1, 0, 0, 0, 0, 0]), // no time: EFAULT
    (Call::Adjtimex, [0, 0, 0, 0, 0, 0]), // no request: EFAULT
    (Call::ClockAdjtime, [0, 0, 0, 0, 0, 0]), // no request: EFAULT
];
#[rustfmt::skip]
const MOUNT_CALLS: &[Question] = &[
    (Call::Mount, [0, 0, 0, 0, 0, 0]), // no folder: EFAULT
    (Call::Umount, [0, -1, 0, 0, 0, 0]), // unknown flags: EINVAL
    (Call::OpenTree, [HERE, 0, 0, 0, 0, 0]), // no path: EFAULT
    (Call::MountSetattr, [HERE, 0, 0, 0, 0, 0]), // no attributes: EINVAL
    (Call::Fsconfig, [-1, 0, 0, 0, 0, 0]), // no file system: EINVAL
];
#[rustfmt::skip]
const QUOTA: &[Question] = &[(Call::Quotactl, [255, 0, 0, 0, 0, 0])]; // no such kind: EINVAL
#[rustfmt::skip]
const SWAP: &[Question] = &[(Call::Swapon, [0, -1, 0, 0, 0, 0])]; // unknown flags: EINVAL
#[rustfmt::skip]
const HARDWARE: &[Question] = &[
    (Call::Iopl, [9, 0, 0, 0, 0, 0]), // no such level: EINVAL
    (Call::Ioperm, [-1, -1, 0, 0, 0, 0]), // no such port: EINVAL
    (Call::ModifyLdt, [0, 0, 0, 0, 0, 0]), // nothing is read: OK
];
#[rustfmt::skip]
const FILE_HANDLE: &[Question] = &[
    (Call::NameToHandleAt, [HERE, 0, 0, 0, -1, 0]), // unknown flags: EINVAL
    (Call::OpenByHandleAt, [-1, 0, 0, 0, 0, 0]), // no handle: EFAULT
];
#[rustfmt::skip]
const PEEK_CALLS: &[Question] = &[
    (Call::Ptrace, [9999, -1, 0, 0, 0, 0]), // no such process: ESRCH
    (Call::ProcessVmReadv, [-1, 0, 0, 0, 0, 1]), // unknown flags: EINVAL
    (Call::ProcessVmWritev, [-1, 0, 0, 0, 0, 1]), // unknown flags: EINVAL
    (Call::PidfdGetfd, [-1, 0, 1, 0, 0, 0]), // unknown flags: EINVAL
];

fn ask(attempt: &mut Attempt, questions: &[Question]) {
    for (number, arguments) in questions {
        attempt.answer(call(*number, *arguments));
    }
}

/// Makes a descriptor that handles page faults, by which races in the kernel are won. Harmless: it handles none.
fn userfaultfd(attempt: &mut Attempt) {
    const USER_MODE_ONLY: i32 = 1;
    attempt.hold(sys::userfaultfd(libc::O_CLOEXEC | USER_MODE_ONLY));
    attempt.hold(sys::userfaultfd(libc::O_CLOEXEC));
}

/// Makes descriptors that watch files: on files shared with the host they tell what it does. Harmless: they watch none.
fn watch_files(attempt: &mut Attempt) {
    attempt.hold(sys::inotify_init());
    attempt.hold(sys::fanotify_init());
}

/// Makes user namespaces, in which every capability counts and so most of the kernel can be reached. Harmless: nothing is
/// done there.
fn user_namespace(attempt: &mut Attempt) {
    for fork in [sys::clone_into, sys::clone3_into] {
        match fork(libc::CLONE_NEWUSER) {
            Ok(Forked::Child) => hold_as_child(),
            other => drop(attempt.answer(other)),
        }
    }
    attempt.answer(sys::unshare(libc::CLONE_NEWUSER));
}

/// Makes a network namespace, in which interfaces and packet filters could be made. Harmless: none is.
fn network_namespace(attempt: &mut Attempt) {
    attempt.answer(sys::unshare(libc::CLONE_NEWNET));
    attempt.answer(sys::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET));
}

/// Types into a terminal as if someone sat there: by this a guest gave commands to the shell that had started it
/// (CVE-2017-5226 and others). Harmless: the terminal is its own, with nobody at the other end.
fn terminal_input(attempt: &mut Attempt) {
    let _session = rustix::process::setsid().is_ok();
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let Ok(controller) = rustix::fs::open("/dev/ptmx", flags, Mode::empty()) else { return };
    let Ok(terminal) = sys::open_terminal(&controller) else { return };
    let _own = rustix::process::ioctl_tiocsctty(&terminal).is_ok();
    let typed = sys::type_into_terminal(&terminal, b'x');
    attempt.answer(typed);
    attempt.held.extend([controller, terminal]);
}

/// Switches the randomisation of addresses off, which makes holes in programs easier to use. Harmless: for itself, from
/// its next program on, which it doesn't start.
fn personality(attempt: &mut Attempt) {
    attempt.answer(sys::personality(libc::ADDR_NO_RANDOMIZE));
}

/// Makes a system call of another architecture, whose numbers a filter may not know. Harmless: it asks for its own process
/// number, in a child that may be killed for it.
fn other_architecture(attempt: &mut Attempt) {
    match sys::fork() {
        Ok(Forked::Child) => {
            if sys::process_number_by_other_architecture() < 0 {
                std::process::abort();
            }
            sys::exit_now()
        }
        Ok(Forked::Parent) => {
            let ended = wait(WaitOptions::empty()).ok().flatten();
            let line = match ended.and_then(|(_, status)| status.exit_status()) {
                Some(0) => "errno OK",
                _ => "errno KILLED",
            };
            attempt.tell_line(line);
        }
        Err(errno) => drop(attempt.answer::<()>(Err(errno))),
    }
}

/// Asks for the kernel's log, which tells addresses and what other users do. Harmless: without a place to put it, nothing
/// is read.
fn kernel_log(attempt: &mut Attempt) {
    const READ_ALL: i16 = 3;
    ask(attempt, &[(Call::Syslog, [READ_ALL, 0, 0, 0, 0, 0])]); // no buffer: EINVAL
    attempt.hold(rustix::fs::open("/dev/kmsg", OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()));
}
