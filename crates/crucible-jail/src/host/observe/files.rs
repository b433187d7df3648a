//! Files that a guest opens outside of what its language is made of and of its own folders, as the kernel tells root.
//!
//! What a language needs is bound into a sandbox file by file and folder by folder, each with a mount of its own; a guest's
//! folders have one, too. What is left is the root itself, with the few files that every sandbox has, and `/proc`: only
//! those mounts are watched, so that reading a library costs nothing. A file that can't be opened isn't told of, and the kernel
//! tells of several openings in a row as one.

use super::record::{Kind, Record, Word};
use super::text::shown;
use crate::sys;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

/// What a process may want to know of itself without anyone wondering.
const OF_ONESELF: [&[u8]; 12] = [
    b"cgroup",
    b"cmdline",
    b"comm",
    b"limits",
    b"maps",
    b"mountinfo",
    b"mounts",
    b"oom_score_adj",
    b"smaps_rollup",
    b"stat",
    b"statm",
    b"status",
];

/// Hears of opened files.
pub(super) struct FileEvents(AsyncFd<OwnedFd>);

impl FileEvents {
    /// Begins to hear. Needs a running tokio runtime.
    ///
    /// # Errors
    /// The kernel's answer: it tells only a root of the whole machine.
    pub(super) fn listen() -> Result<Self, Errno> {
        let events = sys::open_file_events()?;
        sys::watch(events, Interest::READABLE).map(Self).map_err(|_| Errno::IO)
    }

    /// Hears of a sandbox that stands. The kernel ends that with the sandbox's mounts.
    ///
    /// # Errors
    /// The kernel's answer.
    pub(super) fn add(&self, init: i32) -> Result<(), Errno> {
        for place in ["", "/proc"] {
            let path = CString::new(format!("/proc/{init}/root{place}/.")).map_err(|_| Errno::INVAL)?;
            sys::tell_of_mount(self.0.get_ref().as_fd(), &path)?;
        }
        Ok(())
    }

    /// Waits until there is something to take.
    pub(super) async fn readable(&self) -> std::io::Result<AsyncFdReadyGuard<'_, OwnedFd>> {
        self.0.readable().await
    }

    /// Takes some events, each into the record of the sandbox that its process is in.
    ///
    /// # Errors
    /// The kernel's answer, `EAGAIN` where there is none.
    pub(super) fn take(&self, record_of: impl Fn(i32) -> Option<Arc<Record>>) -> Result<(), Errno> {
        let mut buffer = [0; 4096];
        let read = rustix::io::read(self.0.get_ref(), &mut buffer)?;
        let mut bytes = buffer.get(..read).unwrap_or_default();
        while let Some(opened) = sys::next_opened(&mut bytes) {
            if let Some(record) = record_of(opened.process) {
                note(&opened, &record);
            }
        }
        Ok(())
    }
}

fn note(opened: &sys::Opened, record: &Record) {
    let path = |file: &OwnedFd| std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok();
    match opened.file.as_ref().and_then(path) {
        Some(path) if is_expected(path.as_os_str().as_bytes()) => {}
        Some(path) => record.note(Kind::FileOpened, &shown(path.as_os_str().as_bytes()), Word::Kernel),
        None => record.note(Kind::FileOpened, "a file that can't be looked at any more", Word::Kernel),
    }
}

/// Whether a file is one that programs open by the way: something about a process, but for the sandbox's first.
fn is_expected(path: &[u8]) -> bool {
    let Some(below) = path.strip_prefix(b"/proc/") else { return false };
    let mut parts = below.split(|byte| *byte == b'/');
    let process = parts.next().unwrap_or_default();
    let file = parts.next_back().unwrap_or_default();
    process != b"1" && process.iter().all(u8::is_ascii_digit) && OF_ONESELF.contains(&file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_asks_of_itself_is_expected_and_nothing_else_is() {
        for path in ["/proc/7/maps", "/proc/7/status", "/proc/12/task/13/stat"] {
            assert!(is_expected(path.as_bytes()), "{path}");
        }
        for path in
            ["/proc/1/status", "/proc/7/environ", "/proc/7/mem", "/etc/passwd", "/proc/", "/proc/x/maps", "/maps"]
        {
            assert!(!is_expected(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn events_that_are_cut_off_are_no_events() {
        let mut event = Vec::new();
        event.extend(24_u32.to_ne_bytes());
        event.extend([0; 12]);
        event.extend((-1_i32).to_ne_bytes());
        event.extend(77_i32.to_ne_bytes());
        let mut bytes = event.as_slice();
        let opened = sys::next_opened(&mut bytes).unwrap();
        assert!(opened.file.is_none() && opened.process == 77 && bytes.is_empty());
        for length in 0..24 {
            assert!(sys::next_opened(&mut event.get(..length).unwrap()).is_none());
        }
        let mut short = event.clone();
        short[0] = 8;
        assert!(sys::next_opened(&mut short.as_slice()).is_none());
    }
}
