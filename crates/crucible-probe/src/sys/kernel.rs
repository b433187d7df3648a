//! Single features of the kernel: rings, page faults in user space, terminals, clocks, interfaces, watches.

use super::check;
use libc::{c_int, c_long};
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

fn descriptor(returned: c_long) -> Result<OwnedFd, Errno> {
    let raw = c_int::try_from(check(returned)?).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel has just returned this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Makes a ring with one entry.
pub(crate) fn io_uring_setup() -> Result<OwnedFd, Errno> {
    // `struct io_uring_params` has 120 bytes; zeros ask for nothing special.
    let mut parameters = [0_u64; 15];
    // SAFETY: the kernel reads and writes the live structure alone.
    descriptor(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1_u32, parameters.as_mut_ptr()) })
}

/// Makes a descriptor that would handle this process's own page faults.
pub(crate) fn userfaultfd(flags: c_int) -> Result<OwnedFd, Errno> {
    // SAFETY: takes a number only; no memory is registered.
    descriptor(unsafe { libc::syscall(libc::SYS_userfaultfd, flags) })
}

/// Makes a descriptor that would watch files.
pub(crate) fn inotify_init() -> Result<OwnedFd, Errno> {
    // SAFETY: takes a number only.
    descriptor(c_long::from(unsafe { libc::inotify_init1(libc::IN_CLOEXEC) }))
}

/// Makes a descriptor that would watch files, of the kind that an ordinary user may make.
pub(crate) fn fanotify_init() -> Result<OwnedFd, Errno> {
    const REPORT_FILE_IDS: c_int = 0x200;
    // SAFETY: takes numbers only.
    descriptor(unsafe { libc::syscall(libc::SYS_fanotify_init, REPORT_FILE_IDS, libc::O_RDONLY) })
}

/// Opens the other end of a pseudo-terminal.
pub(crate) fn open_terminal(controller: impl AsFd) -> Result<OwnedFd, Errno> {
    let (raw, unlocked): (c_int, c_int) = (controller.as_fd().as_raw_fd(), 0);
    // SAFETY: the kernel only reads the one live number.
    check(c_long::from(unsafe { libc::ioctl(raw, libc::TIOCSPTLCK, &raw const unlocked) }))?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: takes numbers only.
    match descriptor(c_long::from(unsafe { libc::ioctl(raw, libc::TIOCGPTPEER, flags) })) {
        // A kernel that doesn't know this way tells the terminal's number.
        Err(Errno::NOTTY | Errno::INVAL) => {}
        opened => return opened,
    }
    let mut number: libc::c_uint = 0;
    // SAFETY: the kernel writes the one live number.
    check(c_long::from(unsafe { libc::ioctl(raw, libc::TIOCGPTN, &raw mut number) }))?;
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open(format!("/dev/pts/{number}"), flags, rustix::fs::Mode::empty())
}

/// Types one character into a terminal.
pub(crate) fn type_into_terminal(terminal: impl AsFd, character: u8) -> Result<(), Errno> {
    let raw = terminal.as_fd().as_raw_fd();
    // SAFETY: the kernel only reads the one live byte.
    check(c_long::from(unsafe { libc::ioctl(raw, libc::TIOCSTI, &raw const character) })).map(drop)
}

/// Sets this process's personality.
pub(crate) fn personality(flags: c_int) -> Result<(), Errno> {
    // SAFETY: takes a number only. The caller passes flags that count from the next exec on.
    check(c_long::from(unsafe { libc::personality(libc::c_ulong::from(flags.unsigned_abs())) })).map(drop)
}

/// Sets the largest packet of an interface, which a socket of its network namespace stands for.
pub(crate) fn set_interface_mtu(socket: impl AsFd, name: &str, mtu: c_int) -> Result<(), Errno> {
    // SAFETY: the structure consists of numbers, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero.
    for (place, byte) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
        *place = libc::c_char::from_ne_bytes([byte]);
    }
    request.ifr_ifru.ifru_mtu = mtu;
    let raw = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel only reads the live structure for this request.
    check(c_long::from(unsafe { libc::ioctl(raw, libc::SIOCSIFMTU, &raw const request) })).map(drop)
}
