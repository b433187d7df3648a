//! A sandbox's init: pid 1 of its process namespace. Starts commands, reaps what is orphaned, opens files, and kills all
//! when told to or when the supervisor is gone.
//!
//! Invariants: it is under the same confinement as the guest. It never executes anything itself and allocates nothing that a guest could make grow. What it reports is
//! only its word: the supervisor decides by the host's evidence.

use super::confine::{self, Confined, Descriptors, Surroundings};
use super::{Interpreter, command, files, tree};
use crate::plan::{Copying, Ended, Failure, InitMessage, InitRequest, JailPlan, Refusal, WAITING_COMMAND};
use crate::socket::{self, Longest, MessageError};
use crate::sys::{self, Forked};
use crucible_inside::copy;
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus};
use std::collections::BTreeMap;

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
    /// Kept for whoever looks from outside: a domain can't be seen, its rules can.
    _ruleset: Option<OwnedFd>,
    descriptors: Descriptors,
    /// Running commands by process number, with the supervisor's number.
    commands: BTreeMap<i32, u32>,
    /// The interpreter that this process is a fork of, if it is.
    interpreter: Option<Interpreter>,
}

/// Confines this process and serves the supervisor until the end.
pub(super) fn run_jailed(
    plan: &JailPlan,
    surroundings: Surroundings<'_>,
    control: OwnedFd,
    interpreter: Option<Interpreter>,
) -> ! {
    match confine::confine(plan, surroundings, &control) {
        Ok(confined) => serve(control, Reach::Namespace, confined, interpreter),
        Err(failure) => fail(&control, failure),
    }
}

