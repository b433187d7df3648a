//! The system calls that a guest may make, as data: each with the reason why it is allowed, or the particular way in
//! which it is refused. Whatever isn't in the table is refused with [`REFUSED`], or `ENOSYS` if it is newer than the table.
//!
//! The filter is loaded before the first guest instruction and covers the sandbox's init, too. Filters only stack, so
//! nothing that runs inside can ever get back what is refused here.

use super::{Alternative, Answer, Argument, Rule, Test};
use Answer::{Allow, Refuse, Report};
use Rule::{AllowWhen, Always, Cases};
use libc::c_long;

/// The answer to a system call that isn't allowed.
pub(super) const REFUSED: i32 = libc::EPERM;
/// The answer to one that the table doesn't know: programs take it for an older kernel and fall back.
pub(super) const UNKNOWN: i32 = libc::ENOSYS;

/// One or more system calls with the same rule and the same reason.
pub struct Entry {
    /// Their numbers.
    pub calls: &'static [c_long],
    /// What happens to them.
    pub rule: Rule,
    /// Why.
    pub reason: &'static str,
}

const fn entry(calls: &'static [c_long], rule: Rule, reason: &'static str) -> Entry {
    Entry { calls, rule, reason }
}

/// Every namespace flag of clone(2) and unshare(2).
const NAMESPACE_FLAGS: u32 = 0x7E02_0000;

/// `ioctl` requests that are allowed: terminals of the sandbox's own devpts, and descriptor housekeeping. TIOCSTI, which
/// types into a terminal, and TIOCLINUX are not among them.
#[rustfmt::skip]
const IOCTLS: &[Alternative] = &[
    &[Test::equals(Argument::Second, 0x5401)], // TCGETS
    &[Test::equals(Argument::Second, 0x5402)], // TCSETS
    &[Test::equals(Argument::Second, 0x5403)], // TCSETSW
    &[Test::equals(Argument::Second, 0x5404)], // TCSETSF
    &[Test::equals(Argument::Second, 0x5409)], // TCSBRK
    &[Test::equals(Argument::Second, 0x540A)], // TCXONC
    &[Test::equals(Argument::Second, 0x540B)], // TCFLSH
    &[Test::equals(Argument::Second, 0x540E)], // TIOCSCTTY
    &[Test::equals(Argument::Second, 0x540F)], // TIOCGPGRP
    &[Test::equals(Argument::Second, 0x5410)], // TIOCSPGRP
    &[Test::equals(Argument::Second, 0x5411)], // TIOCOUTQ
    &[Test::equals(Argument::Second, 0x5413)], // TIOCGWINSZ
    &[Test::equals(Argument::Second, 0x5414)], // TIOCSWINSZ
    &[Test::equals(Argument::Second, 0x541B)], // FIONREAD
    &[Test::equals(Argument::Second, 0x5421)], // FIONBIO
    &[Test::equals(Argument::Second, 0x5422)], // TIOCNOTTY
    &[Test::equals(Argument::Second, 0x5429)], // TIOCGSID
    &[Test::equals(Argument::Second, 0x5450)], // FIONCLEX
    &[Test::equals(Argument::Second, 0x5451)], // FIOCLEX
    &[Test::equals(Argument::Second, 0x5452)], // FIOASYNC
    &[Test::equals(Argument::Second, 0x8004_5430)], // TIOCGPTN
    &[Test::equals(Argument::Second, 0x4004_5431)], // TIOCSPTLCK
    &[Test::equals(Argument::Second, 0x5441)], // TIOCGPTPEER
];

/// Requests that type into a terminal: TIOCSTI and TIOCLINUX.
const TYPING: &[Alternative] = &[&[Test::equals(Argument::Second, 0x5412)], &[Test::equals(Argument::Second, 0x541C)]];

