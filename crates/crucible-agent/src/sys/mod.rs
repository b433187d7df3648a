//! The system calls that no safe crate wraps. The only place of this crate with `unsafe` code: each block is one call, with
//! the reason why it is sound. Every function is safe to call, and fails with the kernel's errno.
#![expect(unsafe_code, reason = "raw system calls; see the invariant in ARCHITECTURE.md")]

use crate::protocol::Instruction;
use rustix::io::Errno;
use std::ffi::{CString, c_int, c_void};
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// How much stack a child has until it executes its program.
const STACK_BYTES: usize = 256 << 10;

/// Turns the C convention (-1 and errno) into a result.
fn check(returned: libc::c_long) -> Result<libc::c_long, Errno> {
    if returned == -1 {
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
        Err(Errno::from_raw_os_error(errno))
    } else {
        Ok(returned)
    }
}

/// Starts a process that shares this one's memory and runs `child` until it executes a program or ends; this process waits
/// until then. Gives the child's number and what `child` returned if it came to that.
///
/// So nothing is copied, which in a kernel like gVisor's costs more than all the rest, and a failure needs no pipe to be told.
pub(crate) fn spawn<T>(child: impl FnOnce() -> T) -> Result<(i32, Option<T>), Errno> {
    struct Passed<F, T> {
        child: Option<F>,
        returned: Option<T>,
    }
    extern "C" fn enter<F: FnOnce() -> T, T>(passed: *mut c_void) -> c_int {
        // SAFETY: the pointer is the one that `spawn` gave to clone; nobody else touches what it leads to until this process
        // has executed a program or ended, because the parent doesn't run until then.
        let passed = unsafe { &mut *passed.cast::<Passed<F, T>>() };
        if let Some(child) = passed.child.take() {
            passed.returned = Some(child());
        }
        exit_now(127)
    }
    fn entrance<F: FnOnce() -> T, T>(_: &F) -> extern "C" fn(*mut c_void) -> c_int {
        enter::<F, T>
    }
    let entrance = entrance(&child);
    let mut passed = Passed { child: Some(child), returned: None };
    // 16-byte units, so that the stack's top is aligned as the ABI wants it.
    let mut stack = vec![0_u128; STACK_BYTES / size_of::<u128>()];
    let top = stack.as_mut_ptr_range().end.cast::<c_void>();
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: this process has one thread, which stands still until the child has executed a program or ended, so that the
    // child is alone with the memory for as long as it uses it. It has a stack of its own, whose end is given, and `passed`
    // outlives the call. Descriptors, folder, limits and signal actions are copies. Panics abort in this program.
    let pid =
        check(libc::c_long::from(unsafe { libc::clone(entrance, top, flags, (&raw mut passed).cast::<c_void>()) }))?;
    drop(stack);
    Ok((i32::try_from(pid).map_err(|_| Errno::OVERFLOW)?, passed.returned))
}

/// Starts a copy of this process that runs `child`, ends with it, and has no memory in common with this one. Gives its number.
pub(crate) fn fork(child: impl FnOnce()) -> Result<i32, Errno> {
    // SAFETY: this process has one thread, so that the copy finds every lock and all memory as they are between two statements.
    match check(libc::c_long::from(unsafe { libc::fork() }))? {
        0 => {
            child();
            exit_now(0)
        }
        pid => i32::try_from(pid).map_err(|_| Errno::OVERFLOW),
    }
}

/// What [`leave`] leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Namespace {
    /// The namespace of users, for a new one.
    Users,
    /// That of the processes which this one starts from now on.
    Processes,
}

/// Leaves a namespace for a new one.
pub(crate) fn leave(namespace: Namespace) -> Result<(), Errno> {
    let flag = match namespace {
        Namespace::Users => libc::CLONE_NEWUSER,
        Namespace::Processes => libc::CLONE_NEWPID,
    };
    // SAFETY: takes a number only; descriptors and memory stay what they are.
    check(libc::c_long::from(unsafe { libc::unshare(flag) })).map(drop)
}

