//! What belongs to a command: without control groups and without a process that adopts its orphans, which a guest of the same
//! user could kill.
//!
//! Every command is marked by a limit of its processes that is inherited and can't be raised again: each command's number
//! makes a lower one. A process belongs to a command if it descends from it, is in its session, or has its mark; one that
//! lowered its mark is nobody's, and goes with the first tree that is ended. So a process can hide from the end of its own
//! command only by taking the mark of another one that runs, and then goes with that.

use crate::protocol::Abilities;
use crate::sys::{self, Mark};
use rustix::buffer::spare_capacity;
use rustix::fd::OwnedFd;
use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::Timespec;
use std::collections::{BTreeMap, BTreeSet};

/// The mark of commands, less their number. Nothing that is limited by it ever comes near.
const HIGHEST_MARK: u64 = 1 << 40;
/// How often processes are looked for before those that are left are given up: for ten seconds.
const MOST_ROUNDS: u32 = 5000;
/// Between two looks.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
/// The most that is read of a file of `/proc`; none of those has nearly as much.
const MOST_TEXT: usize = 8 << 10;
const KILL: i32 = 9;
const STOP: i32 = 19;

/// How commands are marked here.
#[derive(Clone, Copy)]
pub(super) struct Marks(Mark);

/// A command's mark.
#[derive(Clone, Copy)]
pub(super) struct Marked(Mark, u64);

impl Marks {
    pub(super) fn usable() -> Option<Self> {
        sys::usable_mark(HIGHEST_MARK).map(Self)
    }

    pub(super) fn of(abilities: Abilities) -> Option<Self> {
        if abilities.marks_commands { Self::usable() } else { None }
    }

    pub(super) fn of_command(self, number: u32) -> Marked {
        Marked(self.0, HIGHEST_MARK - u64::from(number))
    }
}

impl Marked {
    pub(super) fn set(self) -> Result<(), Errno> {
        sys::set_mark(self.0, self.1)
    }
}

fn own() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// A process as `/proc` shows it.
struct Seen {
    parent: i32,
    session: i32,
    is_dead: bool,
}

/// The processes that the agent sees: those of its own namespace, whatever `/proc` the commands have.
pub(super) struct Processes {
    /// `/proc`, where there is one.
    folder: Option<OwnedFd>,
    /// The first process of the commands' own namespace, where they have one: it is none of them, and ends with it.
    pub(super) reaper: Option<i32>,
}

impl Processes {
    pub(super) fn open() -> Self {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self { folder: rustix::fs::open("/proc", flags, Mode::empty()).ok(), reaper: None }
    }

    pub(super) const fn folder(&self) -> Option<&OwnedFd> {
        self.folder.as_ref()
    }

    /// Whether `/proc` shows processes.
    pub(super) fn are_seen(&self) -> bool {
        self.seen().is_some_and(|seen| seen.contains_key(&own()))
    }

    /// How many other processes there are, dead ones that wait for their parents not counted.
    pub(super) fn count_others(&self) -> Option<u32> {
        let is_own = |process: i32| process == own() || Some(process) == self.reaper;
        let others = self.seen()?.into_iter().filter(|(process, seen)| !is_own(*process) && !seen.is_dead).count();
        u32::try_from(others).ok()
    }

    /// Everything that descends from this process. Orphans do, too: they come to it, or to its reaper.
    fn descendants(&self) -> BTreeMap<i32, Seen> {
        let mut others = self.seen().unwrap_or_default();
        let mut found = BTreeMap::new();
        let mut parents = BTreeSet::from([own()]);
        while !parents.is_empty() {
            let children: BTreeMap<i32, Seen> =
                others.extract_if(.., |_, seen| parents.contains(&seen.parent)).collect();
            parents = children.keys().copied().collect();
            found.extend(children);
        }
        found.retain(|process, _| Some(*process) != self.reaper);
        found
    }

    /// Everything that `/proc` shows.
    fn seen(&self) -> Option<BTreeMap<i32, Seen>> {
        let mut all = BTreeMap::new();
        for entry in Dir::read_from(self.folder.as_ref()?).ok()?.flatten() {
            let Some(process) = entry.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            // Gone since it was listed.
            let Some(stat) = self.text(process, "stat") else { continue };
            if let Some(seen) = parse(&stat) {
                all.insert(process, seen);
            }
        }
        Some(all)
    }

    /// A file of a process's.
    fn text(&self, process: i32, name: &str) -> Option<String> {
        let path = format!("{process}/{name}");
        let file = rustix::fs::openat(self.folder.as_ref()?, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let (file, mut bytes) = (file.ok()?, Vec::with_capacity(MOST_TEXT));
        while bytes.len() < MOST_TEXT && rustix::io::read(&file, spare_capacity(&mut bytes)).ok()? > 0 {}
        String::from_utf8(bytes).ok()
    }

    /// Kills all of the agent's descendants until none is left, but not for ever: one that can't be killed, since it has gained
    /// another user's rights, isn't waited for.
    pub(super) fn kill_descendants(&self) {
        for _ in 0..MOST_ROUNDS {
            let living: Vec<i32> =
                self.descendants().into_iter().filter(|(_, seen)| !seen.is_dead).map(|(process, _)| process).collect();
            if living.is_empty() {
                return;
            }
            for signal in [STOP, KILL] {
                for process in &living {
                    let _sent = sys::signal(*process, signal).is_ok();
                }
            }
            let _rested = rustix::thread::nanosleep(&PAUSE);
        }
    }
}

/// The fields after the name, which is the guest's and may hold anything, parentheses too.
fn parse(stat: &str) -> Option<Seen> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    Some(Seen { parent, session, is_dead: matches!(state, "Z" | "X") })
}

