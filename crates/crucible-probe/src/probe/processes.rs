//! Probes of other processes: signalling, tracing, reading, overwriting, outrunning them.

use super::{Attempt, canary_process, parameter};
use crate::sys;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// Signals the stand-in in every way there is. A guest that can signal its supervisor can stop or kill it, too. Harmless:
/// SIGUSR1, for which the stand-in is prepared, and to no other process.
pub(super) fn signal(attempt: &mut Attempt) {
    let Some(pid) = canary_process() else { return };
    let raw = pid.as_raw_nonzero().get();
    attempt.answer(rustix::process::kill_process(pid, Signal::USR1));
    attempt.answer(sys::thread_signal(raw, libc::SIGUSR1));
    attempt.answer(sys::queue_signal(raw, libc::SIGUSR1));
    let by_descriptor = rustix::process::pidfd_open(pid, PidfdFlags::empty());
    attempt.answer(by_descriptor.and_then(|pidfd| rustix::process::pidfd_send_signal(pidfd, Signal::USR1)));
    attempt.answer(signal_by_pipe(raw));
}

/// Has the kernel signal the stand-in because a pipe of ours can be read.
fn signal_by_pipe(pid: i32) -> Result<(), Errno> {
    let (read, write) = rustix::pipe::pipe()?;
    sys::send_signal_by_descriptor(&read, pid, libc::SIGUSR1)?;
    rustix::io::write(&write, b"x").map(drop)
}

/// Traces the stand-in. Whoever traces a process owns it. Harmless: it isn't stopped, and is let go at the end, until when
/// signals to it wait.
pub(super) fn trace(attempt: &mut Attempt) {
    if let Some(pid) = canary_process() {
        attempt.answer(sys::seize(pid.as_raw_nonzero().get()));
    }
}

/// Traces the process that started this one, in a sandbox its init. Harmless: it isn't stopped, and is let go at the end,
/// until when signals to it wait.
pub(super) fn trace_parent(attempt: &mut Attempt) {
    if let Some(pid) = rustix::process::getppid() {
        attempt.answer(sys::seize(pid.as_raw_nonzero().get()));
    }
}

/// Reads the upper end of the stand-in's stack, where its arguments and environment lie. Harmless: 64 KiB are read.
pub(super) fn read_memory(attempt: &mut Attempt) {
    let Some(pid) = canary_process() else { return };
    let Some(end) = end_of_stack(pid) else {
        attempt.tell_line("no stack to be seen");
        return;
    };
    let mut content = vec![0; 64 << 10];
    let read = sys::read_memory(pid.as_raw_nonzero().get(), end.saturating_sub(content.len()), &mut content);
    if let Some(length) = attempt.answer(read) {
        attempt.tell(content.get(..length).unwrap_or_default());
    }
}

fn end_of_stack(pid: Pid) -> Option<usize> {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", pid.as_raw_nonzero())).ok()?;
    let line = maps.lines().find(|line| line.ends_with("[stack]"))?;
    let (_, end) = line.split_whitespace().next()?.split_once('-')?;
    usize::from_str_radix(end, 16).ok()
}

/// Takes a copy of the stand-in's descriptor 9 and reads from it. Harmless: what it reads is the suite's own file.
pub(super) fn take_descriptor(attempt: &mut Attempt) {
    let Some(pid) = canary_process() else { return };
    let taken = rustix::process::pidfd_open(pid, PidfdFlags::empty())
        .and_then(|pidfd| rustix::process::pidfd_getfd(pidfd, 9, PidfdGetfdFlags::empty()));
    let Some(file) = attempt.answer(taken) else { return };
    let mut content = vec![0; 4096];
    if let Ok(length) = rustix::io::pread(&file, content.as_mut_slice(), 0) {
        attempt.tell(content.get(..length).unwrap_or_default());
    }
}

/// Writes to the program of the process that started this one, as found in /proc, and to its stand-in at CANARY_PATH. By
/// this the host's root was taken over (CVE-2019-5736). Harmless: the byte that is written is the one that is there.
pub(super) fn overwrite_runtime(attempt: &mut Attempt) {
    let parent = rustix::process::getppid().map(|pid| format!("/proc/{}/exe", pid.as_raw_nonzero()));
    for path in parent.into_iter().chain(parameter("CANARY_PATH")) {
        attempt.answer(write_first_byte(&path));
        // Opened for reading first, and again by way of the descriptor.
        let again = std::fs::File::open(&path).map_err(errno).and_then(|file| {
            let raw = std::os::fd::AsRawFd::as_raw_fd(&file.as_fd());
            write_first_byte(&format!("/proc/self/fd/{raw}"))
        });
        attempt.answer(again);
    }
}

fn write_first_byte(path: &str) -> Result<(), Errno> {
    let first_of_every_program = [0x7F];
    let file = std::fs::OpenOptions::new().write(true).open(path).map_err(errno)?;
    file.write_at(&first_of_every_program, 0).map(drop).map_err(errno)
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

/// Asks to come before every other process of the machine. Harmless: it gets no further than to wait.
pub(super) fn real_time(attempt: &mut Attempt) {
    attempt.answer(rustix::process::setpriority_process(None, -1));
    attempt.answer(sys::set_deadline());
    attempt.answer(sys::set_real_time(libc::SCHED_RR, 1));
    attempt.answer(sys::set_real_time(libc::SCHED_FIFO, 1));
    // Which isn't one: a kernel that gets to see it says so, whoever asks.
    attempt.answer(sys::set_real_time(libc::SCHED_FIFO, 0));
}