/// How long internet addresses are: `sockaddr_in`, `sockaddr_in6`, and whatever is longer than any Unix address, such as
/// `sockaddr_storage`. The address itself lies behind a pointer. A program that gives a length in between gets past the
/// report, and nowhere else; a Unix address that is just as long (a path of 13, 14, 25 or 26 bytes) is taken for one.
#[rustfmt::skip]
const INTERNET_LENGTHS_THIRD: &[Alternative] = &[
    &[Test::equals(Argument::Third, 16)], &[Test::equals(Argument::Third, 28)], &[Test::at_least(Argument::Third, LONGER_THAN_UNIX)],
];
#[rustfmt::skip]
const INTERNET_LENGTHS_SIXTH: &[Alternative] = &[
    &[Test::equals(Argument::Sixth, 16)], &[Test::equals(Argument::Sixth, 28)], &[Test::at_least(Argument::Sixth, LONGER_THAN_UNIX)],
];
const LONGER_THAN_UNIX: u32 = 111;
const INTERNET_ADDRESS_THIRD: &[(&[Alternative], Answer)] = &[(INTERNET_LENGTHS_THIRD, Report(libc::ENETUNREACH))];
const INTERNET_ADDRESS_SIXTH: &[(&[Alternative], Answer)] = &[(INTERNET_LENGTHS_SIXTH, Report(libc::ENETUNREACH))];
const LOCAL_ADDRESS_THIRD: &[(&[Alternative], Answer)] = &[(INTERNET_LENGTHS_THIRD, Report(libc::EADDRNOTAVAIL))];

/// The types of a socket, without the flags in the upper bits.
const TYPE: u32 = 0xF;

/// Socket families, types and protocols: Unix sockets, TCP and UDP. Internet sockets lead nowhere, since the network
/// namespace is empty. Raw and packet sockets, netlink, vsock and rarer protocols are not among them.
#[rustfmt::skip]
const SOCKETS: &[Alternative] = &[
    &[Test::equals(Argument::First, 1), Test::masked(Argument::Second, TYPE, 1)],
    &[Test::equals(Argument::First, 1), Test::masked(Argument::Second, TYPE, 2)],
    &[Test::equals(Argument::First, 1), Test::masked(Argument::Second, TYPE, 5)],
    &[Test::equals(Argument::First, 2), Test::masked(Argument::Second, TYPE, 1), Test::equals(Argument::Third, 0)],
    &[Test::equals(Argument::First, 2), Test::masked(Argument::Second, TYPE, 1), Test::equals(Argument::Third, 6)],
    &[Test::equals(Argument::First, 2), Test::masked(Argument::Second, TYPE, 2), Test::equals(Argument::Third, 0)],
    &[Test::equals(Argument::First, 2), Test::masked(Argument::Second, TYPE, 2), Test::equals(Argument::Third, 17)],
    &[Test::equals(Argument::First, 10), Test::masked(Argument::Second, TYPE, 1), Test::equals(Argument::Third, 0)],
    &[Test::equals(Argument::First, 10), Test::masked(Argument::Second, TYPE, 1), Test::equals(Argument::Third, 6)],
    &[Test::equals(Argument::First, 10), Test::masked(Argument::Second, TYPE, 2), Test::equals(Argument::Third, 0)],
    &[Test::equals(Argument::First, 10), Test::masked(Argument::Second, TYPE, 2), Test::equals(Argument::Third, 17)],
];

/// The sandbox's init, as its processes number it.
const INIT: u32 = 1;
/// RLIMIT_CORE. It is set so that no helper of the host's is started for a core; a lower limit would undo that.
const CORE: u32 = 4;

