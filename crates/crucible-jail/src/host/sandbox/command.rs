//! Starts commands in a sandbox, and what can be done to one while it runs.

use super::super::JailError;
use super::super::socket::MessageSocket;
use super::Sandbox;
use super::conversation::Conversation;
use super::terminal::{Keyboard, Screen, Size, Terminal};
use crate::plan::{Ended, Failure, InitMessage, InitRequest, Orphans, ProcessLimit, Streams, WAITING_COMMAND};
use crate::socket;
use rustix::fs::{Mode, OFlags};
use rustix::pipe::PipeFlags;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::unix::pipe;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

/// A command to start.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// `NAME=value` each.
    pub env: Vec<String>,
    /// Whose it is, by the name that the sandbox's own tables have. Only root inside can become somebody.
    pub user: Option<String>,
    /// Where it starts.
    pub directory: String,
    /// Limits per process.
    pub limits: Vec<(ProcessLimit, u64)>,
    /// Whether it can open its streams again by name (`/dev/stdout`), whoever it is. Not for what hands them on to others.
    pub reopens: bool,
    /// How large its terminal is, if it has one instead of three streams.
    pub terminal: Option<Size>,
    /// Whose its orphans are.
    pub orphans: Orphans,
}

/// A command that was started.
pub struct Running {
    /// Its standard input, or what is typed at its terminal.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its standard output, or all that its terminal shows.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// Its standard error, or nothing.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    /// Gets how it ended, or closes when the sandbox is lost.
    pub ended: oneshot::Receiver<Ended>,
    /// What can be done to it.
    pub control: Control,
}

/// What can be done to a command. Keeps nothing alive.
#[derive(Clone)]
pub struct Control {
    conversation: Arc<Conversation>,
    number: u32,
    orphans: Orphans,
    terminal: Option<Weak<Terminal>>,
}

impl Control {
    /// Sends a signal to the command's process group.
    ///
    /// # Errors
    /// [`JailError::Refused`] where it has ended.
    pub async fn signal(&self, signal: i32) -> Result<(), JailError> {
        let request = InitRequest::Signal { number: self.number, signal };
        self.conversation.request(&request, "send a signal").await
    }

    /// Kills the command and everything that came of it, and returns when that is dead. Nothing happens where it has ended.
    ///
    /// # Errors
    /// [`JailError::Refused`] where it doesn't keep its orphans or the processes can't be listed.
    pub async fn end_tree(&self) -> Result<(), JailError> {
        if self.orphans == Orphans::ToInit {
            return Err(JailError::Refused(crate::plan::Refusal::NotListed));
        }
        let request = InitRequest::EndTree { number: self.number };
        self.conversation.request(&request, "end a command").await
    }

    /// Says how large its terminal is. `None` where it has none.
    ///
    /// # Errors
    /// [`JailError::Os`] where the kernel refuses.
    pub fn resize(&self, size: Size) -> Option<Result<(), JailError>> {
        // Nobody holds an end any more where it has hung up.
        self.terminal.as_ref().map(|terminal| terminal.upgrade().map_or(Ok(()), |terminal| terminal.resize(size)))
    }
}

/// An interpreter that waits for its program.
pub(super) struct Waiting {
    socket: MessageSocket,
    ended: oneshot::Receiver<Ended>,
}

/// How a program comes into its process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// It is executed.
    Execution,
    /// An interpreter waits for it.
    Interpreter,
}

/// The guest's ends of a command's streams.
type TheirEnds = [OwnedFd; 3];

/// The supervisor's ends of a command's streams, which nobody watches yet.
enum OurEnds {
    Pipes(OwnedFd, OwnedFd, OwnedFd),
    Terminal(Arc<Terminal>),
}

impl Sandbox {
    /// Starts a command and returns once its program runs.
    ///
    /// # Errors
    /// [`JailError::NotStarted`] where the program can't be executed.
    pub async fn exec(&self, command: Command) -> Result<Running, JailError> {
        self.start(command, By::Execution).await
    }

    /// Has the interpreter that waits become a command, whose first argument names its program's file. It is a fork of
    /// the one that the sandbox was forked from.
    ///
    /// # Errors
    /// As [`Sandbox::exec`]; [`JailError::NothingWaits`] where none does any more.
    pub async fn interpret(&self, command: Command) -> Result<Running, JailError> {
        self.start(command, By::Interpreter).await
    }

    /// Has an interpreter wait for its program, in a sandbox that was forked from one, and returns when it is there.
    ///
    /// # Errors
    /// [`JailError::Refused`] where it can't be forked.
    pub async fn have_one_wait(&self) -> Result<(), JailError> {
        let (ours, theirs) = socket::pair().map_err(JailError::os("make a socket pair"))?;
        let socket = MessageSocket::new(ours)?;
        self.watching.programs_come_unexecuted();
        let ended = self.conversation.expect(WAITING_COMMAND);
        let mut answers = self.conversation.floor().await;
        match self.conversation.ask_with(&mut answers, &InitRequest::Await, &[theirs.as_fd()]).await?.0 {
            InitMessage::Done => {
                *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(Waiting { socket, ended });
                Ok(())
            }
            InitMessage::Refused(refusal) => Err(JailError::Refused(refusal)),
            _ => Err(self.conversation.caught_lying("have an interpreter wait")),
        }
    }