/// A command's tree.
pub(super) struct Tree<'a> {
    /// Its own process, while it lives.
    pub(super) process: Option<i32>,
    pub(super) number: u32,
    pub(super) marks: Option<Marks>,
    /// The processes of the other commands that live.
    pub(super) others: &'a [i32],
    pub(super) processes: &'a Processes,
}

impl Tree<'_> {
    /// Sends a signal to all of it. With a deadly one, until none of it is left.
    pub(super) fn signal(&self, signal: i32, sees_processes: bool) -> Result<(), Errno> {
        if !sees_processes {
            // As much of it as one call reaches.
            return sys::signal(-self.process.ok_or(Errno::SRCH)?, signal);
        }
        if signal != KILL {
            let members = self.members();
            let sent = members.iter().filter(|process| sys::signal(**process, signal).is_ok()).count();
            return if sent > 0 { Ok(()) } else { Err(Errno::SRCH) };
        }
        for _ in 0..MOST_ROUNDS {
            let members = self.members();
            if members.is_empty() {
                return Ok(());
            }
            // All stop before any is killed, so that none forks on meanwhile.
            for signal in [STOP, KILL] {
                for process in &members {
                    let _sent = sys::signal(*process, signal).is_ok();
                }
            }
            let _rested = rustix::thread::nanosleep(&PAUSE);
        }
        Err(Errno::BUSY)
    }

    /// The living processes that belong to it now. Never one that this agent didn't start, nor anything that came from one.
    fn members(&self) -> Vec<i32> {
        let all = self.processes.descendants();
        let others: BTreeSet<i32> = self.others.iter().copied().collect();
        let mut members: BTreeSet<i32> = self.process.into_iter().collect();
        for (process, seen) in &all {
            let is_of_another = others.contains(process) || others.contains(&seen.session);
            if self.process == Some(seen.session) || (!is_of_another && self.has_mark(*process)) {
                members.insert(*process);
            }
        }
        // Whatever descends from one of them, as often as there are generations.
        loop {
            let before = members.len();
            let children = all.iter().filter(|(_, seen)| members.contains(&seen.parent)).map(|(process, _)| *process);
            members.extend(children.collect::<Vec<_>>());
            if members.len() == before {
                break;
            }
        }
        members.into_iter().filter(|process| all.get(process).is_some_and(|seen| !seen.is_dead)).collect()
    }

    /// Whether a process has this command's mark, or none of a command at all. The marks of commands that have ended are
    /// still theirs, so that what one left goes with no other.
    fn has_mark(&self, process: i32) -> bool {
        let Some(Marks(kind)) = self.marks else { return false };
        // Not asked of the kernel by a call, which answers for other users' processes to nobody without privileges.
        let Some(limits) = self.processes.text(process, "limits") else { return false };
        match hard_limit(&limits, kind.title()).map(|mark| HIGHEST_MARK.checked_sub(mark)) {
            Some(Some(number)) => number == u64::from(self.number) || number > u64::from(u32::MAX),
            // Above all marks: not started by this agent. Unreadable: it has ended.
            Some(None) | None => false,
        }
    }
}

/// The hard limit with that title in the text of a `/proc/PID/limits`.
fn hard_limit(limits: &str, title: &str) -> Option<u64> {
    let values = limits.lines().find_map(|line| line.strip_prefix(title))?;
    match values.split_ascii_whitespace().nth(1)? {
        "unlimited" => Some(u64::MAX),
        value => value.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::{hard_limit, parse};

    #[test]
    fn a_process_cannot_forge_its_parent_by_its_name() {
        let seen = parse("7 (a) S 1 2 3 (x) R 5 6 8 0 -1").unwrap();
        assert_eq!((seen.parent, seen.session, seen.is_dead), (5, 8, false));
        assert!(parse("7 (a) Z 1 1 1").unwrap().is_dead);
        assert!(parse("").is_none() && parse("7 (a) S x").is_none());
    }

    #[test]
    fn a_hard_limit_is_read_from_its_own_line() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max cpu time              unlimited            unlimited            seconds   \n\
            Max resident set          17                   1099511627771        bytes     \n\
            Max nice priority         0                    0                    \n";
        assert_eq!(hard_limit(limits, "Max resident set"), Some(1_099_511_627_771));
        assert_eq!(hard_limit(limits, "Max cpu time"), Some(u64::MAX));
        assert_eq!(hard_limit(limits, "Max nice priority"), Some(0));
        assert_eq!(hard_limit(limits, "Max realtime timeout"), None);
        assert_eq!(hard_limit("Max resident set  what", "Max resident set"), None);
    }
}