/// Closes every descriptor, in a process that has no use for any and goes on until it is killed, and has the kernel collect
/// its ended children.
pub(crate) fn keep_nothing_and_no_children() -> Result<(), Errno> {
    // SAFETY: ignoring a signal runs no code of ours.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    // Up to the highest there can be: gVisor takes no larger number.
    // SAFETY: whoever owns a descriptor here never uses it again, nor drops it: the caller only waits from here on.
    check(unsafe { libc::syscall(libc::SYS_close_range, 0, i32::MAX, 0) }).map(drop)
}

/// Ends this process at once, without running anything that was registered for its end.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit doesn't return and touches no memory.
    unsafe { libc::_exit(code) }
}

/// Replaces this process's program. Returns only with an error.
pub(crate) fn execute(path: &CString, arguments: &[CString], environment: &[CString]) -> Errno {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: the path and both null-terminated lists of null-terminated strings live until the call returns, if it does.
    match check(libc::c_long::from(unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) })) {
        Err(errno) => errno,
        Ok(_) => Errno::IO,
    }
}

/// Blocks the end of children as a signal, and makes a descriptor that tells of it instead.
pub(crate) fn block_signals_into_descriptor() -> Result<OwnedFd, Errno> {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set before anything reads it; the other calls get a pointer to it while it lives.
    let descriptor = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
        check(libc::c_long::from(libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut())))?;
        check(libc::c_long::from(libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)))?
    };
    let descriptor = i32::try_from(descriptor).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel has just returned this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Has signals as a program expects them at its start: none blocked, and the one that this program ignores with its default
/// action again. Those that it handles get theirs by executing another program.
pub(crate) fn restore_signals() {
    // SAFETY: setting the default action runs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set before sigprocmask reads it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut());
    }
}

/// Lets writing to a broken pipe fail in place of ending this process.
pub(crate) fn ignore_broken_pipes() {
    // SAFETY: ignoring a signal runs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// Loads a system call filter for this process and all that come from it.
pub(crate) fn load_filter(program: &[Instruction]) -> Result<(), Errno> {
    #[repr(C)]
    struct Encoded {
        code: u16,
        jump_true: u8,
        jump_false: u8,
        constant: u32,
    }
    #[repr(C)]
    struct Program {
        length: u16,
        instructions: *const Encoded,
    }
    const SET_MODE_FILTER: u32 = 1;
    let encoded: Vec<Encoded> = program
        .iter()
        .map(|Instruction { code, jump_true, jump_false, constant }| Encoded {
            code: *code,
            jump_true: *jump_true,
            jump_false: *jump_false,
            constant: *constant,
        })
        .collect();
    let length = u16::try_from(encoded.len()).map_err(|_| Errno::TOOBIG)?;
    let program = Program { length, instructions: encoded.as_ptr() };
    // SAFETY: the structure has the layout of `struct sock_fprog`, Encoded that of `struct sock_filter`; both live for the
    // length of the call, and the kernel only reads them.
    check(unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, 0, &raw const program) }).map(drop)
}

/// Names a socket. The length that the kernel is told is a little more than an internet address has, which it takes: in a
/// container the agent is under the guests' own filter, which refuses the exact length so that a guest's attempt is seen (see
/// `INTERNET_LENGTHS_THIRD` of the jail's table). So the filter needs no exception.
pub(crate) fn bind(socket: &OwnedFd, address: SocketAddrV4) -> Result<(), Errno> {
    #[repr(C)]
    struct Longer {
        address: libc::sockaddr_in,
        more: u32,
    }
    let longer = Longer {
        address: libc::sockaddr_in {
            sin_family: libc::sa_family_t::try_from(libc::AF_INET).map_err(|_| Errno::OVERFLOW)?,
            sin_port: address.port().to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
            sin_zero: [0; 8],
        },
        more: 0,
    };
    let length = libc::socklen_t::try_from(size_of::<Longer>()).map_err(|_| Errno::OVERFLOW)?;
    // SAFETY: the kernel reads as many bytes as the structure has, all of them initialised, which outlives the call.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const longer).cast::<libc::sockaddr>(), length) };
    check(libc::c_long::from(bound)).map(drop)
}

/// Marks every descriptor from `first` on to be closed by the next exec.
pub(crate) fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    const CLOEXEC: u32 = 4; // CLOSE_RANGE_CLOEXEC
    // SAFETY: takes numbers only and closes nothing now.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOEXEC) }).map(drop)
}