/// Serves the supervisor until the end, if the confinement succeeded.
pub(super) fn run_confined(confined: Result<Confined, Failure>, reach: Reach, control: OwnedFd) -> ! {
    match confined {
        Ok(confined) => serve(control, reach, confined, None),
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
            let (without, ruleset, reports, terminals) = (Vec::new(), None, None, None);
            let confined = Confined { folders, ruleset, without, descriptors, reports, terminals };
            serve(control, Reach::Bare, confined, None)
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

fn serve(control: OwnedFd, reach: Reach, confined: Confined, interpreter: Option<Interpreter>) -> ! {
    let Confined { folders, ruleset, without, descriptors, reports, terminals } = confined;
    // A handler that the launcher's runtime has set up would be one that a guest could trigger.
    sys::restore_signals();
    // The launcher's descriptor was closed, or stands for the launcher's own children.
    let signals = match sys::block_signals_into_descriptor() {
        Ok(signals) => signals,
        Err(errno) => {
            fail(&control, Failure { step: "watch for ended children".to_owned(), errno: errno.raw_os_error() })
        }
    };
    // All commands share this domain with it, so that one may signal what another one started.
    if let Some(Err(errno)) = ruleset.as_ref().map(sys::landlock_restrict_self) {
        fail(&control, Failure { step: "enter the Landlock domain".to_owned(), errno: errno.raw_os_error() })
    }
    let commands = BTreeMap::new();
    let mut init = Init { control, signals, reach, folders, _ruleset: ruleset, descriptors, commands, interpreter };
    let is_ready = hand_over(&init.control, &InitMessage::Reports, reports)
        .and_then(|()| hand_over(&init.control, &InitMessage::Terminals, terminals))
        .and_then(|()| init.send(&InitMessage::Ready { without }))
        .is_ok();
    if is_ready {
        while init.turn().is_ok() {}
    }
    init.end_processes();
    sys::exit_now(0)
}

/// Gives the supervisor a descriptor that is for it alone, and keeps nothing of it, before it says that it is ready: whoever
/// looks at it from then on finds no descriptor that isn't meant to be there, and no guest ever gets it.
fn hand_over(control: &OwnedFd, message: &InitMessage, descriptor: Option<OwnedFd>) -> Result<(), MessageError> {
    match descriptor {
        Some(descriptor) => socket::send(control, message, &[descriptor.as_fd()]),
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
            InitRequest::Exec { number, argv, env, user, directory, limits, streams, orphans } => {
                let command = command::Command { argv, env, user, directory, limits, streams, orphans };
                self.start(number, &command, descriptors)
            }
            InitRequest::Await => {
                let waits = self.have_one_wait(descriptors).map_err(Refusal::from);
                self.answer_done(waits)
            }
            InitRequest::Signal { number, signal } => self.answer_done(self.signal(number, signal)),
            InitRequest::EndTree { number } => {
                let ended = self.process(number).map_or(Ok(()), tree::end);
                self.reap(WaitOptions::NOHANG)?;
                self.answer_done(ended)
            }
            InitRequest::Stat { path } => match files::stat(&self.folders, &path) {
                Ok(entry) => self.send(&InitMessage::Seen(entry)),
                Err(refusal) => self.send(&InitMessage::Refused(refusal)),
            },
            InitRequest::Remove { path } => self.answer_done(files::remove(&self.folders, &path)),
            InitRequest::OpenFile { path } => self.answer_opened(files::open(&self.folders, &path)),
            InitRequest::CreateFile { path, mode } => self.answer_opened(files::create(&self.folders, &path, mode)),
            InitRequest::List { path } => match files::list(&self.folders, &path, &mut |part| self.send(&part))? {
                Ok(()) => Ok(()),
                Err(refusal) => self.send(&InitMessage::Refused(refusal)),
            },
            InitRequest::Copy(direction) => {
                self.copy(direction, descriptors);
                Ok(())
            }
            InitRequest::Renew { files } => self.answer_opened(files::renew(&self.folders, &files)),
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

    fn answer_done(&self, done: Result<(), Refusal>) -> Result<(), MessageError> {
        self.send(&done.map_or_else(InitMessage::Refused, |()| InitMessage::Done))
    }

    /// The process of a command that hasn't been reaped, so that its number is still its own.
    fn process(&self, number: u32) -> Option<Pid> {
        self.commands.iter().find(|(_, known)| **known == number).and_then(|(pid, _)| Pid::from_raw(*pid))
    }

    fn signal(&self, number: u32, signal: i32) -> Result<(), Refusal> {
        let process = self.process(number).ok_or(Refusal::NotRunning)?;
        // Every command leads a session, and so a process group of its own number.
        sys::signal_group(process, signal).map_err(Refusal::from)
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
                let (failure, report) = command.become_it(&descriptors, work, leaked);
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

    /// Forks the interpreter that this process is a fork of, to wait for its program.
    fn have_one_wait(&mut self, descriptors: Vec<OwnedFd>) -> Result<(), Errno> {
        let interpreter = self.interpreter.ok_or(Errno::NOSYS)?;
        let socket = descriptors.into_iter().next().ok_or(Errno::BADF)?;
        #[cfg(feature = "zygote")]
        sys::erase_stack();
        match (interpreter.fork)()? {
            Forked::Child => command::wait_for_program(socket, interpreter),
            Forked::Parent { pid } => {
                self.commands.insert(pid, WAITING_COMMAND);
                Ok(())
            }
        }
    }

    /// Has a fork of this process copy all files, so that others don't wait for it.
    fn copy(&mut self, direction: Copying, descriptors: Vec<OwnedFd>) {
        let Ok([pipe, report]) = <[OwnedFd; 2]>::try_from(descriptors) else { return };
        match sys::fork() {
            Ok(Forked::Child) => {
                sys::ignore_broken_pipes();
                let folders: Vec<_> = self.folders.iter().map(|(_, folder)| folder.as_fd()).collect();
                let copied = match direction {
                    Copying::Out => copy::save(&folders, pipe),
                    Copying::In => copy::restore(&folders, pipe),
                };
                let (step, errno) = copied.err().map_or(("", 0), |failed| (failed.step, failed.errno.raw_os_error()));
                command::report(Some(&report), &Failure { step: step.to_owned(), errno });
                sys::exit_now(0)
            }
            Ok(Forked::Parent { .. }) => drop(pipe),
            Err(errno) => {
                drop(pipe);
                command::report(Some(&report), &Failure { step: "fork".to_owned(), errno: errno.raw_os_error() });
            }
        }
        // Last of all: who hears its end looks at what this process holds.
        drop(report);
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
                for _ in 0..tree::MOST_ROUNDS {
                    if !tree::kill_descendants_of(rustix::process::getpid()) {
                        break;
                    }
                    drop(self.reap(WaitOptions::NOHANG));
                    let _rested = rustix::thread::nanosleep(&tree::PAUSE);
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
