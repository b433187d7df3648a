//! A sandbox's init as seen by the supervisor. Everything that comes from it is hostile.

mod command;
mod conversation;
mod copy;
mod renew;
mod terminal;

pub use command::{Command, Control, Running};
pub use terminal::Size;

use super::JailError;
use super::observe::{
    Mounts, Observer, ProcessEvents, ProgramsCome, Record, Registration, answer, look_from_time_to_time,
};
use super::socket::MessageSocket;
use crate::plan::{Entry, Failure, InitMessage, InitRequest};
use crate::socket::MessageError;
use conversation::Conversation;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Signal;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

/// The most entries that are taken from one listing.
const MOST_ENTRIES: usize = 200_000;

/// A running sandbox. Dropping it kills everything in it.
pub struct Sandbox {
    conversation: Arc<Conversation>,
    init: AsyncFd<OwnedFd>,
    reach: Reach,
    /// Its writable file system.
    storage: OwnedFd,
    /// The device number of its writable file system: files from elsewhere aren't its own.
    device: u64,
    without: Vec<Failure>,
    /// The folder of its own terminals, if it has any.
    terminals: Option<OwnedFd>,
    next_command: AtomicU32,
    reader: JoinHandle<()>,
    watching: Watching,
    /// An interpreter that waits for its program.
    waiting: Mutex<Option<command::Waiting>>,
    /// What the supervisor put into it.
    given: Mutex<renew::Given>,
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

/// What ends with a sandbox's init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Everything: the init is the first process of a namespace.
    Namespace,
    /// Nothing by itself.
    Descendants,
}

