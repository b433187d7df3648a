//! The launcher as seen by the supervisor.

use super::observe::ProcessEvents;
use super::sandbox::{Reach, Sandbox, Watched, is_readable};
use super::socket::MessageSocket;
use super::{JailError, image};
use crate::plan::{LauncherReply, LauncherRequest, Privilege, Protection, RootEntry, SandboxPlan, ZygotePlan};
use crate::socket::{self, MessageError};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags};
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

/// A running launcher. Dropping it ends every sandbox that it started.
pub struct Launcher {
    // Both are `None` only while it is being dropped.
    connection: Option<Mutex<Connection>>,
    child: Option<Child>,
    process_id: u32,
    /// Its process, by which a sandbox's loss is told from its own.
    process: Arc<OwnedFd>,
    time_namespace: bool,
    /// Whether the descriptors of one of its sandboxes have been listed one by one.
    listed: Arc<AtomicBool>,
    /// Tells of programs that are started, where the kernel lets this user hear of that.
    events: Option<Arc<ProcessEvents>>,
    /// Whether what its sandboxes' guests do is looked at.
    watches: bool,
}

struct Connection {
    socket: MessageSocket,
    /// Answers to requests that their askers abandoned half-way: they come before all others. What they bring ends with them.
    owed: u32,
    /// It has said what can't be understood: nobody knows any more which answer is whose.
    broken: bool,
}

/// What the launcher says of a sandbox that it started.
pub struct Started {
    /// The sandbox's init, as numbered on the host.
    pub pid: i32,
    /// The sandbox.
    pub sandbox: Sandbox,
    /// Listens for what wants out of it, where it has a way out: at [`crate::plan::DOOR`], as seen from inside.
    pub door: Option<TcpListener>,
    /// As in the launcher.
    pub(super) listed: Arc<AtomicBool>,
    launcher: Arc<OwnedFd>,
}

impl Started {
    /// Whether the launcher has ended, which ends every sandbox that it started.
    #[must_use]
    pub fn launcher_has_ended(&self) -> bool {
        is_readable(&self.launcher).unwrap_or(true)
    }
}

/// Spare ids of an ordinary user: the first and how many, for users and for groups.
pub type SpareIds = ((u32, u32), (u32, u32));

impl Launcher {
    /// Starts a launcher. Needs a running tokio runtime. `spare_ids` counts only for an ordinary user's.
    ///
    /// # Errors
    /// [`JailError::Step`] where the kernel refuses a namespace, other kinds where it can't be started at all.
    pub async fn start(privilege: Privilege, spare_ids: Option<SpareIds>) -> Result<Self, JailError> {
        let (ours, theirs) = socket::pair().map_err(JailError::os("make a socket pair"))?;
        // Copying and starting a program takes a millisecond, in which the caller may have other things to do.
        let started = tokio::task::spawn_blocking(move || image::start(theirs)).await;
        let child = started.map_err(|_| JailError::LauncherLost)??;
        // Nobody has asked for its end yet, so that the number is still its own.
        let number = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(JailError::LauncherLost)?;
        let process = rustix::process::pidfd_open(number, PidfdFlags::empty());
        let process = Arc::new(process.map_err(JailError::os("watch the launcher"))?);
        let connection = Connection { socket: MessageSocket::new(ours)?, owed: 0, broken: false };
        let mut launcher = Self {
            connection: Some(Mutex::new(connection)),
            process_id: child.id(),
            child: Some(child),
            process,
            time_namespace: false,
            listed: Arc::default(),
            events: ProcessEvents::listen().ok().map(Arc::new),
            watches: true,
        };
        let mut answer = launcher.request(&LauncherRequest::Begin(privilege), &[]).await?.0;
        if answer == LauncherReply::MapIds {
            map_spare_ids(launcher.process_id, spare_ids)?;
            answer = launcher.request(&LauncherRequest::IdsMapped, &[]).await?.0;
        }
        match answer {
            LauncherReply::Begun { time_namespace } => launcher.time_namespace = time_namespace,
            _ => return Err(JailError::Protocol("begin")),
        }
        Ok(launcher)
    }

