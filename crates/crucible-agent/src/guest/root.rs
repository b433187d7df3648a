//! Root inside, in a kernel of the guest's own: the namespaces that its commands are in.
//!
//! Invariants: the commands' process namespace is below the agent's, so that nobody in it sees the agent, or can signal it, or
//! finds its descriptors below `/proc`. Their user namespace has ids of its own, which nobody else in that kernel has: root's
//! capabilities count over these alone, and not over files of the host that are shown inside. The namespace's first process, the
//! reaper, has another user and nothing open; should it end all the same, the agent ends with it. A process that is about to become
//! a command shows for a moment what the agent has open: the line to the supervisor is a pipe of the host's user, to whose files
//! nobody inside has a right.

use super::Step;
use super::prepare::keep_capabilities;
use super::tree::Processes;
use crate::protocol::{Failure, Ids, RootInside};
use crate::sys::{self, Namespace};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;
use rustix::pipe::PipeFlags;
use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// Makes the namespaces and enters that of users; processes that are started from now on are in both. Gives the reaper's number.
pub(super) fn enter(inside: &RootInside, processes: &Processes) -> Result<i32, Failure> {
    let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
    let ((go, has_left), (answers, answer)) = pipe().and_then(|go| Ok((go, pipe()?))).step("make pipes")?;
    sys::leave(Namespace::Processes).step("make a process namespace")?;
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let reaper = sys::fork(|| {
        let done = prepare_for(own, inside, processes, &go, &answer);
        if let Err(errno) = done {
            let _told = tell(&answer, errno.raw_os_error()).is_ok();
        }
        reap_for_ever();
    });
    let reaper = reaper.step("start the commands' first process")?;
    drop((go, answer));
    hear(&answers).step("mount the commands' processes")?;
    sys::leave(Namespace::Users).step("make a user namespace")?;
    tell(&has_left, 0).step("have ids mapped")?;
    hear(&answers).step("have ids mapped")?;
    become_root(inside).step("become root inside")?;
    Ok(reaper)
}

/// What the reaper does before it reaps: in the process namespace, and still with the privileges that the agent had.
fn prepare_for(
    agent: i32,
    inside: &RootInside,
    processes: &Processes,
    go: &OwnedFd,
    answer: &OwnedFd,
) -> Result<(), Errno> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", "/proc", "proc", flags, None)?;
    tell(answer, 0)?;
    hear(go)?;
    // By the `/proc` in which the agent is.
    let folder = processes.folder().ok_or(Errno::NOENT)?;
    for map in ["uid_map", "gid_map"] {
        let path = format!("{agent}/{map}");
        let file = rustix::fs::openat(folder, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        // All of a map is one write.
        rustix::io::write(&file, lines(&inside.ids).as_bytes())?;
    }
    tell(answer, 0)
}

fn lines(ids: &[Ids]) -> String {
    ids.iter().map(|(inside, outside, count)| format!("{inside} {outside} {count}\n")).collect()
}

/// Collects orphans, without a privilege or a descriptor. Whoever waits for an answer hears by now that there is none.
fn reap_for_ever() {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    let given_up = rustix::thread::set_capabilities(None, sets);
    if given_up.and_then(|()| sys::keep_nothing_and_no_children()).is_err() {
        sys::exit_now(70);
    }
    loop {
        rustix::event::pause();
    }
}

fn become_root(inside: &RootInside) -> Result<(), Errno> {
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
    let roots = CapabilitySet::from_bits_retain(inside.capabilities);
    keep_capabilities(roots, roots)
}

/// Says how something went: 0, or an errno.
fn tell(to: impl AsFd, errno: i32) -> Result<(), Errno> {
    rustix::io::write(to, &errno.to_le_bytes()).map(drop)
}

fn hear(from: impl AsFd) -> Result<(), Errno> {
    let mut errno = [0; 4];
    match rustix::io::retry_on_intr(|| rustix::io::read(&from, &mut errno))? {
        4 => match i32::from_le_bytes(errno) {
            0 => Ok(()),
            errno => Err(Errno::from_raw_os_error(errno)),
        },
        _ => Err(Errno::PIPE),
    }
}
