//! The agent inside: one thread that waits for the supervisor's requests, the ends of processes and their output, and deals
//! with one thing after the other.
//!
//! Invariants: it executes nothing but what the supervisor asks for, takes a connection only where the supervisor waits for
//! one, and keeps nothing that a guest could make grow: of each output it holds one piece, of each input what the supervisor
//! was granted. It may block while it writes to the supervisor,
//! who reads whatever happens; it never blocks on a guest. When the supervisor is gone it kills everything and ends. It has no
//! privilege that a guest doesn't have, unless the container gave it one to start commands as other users.

mod command;
mod copy;
mod door;
mod files;
mod line;
mod prepare;
mod root;
mod space;
mod streams;
mod tree;

use crate::protocol::{Command, Ended, FIND_USER, Failure, Recipients, Refusal, Report, Request, TerminalSize, Usage};
use crate::sys;
use command::Placed;
use crucible_inside::users;
use door::Door;
use line::{Line, Lost};
use prepare::{Begun, Identity, Prepared};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{WaitOptions, WaitStatus};
use std::collections::BTreeMap;
use std::process::ExitCode;
use streams::{Streams, Wait};

/// A failed system call with the step that it belongs to.
trait Step<T> {
    /// Says which step failed.
    fn step(self, step: &str) -> Result<T, Failure>;
}

impl<T> Step<T> for Result<T, Errno> {
    fn step(self, step: &str) -> Result<T, Failure> {
        self.map_err(|errno| Failure { step: step.to_owned(), errno: errno.raw_os_error() })
    }
}

/// Does what it is called for: without a word, it serves the supervisor.
#[must_use]
pub fn run() -> ExitCode {
    let mut words = std::env::args_os().skip(1).filter_map(|word| word.into_string().ok());
    match words.next() {
        None => serve(),
        Some(word) => copy::run(&word, words),
    }
}

/// Serves the supervisor at standard input and output until one of both ends.
fn serve() -> ExitCode {
    sys::ignore_broken_pipes();
    let Ok(mut line) = Line::open() else { return ExitCode::FAILURE };
    match prepare::prepare(&mut line) {
        Ok(prepared) => {
            let ready = line.send(&Report::Ready(prepared.abilities)).and_then(|()| line.flush());
            let (commands, processes, transfers) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
            let mut agent = Agent { line, prepared, commands, processes, transfers };
            if ready.is_ok() {
                while agent.turn().is_ok() {}
            }
            agent.end_processes();
            ExitCode::SUCCESS
        }
        Err(Begun::Failed(failure)) => {
            drop(line.send(&Report::Failed(failure)).and_then(|()| line.flush()));
            ExitCode::FAILURE
        }
        Err(Begun::Lost) => ExitCode::FAILURE,
    }
}

/// A command that was started, or a connection, until its process and all its streams have ended.
struct Running {
    /// Its process, until that has ended. A connection has none.
    process: Option<i32>,
    streams: Streams,
}

struct Agent {
    line: Line,
    prepared: Prepared,
    commands: BTreeMap<u32, Running>,
    /// Living commands by process number.
    processes: BTreeMap<i32, u32>,
    transfers: BTreeMap<u32, OwnedFd>,
}

