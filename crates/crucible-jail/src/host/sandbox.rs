//! A sandbox's init as seen by the supervisor. Everything that comes from it is hostile.

use super::JailError;
use super::observe::{Mounts, Observer, ProcessEvents, Record, Registration, answer, look_from_time_to_time};
use super::socket::MessageSocket;
use crate::plan::{Ended, Entry, Failure, InitMessage, InitRequest, ProcessLimit};
use crate::socket::MessageError;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Gid, Signal, Uid};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncReadExt;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};
use tokio::task::JoinHandle;

/// The most entries that are taken from one listing.
const MOST_ENTRIES: usize = 200_000;

type Waiting = Arc<Mutex<BTreeMap<u32, oneshot::Sender<Ended>>>>;

/// A running sandbox. Dropping it kills everything in it.
pub struct Sandbox {
    socket: Arc<MessageSocket>,
    init: AsyncFd<OwnedFd>,
    reach: Reach,
    /// Its writable file system.
    storage: OwnedFd,
    /// The device number of its writable file system: files from elsewhere aren't its own.
    device: u64,
    without: Vec<Failure>,
    next_command: AtomicU32,
    waiting: Waiting,
    /// Whether the init is known to be the only process.
    alone: Arc<AtomicBool>,
    answers: AsyncMutex<Answers>,
    signs: Arc<Signs>,
    reader: JoinHandle<()>,
    watching: Watching,
}

/// How a sandbox is watched while its guest runs.
struct Watching {
    pid: i32,
    record: Arc<Record>,
    /// Answers reports, where there are any.
    answering: Option<JoinHandle<()>>,
    /// Hears of started programs.
    hearing: Option<Registration>,
    /// Whether started programs are looked for, where nobody tells of them.
    looks: bool,
    /// Looks for them, from the first command on.
    looking: Mutex<Option<JoinHandle<()>>>,
}

/// What is to be watched of a sandbox, and by what means.
pub(super) struct Watched<'a> {
    /// Its init, as numbered on the host.
    pub(super) pid: i32,
    pub(super) events: Option<&'a ProcessEvents>,
    pub(super) looks: bool,
}

/// What was seen of an init that has gone wrong.
#[derive(Default)]
struct Signs {
    /// It said what it never would by itself.
    broke_its_word: AtomicBool,
    /// It doesn't talk any more. It may take the kernel a moment from here until the process has ended.
    hung_up: AtomicBool,
}

/// What ends with a sandbox's init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Everything: the init is the first process of a namespace.
    Namespace,
    /// Nothing by itself.
    Descendants,
}

struct Answers {
    channel: mpsc::Receiver<(InitMessage, Vec<OwnedFd>)>,
    /// Whether an answer is still to come, also to a request that its asker abandoned half-way: it comes before all others.
    owed: bool,
}

impl Answers {
    /// The next answer, or the next part of one. Cancel-safe.
    async fn next(&mut self) -> Result<(InitMessage, Vec<OwnedFd>), JailError> {
        let answer = self.channel.recv().await.ok_or(JailError::SandboxLost)?;
        self.owed = matches!(answer.0, InitMessage::Listing { more: true, .. });
        Ok(answer)
    }
}

/// A command to start.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// `NAME=value` each.
    pub env: Vec<String>,
    /// Where it starts.
    pub directory: String,
    /// Limits per process.
    pub limits: Vec<(ProcessLimit, u64)>,
    /// The host id that the streams are given to, so that the guest can open them again by name (`/dev/stdout`).
    pub stream_owner: Option<u32>,
}

/// A command that was started.
pub struct Running {
    /// Its standard input.
    pub stdin: pipe::Sender,
    /// Its standard output.
    pub stdout: pipe::Receiver,
    /// Its standard error.
    pub stderr: pipe::Receiver,
    /// Gets how it ended, or closes when the sandbox is lost.
    pub ended: oneshot::Receiver<Ended>,
}

