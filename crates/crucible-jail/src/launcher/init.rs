//! A sandbox's init: pid 1 of its process namespace. Starts commands, reaps what is orphaned, opens files, and kills all
//! when told to or when the supervisor is gone.
//!
//! Invariants: it is under the same confinement as the guest, except for Landlock, which it needs the freedom to put each
//! command under. It never executes anything itself and allocates nothing that a guest could make grow. What it reports is
//! only its word: the supervisor decides by the host's evidence.

use super::confine::{self, Confined, Descriptors, Surroundings};
use super::{command, files};
use crate::plan::{Ended, Failure, InitMessage, InitRequest, JailPlan, Refusal};
use crate::socket::{self, Longest, MessageError};
use crate::sys::{self, Forked};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use std::collections::BTreeMap;

/// How often descendants are looked for before those that are left are given up: for ten seconds.
const MOST_ROUNDS: u32 = 5000;
/// Between two looks.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// What of its own the init has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// A process namespace, in which it is pid 1: killing everything means the namespace.
    Namespace,
    /// A root, but no process namespace: killing everything means its descendants.
    Descendants,
    /// Nothing: as before, and a folder of the host stands for the work folder.
    Bare,
}

pub(super) struct Init {
    control: OwnedFd,
    signals: OwnedFd,
    reach: Reach,
    pub(super) folders: Vec<(&'static str, OwnedFd)>,
    ruleset: Option<OwnedFd>,
    descriptors: Descriptors,
    /// Running commands by process number, with the supervisor's number.
    commands: BTreeMap<i32, u32>,
}

/// Confines this process and serves the supervisor until the end.
pub(super) fn run_jailed(plan: &JailPlan, surroundings: Surroundings<'_>, control: OwnedFd) -> ! {
    let confined = confine::confine(plan, surroundings, &control);
    run_confined(confined, Reach::Namespace, control)
}

/// Serves the supervisor until the end, if the confinement succeeded.
pub(super) fn run_confined(confined: Result<Confined, Failure>, reach: Reach, control: OwnedFd) -> ! {
    match confined {
        Ok(confined) => serve(control, reach, confined),
        Err(failure) => fail(&control, failure),
    }
}

/// Serves the supervisor without any confinement.
pub(super) fn run_bare(work: OwnedFd, control: OwnedFd) -> ! {
    // Orphans come to this process, so that the whole tree can be found.
    match rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        Ok(()) => {
            let folders = vec![(crate::plan::WORK, work)];
            let descriptors = Descriptors::Closed;
            let confined = Confined { folders, ruleset: None, without: Vec::new(), descriptors, reports: None };
            serve(control, Reach::Bare, confined)
        }
        Err(errno) => {
            fail(&control, Failure { step: "become the reaper of orphans".to_owned(), errno: errno.raw_os_error() })
        }
    }
}

fn fail(control: &OwnedFd, failure: Failure) -> ! {
    drop(socket::send(control, &InitMessage::Failed(failure), &[]));
    sys::exit_now(1)
}

fn serve(control: OwnedFd, reach: Reach, confined: Confined) -> ! {
    let Confined { folders, ruleset, without, descriptors, reports } = confined;
    // A handler that the launcher's runtime has set up would be one that a guest could trigger.
    sys::restore_signals();
    // The launcher's descriptor was closed, or stands for the launcher's own children.
    let signals = match sys::block_signals_into_descriptor() {
        Ok(signals) => signals,
        Err(errno) => {
            fail(&control, Failure { step: "watch for ended children".to_owned(), errno: errno.raw_os_error() })
        }
    };
    let mut init = Init { control, signals, reach, folders, ruleset, descriptors, commands: BTreeMap::new() };
    let is_ready = hand_over(&init.control, reports).and_then(|()| init.send(&InitMessage::Ready { without })).is_ok();
    if is_ready {
        while init.turn().is_ok() {}
    }
    init.end_processes();
    sys::exit_now(0)
}

/// Gives the supervisor what it hears of refused calls from, and keeps nothing of it, before it says that it is ready: whoever
/// looks at it from then on finds no descriptor that isn't meant to be there, and no guest ever gets it.
fn hand_over(control: &OwnedFd, reports: Option<OwnedFd>) -> Result<(), MessageError> {
    match reports {
        Some(reports) => socket::send(control, &InitMessage::Reports, &[reports.as_fd()]),
        None => Ok(()),
    }
}