    /// Has no guest of a sandbox that is started from now on looked at. For measuring what that costs.
    pub fn watch_nothing(&mut self) {
        (self.events, self.watches) = (None, false);
    }

    /// Whether sandboxes get a time namespace.
    #[must_use]
    pub const fn has_time_namespace(&self) -> bool {
        self.time_namespace
    }

    /// Whether every program that a guest starts is heard of.
    #[must_use]
    pub const fn hears_of_programs(&self) -> bool {
        self.events.is_some()
    }

    /// Whether files are heard of that a guest opens outside of its language's and its own.
    #[must_use]
    pub fn hears_of_files(&self) -> bool {
        self.events.as_deref().is_some_and(ProcessEvents::hears_of_files)
    }

    /// The launcher's process on the host.
    #[must_use]
    pub const fn process_id(&self) -> u32 {
        self.process_id
    }

    /// Prepares a root under a number that wasn't used before.
    ///
    /// # Errors
    /// [`JailError::Step`] naming the entry that couldn't be made.
    pub async fn prepare_root(&self, number: u32, entries: Vec<RootEntry>) -> Result<(), JailError> {
        match self.request(&LauncherRequest::PrepareRoot { number, entries }, &[]).await?.0 {
            LauncherReply::RootPrepared => Ok(()),
            _ => Err(JailError::Protocol("prepare a root")),
        }
    }

    /// Starts a sandbox and waits until it stands. The descriptors are those that the plan counts.
    ///
    /// # Errors
    /// [`JailError::Step`] naming the step that failed; nothing is left then.
    pub async fn start_sandbox(&self, plan: SandboxPlan, descriptors: &[BorrowedFd<'_>]) -> Result<Started, JailError> {
        let (ours, theirs) = socket::pair().map_err(JailError::os("make a socket pair"))?;
        let all: Vec<BorrowedFd<'_>> = std::iter::once(theirs.as_fd()).chain(descriptors.iter().copied()).collect();
        let reach = match &plan {
            SandboxPlan::Jailed(plan) if !plan.has(Protection::PidNamespace) => Reach::Descendants,
            SandboxPlan::Jailed(_) | SandboxPlan::Range(_) => Reach::Namespace,
            SandboxPlan::Bare { .. } => Reach::Descendants,
        };
        // A range has supervisors of its own in it.
        let events = self.events.as_deref().filter(|_| !matches!(plan, SandboxPlan::Range(_)));
        let (answer, received) = self.request(&LauncherRequest::Start(Box::new(plan)), &all).await?;
        drop(theirs);
        let mut received = received.into_iter();
        match (answer, received.next(), received.next()) {
            (LauncherReply::Started { pid, device }, Some(init), Some(storage)) => Ok(Started {
                pid,
                door: received.next().map(listener).transpose()?,
                sandbox: {
                    let watched = Watched { pid, events, looks: self.watches };
                    Sandbox::connect(MessageSocket::new(ours)?, reach, [init, storage], device, watched).await?
                },
                listed: Arc::clone(&self.listed),
                launcher: Arc::clone(&self.process),
            }),
            _ => Err(JailError::Protocol("start a sandbox")),
        }
    }

    /// Starts an interpreter that is a launcher itself, for sandboxes with the root that the plan names, and waits until it is
    /// initialised. It ends when it is dropped, and with this launcher.
    ///
    /// # Errors
    /// [`JailError::Zygote`] with its last words, where it can't be one; as [`Launcher::start_sandbox`].
    pub async fn start_zygote(&self, plan: ZygotePlan) -> Result<Self, JailError> {
        let (ours, theirs) = socket::pair().map_err(JailError::os("make a socket pair"))?;
        let library = image::zygote()?;
        let (words, errors) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(JailError::os("make a pipe"))?;
        let descriptors = [theirs.as_fd(), library.as_fd(), errors.as_fd()];
        let (answer, received) = self.request(&LauncherRequest::StartZygote(Box::new(plan)), &descriptors).await?;
        drop((theirs, errors));
        let (LauncherReply::ZygoteStarted { pid }, Some(process)) = (answer, received.into_iter().next()) else {
            return Err(JailError::Protocol("start a zygote"));
        };
        // The first thing that it says is that it has begun.
        let mut connection = Connection { socket: MessageSocket::new(ours)?, owed: 1, broken: false };
        match connection.answer().await {
            Ok((LauncherReply::Begun { .. }, _)) => {}
            Ok(_) => return Err(JailError::Protocol("start a zygote")),
            Err(_) => return Err(JailError::Zygote { words: last_words(words) }),
        }
        Ok(Self {
            connection: Some(Mutex::new(connection)),
            child: None,
            process_id: u32::try_from(pid).map_err(|_| JailError::Protocol("start a zygote"))?,
            process: Arc::new(process),
            time_namespace: self.time_namespace,
            listed: Arc::default(),
            events: self.events.clone(),
            watches: self.watches,
        })
    }

    /// Whether it has ended, and with it every sandbox that it started.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        is_readable(&self.process).unwrap_or(true)
    }