impl Sandbox {
    pub(super) async fn connect(
        socket: MessageSocket,
        reach: Reach,
        [init, storage]: [OwnedFd; 2],
        device: u64,
        Watched { pid, events, looks }: Watched<'_>,
    ) -> Result<Self, JailError> {
        let init = crate::sys::watch(init, Interest::READABLE).map_err(JailError::io("watch the sandbox's init"))?;
        let mut first = socket.receive::<InitMessage>().await;
        let (mut reports, mut terminals) = (None, None);
        if let Ok((InitMessage::Reports, descriptors)) = &mut first {
            reports = descriptors.pop();
            first = socket.receive::<InitMessage>().await;
        }
        if let Ok((InitMessage::Terminals, descriptors)) = &mut first {
            terminals = descriptors.pop();
            first = socket.receive::<InitMessage>().await;
        } else if reach == Reach::Descendants {
            // Without a wall the host's own are as good as any.
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            terminals = rustix::fs::open("/dev", flags, Mode::empty()).ok();
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
        let (conversation, answers) = Conversation::new(socket);
        let reader = tokio::spawn(Arc::clone(&conversation).listen(answers));
        let next_command = AtomicU32::new(0);
        let waiting = Mutex::default();
        Ok(Self {
            conversation,
            init,
            reach,
            storage,
            device,
            without,
            terminals,
            next_command,
            reader,
            watching,
            waiting,
            given: Mutex::default(),
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

    /// Opens a regular file with one name for reading.
    ///
    /// # Errors
    /// [`JailError::Refused`] for anything else.
    pub async fn open_file(&self, path: &str) -> Result<File, JailError> {
        self.opened(InitRequest::OpenFile { path: path.to_owned() }).await.map(|(file, _)| file)
    }

    /// Makes an empty file for writing, and the folders above it.
    ///
    /// # Errors
    /// [`JailError::Refused`] where the path can't be written.
    pub async fn create_file(&self, path: &str, mode: u32) -> Result<File, JailError> {
        let (file, _) = self.opened(InitRequest::CreateFile { path: path.to_owned(), mode }).await?;
        self.given().note(path);
        Ok(file)
    }

    /// A file that the init opens, with its number on its file system.
    async fn opened(&self, request: InitRequest) -> Result<(File, u64), JailError> {
        let mut answers = self.conversation.floor().await;
        match self.conversation.ask(&mut answers, &request).await? {
            (InitMessage::Opened, mut descriptors) => {
                let file = descriptors.pop().ok_or_else(|| self.conversation.caught_lying("open a file"))?;
                // The init's word isn't enough: reading must not block, and must not reach anything but its own files.
                let seen = rustix::fs::fstat(&file).map_err(JailError::os("look at an opened file"))?;
                if FileType::from_raw_mode(seen.st_mode) != FileType::RegularFile || seen.st_dev != self.device {
                    return Err(self.conversation.caught_lying("open a file of the sandbox's own"));
                }
                Ok((File::from(file), seen.st_ino))
            }
            (InitMessage::Refused(refusal), _) => Err(JailError::Refused(refusal)),
            _ => Err(self.conversation.caught_lying("open a file")),
        }
    }

    /// Lists a folder.
    ///
    /// # Errors
    /// [`JailError::Refused`] for anything but a folder.
    pub async fn list(&self, path: &str) -> Result<Vec<Entry>, JailError> {
        let mut answers = self.conversation.floor().await;
        let mut answer = self.conversation.ask(&mut answers, &InitRequest::List { path: path.to_owned() }).await?;
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
                _ => return Err(self.conversation.caught_lying("list a folder")),
            }
        }
    }

    /// Looks at what a path names, without following it.
    ///
    /// # Errors
    /// [`JailError::Refused`] where there is nothing.
    pub async fn stat(&self, path: &str) -> Result<Entry, JailError> {
        let mut answers = self.conversation.floor().await;
        match self.conversation.ask(&mut answers, &InitRequest::Stat { path: path.to_owned() }).await?.0 {
            InitMessage::Seen(entry) => Ok(entry),
            InitMessage::Refused(refusal) => Err(JailError::Refused(refusal)),
            _ => Err(self.conversation.caught_lying("look at a file")),
        }
    }

    /// Removes a file, a link or an empty folder.
    ///
    /// # Errors
    /// [`JailError::Refused`] where that can't be.
    pub async fn remove(&self, path: &str) -> Result<(), JailError> {
        self.conversation.request(&InitRequest::Remove { path: path.to_owned() }, "remove a file").await
    }

    /// Kills every process but the init, and returns when all are dead.
    ///
    /// # Errors
    /// [`JailError::SandboxLost`] where the init is gone, too.
    pub async fn end_processes(&self) -> Result<(), JailError> {
        // An interpreter that waits ends with the others, and nothing waits any more.
        if self.take_waiting().is_some() {
            self.watching.programs_are_executed();
        }
        if self.conversation.is_alone() {
            return Ok(());
        }
        let mut answers = self.conversation.floor().await;
        match self.conversation.ask(&mut answers, &InitRequest::EndProcesses).await?.0 {
            InitMessage::ProcessesEnded => Ok(()),
            _ => Err(self.conversation.caught_lying("end the processes")),
        }
    }

    /// Whether the init has said what it never would by itself: nonsense, an answer to another question, or a descriptor
    /// that isn't of its own files.
    #[must_use]
    pub fn broke_its_word(&self) -> bool {
        self.conversation.broke_its_word()
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
        self.conversation.has_hung_up()
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
    /// From now on a command's first execution is its guest's doing, since none brings its program.
    fn programs_come_unexecuted(&self) {
        if let Some(hearing) = &self.hearing {
            hearing.programs_come(ProgramsCome::Unexecuted);
        }
    }

    /// From now on a command's first execution brings its program, as it does where nothing waits.
    fn programs_are_executed(&self) {
        if let Some(hearing) = &self.hearing {
            hearing.programs_come(ProgramsCome::Executed);
        }
    }

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
            Reach::Descendants => self.conversation.shut_down(),
        }
        self.reader.abort();
    }
}

/// Whether there is something to read, or for a process whether it has ended.
pub(super) fn is_readable(descriptor: &OwnedFd) -> Result<bool, Errno> {
    let mut wait = [PollFd::new(descriptor, PollFlags::IN)];
    rustix::event::poll(&mut wait, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).map(|ready| ready > 0)
}