impl Agent {
    /// Waits for the next things to happen and deals with them. Fails when the supervisor is gone, or wants it to end.
    fn turn(&mut self) -> Result<(), Lost> {
        let (mut waits, mut whose) = (Vec::new(), Vec::new());
        waits.push(PollFd::new(self.line.input(), PollFlags::IN));
        waits.push(PollFd::new(&self.prepared.signals, PollFlags::IN));
        let listener = self.prepared.door.waits();
        let listens = listener.is_some();
        waits.extend(listener.map(|listener| PollFd::new(listener, PollFlags::IN)));
        for (number, running) in &self.commands {
            for (wait, file, flags) in running.streams.waits() {
                waits.push(PollFd::from_borrowed_fd(file, flags));
                whose.push((*number, wait));
            }
        }
        match rustix::event::poll(&mut waits, None) {
            Err(Errno::INTR) => return Ok(()),
            Err(_) => return Err(Lost),
            Ok(_) => {}
        }
        let mut happened = waits.iter().map(|wait| !wait.revents().is_empty());
        let (requested, child_ended) = (happened.next().unwrap_or(false), happened.next().unwrap_or(false));
        let connected = listens && happened.next().unwrap_or(false);
        let streams: Vec<(u32, Wait)> =
            whose.into_iter().zip(happened).filter(|(_, happened)| *happened).map(|(whose, _)| whose).collect();
        drop(waits);
        for (number, wait) in streams {
            if let Some(running) = self.commands.get_mut(&number) {
                running.streams.attend(number, wait, &mut self.line)?;
                self.forget_if_over(number);
            }
        }
        if child_ended {
            let mut buffer = [0_u8; 1024];
            while rustix::io::read(&self.prepared.signals, &mut buffer).is_ok_and(|read| read > 0) {}
            self.reap(WaitOptions::NOHANG)?;
        }
        if connected {
            self.accept()?;
        }
        if requested {
            self.line.read()?;
            // Taken out of the line while requests borrow from it.
            let mut requests = self.line.take_requests();
            let handled = loop {
                match requests.next::<Request<'_>>() {
                    Ok(Some(request)) => match self.handle(request) {
                        Ok(()) => {}
                        Err(lost) => break Err(lost),
                    },
                    Ok(None) => break Ok(()),
                    Err(_) => break Err(Lost),
                }
            };
            self.line.put_requests(requests);
            handled?;
        }
        self.line.flush()
    }

    fn handle(&mut self, request: Request<'_>) -> Result<(), Lost> {
        match request {
            Request::Begin(_) | Request::ShutDown => return Err(Lost),
            Request::Start { number, command } => return self.start(number, &command),
            Request::Accept { number } => {
                if let Err(failure) = self.prepared.door.expect(number) {
                    return self.line.send(&Report::NotStarted { number, failure });
                }
            }
            Request::StopListening => return self.stop_listening(Errno::CANCELED),
            Request::Input { number, bytes } => {
                if let Some(running) = self.commands.get_mut(&number) {
                    return running.streams.put_in(number, bytes, &mut self.line);
                }
            }
            Request::InputEnd { number } => {
                if let Some(running) = self.commands.get_mut(&number) {
                    running.streams.end_input(number, &mut self.line)?;
                    self.forget_if_over(number);
                }
            }
            Request::OutputCredit { number, stream, bytes } => {
                if let Some(running) = self.commands.get_mut(&number) {
                    running.streams.grant(stream, bytes);
                }
            }
            Request::OutputUnwanted { number, stream } => {
                if let Some(running) = self.commands.get_mut(&number) {
                    running.streams.close_output(number, stream, &mut self.line)?;
                    self.forget_if_over(number);
                }
            }
            Request::Resize { number, size } => {
                if let Some(running) = self.commands.get(&number)
                    && let Some(process) = running.process
                {
                    running.streams.resize(size, process);
                }
            }
            Request::Signal { number, signal, recipients } => {
                let refused = self.signal(number, signal, recipients).err().map(Errno::raw_os_error);
                return self.line.send(&Report::Signalled { refused });
            }
            Request::EndProcesses => {
                self.end_processes();
                return self.line.send(&Report::ProcessesEnded);
            }
            Request::CreateFile { number, path, mode } => {
                let result = self.prepared.folders.create(&path, mode).map(|file| {
                    self.transfers.insert(number, file);
                });
                return self.line.send(&Report::Written { number, result });
            }
            Request::WriteFile { number, bytes } => {
                let result = match self.transfers.get(&number) {
                    Some(file) => files::write_all(file, bytes).map_err(Refusal::from),
                    None => Err(Refusal::NotOpen),
                };
                return self.line.send(&Report::Written { number, result });
            }
            Request::Put { number, placed } => {
                let result = placed.iter().try_for_each(files::put).map_err(Refusal::from);
                return self.line.send(&Report::Written { number, result });
            }
            Request::OpenFile { number, path } => {
                let result = self.prepared.folders.open_file(&path).map(|(file, size)| {
                    self.transfers.insert(number, file);
                    size
                });
                return self.line.send(&Report::Opened { number, result });
            }
            Request::ReadFile { number } => return self.read_file(number),
            Request::CloseFile { number } => {
                drop(self.transfers.remove(&number));
                return self.line.send(&Report::Closed { number });
            }
            Request::List { number, path } => return self.list(number, &path),
            Request::Usage => {
                let usage = self.usage();
                return self.line.send(&Report::Usage(usage));
            }
        }
        Ok(())
    }

    fn start(&mut self, number: u32, command: &Command) -> Result<(), Lost> {
        match self.try_start(number, command) {
            Ok((process, streams)) => {
                self.processes.insert(process, number);
                self.commands.insert(number, Running { process: Some(process), streams });
                self.line.send(&Report::Started { number })
            }
            Err(failure) => self.line.send(&Report::NotStarted { number, failure }),
        }
    }

    /// Takes connections that are there, as many as are expected.
    fn accept(&mut self) -> Result<(), Lost> {
        loop {
            match self.prepared.door.accept() {
                Ok(Some((number, streams))) => {
                    self.commands.insert(number, Running { process: None, streams });
                    self.line.send(&Report::Started { number })?;
                }
                Ok(None) => return Ok(()),
                // It would fail again at once, and for ever.
                Err(errno) => return self.stop_listening(errno),
            }
        }
    }

    fn stop_listening(&mut self, why: Errno) -> Result<(), Lost> {
        for number in self.prepared.door.close() {
            self.line.send(&Report::NotStarted { number, failure: Door::failure(why) })?;
        }
        Ok(())
    }

    fn try_start(&self, number: u32, command: &Command) -> Result<(i32, Streams), Failure> {
        // As a control group refuses it where processes are born in one.
        if self.prepared.group.as_ref().is_some_and(|group| !group.has_room()) {
            return Err(Errno::AGAIN).step("fork");
        }
        // The command's user's own, so that it can open them again by name (`/dev/stdout`).
        let taken = Identity(self.prepared.owner).take().step("become the commands' user")?;
        let (streams, theirs) = Streams::open(command.terminal)?;
        drop(taken);
        let mark = self.prepared.marks.map(|marks| marks.of_command(number));
        let is_terminal = command.terminal.is_some();
        let user = command.user.as_deref().map(users::find).transpose().step(FIND_USER)?;
        let placed = Placed { theirs: &theirs, mark, is_terminal, user: user.as_ref(), prepared: &self.prepared };
        let strings = command::Strings::of(command, user.as_ref())?;
        let (process, failure) = sys::spawn(|| strings.become_it(command, &placed)).step("fork")?;
        match failure {
            None => Ok((process, streams)),
            Some(failure) => {
                // It has ended, or is about to: nobody else waits for it.
                if let Some(process) = rustix::process::Pid::from_raw(process) {
                    while rustix::process::waitpid(Some(process), WaitOptions::empty())
                        .is_err_and(|errno| errno == Errno::INTR)
                    {}
                }
                Err(failure)
            }
        }
    }

    /// Collects ended children and reports those that are commands.
    fn reap(&mut self, options: WaitOptions) -> Result<(), Lost> {
        loop {
            match rustix::process::wait(options) {
                Ok(Some((process, status))) => {
                    let process = process.as_raw_nonzero().get();
                    if self.prepared.processes.reaper == Some(process) {
                        // Every command has ended with it, and none can be started any more.
                        return Err(Lost);
                    }
                    let Some(number) = self.processes.remove(&process) else { continue };
                    if let Some(running) = self.commands.get_mut(&number) {
                        running.process = None;
                    }
                    self.line.send(&Report::Ended { number, status: ended(status) })?;
                    self.forget_if_over(number);
                }
                Err(Errno::INTR) => {}
                Ok(None) | Err(_) => return Ok(()),
            }
        }
    }

    fn forget_if_over(&mut self, number: u32) {
        if self.commands.get(&number).is_some_and(|running| running.process.is_none() && running.streams.are_over()) {
            self.commands.remove(&number);
        }
    }

    fn signal(&self, number: u32, signal: i32, recipients: Recipients) -> Result<(), Errno> {
        let process = self.commands.get(&number).and_then(|running| running.process);
        match recipients {
            Recipients::Group => sys::signal(-process.ok_or(Errno::SRCH)?, signal),
            // Its own process may have ended: what it left is its tree all the same.
            Recipients::Tree => {
                let others: Vec<i32> =
                    self.processes.iter().filter(|(_, other)| **other != number).map(|(process, _)| *process).collect();
                let (marks, processes) = (self.prepared.marks, &self.prepared.processes);
                let tree = tree::Tree { process, number, marks, others: &others, processes };
                tree.signal(signal, self.prepared.abilities.sees_processes)
            }
        }
    }

    /// Kills every other process and returns when none is left.
    fn end_processes(&mut self) {
        if self.prepared.abilities.is_first {
            // One call is enough: a process that is just being forked sees the signal before it can run.
            let _killed = sys::kill_everything_in_this_pid_namespace().is_ok();
            drop(self.reap(WaitOptions::empty()));
        } else {
            self.prepared.processes.kill_descendants();
            drop(self.reap(WaitOptions::NOHANG));
        }
    }

    fn read_file(&mut self, number: u32) -> Result<(), Lost> {
        let mut buffer = std::mem::take(&mut self.line.piece);
        let result = match self.transfers.get(&number) {
            Some(file) => files::read(file, &mut buffer),
            None => Err(Refusal::NotOpen),
        };
        let result = result.map(|count| buffer.get(..count).unwrap_or_default());
        let sent = self.line.send(&Report::Piece { number, result });
        self.line.piece = buffer;
        sent
    }

    fn list(&mut self, number: u32, path: &str) -> Result<(), Lost> {
        let line = &mut self.line;
        let listed = self
            .prepared
            .folders
            .list(path, &mut |entries, more| line.send(&Report::Listing { number, result: Ok(entries), more }))?;
        match listed {
            Ok(()) => Ok(()),
            Err(refusal) => line.send(&Report::Listing { number, result: Err(refusal), more: false }),
        }
    }

    fn usage(&self) -> Usage {
        let prepared = &self.prepared;
        let seen = || if prepared.abilities.sees_processes { prepared.processes.count_others() } else { None };
        let processes = prepared.group.as_ref().and_then(prepare::Group::count).or_else(seen);
        Usage { cpu_of_ended_us: sys::cpu_of_ended_children_us(), processes, free: prepared.folders.free() }
    }
}

fn ended(status: WaitStatus) -> Ended {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ended::Exited(code),
        (None, Some(signal)) => Ended::Signaled(signal),
        (None, None) => Ended::Exited(255),
    }
}

/// Something with a descriptor: for the few places that take any of them.
fn resize(terminal: impl AsFd, size: TerminalSize) {
    let size = rustix::termios::Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    let _resized = rustix::termios::tcsetwinsize(terminal, size).is_ok();
}