/// `prctl` options that act on the caller alone and only restrict or describe it.
#[rustfmt::skip]
const PRCTLS: &[Alternative] = &[
    &[Test::equals(Argument::First, 1)],           // PR_SET_PDEATHSIG
    &[Test::equals(Argument::First, 2)],           // PR_GET_PDEATHSIG
    &[Test::equals(Argument::First, 3)],           // PR_GET_DUMPABLE
    // PR_SET_DUMPABLE, only as every program is that was executed: a fork of an interpreter isn't. Nobody can hide by it.
    &[Test::equals(Argument::First, 4), Test::equals(Argument::Second, 1)],
    &[Test::equals(Argument::First, 15)],          // PR_SET_NAME
    &[Test::equals(Argument::First, 16)],          // PR_GET_NAME
    &[Test::equals(Argument::First, 21)],          // PR_GET_SECCOMP
    &[Test::equals(Argument::First, 23)],          // PR_CAPBSET_READ
    &[Test::equals(Argument::First, 29)],          // PR_SET_TIMERSLACK
    &[Test::equals(Argument::First, 30)],          // PR_GET_TIMERSLACK
    &[Test::equals(Argument::First, 36)],          // PR_SET_CHILD_SUBREAPER
    &[Test::equals(Argument::First, 37)],          // PR_GET_CHILD_SUBREAPER
    &[Test::equals(Argument::First, 38)],          // PR_SET_NO_NEW_PRIVS
    &[Test::equals(Argument::First, 39)],          // PR_GET_NO_NEW_PRIVS
    &[Test::equals(Argument::First, 41)],          // PR_SET_THP_DISABLE
    &[Test::equals(Argument::First, 42)],          // PR_GET_THP_DISABLE
    &[Test::equals(Argument::First, 0x53564d41)],  // PR_SET_VMA (names of memory areas)
    &[Test::equals(Argument::First, 0x4155_5856)],  // PR_GET_AUXV
];