impl Init {
    /// Waits for the next thing to happen and deals with it. Fails when the supervisor is gone.
    fn turn(&mut self) -> Result<(), MessageError> {
        let mut waits = [PollFd::new(&self.control, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
        match rustix::event::poll(&mut waits, None) {
            Err(Errno::INTR) => return Ok(()),
            Err(errno) => return Err(MessageError::Os(errno)),
            Ok(_) => {}
        }
        let (requested, child_ended) = (!waits[0].revents().is_empty(), !waits[1].revents().is_empty());
        if child_ended {
            let mut buffer = [0_u8; 1024];
            while rustix::io::read(&self.signals, &mut buffer).is_ok_and(|read| read > 0) {}
            self.reap(WaitOptions::NOHANG)?;
        }
        if requested {
            let (request, descriptors) = socket::receive::<InitRequest>(&self.control, Longest::MemoryFile)?;
            self.handle(request, descriptors)?;
        }
        Ok(())
    }

    fn handle(&mut self, request: InitRequest, descriptors: Vec<OwnedFd>) -> Result<(), MessageError> {
        match request {
            InitRequest::Exec { number, argv, env, directory, limits } => {
                let command = command::Command { argv, env, directory, limits };
                self.start(number, &command, descriptors)
            }
            InitRequest::OpenFile { path } => self.answer_opened(files::open(&self.folders, &path)),
            InitRequest::CreateFile { path, mode } => self.answer_opened(files::create(&self.folders, &path, mode)),
            InitRequest::List { path } => match files::list(&self.folders, &path, &mut |part| self.send(&part))? {
                Ok(()) => Ok(()),
                Err(refusal) => self.send(&InitMessage::Refused(refusal)),
            },
            InitRequest::EndProcesses => {
                self.end_processes();
                self.send(&InitMessage::ProcessesEnded)
            }
        }
    }

    fn send(&self, message: &InitMessage) -> Result<(), MessageError> {
        socket::send(&self.control, message, &[])
    }

    fn answer_opened(&self, opened: Result<OwnedFd, Refusal>) -> Result<(), MessageError> {
        match opened {
            Ok(file) => socket::send(&self.control, &InitMessage::Opened, &[file.as_fd()]),
            Err(refusal) => self.send(&InitMessage::Refused(refusal)),
        }
    }

    fn start(
        &mut self,
        number: u32,
        command: &command::Command,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), MessageError> {
        match sys::fork() {
            Ok(Forked::Child) => {
                let work = match self.reach {
                    Reach::Namespace | Reach::Descendants => None,
                    Reach::Bare => self.folders.first().map(|(_, folder)| folder),
                };
                let leaked = (self.descriptors == Descriptors::Leaked).then_some(&self.control);
                let (failure, report) = command.become_it(&descriptors, self.ruleset.as_ref(), work, leaked);
                command::report(report, &failure);
                sys::exit_now(127)
            }
            Ok(Forked::Parent { pid }) => {
                self.commands.insert(pid, number);
                Ok(())
            }
            Err(errno) => {
                command::report(descriptors.get(3), &Failure { step: "fork".to_owned(), errno: errno.raw_os_error() });
                self.send(&InitMessage::Ended { number, status: Ended::Exited(127), alone: false })
            }
        }
    }

    /// Collects ended children, and reports those that are commands once it is known whether any child is left.
    fn reap(&mut self, options: WaitOptions) -> Result<(), MessageError> {
        let mut commands = Vec::new();
        let alone = loop {
            match rustix::process::wait(options) {
                Ok(Some((pid, status))) => {
                    if let Some(number) = self.commands.remove(&pid.as_raw_nonzero().get()) {
                        commands.push((number, ended(status)));
                    }
                }
                Err(Errno::INTR) => {}
                Err(errno) => break errno == Errno::CHILD,
                Ok(None) => break false,
            }
        };
        commands.into_iter().try_for_each(|(number, status)| self.send(&InitMessage::Ended { number, status, alone }))
    }

    /// Kills every other process of the sandbox and returns when none is left.
    fn end_processes(&mut self) {
        match self.reach {
            Reach::Namespace => {
                // One call is enough: a process that is just being forked sees the signal before it can run.
                let _killed = sys::signal_everything_in_this_pid_namespace().is_ok();
                drop(self.reap(WaitOptions::empty()));
            }
            Reach::Descendants | Reach::Bare => {
                // Without a namespace a process can be forked while we look, so look until none is left. One that can't be
                // killed, since it has gained another user's rights, isn't waited for for ever.
                for _ in 0..MOST_ROUNDS {
                    if !kill_descendants() {
                        break;
                    }
                    drop(self.reap(WaitOptions::NOHANG));
                    let _rested = rustix::thread::nanosleep(&PAUSE);
                }
                drop(self.reap(WaitOptions::NOHANG));
            }
        }
    }
}

fn ended(status: WaitStatus) -> Ended {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ended::Exited(code),
        (None, Some(signal)) => Ended::Signaled(signal),
        (None, None) => Ended::Exited(255),
    }
}

/// Kills all descendants that can be seen now. Returns whether there were any, dead ones that wait to be reaped included.
fn kill_descendants() -> bool {
    let mut found = vec![rustix::process::getpid().as_raw_nonzero().get()];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        next += 1;
        let listed = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        for child in listed.split_ascii_whitespace().filter_map(|child| child.parse().ok()) {
            // Parents stop before their children are listed, so that they can't fork on meanwhile.
            if let Some(pid) = Pid::from_raw(child) {
                let _stopped = rustix::process::kill_process(pid, Signal::STOP).is_ok();
            }
            found.push(child);
        }
    }
    for pid in found.iter().skip(1).filter_map(|pid| Pid::from_raw(*pid)) {
        let _killed = rustix::process::kill_process(pid, Signal::KILL).is_ok();
    }
    found.len() > 1
}
