//! Processes: forking, signals in unusual ways, tracing, other processes' memory, scheduling, executing.

use super::check;
use libc::{c_int, c_long};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd};

/// On which side of a fork we are.
pub(crate) enum Forked {
    /// In the new process.
    Child,
    /// In the old one.
    Parent,
}

fn forked(pid: c_long) -> Forked {
    if pid == 0 { Forked::Child } else { Forked::Parent }
}

/// Forks this process, which has to have one thread.
pub(crate) fn fork() -> Result<Forked, Errno> {
    // SAFETY: the probes that fork have one thread, so that the child finds no lock held and may go on with ordinary code.
    check(c_long::from(unsafe { libc::fork() })).map(forked)
}

/// Forks this process, which has to have one thread, into new namespaces (`CLONE_NEW*`) by clone.
pub(crate) fn clone_into(namespaces: c_int) -> Result<Forked, Errno> {
    let flags = c_long::from(namespaces | libc::SIGCHLD);
    // SAFETY: without CLONE_VM and without a stack this is a fork; the probes that call it have one thread.
    check(unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) }).map(forked)
}

/// Forks this process, which has to have one thread, into new namespaces (`CLONE_NEW*`) by clone3.
pub(crate) fn clone3_into(namespaces: c_int) -> Result<Forked, Errno> {
    // `struct clone_args`, version 0: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls.
    let arguments: [u64; 8] =
        [u64::from(namespaces.unsigned_abs()), 0, 0, 0, u64::from(libc::SIGCHLD.unsigned_abs()), 0, 0, 0];
    // SAFETY: without CLONE_VM this is a fork, and the probes that call it have one thread. The kernel only reads the live
    // arguments, whose size it is told.
    check(unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments)) }).map(forked)
}

/// Moves this process into new namespaces (`CLONE_NEW*`).
pub(crate) fn unshare(namespaces: c_int) -> Result<(), Errno> {
    // SAFETY: takes a number only; the callers pass namespaces alone, never CLONE_FILES or CLONE_VM.
    check(c_long::from(unsafe { libc::unshare(namespaces) })).map(drop)
}

/// Ends this process at once.
pub(crate) fn exit_now() -> ! {
    // SAFETY: _exit doesn't return and touches no memory.
    unsafe { libc::_exit(0) }
}

/// Signals one thread of a process, whose number is the process's own.
pub(crate) fn thread_signal(pid: i32, signal: c_int) -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::syscall(libc::SYS_tgkill, pid, pid, signal) }).map(drop)
}

/// Signals a process by the call that sends a value along.
pub(crate) fn queue_signal(pid: i32, signal: c_int) -> Result<(), Errno> {
    let value = libc::sigval { sival_ptr: std::ptr::null_mut() };
    // SAFETY: takes numbers, and a value that the kernel doesn't look at.
    check(c_long::from(unsafe { libc::sigqueue(pid, signal, value) })).map(drop)
}

/// Asks that a process gets a signal as soon as something can be done with a descriptor.
pub(crate) fn send_signal_by_descriptor(descriptor: impl AsFd, pid: i32, signal: c_int) -> Result<(), Errno> {
    let descriptor = descriptor.as_fd().as_raw_fd();
    for (command, argument) in
        [(libc::F_SETOWN, pid), (F_SETSIG, signal), (libc::F_SETFL, libc::O_ASYNC | libc::O_NONBLOCK)]
    {
        // SAFETY: takes numbers only; the descriptor is open for the length of the call.
        check(c_long::from(unsafe { libc::fcntl(descriptor, command, argument) }))?;
    }
    Ok(())
}

const F_SETSIG: c_int = 10;

/// Traces a process without stopping it. Ends with this process.
pub(crate) fn seize(pid: i32) -> Result<(), Errno> {
    // SAFETY: PTRACE_SEIZE takes a process number, no address, and no options.
    check(unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, 0_usize, 0_usize) }).map(drop)
}

/// Reads from another process's memory.
pub(crate) fn read_memory(pid: i32, address: usize, buffer: &mut [u8]) -> Result<usize, Errno> {
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: buffer.len() };
    // SAFETY: the kernel writes to the live buffer alone, at most as much as its length; the other address belongs to
    // another process, which is only read.
    let read =
        check(
            libc::ssize_t::from(unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) })
                as c_long,
        )?;
    usize::try_from(read).map_err(|_| Errno::OVERFLOW)
}

/// Asks for a real-time priority.
pub(crate) fn set_real_time(policy: c_int, priority: c_int) -> Result<(), Errno> {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: the kernel only reads the live parameters.
    check(c_long::from(unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) })).map(drop)
}

/// Asks for a millisecond of each second, before everyone else.
pub(crate) fn set_deadline() -> Result<(), Errno> {
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    const SCHED_DEADLINE: u32 = 6;
    let attributes = Attributes {
        size: 48,
        policy: SCHED_DEADLINE,
        flags: 0,
        nice: 0,
        priority: 0,
        runtime: 1_000_000,
        deadline: 1_000_000_000,
        period: 1_000_000_000,
    };
    // SAFETY: the kernel only reads the live structure, whose size it is told.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0_u32) }).map(drop)
}

/// Replaces this process's program by that in an open file. Returns only with an error.
pub(crate) fn execute_descriptor(file: impl AsFd, arguments: &[CString]) -> Errno {
    let pointers: Vec<*const libc::c_char> =
        arguments.iter().map(|argument| argument.as_ptr()).chain([std::ptr::null()]).collect();
    let (path, environment): (&CStr, [*const libc::c_char; 1]) = (c"", [std::ptr::null()]);
    let descriptor = file.as_fd().as_raw_fd();
    // SAFETY: the path and both null-terminated lists live until the call returns, if it does.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_execveat,
            descriptor,
            path.as_ptr(),
            pointers.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    check(returned).err().unwrap_or(Errno::IO)
}

/// Asks for this process's number by a system call of the 32-bit architecture.
#[cfg(target_arch = "x86_64")]
pub(crate) fn process_number_by_other_architecture() -> i64 {
    const GETPID_OF_32_BITS: i64 = 20;
    let answer: i64;
    // SAFETY: the call takes no arguments and touches no memory; the registers that it may change are named.
    unsafe {
        std::arch::asm!(
            "int 0x80",
            inlateout("rax") GETPID_OF_32_BITS => answer,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            options(nostack)
        );
    }
    answer
}