    /// Whether an interpreter waits for its program.
    #[must_use]
    pub fn has_one_waiting(&self) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // One that has ended, such as for want of memory, waits no more.
        if waiting.as_mut().is_some_and(|waiting| waiting.ended.try_recv() != Err(TryRecvError::Empty)) {
            *waiting = None;
            self.watching.programs_are_executed();
        }
        waiting.is_some()
    }

    pub(super) fn take_waiting(&self) -> Option<Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn start(&self, command: Command, by: By) -> Result<Running, JailError> {
        let Command { argv, env, user, directory, limits, reopens, terminal, orphans } = command;
        let (theirs, ours, streams) = match terminal {
            Some(size) => {
                let (ours, theirs) = self.terminal(size)?;
                (theirs, OurEnds::Terminal(ours), Streams::Terminal)
            }
            None => {
                let (theirs, ours) = pipes(reopens)?;
                (theirs, ours, Streams::Pipes)
            }
        };
        let (our_report, their_report) = pipe_pair()?;
        let (number, ended, socket) = match (by, self.take_waiting()) {
            (By::Interpreter, Some(Waiting { socket, ended })) => (WAITING_COMMAND, ended, Some(socket)),
            (By::Interpreter, None) => return Err(JailError::NothingWaits),
            (By::Execution, waiting) => {
                // It isn't what this command is, and ends when its socket does.
                if waiting.is_some() {
                    self.watching.programs_are_executed();
                }
                let number = self.next_command.fetch_add(1, Ordering::Relaxed);
                (number, self.conversation.expect(number), None)
            }
        };
        self.watching.begin_to_look();
        let request = InitRequest::Exec { number, argv, env, user, directory, limits, streams, orphans };
        let descriptors: Vec<BorrowedFd<'_>> = theirs.iter().chain([&their_report]).map(AsFd::as_fd).collect();
        match &socket {
            Some(socket) => socket.send(&request, &descriptors).await.map_err(|_| JailError::SandboxLost)?,
            None => self.conversation.tell(&request, &descriptors).await?,
        }
        drop((theirs, their_report));
        let mut report = Vec::new();
        receiver(our_report)?
            .take(4096)
            .read_to_end(&mut report)
            .await
            .map_err(JailError::io("wait for the command to start"))?;
        if !report.is_empty() {
            self.conversation.expect_no_more(number);
            let Failure { step, errno } =
                postcard::from_bytes(&report).map_err(|_| JailError::Protocol("start a command"))?;
            return Err(JailError::NotStarted { step, errno });
        }
        let conversation = Arc::clone(&self.conversation);
        Ok(match ours {
            OurEnds::Terminal(terminal) => Running {
                control: Control { conversation, number, orphans, terminal: Some(Arc::downgrade(&terminal)) },
                stdin: Box::new(Keyboard(Arc::clone(&terminal))),
                stdout: Box::new(Screen(terminal)),
                stderr: Box::new(tokio::io::empty()),
                ended,
            },
            OurEnds::Pipes(input, output, error) => {
                rustix::fs::fcntl_setfl(&input, OFlags::NONBLOCK).map_err(JailError::os("make a pipe non-blocking"))?;
                let stdin = pipe::Sender::from_owned_fd_unchecked(input).map_err(JailError::io("watch a pipe"))?;
                Running {
                    control: Control { conversation, number, orphans, terminal: None },
                    stdin: Box::new(stdin),
                    stdout: Box::new(receiver(output)?),
                    stderr: Box::new(receiver(error)?),
                    ended,
                }
            }
        })
    }

    fn terminal(&self, size: Size) -> Result<(Arc<Terminal>, TheirEnds), JailError> {
        let folder = self.terminals.as_ref().ok_or(JailError::NoTerminals)?;
        let (ours, theirs) = Terminal::open(folder, size)?;
        let again =
            || rustix::io::fcntl_dupfd_cloexec(&theirs, 0).map_err(JailError::os("open the terminal once more"));
        let (output, error) = (again()?, again()?);
        Ok((ours, [theirs, output, error]))
    }

    /// Whether commands can have terminals.
    #[must_use]
    pub const fn has_terminals(&self) -> bool {
        self.terminals.is_some()
    }
}

fn pipe_pair() -> Result<(OwnedFd, OwnedFd), JailError> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(JailError::os("make a pipe"))
}

/// What a command's streams are. One that can be opened again can be by any user who has it, and by nobody else: it has no name but in
/// `/proc`, where the kernel shows it to those alone who may look into the process.
fn pipes(reopens: bool) -> Result<(TheirEnds, OurEnds), JailError> {
    let ((their_input, our_input), (our_output, their_output), (our_error, their_error)) =
        (pipe_pair()?, pipe_pair()?, pipe_pair()?);
    let theirs = [their_input, their_output, their_error];
    // Each in its own direction alone: whoever inherits another user's output can't read it.
    for (stream, mode) in theirs.iter().zip([0o444, 0o222, 0o222]).filter(|_| reopens) {
        rustix::fs::fchmod(stream, Mode::from_raw_mode(mode)).map_err(JailError::os("give a stream to the guest"))?;
    }
    Ok((theirs, OurEnds::Pipes(our_input, our_output, our_error)))
}

fn receiver(descriptor: OwnedFd) -> Result<pipe::Receiver, JailError> {
    rustix::fs::fcntl_setfl(&descriptor, OFlags::NONBLOCK).map_err(JailError::os("make a pipe non-blocking"))?;
    pipe::Receiver::from_owned_fd_unchecked(descriptor).map_err(JailError::io("watch a pipe"))
}