    async fn request(
        &self,
        request: &LauncherRequest,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(LauncherReply, Vec<OwnedFd>), JailError> {
        let Some(connection) = &self.connection else {
            return Err(JailError::LauncherLost);
        };
        let mut connection = connection.lock().await;
        while connection.owed > 0 {
            drop(connection.answer().await?);
        }
        // Either all of it is sent or nothing.
        connection.socket.send(request, descriptors).await.map_err(lost)?;
        connection.owed += 1;
        match connection.answer().await? {
            (LauncherReply::Failed(failure), _) => Err(failure.into()),
            answer => Ok(answer),
        }
    }
}

impl Connection {
    /// The next answer that is owed. Cancel-safe.
    async fn answer(&mut self) -> Result<(LauncherReply, Vec<OwnedFd>), JailError> {
        if self.broken {
            return Err(JailError::LauncherLost);
        }
        let answer = self.socket.receive::<LauncherReply>().await.map_err(lost);
        (self.owed, self.broken) = (self.owed - 1, answer.is_err());
        answer
    }
}

/// A socket on which the launcher listens.
fn listener(socket: OwnedFd) -> Result<TcpListener, JailError> {
    rustix::io::ioctl_fionbio(&socket, true).map_err(JailError::os("make a socket non-blocking"))?;
    TcpListener::from_std(socket.into()).map_err(JailError::io("listen for what wants out of the sandbox"))
}

/// What somebody who has ended wrote last, in one line.
fn last_words(words: OwnedFd) -> String {
    const MOST: u64 = 4096;
    let mut text = Vec::new();
    let nonblocking = rustix::io::ioctl_fionbio(&words, true).is_ok();
    let _read = nonblocking.then(|| std::fs::File::from(words).take(MOST).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    last.chars().filter(|char| !char.is_control()).take(300).collect()
}

fn lost(error: MessageError) -> JailError {
    match error {
        MessageError::Closed => JailError::LauncherLost,
        MessageError::Os(errno) => JailError::os("talk to the launcher")(errno),
        MessageError::Malformed => JailError::Protocol("talk to the launcher"),
    }
}

/// Has spare ids mapped by the system's own privileged helpers, which check that they are the user's.
fn map_spare_ids(launcher: u32, spare_ids: Option<SpareIds>) -> Result<(), JailError> {
    let Some((users, groups)) = spare_ids else {
        return Err(JailError::Protocol("map spare ids"));
    };
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    for (program, own, (first, count)) in [("newuidmap", own.0, users), ("newgidmap", own.1, groups)] {
        let status = Command::new(program)
            .args([launcher.to_string(), "0".to_owned(), own.to_string(), "1".to_owned()])
            .args(["1".to_owned(), first.to_string(), count.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(JailError::io("run newuidmap and newgidmap"))?;
        if !status.success() {
            return Err(JailError::Step { step: format!("have spare ids mapped by {program}"), errno: libc::EPERM });
        }
    }
    Ok(())
}

impl Drop for Launcher {
    fn drop(&mut self) {
        // The end of the socket is what tells it to end, and all its sandboxes with it.
        self.connection = None;
        // Somebody has to ask for a child that ended, but nobody has to stand waiting for that.
        if let Some(mut child) = self.child.take()
            && !matches!(child.try_wait(), Ok(Some(_)))
        {
            std::thread::spawn(move || child.wait());
        }
    }
}
