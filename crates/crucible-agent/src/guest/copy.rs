//! The agent's program as a command of the guest's, which copies files out of a sandbox or into one: `PROGRAM save FOLDER...` and
//! `PROGRAM restore FOLDER...`, between its standard streams.
//!
//! Invariant: it has what any command has, and nothing of the agent that started it. What fails goes to the standard error, as a
//! [`Failure`] alone.

use super::Step;
use crate::protocol::{Failure, RESTORE, SAVE};
use crate::sys;
use crucible_inside::copy;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::process::DumpableBehavior;
use rustix::stdio;
use std::process::ExitCode;

/// Copies.
pub(super) fn run(word: &str, folders: impl Iterator<Item = String>) -> ExitCode {
    sys::ignore_broken_pipes();
    match copied(word, folders) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let failure = postcard::to_stdvec(&failure).unwrap_or_default();
            let _told = rustix::io::write(stdio::stderr(), &failure).is_ok();
            ExitCode::FAILURE
        }
    }
}

fn copied(word: &str, folders: impl Iterator<Item = String>) -> Result<(), Failure> {
    // In a container others of the same user could write to its memory. gVisor lets nobody, and its filter refuses this.
    let _hidden = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok();
    let open = |path: String| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::open(&*path, flags, Mode::empty()).step("open the guest's folders")
    };
    let folders: Vec<OwnedFd> = folders.map(open).collect::<Result<_, _>>()?;
    let folders: Vec<BorrowedFd<'_>> = folders.iter().map(AsFd::as_fd).collect();
    let own = |stream: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(stream, 3).step("take the stream");
    let done = match word {
        SAVE => copy::save(&folders, own(stdio::stdout())?),
        RESTORE => copy::restore(&folders, own(stdio::stdin())?),
        _ => return Err(rustix::io::Errno::INVAL).step("understand what to do"),
    };
    done.map_err(|failed| Failure { step: failed.step.to_owned(), errno: failed.errno.raw_os_error() })
}
