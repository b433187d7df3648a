//! Hearing of files that are opened: `fanotify(7)`.

use super::check;
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A file that was opened.
pub(crate) struct Opened {
    /// The file, opened once more for looking at its path; `None` where that failed, or where events were dropped.
    pub(crate) file: Option<OwnedFd>,
    /// The process, as numbered in this process's namespace.
    pub(crate) process: i32,
}

/// How long `struct fanotify_event_metadata` is.
const METADATA: usize = 24;

/// A descriptor that tells of opened files.
pub(crate) fn open_file_events() -> Result<OwnedFd, Errno> {
    // With it, an event about a file that can't be opened any more is still an event. Kernels before 6.13 don't know this.
    const REPORT_ERRORS: libc::c_uint = 0x2000;
    let flags = libc::FAN_CLOEXEC | libc::FAN_NONBLOCK | libc::FAN_CLASS_NOTIF;
    let file_flags = (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOATIME).unsigned_abs();
    // SAFETY: takes numbers only.
    let init = |flags| check(libc::c_long::from(unsafe { libc::fanotify_init(flags, file_flags) }));
    let descriptor = match init(flags | REPORT_ERRORS) {
        Err(Errno::INVAL) => init(flags),
        made => made,
    }?;
    let descriptor = i32::try_from(descriptor).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel has just returned this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Tells of every file that is opened through the mount that a path leads to.
pub(crate) fn tell_of_mount(events: BorrowedFd<'_>, path: &CStr) -> Result<(), Errno> {
    let flags = libc::FAN_MARK_ADD | libc::FAN_MARK_MOUNT;
    // SAFETY: the path is null-terminated and outlives the call; the rest are numbers.
    check(libc::c_long::from(unsafe {
        libc::fanotify_mark(events.as_raw_fd(), flags, libc::FAN_OPEN, libc::AT_FDCWD, path.as_ptr())
    }))
    .map(drop)
}

/// Takes the next event out of what was read from the descriptor.
pub(crate) fn next_opened(bytes: &mut &[u8]) -> Option<Opened> {
    let length = usize::try_from(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?)).ok()?;
    let event = bytes.get(..length).filter(|event| event.len() >= METADATA)?;
    let number = |at: usize| Some(i32::from_ne_bytes(event.get(at..at + 4)?.try_into().ok()?));
    let (file, process) = (number(16)?, number(20)?);
    *bytes = bytes.get(length..)?;
    // SAFETY: a number that isn't negative is a descriptor that the kernel opened for whoever reads the event, which is done
    // once: the bytes are passed over with it.
    let file = (file >= 0).then(|| unsafe { OwnedFd::from_raw_fd(file) });
    Some(Opened { file, process })
}
