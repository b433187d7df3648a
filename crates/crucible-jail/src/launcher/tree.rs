//! The processes that came of another one, and how they are ended.
//!
//! Invariant: only descendants are touched that the kernel names as such. What hides from `/proc`, as a program can that it
//! may not itself read, isn't found; it ends with the sandbox.

use crate::plan::Refusal;
use rustix::process::{Pid, Signal};
use rustix::time::Timespec;

/// How often descendants are looked for before those that are left are given up: for ten seconds.
pub(super) const MOST_ROUNDS: u32 = 5000;
/// The same for those of one command, while the others of the sandbox wait for the init: for one second.
const MOST_ROUNDS_OF_ONE: u32 = 500;
/// Between two looks.
pub(super) const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// How often a process is looked at that was told to stand still, and the time between two looks.
const LOOKS_AT_STOPPED: u32 = 500;
const BETWEEN_LOOKS: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000 };

/// Ends a command that takes in its orphans, with all that came of it.
///
/// It stands still and is killed last: until then it is the parent of whatever loses its own, so that all can be found. The
/// caller hasn't reaped it, so that its number is its own all the time.
pub(super) fn end(command: Pid) -> Result<(), Refusal> {
    let _stopped = rustix::process::kill_process(command, Signal::STOP).is_ok();
    if state(command).is_none() {
        // Without the files of processes nobody can tell which came of which.
        return Err(Refusal::NotListed);
    }
    // What it was just about to start is there once it stands still.
    wait(LOOKS_AT_STOPPED, &BETWEEN_LOOKS, || matches!(state(command), Some('T' | 't' | 'Z' | 'X') | None));
    wait(MOST_ROUNDS_OF_ONE, &PAUSE, || !kill_descendants_of(command));
    let _killed = rustix::process::kill_process(command, Signal::KILL).is_ok();
    wait(LOOKS_AT_STOPPED, &BETWEEN_LOOKS, || !is_alive(command));
    Ok(())
}

/// Waits until something is so, for a while.
fn wait(looks: u32, pause: &Timespec, mut is_so: impl FnMut() -> bool) {
    for _ in 0..looks {
        if is_so() {
            return;
        }
        let _rested = rustix::thread::nanosleep(pause);
    }
}

/// Kills all descendants of a process that can be seen now. Returns whether any of them lived: then others may have come of it
/// meanwhile.
pub(super) fn kill_descendants_of(ancestor: Pid) -> bool {
    let mut found = vec![ancestor];
    let (mut next, mut lived) = (0, false);
    while let Some(parent) = found.get(next).copied() {
        next += 1;
        for child in children(parent) {
            lived |= is_alive(child);
            // Parents stop before their children are listed, so that they can't fork on meanwhile.
            let _stopped = rustix::process::kill_process(child, Signal::STOP).is_ok();
            found.push(child);
        }
    }
    for descendant in found.iter().skip(1) {
        let _killed = rustix::process::kill_process(*descendant, Signal::KILL).is_ok();
    }
    lived
}

/// The children of all of a process's threads.
fn children(parent: Pid) -> Vec<Pid> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", parent.as_raw_nonzero())) else {
        return Vec::new();
    };
    let of_thread = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("children")).ok();
    let listed: Vec<String> = threads.flatten().filter_map(of_thread).collect();
    let numbers = listed.iter().flat_map(|listed| listed.split_ascii_whitespace());
    numbers.filter_map(|number| number.parse().ok().and_then(Pid::from_raw)).collect()
}

/// Whether a process is there that hasn't ended. One that has, and wasn't reaped by its parent yet, is dead.
fn is_alive(process: Pid) -> bool {
    !matches!(state(process), Some('Z' | 'X') | None)
}

/// The letter by which the kernel tells a process's state; `None` where it can't be seen.
fn state(process: Pid) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).ok()?;
    // After the program's name, which may hold anything.
    stat.rsplit(')').next()?.trim_start().chars().next()
}
