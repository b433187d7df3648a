//! Calls that only the launcher and the sandbox's init make: clone, exec, signals, seccomp, keyring.
//!
//! Both are single-threaded, which is what makes forking sound here: no other thread can hold a lock in the child.

use super::check;
use crate::seccomp::Instruction;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::ffi::CString;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// On which side of a fork we are.
pub(crate) enum Forked {
    /// In the new process.
    Child,
    /// In the old one.
    Parent {
        /// The new process, as numbered in this process's namespace.
        pid: i32,
    },
}

/// `struct clone_args` of clone3(2), version 2.
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Clones this process into new namespaces (`flags` of `CLONE_NEW*`), straight into a cgroup of version 2 if one is given.
/// The child goes on from here with a copy of the memory. The parent gets a descriptor for it.
pub(crate) fn clone_into_namespaces(
    flags: u64,
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<(Forked, Option<OwnedFd>), Errno> {
    const CLONE_PIDFD: u64 = 0x1000;
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut pidfd: RawFd = -1;
    let mut arguments = CloneArguments {
        flags: flags | CLONE_PIDFD,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: u64::from(libc::SIGCHLD.unsigned_abs()),
        ..CloneArguments::default()
    };
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(cgroup.as_raw_fd().unsigned_abs());
    }
    // SAFETY: without CLONE_VM this is a fork: the child has its own copy of everything, and this process has one thread.
    // The kernel writes one int to `pidfd`, which outlives the call.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArguments>()) })?;
    if pid == 0 {
        return Ok((Forked::Child, None));
    }
    // SAFETY: clone3 has succeeded with CLONE_PIDFD, so that the kernel has put a fresh descriptor there.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok((Forked::Parent { pid: i32::try_from(pid).map_err(|_| Errno::OVERFLOW)? }, Some(pidfd)))
}

/// Forks this process.
pub(crate) fn fork() -> Result<Forked, Errno> {
    // SAFETY: this process has one thread, so that the child finds no lock held and may go on with ordinary code.
    let pid = check(libc::c_long::from(unsafe { libc::fork() }))?;
    Ok(if pid == 0 { Forked::Child } else { Forked::Parent { pid: i32::try_from(pid).map_err(|_| Errno::OVERFLOW)? } })
}

/// Ends this process at once, without running anything that the parent registered for its own end.
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

/// Loads a system call filter for this process and all that come from it.
pub(crate) fn load_seccomp_filter(program: &[Instruction]) -> Result<(), Errno> {
    load_filter(program, 0).map(drop)
}

/// The same, with a descriptor from which one can hear of the calls that the filter wants asked about, and answer them.
pub(crate) fn load_seccomp_filter_with_listener(program: &[Instruction]) -> Result<OwnedFd, Errno> {
    const NEW_LISTENER: u32 = 1 << 3;
    // A call that was heard of is given up for a deadly signal only. Kernels before 5.19 don't know this.
    const WAIT_KILLABLE_RECEIVE: u32 = 1 << 5;
    let descriptor = match load_filter(program, NEW_LISTENER | WAIT_KILLABLE_RECEIVE) {
        Err(Errno::INVAL) => load_filter(program, NEW_LISTENER),
        loaded => loaded,
    }?;
    let descriptor = RawFd::try_from(descriptor).map_err(|_| Errno::BADF)?;
    // SAFETY: with NEW_LISTENER the kernel has just returned this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn load_filter(program: &[Instruction], flags: u32) -> Result<libc::c_long, Errno> {
    #[repr(C)]
    struct Program {
        length: u16,
        instructions: *const Instruction,
    }
    const SET_MODE_FILTER: u32 = 1;
    let length = u16::try_from(program.len()).map_err(|_| Errno::TOOBIG)?;
    let program = Program { length, instructions: program.as_ptr() };
    // SAFETY: the structure has the layout of `struct sock_fprog`, Instruction that of `struct sock_filter`; both live
    // for the length of the call, and the kernel only reads them.
    check(unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &raw const program) })
}

/// Gives this process a fresh session keyring, so that it shares none with the supervisor.
pub(crate) fn join_new_session_keyring() -> Result<(), Errno> {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: a null name asks for an anonymous keyring; no memory is read.
    check(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, std::ptr::null::<u8>()) }).map(drop)
}

/// Sets flags on a mount, and on those below it if `recursive_flag` is `AT_RECURSIVE`.
pub(crate) fn set_mount_attributes(mount: impl AsFd, path: &CString, at_flags: u32, set: u64) -> Result<(), Errno> {
    mount_setattr(mount.as_fd(), path, at_flags, set, 0)
}

/// Has the files of a mount that isn't attached anywhere belong to the ids of a user namespace that have the numbers of their own.
pub(crate) fn map_mount_ids(mount: impl AsFd, user_namespace: impl AsFd) -> Result<(), Errno> {
    const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
    let number = u64::from(user_namespace.as_fd().as_raw_fd().unsigned_abs());
    mount_setattr(mount.as_fd(), &CString::default(), libc::AT_EMPTY_PATH.unsigned_abs(), MOUNT_ATTR_IDMAP, number)
}

fn mount_setattr(
    mount: BorrowedFd<'_>,
    path: &CString,
    at_flags: u32,
    set: u64,
    user_namespace: u64,
) -> Result<(), Errno> {
    #[repr(C)]
    struct MountAttributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    let attributes = MountAttributes { set, clear: 0, propagation: 0, user_namespace };
    // SAFETY: the descriptor is open, the path is null-terminated, and the size is that of the live structure, which the
    // kernel only reads.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            path.as_ptr(),
            at_flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    })
    .map(drop)
}