impl Sandbox {
    pub(super) async fn connect(
        socket: MessageSocket,
        reach: Reach,
        [init, storage]: [OwnedFd; 2],
        device: u64,
        Watched { pid, events, looks }: Watched<'_>,
    ) -> Result<Self, JailError> {
        let socket = Arc::new(socket);
        let init = crate::sys::watch(init, Interest::READABLE).map_err(JailError::io("watch the sandbox's init"))?;
        let mut first = socket.receive::<InitMessage>().await;
        let mut reports = None;
        if let Ok((InitMessage::Reports, descriptors)) = &mut first {
            reports = descriptors.pop();
            first = socket.receive::<InitMessage>().await;
        }
        let without = match first {
            Ok((InitMessage::Ready { without }, _)) => without,
            Ok((InitMessage::Failed(failure), _)) => return Err(failure.into()),
            Err(MessageError::Closed) => return Err(JailError::SandboxLost),
            Ok(_) | Err(_) => return Err(JailError::Protocol("set the sandbox up")),
        };
        let record = Arc::<Record>::default();
        let answering = match reports {
            Some(reports) => {
                let reports = crate::sys::watch(reports, Interest::READABLE);
                let reports = reports.map_err(JailError::io("hear of refused system calls"))?;
                Some(tokio::spawn(answer(reports, Arc::clone(&record))))
            }
            None => None,
        };
        let mounts = if reach == Reach::Namespace { Mounts::Own } else { Mounts::Host };
        let hearing = events.map(|events| events.register(pid, Arc::clone(&record), mounts));
        let watching = Watching { pid, record, answering, hearing, looks, looking: Mutex::default() };
        let waiting = Waiting::default();
        // One place only: an init that says more than it was asked is left standing with it.
        let (sender, channel) = mpsc::channel(1);
        let alone = Arc::new(AtomicBool::new(true));
        let signs = Arc::<Signs>::default();
        let (their_socket, their_waiting) = (Arc::clone(&socket), Arc::clone(&waiting));
        let reader = read_messages(their_socket, their_waiting, Arc::clone(&alone), Arc::clone(&signs), sender);
        let reader = tokio::spawn(reader);
        let answers = AsyncMutex::new(Answers { channel, owed: false });
        Ok(Self {
            socket,
            init,
            reach,
            storage,
            device,
            without,
            next_command: AtomicU32::new(0),
            waiting,
            alone,
            answers,
            signs,
            reader,
            watching,
        })
    }

    /// Tells what its guest does. Needs nothing to be started: what happens is noted whether somebody wants to know or not.
    #[must_use]
    pub fn observer(&self) -> Observer {
        Observer::new(Arc::clone(&self.watching.record), self.watching.hearing.as_ref().map(Registration::ears))
    }

    /// Whether refused system calls are heard of.
    #[must_use]
    pub const fn hears_of_calls(&self) -> bool {
        self.watching.answering.is_some()
    }

    /// Whether files are heard of that it opens outside of its language's and its own.
    #[must_use]
    pub fn hears_of_files(&self) -> bool {
        self.watching.hearing.as_ref().is_some_and(Registration::hears_of_files)
    }

    /// Whether every started program is heard of; else it is looked for from time to time.
    #[must_use]
    pub const fn hears_of_programs(&self) -> bool {
        self.watching.hearing.is_some()
    }

    /// Whether the death of its init is that of everything in it.
    #[must_use]
    pub const fn ends_with_its_init(&self) -> bool {
        matches!(self.reach, Reach::Namespace)
    }

    /// What was preferred in the plan and couldn't be had.
    #[must_use]
    pub fn without(&self) -> &[Failure] {
        &self.without
    }

    /// Bytes and inodes that are free on its writable file system, as the kernel counts them now.
    ///
    /// # Errors
    /// [`JailError::Os`] where it can't be looked at.
    pub fn free_storage(&self) -> Result<(u64, u64), JailError> {
        let seen = rustix::fs::fstatvfs(&self.storage).map_err(JailError::os("look at the writable file system"))?;
        Ok((seen.f_bfree.saturating_mul(seen.f_frsize), seen.f_ffree))
    }

