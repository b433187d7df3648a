//! The descriptors that a sandbox's init has open: the null device three times, its socket, what tells of ended children,
//! the Landlock rules, and the guest's folders. While it puts a file in for the supervisor it has that open, too. Anything
//! else came along by mistake, or was put there.

use super::{Facts, PlannedRules, Seen, shown};
use crate::plan::WRITABLE;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

const NAME: &str = "descriptors";

/// How many there are of each kind.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    null: usize,
    socket: usize,
    signals: usize,
    rules: usize,
    /// Folders of the sandbox's own file system.
    folders: usize,
    /// Files of it.
    files: usize,
}

impl Counts {
    /// Whether these are the planned ones, but for more of what is the sandbox's own.
    const fn are(&self, planned: &Self) -> bool {
        self.null == planned.null
            && self.socket == planned.socket
            && self.signals == planned.signals
            && self.rules == planned.rules
            && self.folders >= planned.folders
    }

    const fn all(&self) -> usize {
        self.null + self.socket + self.signals + self.rules + self.folders + self.files
    }
}

/// Looks at the open descriptors: at each of them for the first sandbox of a launcher, on kernels that don't say how many
/// there are (before 6.2), and where the number isn't the planned one; else at their number. All sandboxes are cloned from
/// the same process by the same steps, so that what is wrong with one of the same number is wrong with the first.
pub(super) fn look(process: &OwnedFd, rules: PlannedRules, device: u64, listed: &AtomicBool, facts: &mut Facts) {
    let rules = match rules {
        PlannedRules::Held => 1,
        PlannedRules::None => 0,
    };
    let planned = Counts { null: 3, socket: 1, signals: 1, rules, folders: WRITABLE.len(), files: 0 };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = match rustix::fs::openat(process, "fd", flags, Mode::empty()) {
        Ok(folder) => folder,
        Err(_) => return facts.hidden(NAME),
    };
    let number = rustix::fs::fstat(&folder).ok().and_then(|seen| usize::try_from(seen.st_size).ok());
    if listed.load(Ordering::Relaxed) && number == Some(planned.all()) {
        return facts.add(NAME, format!("{} open", planned.all()), Seen::AsPlanned);
    }
    match count(&folder, device) {
        Ok(Ok(seen)) if seen.are(&planned) => {
            listed.store(true, Ordering::Relaxed);
            facts.add(NAME, format!("{} open, each as planned", seen.all()), Seen::AsPlanned);
        }
        Ok(Ok(seen)) => facts.add(NAME, format!("{} open, not {}", seen.all(), planned.all()), Seen::Differs),
        Ok(Err(unexpected)) => facts.add(NAME, unexpected, Seen::Differs),
        Err(_) => facts.hidden(NAME),
    }
}

/// Counts what is known; else names the first that isn't.
fn count(folder: &OwnedFd, device: u64) -> Result<Result<Counts, String>, Errno> {
    let mut entries = [MaybeUninit::uninit(); 2048];
    let mut entries = RawDir::new(folder.as_fd(), &mut entries);
    let mut counts = Counts::default();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let number = entry.file_name();
        if number.to_bytes().first() == Some(&b'.') {
            continue;
        }
        let seen = match rustix::fs::statat(folder, number, AtFlags::empty()) {
            // Closed meanwhile.
            Err(Errno::NOENT) => continue,
            seen => seen?,
        };
        let place = match FileType::from_raw_mode(seen.st_mode) {
            FileType::CharacterDevice if seen.st_rdev == rustix::fs::makedev(1, 3) => &mut counts.null,
            FileType::Directory if seen.st_dev == device => &mut counts.folders,
            FileType::RegularFile if seen.st_dev == device => &mut counts.files,
            FileType::Socket => &mut counts.socket,
            // Only what has no file system of its own is told by its link: what has a path may be called as it likes.
            kind => {
                let mut text = [MaybeUninit::uninit(); 256];
                let (link, _) = rustix::fs::readlinkat_raw(folder, number, &mut text)?;
                match &*link {
                    b"anon_inode:[signalfd]" if kind == FileType::Unknown => &mut counts.signals,
                    b"anon_inode:[landlock-ruleset]" | b"anon_inode:landlock-ruleset" if kind == FileType::Unknown => {
                        &mut counts.rules
                    }
                    link => {
                        let link = shown(&String::from_utf8_lossy(link));
                        return Ok(Err(format!("{} is {link}", number.to_string_lossy())));
                    }
                }
            }
        };
        *place += 1;
    }
    Ok(Ok(counts))
}