/// Closes every descriptor from `first` to `last`, both included.
pub(crate) fn close_range(first: u32, last: u32) -> Result<(), Errno> {
    // SAFETY: takes numbers only. The caller passes ranges that hold none of the descriptors it goes on to use.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0_u32) }).map(drop)
}

/// Marks every descriptor from `first` on to be closed by the next exec.
pub(crate) fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    const CLOEXEC: u32 = 4; // CLOSE_RANGE_CLOEXEC
    // SAFETY: takes numbers only and closes nothing now.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOEXEC) }).map(drop)
}

/// Makes a descriptor known under a number, too, under which an executed program finds it. What had that number is closed.
pub(crate) fn duplicate_to(descriptor: BorrowedFd<'_>, number: RawFd) -> Result<(), Errno> {
    // SAFETY: takes numbers only. The caller owns what has that number now, and doesn't use it any more.
    check(libc::c_long::from(unsafe { libc::dup2(descriptor.as_raw_fd(), number) })).map(drop)
}

/// Takes a descriptor that this program was started with, once, and keeps it from programs that it starts.
pub(crate) fn take_inherited(number: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: takes numbers only; fails where nothing is open under it.
    check(libc::c_long::from(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) }))?;
    // SAFETY: it is open, and whoever started this program meant it for whoever asks here, which happens once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
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

/// Gives every signal its default action again and unblocks all, as a program expects at its start.
pub(crate) fn restore_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: setting the default action runs no code of ours; for signals that can't be set the call merely fails.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
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

/// Sends a signal, which may be one without a name, to the process group that a process leads.
pub(crate) fn signal_group(leader: rustix::process::Pid, signal: i32) -> Result<(), Errno> {
    let group = leader.as_raw_nonzero().get();
    // 0 and -1 would mean others than the leader's group.
    if group <= 1 {
        return Err(Errno::SRCH);
    }
    // SAFETY: takes numbers only.
    check(libc::c_long::from(unsafe { libc::kill(-group, signal) })).map(drop)
}

/// Kills every process of this pid namespace but its init, which has to be the caller: anywhere else this refuses.
pub(crate) fn signal_everything_in_this_pid_namespace() -> Result<(), Errno> {
    if rustix::process::getpid() != rustix::process::Pid::INIT {
        return Err(Errno::PERM);
    }
    // SAFETY: takes numbers only. As pid 1 of a namespace, -1 means the namespace's other processes and nothing outside.
    match check(libc::c_long::from(unsafe { libc::kill(-1, libc::SIGKILL) })) {
        Err(Errno::SRCH) | Ok(_) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Moves this process into new namespaces. With `CLONE_NEWTIME`, only its future children.
pub(crate) fn unshare(flags: i32) -> Result<(), Errno> {
    // SAFETY: takes a number only; the callers pass namespace flags alone, and never CLONE_FILES or CLONE_VM.
    check(libc::c_long::from(unsafe { libc::unshare(flags) })).map(drop)
}

/// Brings up the loopback interface of the own network namespace, with further addresses of which each stands alone.
pub(crate) fn bring_up_loopback(addresses: &[IpAddr]) -> Result<(), Errno> {
    let socket = |family| rustix::net::socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
    let socket4 = socket(AddressFamily::INET)?;
    let mut request = interface("lo");
    // IFF_UP and IFF_RUNNING.
    request.ifr_ifru.ifru_flags = 0x41;
    interface_call(&socket4, libc::SIOCSIFFLAGS, &request)?;
    let mut aliases = 0;
    for address in addresses {
        match address {
            IpAddr::V4(address) => {
                aliases += 1;
                let mut request = interface(&format!("lo:{aliases}"));
                for (call, address) in
                    [(libc::SIOCSIFADDR, *address), (libc::SIOCSIFNETMASK, std::net::Ipv4Addr::BROADCAST)]
                {
                    request.ifr_ifru.ifru_addr = socket_address(address);
                    interface_call(&socket4, call, &request)?;
                }
            }
            IpAddr::V6(address) => {
                // `struct in6_ifreq`. The loopback is the first interface of every network namespace.
                #[repr(C)]
                struct Request {
                    address: [u8; 16],
                    prefix: u32,
                    interface: libc::c_int,
                }
                let request = Request { address: address.octets(), prefix: 128, interface: 1 };
                interface_call(&socket(AddressFamily::INET6)?, libc::SIOCSIFADDR, &request)?;
            }
        }
    }
    Ok(())
}

/// A request about an interface.
fn interface(name: &str) -> libc::ifreq {
    // SAFETY: a structure of numbers, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays 0.
    for (place, byte) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
        *place = byte.cast_signed();
    }
    request
}

fn socket_address(address: std::net::Ipv4Addr) -> libc::sockaddr {
    let address = libc::sockaddr_in {
        sin_family: libc::sa_family_t::try_from(libc::AF_INET).unwrap_or_default(),
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
        sin_zero: [0; 8],
    };
    // SAFETY: both are 16 bytes of numbers, and a sockaddr_in is what the kernel reads where the family says so.
    unsafe { std::mem::transmute::<libc::sockaddr_in, libc::sockaddr>(address) }
}

fn interface_call<T>(socket: &OwnedFd, call: libc::Ioctl, request: &T) -> Result<(), Errno> {
    // SAFETY: the callers pass a live structure of the kind that the call reads, and the kernel only reads it.
    check(libc::c_long::from(unsafe { libc::ioctl(socket.as_raw_fd(), call, std::ptr::from_ref(request)) })).map(drop)
}