    /// Starts a command and returns once its program runs.
    ///
    /// # Errors
    /// [`JailError::NotStarted`] where the program can't be executed.
    pub async fn exec(&self, command: Command) -> Result<Running, JailError> {
        let pair = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(JailError::os("make a pipe"));
        let ((their_input, our_input), (our_output, their_output), (our_error, their_error)) =
            (pair()?, pair()?, pair()?);
        let (our_report, their_report) = pair()?;
        let number = self.next_command.fetch_add(1, Ordering::Relaxed);
        let (sender, ended) = oneshot::channel();
        {
            let mut waiting = lock(&self.waiting);
            waiting.insert(number, sender);
            self.alone.store(false, Ordering::Release);
        }
        self.watching.begin_to_look();
        let Command { argv, env, directory, limits, stream_owner } = command;
        for stream in [&their_input, &their_output, &their_error] {
            let Some(owner) = stream_owner else { break };
            rustix::fs::fchown(stream, Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)))
                .map_err(JailError::os("give a stream to the guest"))?;
        }
        let request = InitRequest::Exec { number, argv, env, directory, limits };
        let descriptors = [their_input.as_fd(), their_output.as_fd(), their_error.as_fd(), their_report.as_fd()];
        self.socket.send(&request, &descriptors).await.map_err(lost)?;
        drop((their_input, their_output, their_error, their_report));
        let mut report = Vec::new();
        receiver(our_report)?
            .take(4096)
            .read_to_end(&mut report)
            .await
            .map_err(JailError::io("wait for the command to start"))?;
        if !report.is_empty() {
            lock(&self.waiting).remove(&number);
            let Failure { step, errno } =
                postcard::from_bytes(&report).map_err(|_| JailError::Protocol("start a command"))?;
            return Err(JailError::NotStarted { step, errno });
        }
        rustix::fs::fcntl_setfl(&our_input, OFlags::NONBLOCK).map_err(JailError::os("make a pipe non-blocking"))?;
        let stdin = pipe::Sender::from_owned_fd_unchecked(our_input).map_err(JailError::io("watch a pipe"))?;
        Ok(Running { stdin, stdout: receiver(our_output)?, stderr: receiver(our_error)?, ended })
    }

    /// Opens a regular file with one name for reading.
    ///
    /// # Errors
    /// [`JailError::Refused`] for anything else.
    pub async fn open_file(&self, path: &str) -> Result<File, JailError> {
        self.opened(InitRequest::OpenFile { path: path.to_owned() }).await
    }

    /// Makes an empty file for writing, and the folders above it.
    ///
    /// # Errors
    /// [`JailError::Refused`] where the path can't be written.
    pub async fn create_file(&self, path: &str, mode: u32) -> Result<File, JailError> {
        self.opened(InitRequest::CreateFile { path: path.to_owned(), mode }).await
    }

    async fn opened(&self, request: InitRequest) -> Result<File, JailError> {
        let mut answers = self.answers.lock().await;
        match self.ask(&mut answers, &request).await? {
            (InitMessage::Opened, mut descriptors) => {
                let file = descriptors.pop().ok_or_else(|| self.caught_lying("open a file"))?;
                // The init's word isn't enough: reading must not block, and must not reach anything but its own files.
                let seen = rustix::fs::fstat(&file).map_err(JailError::os("look at an opened file"))?;
                if FileType::from_raw_mode(seen.st_mode) != FileType::RegularFile || seen.st_dev != self.device {
                    return Err(self.caught_lying("open a file of the sandbox's own"));
                }
                Ok(File::from(file))
            }
            (InitMessage::Refused(refusal), _) => Err(JailError::Refused(refusal)),
            _ => Err(self.caught_lying("open a file")),
        }
    }

    /// Lists a folder.
    ///
    /// # Errors
    /// [`JailError::Refused`] for anything but a folder.
    pub async fn list(&self, path: &str) -> Result<Vec<Entry>, JailError> {
        let mut answers = self.answers.lock().await;
        let mut answer = self.ask(&mut answers, &InitRequest::List { path: path.to_owned() }).await?;
        let mut all = Vec::new();
        loop {
            match answer.0 {
                InitMessage::Listing { entries, more } if all.len() + entries.len() <= MOST_ENTRIES => {
                    all.extend(entries);
                    if !more {
                        return Ok(all);
                    }
                    answer = answers.next().await?;
                }
                InitMessage::Refused(refusal) => return Err(JailError::Refused(refusal)),
                _ => return Err(self.caught_lying("list a folder")),
            }
        }
    }

    /// Kills every process but the init, and returns when all are dead.
    ///
    /// # Errors
    /// [`JailError::SandboxLost`] where the init is gone, too.
    pub async fn end_processes(&self) -> Result<(), JailError> {
        if self.alone.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut answers = self.answers.lock().await;
        match self.ask(&mut answers, &InitRequest::EndProcesses).await?.0 {
            InitMessage::ProcessesEnded => Ok(()),
            _ => Err(self.caught_lying("end the processes")),
        }
    }

    /// Notes that the init gave an answer that it never would by itself.
    fn caught_lying(&self, operation: &'static str) -> JailError {
        self.signs.broke_its_word.store(true, Ordering::Release);
        JailError::Protocol(operation)
    }

    /// Whether the init has said what it never would by itself: nonsense, an answer to another question, or a descriptor
    /// that isn't of its own files.
    #[must_use]
    pub fn broke_its_word(&self) -> bool {
        self.signs.broke_its_word.load(Ordering::Acquire)
    }

    async fn ask(
        &self,
        answers: &mut Answers,
        request: &InitRequest,
    ) -> Result<(InitMessage, Vec<OwnedFd>), JailError> {
        while answers.owed {
            drop(answers.next().await?);
        }
        let no_descriptors: [BorrowedFd<'_>; 0] = [];
        self.socket.send(request, &no_descriptors).await.map_err(lost)?;
        answers.owed = true;
        answers.next().await
    }

    /// Kills the sandbox's init, and with it everything in a jailed one, without waiting.
    pub fn kill(&self) {
        // Fails only if it is dead already.
        let _killed = rustix::process::pidfd_send_signal(self.init.get_ref(), Signal::KILL).is_ok();
    }

    /// Its writable file system.
    pub(super) const fn storage(&self) -> &OwnedFd {
        &self.storage
    }

    /// What ends with its init.
    pub(super) const fn reach(&self) -> Reach {
        self.reach
    }

    /// The device number of its writable file system.
    pub(super) const fn device(&self) -> u64 {
        self.device
    }

    /// Whether its init has stopped talking, as it does when it ends.
    #[must_use]
    pub fn has_hung_up(&self) -> bool {
        self.signs.hung_up.load(Ordering::Acquire)
    }

    /// Whether its init is dead.
    ///
    /// # Errors
    /// [`JailError::Os`] where it can't be watched.
    pub fn is_dead(&self) -> Result<bool, JailError> {
        is_readable(self.init.get_ref()).map_err(JailError::os("look whether the sandbox lives"))
    }

    /// Waits until nothing of the sandbox runs any more.
    ///
    /// # Errors
    /// [`JailError::Os`] where it can't be watched.
    pub async fn wait_until_dead(&self) -> Result<(), JailError> {
        // The kernel tells of an init's end only after the end of everything else in its process namespace.
        self.init.readable().await.map(drop).map_err(JailError::io("wait for the sandbox's end"))
    }
}