/// Marks one descriptor so, if it is open.
pub(crate) fn close_on_exec(descriptor: c_int) {
    // SAFETY: takes numbers only; on a descriptor that isn't open the call merely fails.
    unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
}

/// The processor time of all children that have ended and been waited for, with their own, in microseconds.
pub(crate) fn cpu_of_ended_children_us() -> u64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel fills in a structure of its kind; zeros, which are there if it doesn't, are valid numbers.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr());
        usage.assume_init()
    };
    let microseconds = |time: libc::timeval| {
        let (seconds, rest) = (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_usec).unwrap_or(0));
        seconds.saturating_mul(1_000_000).saturating_add(rest)
    };
    microseconds(usage.ru_utime).saturating_add(microseconds(usage.ru_stime))
}

/// Kills every process of this pid namespace but its init, which has to be the caller: anywhere else this refuses.
pub(crate) fn kill_everything_in_this_pid_namespace() -> Result<(), Errno> {
    if rustix::process::getpid() != rustix::process::Pid::INIT {
        return Err(Errno::PERM);
    }
    // SAFETY: takes numbers only. As pid 1 of a namespace, -1 means the namespace's other processes and nothing outside.
    match check(libc::c_long::from(unsafe { libc::kill(-1, libc::SIGKILL) })) {
        Err(Errno::SRCH) | Ok(_) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Sends a signal to one process, or with a negative number to a process group.
pub(crate) fn signal(process: i32, signal: i32) -> Result<(), Errno> {
    if matches!(process, -1..=1) {
        return Err(Errno::INVAL);
    }
    // SAFETY: takes numbers only; never all processes, the own group or the first process.
    check(libc::c_long::from(unsafe { libc::kill(process, signal) })).map(drop)
}

/// What a terminal's foreground hears when its size has changed.
pub(crate) const WINDOW_CHANGED: i32 = libc::SIGWINCH;

/// The kinds of limits that a command can be marked with: what they limit is refused to a guest anyway, or isn't limited.
const MARKS: [libc::__rlimit_resource_t; 2] = [libc::RLIMIT_RTTIME, libc::RLIMIT_RSS];

/// The kind of limit that commands can be marked with here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(libc::__rlimit_resource_t);

impl Mark {
    /// What `/proc/PID/limits` calls it.
    pub(crate) const fn title(self) -> &'static str {
        if self.0 == libc::RLIMIT_RTTIME { "Max realtime timeout" } else { "Max resident set" }
    }
}

/// The mark of this process.
fn own_mark(mark: Mark) -> Option<u64> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: nothing is set, and the kernel writes to a structure of its kind that outlives the call.
    check(libc::c_long::from(unsafe { libc::prlimit64(0, mark.0, std::ptr::null(), &raw mut limit) })).ok()?;
    Some(limit.rlim_max)
}

/// Marks this process and all that come from it: they can lower the mark, but never raise it.
pub(crate) fn set_mark(mark: Mark, value: u64) -> Result<(), Errno> {
    let limit = libc::rlimit64 { rlim_cur: value, rlim_max: value };
    // SAFETY: the kernel only reads a structure of its kind that outlives the call, and answers nothing.
    check(libc::c_long::from(unsafe { libc::prlimit64(0, mark.0, &raw const limit, std::ptr::null_mut()) })).map(drop)
}

/// The kind of limit that commands can be marked with here, if there is one: it can be set, and is far above `least` now.
pub(crate) fn usable_mark(least: u64) -> Option<Mark> {
    MARKS.into_iter().map(Mark).find(|mark| {
        // Setting it to what it is tells whether it may be set at all, and costs nothing.
        own_mark(*mark).is_some_and(|now| now >= least && set_mark_as_it_is(*mark).is_ok())
    })
}

fn set_mark_as_it_is(mark: Mark) -> Result<(), Errno> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes to a structure of its kind that outlives the call.
    check(libc::c_long::from(unsafe { libc::prlimit64(0, mark.0, std::ptr::null(), &raw mut limit) }))?;
    // SAFETY: the kernel only reads the structure.
    check(libc::c_long::from(unsafe { libc::prlimit64(0, mark.0, &raw const limit, std::ptr::null_mut()) })).map(drop)
}
