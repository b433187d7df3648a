//! Hearing of refused system calls and answering them: `seccomp_unotify(2)`.

use super::check;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// A system call that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// By which it is answered.
    pub(crate) id: u64,
    /// The thread, as numbered in this process's namespace; 0 if it has no number there.
    pub(crate) thread: u32,
    /// The call's number.
    pub(crate) call: i32,
    /// Its arguments, as the kernel has them: a guest can't change these any more.
    pub(crate) arguments: [u64; 6],
}

/// `struct seccomp_notif`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Notification {
    id: u64,
    thread: u32,
    flags: u32,
    call: i32,
    architecture: u32,
    instruction: u64,
    arguments: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

// _IOWR('!', 0, struct seccomp_notif), _IOWR('!', 1, struct seccomp_notif_resp) and _IOW('!', 2, u64).
const RECEIVE: libc::Ioctl = 0xC050_2100;
const SEND: libc::Ioctl = 0xC018_2101;
const ID_IS_VALID: libc::Ioctl = 0x4008_2102;
/// The number of the last one before Linux 5.17, which had its direction wrong. Newer kernels know it, too.
const ID_IS_VALID_BEFORE: libc::Ioctl = 0x8008_2102;

/// Receives a report. Waits if there is none. `ENOENT` if the thread has ended meanwhile.
pub(crate) fn receive_report(reports: BorrowedFd<'_>) -> Result<Report, Errno> {
    let mut notification = Notification::default();
    // SAFETY: the number says how large the structure is, which has the kernel's layout, is all zeros as the kernel demands,
    // and outlives the call.
    check(libc::c_long::from(unsafe { libc::ioctl(reports.as_raw_fd(), RECEIVE, &raw mut notification) }))?;
    let Notification { id, thread, call, arguments, .. } = notification;
    Ok(Report { id, thread, call, arguments })
}

/// Whether the thread still waits for this answer. What was read of its process before was read of no other one.
pub(crate) fn still_waits(reports: BorrowedFd<'_>, id: u64) -> bool {
    [ID_IS_VALID, ID_IS_VALID_BEFORE].into_iter().any(|number| {
        // SAFETY: the kernel reads one number, which outlives the call.
        check(libc::c_long::from(unsafe { libc::ioctl(reports.as_raw_fd(), number, &raw const id) })).is_ok()
    })
}

/// Answers a call with an errno. The call is never made, whatever the kernel might think of it: what lies behind its pointers
/// can change at any time.
pub(crate) fn refuse(reports: BorrowedFd<'_>, id: u64, errno: i32) -> Result<(), Errno> {
    let response = Response { id, value: 0, error: -errno.saturating_abs(), flags: 0 };
    // SAFETY: the number says how large the structure is, which has the kernel's layout and outlives the call.
    check(libc::c_long::from(unsafe { libc::ioctl(reports.as_raw_fd(), SEND, &raw const response) })).map(drop)
}

/// Reads a thread's memory, and returns how many bytes that gave. Its file in `/proc` would do the same, but belongs to the
/// guest's user, whom an ordinary supervisor may look into and isn't.
pub(crate) fn read_memory(thread: u32, at: u64, bytes: &mut [u8]) -> Result<usize, Errno> {
    let thread = i32::try_from(thread).map_err(|_| Errno::SRCH)?;
    let remote = libc::iovec {
        iov_base: std::ptr::without_provenance_mut(usize::try_from(at).map_err(|_| Errno::FAULT)?),
        iov_len: bytes.len(),
    };
    let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: the kernel writes at most as many bytes as the slice has, which outlives the call; the other address is one of
    // another process, which the kernel checks.
    let read = unsafe { libc::process_vm_readv(thread, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(read).map_err(|_| Errno::FAULT)
}

/// Whether this kernel can report system calls.
pub(crate) fn can_report() -> bool {
    const GET_ACTION_AVAILABLE: u32 = 2;
    let user_notif: u32 = 0x7fc0_0000;
    // SAFETY: the kernel reads one number, which outlives the call.
    check(unsafe { libc::syscall(libc::SYS_seccomp, GET_ACTION_AVAILABLE, 0_u32, &raw const user_notif) }).is_ok()
}