impl Watching {
    /// Looks for started programs from the first command on, where nobody tells of them.
    fn begin_to_look(&self) {
        if self.hearing.is_some() || !self.looks {
            return;
        }
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        looking.get_or_insert_with(|| tokio::spawn(look_from_time_to_time(self.pid, Arc::clone(&self.record))));
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let looking = self.looking.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.answering.iter().chain(looking.iter()).for_each(JoinHandle::abort);
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        match self.reach {
            Reach::Namespace => self.kill(),
            // Its init is the only one who knows what to end. It does so when nobody is left to talk to.
            Reach::Descendants => self.socket.shut_down(),
        }
        self.reader.abort();
    }
}

/// Hands messages to those who wait for them, until the sandbox is gone or talks nonsense.
async fn read_messages(
    socket: Arc<MessageSocket>,
    waiting: Waiting,
    alone: Arc<AtomicBool>,
    signs: Arc<Signs>,
    answers: mpsc::Sender<(InitMessage, Vec<OwnedFd>)>,
) {
    loop {
        let (message, descriptors) = match socket.receive::<InitMessage>().await {
            Ok(received) => received,
            Err(MessageError::Malformed) => {
                signs.broke_its_word.store(true, Ordering::Release);
                break;
            }
            Err(MessageError::Closed | MessageError::Os(_)) => break,
        };
        match message {
            InitMessage::Ended { number, status, alone: is_alone } => {
                let mut waiting = lock(&waiting);
                // Another command may have been asked for meanwhile.
                let sender = waiting.remove(&number);
                alone.store(is_alone && waiting.is_empty(), Ordering::Release);
                drop(waiting);
                if let Some(sender) = sender {
                    // The one who waited may have gone away.
                    let _told = sender.send(status).is_ok();
                }
            }
            other => {
                if answers.send((other, descriptors)).await.is_err() {
                    break;
                }
            }
        }
    }
    signs.hung_up.store(true, Ordering::Release);
    lock(&waiting).clear();
}

fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, BTreeMap<u32, oneshot::Sender<Ended>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether there is something to read, or for a process whether it has ended.
pub(super) fn is_readable(descriptor: &OwnedFd) -> Result<bool, Errno> {
    let mut wait = [PollFd::new(descriptor, PollFlags::IN)];
    rustix::event::poll(&mut wait, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).map(|ready| ready > 0)
}

fn receiver(descriptor: OwnedFd) -> Result<pipe::Receiver, JailError> {
    rustix::fs::fcntl_setfl(&descriptor, OFlags::NONBLOCK).map_err(JailError::os("make a pipe non-blocking"))?;
    pipe::Receiver::from_owned_fd_unchecked(descriptor).map_err(JailError::io("watch a pipe"))
}

fn lost(error: MessageError) -> JailError {
    match error {
        MessageError::Closed => JailError::SandboxLost,
        MessageError::Os(errno) => JailError::os("talk to the sandbox")(errno),
        MessageError::Malformed => JailError::Protocol("talk to the sandbox"),
    }
}
