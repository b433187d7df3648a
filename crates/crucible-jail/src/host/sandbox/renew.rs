//! Whether a sandbox whose run is over is as if nothing had run in it.
//!
//! Invariants: all of it is looked at from outside; of what its init says, nothing counts that isn't seen there. What a guest could
//! have left and can't be seen at all is refused to every guest beforehand (message queues, System V IPC, keys, the
//! init's own limits and priorities), so that only what can be seen is left to look at. In doubt it isn't as new.

use super::{JailError, Sandbox};
use crate::plan::{GUEST_FOLDERS, InitRequest, WRITABLE};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

/// What the supervisor put on the writable file system since it was as new.
#[derive(Default)]
pub(super) struct Given {
    files: BTreeSet<String>,
    /// The number of the file that was made last before them, where it is known: at first, the folders come last.
    before: Option<u64>,
}

impl Given {
    pub(super) fn note(&mut self, path: &str) {
        self.files.insert(path.to_owned());
    }
}

impl Sandbox {
    pub(super) fn given(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the sandbox as new, if a program that an interpreter became left nothing in it that the supervisor didn't put there:
    /// no process, file, attribute, socket or terminal, nor a file that it made and removed, and if nothing was seen of it that is
    /// noted. Every process has to have been ended. An error or `false` is as much as to say that it isn't as new.
    ///
    /// # Errors
    /// As [`Sandbox::end_processes`].
    pub async fn renew(&self) -> Result<bool, JailError> {
        let is_quiet = self.conversation.is_alone()
            && !self.conversation.broke_its_word()
            && self.next_command.load(Ordering::Relaxed) == 0
            && !self.has_one_waiting()
            && self.observer().seen().is_empty()
            && self.holds_no_terminal()
            && self.holds_no_socket();
        if !is_quiet {
            return Ok(false);
        }
        let (files, before) = {
            let mut given = self.given();
            (std::mem::take(&mut given.files), given.before.take())
        };
        // Folders above a file would have been made with it.
        let is_plain = |path: &String| path.rsplit_once('/').is_some_and(|(above, _)| WRITABLE.contains(&above));
        if !files.iter().all(is_plain) {
            return Ok(false);
        }
        let count = u64::try_from(files.len()).unwrap_or(u64::MAX);
        let (nameless, number) = match self.opened(InitRequest::Renew { files: files.into_iter().collect() }).await {
            Err(JailError::Refused(_)) => return Ok(false),
            opened => opened?,
        };
        drop(nameless);
        let Some(folders) = self.folders_as_made()? else { return Ok(false) };
        // Each file that was ever made there has had the next number.
        if number != before.unwrap_or(folders).saturating_add(count).saturating_add(1) {
            return Ok(false);
        }
        self.given().before = Some(number);
        Ok(true)
    }

    /// The highest number of the guest's folders, if each is empty, has the permissions that it was made with and nothing written
    /// on it, and all room of their file system is free.
    fn folders_as_made(&self) -> Result<Option<u64>, JailError> {
        let mut highest = 0;
        for (_, name, mode) in GUEST_FOLDERS {
            let Some(folder) = self.open_folder(name)? else { return Ok(None) };
            let seen = rustix::fs::fstat(&folder).map_err(JailError::os("look at a folder of the sandbox"))?;
            // Access control lists are such attributes, too.
            let is_written_on = rustix::fs::flistxattr(&folder, &mut [0_u8; 0]) != Ok(0);
            if seen.st_mode & 0o7777 != *mode || seen.st_nlink != 2 || is_written_on || !holds_only(folder, &[])? {
                return Ok(None);
            }
            highest = highest.max(seen.st_ino);
        }
        let seen = rustix::fs::fstatvfs(&self.storage).map_err(JailError::os("look at the writable file system"))?;
        Ok((seen.f_bfree == seen.f_blocks).then_some(highest))
    }

    /// A folder of the writable file system, if this user may look into it.
    fn open_folder(&self, name: &str) -> Result<Option<OwnedFd>, JailError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.storage, name, flags, Mode::empty()) {
            Ok(folder) => Ok(Some(folder)),
            Err(Errno::ACCESS | Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(errno) => Err(JailError::os("open a folder of the sandbox")(errno)),
        }
    }

    fn holds_no_terminal(&self) -> bool {
        let Some(terminals) = &self.terminals else { return true };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(terminals, ".", flags, Mode::empty());
        opened.is_ok_and(|folder| holds_only(folder, &[c"ptmx"]).unwrap_or(false))
    }

    /// Kernels before 4.17 count the sockets of the whole machine, so that none is as new there.
    fn holds_no_socket(&self) -> bool {
        let counts = std::fs::read_to_string(format!("/proc/{}/net/sockstat", self.watching.pid));
        counts.is_ok_and(|counts| counts.starts_with("sockets: used 0\n"))
    }
}

fn holds_only(folder: OwnedFd, known: &[&std::ffi::CStr]) -> Result<bool, JailError> {
    let step = "list a folder of the sandbox";
    for entry in rustix::fs::Dir::new(folder).map_err(JailError::os(step))? {
        let entry = entry.map_err(JailError::os(step))?;
        let name = entry.file_name();
        if name != c"." && name != c".." && !known.contains(&name) {
            return Ok(false);
        }
    }
    Ok(true)
}