/// The table. Numbers are those of the native architecture.
#[rustfmt::skip]
pub const TABLE: &[Entry] = &[
    entry(
        &[
            libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev, libc::SYS_pread64, libc::SYS_pwrite64,
            libc::SYS_preadv, libc::SYS_pwritev, libc::SYS_preadv2, libc::SYS_pwritev2, libc::SYS_lseek, libc::SYS_sendfile,
            libc::SYS_copy_file_range, libc::SYS_splice, libc::SYS_tee, libc::SYS_vmsplice,
        ],
        Always(Allow),
        "moving bytes through descriptors that are already open",
    ),
    entry(
        &[
            libc::SYS_open, libc::SYS_openat, libc::SYS_openat2, libc::SYS_creat, libc::SYS_close, libc::SYS_close_range,
            libc::SYS_dup, libc::SYS_dup2, libc::SYS_dup3, libc::SYS_flock, libc::SYS_pipe, libc::SYS_pipe2,
        ],
        Always(Allow),
        "opening and closing; what can be reached is decided by mounts and Landlock",
    ),
    entry(
        &[
            libc::SYS_stat, libc::SYS_fstat, libc::SYS_lstat, libc::SYS_newfstatat, libc::SYS_statx, libc::SYS_statfs,
            libc::SYS_fstatfs, libc::SYS_access, libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_readlink,
            libc::SYS_readlinkat, libc::SYS_getdents, libc::SYS_getdents64, libc::SYS_getcwd, libc::SYS_chdir,
            libc::SYS_fchdir, libc::SYS_getxattr, libc::SYS_lgetxattr, libc::SYS_fgetxattr, libc::SYS_listxattr,
            libc::SYS_llistxattr, libc::SYS_flistxattr,
        ],
        Always(Allow),
        "looking at files",
    ),
    entry(
        &[
            libc::SYS_rename, libc::SYS_renameat, libc::SYS_renameat2, libc::SYS_mkdir, libc::SYS_mkdirat, libc::SYS_rmdir,
            libc::SYS_link, libc::SYS_linkat, libc::SYS_unlink, libc::SYS_unlinkat, libc::SYS_symlink, libc::SYS_symlinkat,
            libc::SYS_chmod, libc::SYS_fchmod, libc::SYS_fchmodat, libc::SYS_fchmodat2, libc::SYS_chown, libc::SYS_fchown,
            libc::SYS_lchown, libc::SYS_fchownat, libc::SYS_truncate, libc::SYS_ftruncate, libc::SYS_fallocate,
            libc::SYS_utime, libc::SYS_utimes, libc::SYS_futimesat, libc::SYS_utimensat, libc::SYS_umask, libc::SYS_fsync,
            libc::SYS_fdatasync, libc::SYS_sync_file_range, libc::SYS_fadvise64, libc::SYS_readahead,
        ],
        Always(Allow),
        "changing the sandbox's own files, within the disk quota",
    ),
    entry(
        &[libc::SYS_mknod],
        AllowWhen(
            &[
                &[Test::masked(Argument::Second, libc::S_IFMT, libc::S_IFIFO)],
                &[Test::masked(Argument::Second, libc::S_IFMT, libc::S_IFREG)],
                &[Test::masked(Argument::Second, libc::S_IFMT, libc::S_IFSOCK)],
            ],
            Report(REFUSED),
        ),
        "named pipes, but no device nodes",
    ),
    entry(
        &[libc::SYS_mknodat],
        AllowWhen(
            &[
                &[Test::masked(Argument::Third, libc::S_IFMT, libc::S_IFIFO)],
                &[Test::masked(Argument::Third, libc::S_IFMT, libc::S_IFREG)],
                &[Test::masked(Argument::Third, libc::S_IFMT, libc::S_IFSOCK)],
            ],
            Report(REFUSED),
        ),
        "named pipes, but no device nodes",
    ),
    entry(
        &[
            libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr, libc::SYS_removexattr, libc::SYS_lremovexattr,
            libc::SYS_fremovexattr,
        ],
        Always(Refuse(libc::ENOTSUP)),
        "extended attributes take kernel memory outside the disk quota; ENOTSUP is what programs are prepared for",
    ),
    entry(&[libc::SYS_sync, libc::SYS_syncfs], Always(Refuse(0)), "reported as done: the sandbox's files are in memory, and the host's disks aren't its business"),
    entry(
        &[
            libc::SYS_mprotect, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_brk, libc::SYS_madvise,
            libc::SYS_msync, libc::SYS_mincore, libc::SYS_mlock, libc::SYS_mlock2, libc::SYS_munlock, libc::SYS_mlockall,
            libc::SYS_munlockall, libc::SYS_membarrier, libc::SYS_pkey_mprotect, libc::SYS_pkey_alloc,
            libc::SYS_pkey_free, libc::SYS_mseal, libc::SYS_get_mempolicy,
        ],
        Always(Allow),
        "memory of its own, charged to the sandbox; executable memory is needed by every just-in-time compiler",
    ),
    entry(
        &[
            libc::SYS_futex, libc::SYS_futex_waitv, libc::SYS_set_robust_list, libc::SYS_get_robust_list, libc::SYS_rseq,
            libc::SYS_set_tid_address, libc::SYS_arch_prctl, libc::SYS_sched_yield, libc::SYS_restart_syscall,
        ],
        Always(Allow),
        "threads and the C library's start",
    ),
    entry(
        &[libc::SYS_clone],
        AllowWhen(&[&[Test::masked(Argument::First, NAMESPACE_FLAGS, 0)]], Report(REFUSED)),
        "processes and threads, but no namespaces",
    ),
    entry(&[libc::SYS_clone3], Always(Refuse(libc::ENOSYS)), "its flags lie behind a pointer; the C library falls back to clone"),
    entry(&[libc::SYS_fork, libc::SYS_vfork, libc::SYS_execve, libc::SYS_execveat], Always(Allow), "processes, within the limit on their number"),
    entry(&[libc::SYS_exit, libc::SYS_exit_group, libc::SYS_wait4, libc::SYS_waitid], Always(Allow), "ending and waiting for children"),
    entry(
        &[
            libc::SYS_kill, libc::SYS_tkill, libc::SYS_tgkill, libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo,
            libc::SYS_pidfd_open, libc::SYS_pidfd_send_signal,
        ],
        Always(Allow),
        "signals between the sandbox's own processes; others don't exist in its process namespace",
    ),
    entry(
        &[
            libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_rt_sigpending,
            libc::SYS_rt_sigtimedwait, libc::SYS_rt_sigsuspend, libc::SYS_sigaltstack, libc::SYS_signalfd,
            libc::SYS_signalfd4, libc::SYS_pause,
        ],
        Always(Allow),
        "handling signals",
    ),
    entry(
        &[
            libc::SYS_getpid, libc::SYS_getppid, libc::SYS_gettid, libc::SYS_getpgid, libc::SYS_getpgrp, libc::SYS_getsid,
            libc::SYS_setpgid, libc::SYS_setsid, libc::SYS_getuid, libc::SYS_geteuid, libc::SYS_getgid, libc::SYS_getegid,
            libc::SYS_getresuid, libc::SYS_getresgid, libc::SYS_getgroups, libc::SYS_capget, libc::SYS_uname,
            libc::SYS_sysinfo, libc::SYS_times, libc::SYS_getrusage, libc::SYS_getrlimit, libc::SYS_getpriority,
            libc::SYS_getcpu, libc::SYS_sched_getaffinity, libc::SYS_sched_getparam, libc::SYS_sched_getscheduler,
            libc::SYS_sched_getattr, libc::SYS_sched_get_priority_max, libc::SYS_sched_get_priority_min,
            libc::SYS_sched_rr_get_interval, libc::SYS_ioprio_get,
        ],
        Always(Allow),
        "asking about itself",
    ),
    entry(
        &[
            libc::SYS_setuid, libc::SYS_setgid, libc::SYS_setreuid, libc::SYS_setregid, libc::SYS_setresuid,
            libc::SYS_setresgid, libc::SYS_setfsuid, libc::SYS_setfsgid, libc::SYS_setgroups, libc::SYS_capset,
        ],
        Always(Allow),
        "only one id is mapped and every capability set is empty, so the kernel itself answers; programs that drop privileges do so",
    ),
    entry(
        &[libc::SYS_prlimit64],
        AllowWhen(
            &[
                &[Test::equals(Argument::First, 0), Test::differs(Argument::Second, CORE)],
                &[Test::equals(Argument::First, 0), Test::equals(Argument::Third, 0), Test::upper_is_zero(Argument::Third)],
            ],
            Report(REFUSED),
        ),
        "its own limits, which can only be lowered, and not that of core files; not those of the sandbox's init",
    ),
    entry(&[libc::SYS_setrlimit], AllowWhen(&[&[Test::differs(Argument::First, CORE)]], Report(REFUSED)), "lowering its own limits"),
    entry(
        &[libc::SYS_setpriority],
        AllowWhen(&[&[Test::equals(Argument::First, 0), Test::differs(Argument::Second, INIT)]], Report(REFUSED)),
        "lowering a process's own share, but not that of the sandbox's init, which has to be able to end the others",
    ),
    entry(&[libc::SYS_sched_setaffinity], AllowWhen(&[&[Test::differs(Argument::First, INIT)]], Report(REFUSED)), "choosing processors, but not for the init"),
    entry(
        &[libc::SYS_sched_setscheduler],
        AllowWhen(
            &[
                &[Test::differs(Argument::First, INIT), Test::equals(Argument::Second, 0)],
                &[Test::differs(Argument::First, INIT), Test::equals(Argument::Second, 3)],
                &[Test::differs(Argument::First, INIT), Test::equals(Argument::Second, 5)],
            ],
            Report(REFUSED),
        ),
        "ordinary, batch and idle scheduling, but no real-time priority, and not for the init",
    ),
    entry(
        &[
            libc::SYS_nanosleep, libc::SYS_clock_nanosleep, libc::SYS_clock_gettime, libc::SYS_clock_getres,
            libc::SYS_gettimeofday, libc::SYS_time, libc::SYS_getitimer, libc::SYS_setitimer, libc::SYS_alarm,
            libc::SYS_timer_create, libc::SYS_timer_settime, libc::SYS_timer_gettime, libc::SYS_timer_getoverrun,
            libc::SYS_timer_delete, libc::SYS_timerfd_create, libc::SYS_timerfd_settime, libc::SYS_timerfd_gettime,
        ],
        Always(Allow),
        "reading clocks and setting timers",
    ),
    entry(
        &[
            libc::SYS_poll, libc::SYS_ppoll, libc::SYS_select, libc::SYS_pselect6, libc::SYS_epoll_create,
            libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_wait, libc::SYS_epoll_pwait,
            libc::SYS_epoll_pwait2, libc::SYS_eventfd, libc::SYS_eventfd2,
        ],
        Always(Allow),
        "waiting for descriptors",
    ),
    entry(
        &[libc::SYS_inotify_init, libc::SYS_inotify_init1, libc::SYS_inotify_add_watch, libc::SYS_inotify_rm_watch],
        Always(Refuse(libc::ENOSYS)),
        "a watch on a file that is shared with the host tells what the host and other sandboxes do, and their number is the host's",
    ),
    entry(
        &[libc::SYS_fcntl],
        AllowWhen(&[&[Test::differs(Argument::Second, 1024), Test::differs(Argument::Second, 1026)]], Report(REFUSED)),
        "descriptor flags and locks, but no leases and no notification (F_SETLEASE, F_NOTIFY), which reach beyond the sandbox",
    ),
    entry(
        &[libc::SYS_mmap],
        AllowWhen(&[&[Test::masked(Argument::Fourth, 0x4_0000, 0)]], Refuse(libc::EINVAL)),
        "memory of its own, but no huge pages (MAP_HUGETLB), which no memory limit counts",
    ),
    entry(
        &[libc::SYS_memfd_create],
        AllowWhen(&[&[Test::masked(Argument::Second, 0x4, 0)]], Refuse(libc::EINVAL)),
        "files in memory, but not of huge pages (MFD_HUGETLB)",
    ),
    entry(
        &[libc::SYS_socket],
        AllowWhen(SOCKETS, Report(libc::EAFNOSUPPORT)),
        "Unix sockets, and internet sockets in a network namespace without interfaces",
    ),
    entry(&[libc::SYS_socketpair], AllowWhen(&[&[Test::equals(Argument::First, 1)]], Report(libc::EAFNOSUPPORT)), "pairs of Unix sockets"),
    entry(
        &[
            libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4, libc::SYS_shutdown, libc::SYS_recvfrom, libc::SYS_sendmsg, libc::SYS_recvmsg, libc::SYS_sendmmsg,
            libc::SYS_recvmmsg, libc::SYS_getsockname, libc::SYS_getpeername, libc::SYS_setsockopt, libc::SYS_getsockopt,
        ],
        Always(Allow),
        "using sockets that it was allowed to make",
    ),
    entry(
        &[libc::SYS_connect],
        Cases(INTERNET_ADDRESS_THIRD, Allow),
        "calling Unix sockets; an internet address leads nowhere, and is reported",
    ),
    entry(
        &[libc::SYS_bind],
        Cases(LOCAL_ADDRESS_THIRD, Allow),
        "naming Unix sockets; nobody could call an internet address, and the attempt is reported",
    ),
    entry(
        &[libc::SYS_sendto],
        Cases(INTERNET_ADDRESS_SIXTH, Allow),
        "sending through sockets; an internet address leads nowhere, and is reported",
    ),
    entry(&[libc::SYS_ioctl], Cases(&[(IOCTLS, Allow), (TYPING, Report(libc::ENOTTY))], Refuse(libc::ENOTTY)), "its own terminals and descriptors; the request is compared on 32 bits, as the kernel does"),
    entry(&[libc::SYS_prctl], AllowWhen(PRCTLS, Refuse(libc::EINVAL)), "naming and restricting itself"),
    entry(
        &[libc::SYS_personality],
        AllowWhen(&[&[Test::equals(Argument::First, 0)], &[Test::equals(Argument::First, 0xFFFF_FFFF)]], Report(REFUSED)),
        "asking for the personality; changing it would switch off address randomisation",
    ),
    entry(&[libc::SYS_getrandom], Always(Allow), "random numbers"),
    entry(
        &[
            libc::SYS_seccomp, libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self,
        ],
        Always(Allow),
        "restricting itself further, as the sandbox's init does for each command; restrictions only stack",
    ),
    entry(
        &[
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_delete_module,
            libc::SYS_kexec_load,
            libc::SYS_kexec_file_load,
            libc::SYS_bpf,
            libc::SYS_syslog,
        ],
        Always(Report(libc::ENOSYS)),
        "as if the kernel had none of it; it would itself answer EPERM, so that an attack can tell that it wasn't even asked",
    ),
    entry(
        &[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register],
        Always(Report(libc::ENOSYS)),
        "operations in a ring pass by this filter; programs fall back",
    ),
];

/// The highest number that the table knows of, allowed or not. Newer calls get [`UNKNOWN`].
pub(super) const NEWEST_KNOWN: c_long = libc::SYS_mseal;
