//! The traits of an isolation backend: a [`Backend`] creates a [`Sandbox`]; a sandbox executes any number of commands,
//! takes and gives files, and is destroyed.
//!
//! Backends hold no timeout, retry, output cap or metrics: those wrap any backend from outside, once.

use crate::capabilities::Capabilities;
use crate::component::Component;
use crate::error::{Error, ErrorKind, Result};
use crate::evidence::Posture;
use crate::id::SandboxId;
use crate::language::Language;
use crate::layer::Layers;
use crate::limits::{LimitKind, Limits};
use crate::live::{CommandControl, LiveFeature, TerminalSize, Tree, Uncontrolled};
use crate::monitor::Observer;
use crate::path::GuestPath;
use crate::policy::Policy;
use crate::tenancy::ProjectId;
use crate::tripwire::{TripwireWatch, WatchedPlace};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// What a sandbox is made for.
#[derive(Clone, Debug)]
pub struct SandboxRequest {
    /// Its id.
    pub id: SandboxId,
    /// The language whose interpreter and files it needs; `None` gives the host's ordinary programs, read-only.
    pub language: Option<Arc<Language>>,
    /// What all of it together may use.
    pub limits: Limits,
    /// What it must be protected by.
    pub policy: Policy,
    /// What is wanted to stand ready in it.
    pub readiness: Readiness,
    /// Whose it is: what is made ready for one project is shared with no other.
    pub project: Option<ProjectId>,
}

/// What is to stand ready in a fresh sandbox, so that its first command starts sooner. A wish: a backend that can't, or that
/// finds the first command to be another one than it made ready for, starts the command as it would have without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Readiness {
    /// Nothing.
    #[default]
    Bare,
    /// The language's interpreter, initialised, with what the language preloads, and waiting for the program that its `run`
    /// names. Nothing of any guest has been read by it. For who has time: what it
    /// takes to have one is done first.
    Interpreter,
    /// The same, for who waits: only where it costs no more than doing without.
    AtHand,
}

/// A kind of isolation.
#[async_trait]
pub trait Backend: Component {
    /// Its version, for the record.
    fn version(&self) -> String;

    /// What provides the isolation, as `sha256:` and the hexadecimal digest of the program, image or runtime that makes the
    /// sandboxes; `None` where there is no such thing. The same for as long as the backend lives, and free to ask for.
    fn runtime_digest(&self) -> Option<String>;

    /// What it can do on this machine.
    fn capabilities(&self) -> &Capabilities;

    /// Makes a sandbox in which no guest code has run yet.
    ///
    /// # Errors
    /// `Refused` where the policy asks for more than can be given; `NotFound` without the interpreter; `Unavailable` or
    /// `Infrastructure` where the machine failed. Nothing is left behind in any case.
    async fn create(&self, request: SandboxRequest) -> Result<Box<dyn Sandbox>>;
}

/// A command to execute. What goes beyond argv, environment and folder needs a [`LiveFeature`] each; a backend that lacks it
/// refuses the command rather than running it otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments. A program without a slash is looked up in the guest's `PATH`.
    pub argv: Vec<String>,
    /// The whole environment beyond the backend's own few variables.
    pub env: BTreeMap<String, String>,
    /// Where it starts.
    pub directory: GuestPath,
    /// The user inside that it runs as; `None` for the sandbox's own. Needs [`LiveFeature::Users`].
    pub user: Option<String>,
    /// How large its terminal is; `None` for three separate streams. Needs [`LiveFeature::Terminals`].
    pub terminal: Option<TerminalSize>,
    /// Whether it can be ended alone.
    pub tree: Tree,
}

impl Command {
    /// Refuses what goes beyond these features: the first thing that every backend does with a command.
    ///
    /// # Errors
    /// `Refused`, naming what the backend can't do.
    pub fn check(&self, features: &BTreeSet<LiveFeature>) -> Result<()> {
        let needs = [
            (self.user.is_some(), LiveFeature::Users),
            (self.terminal.is_some(), LiveFeature::Terminals),
            (self.tree == Tree::Own, LiveFeature::CommandTrees),
        ];
        match needs.into_iter().find(|(is_needed, feature)| *is_needed && !features.contains(feature)) {
            Some((_, feature)) => Err(feature.refusal("start the command")),
            None => Ok(()),
        }
    }
}

/// A command that was started. One with a terminal reads what is typed from `stdin`, writes everything to `stdout` and nothing
/// to `stderr`; its terminal hangs up once both are dropped.
pub struct Execution {
    /// Its standard input; drop it for an end of file (a terminal has none: there it is Ctrl-D, byte 4).
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its standard output. Hostile bytes.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// Its standard error. Hostile bytes.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    /// Its end.
    pub process: Box<dyn ProcessHandle>,
    /// What had stood ready for it.
    pub readiness: Readiness,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// By itself.
    Exited(i32),
    /// By a signal.
    Signaled(i32),
    /// With its whole sandbox: nobody is left who could tell. The counters say why.
    SandboxLost,
}

/// Why a sandbox is lost, as far as the host can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// What runs the guest's commands inside has ended, and Crucible didn't end it.
    RunnerEnded,
    /// What runs the guest's commands inside says what it never would by itself.
    RunnerBrokeItsWord,
    /// A part of Crucible outside of the sandbox is gone, and the sandbox with it.
    MachineryLost,
}

/// A started command's process.
#[async_trait]
pub trait ProcessHandle: Send {
    /// Waits for the command's own process; others that it started may live on. Cancel-safe.
    ///
    /// # Errors
    /// `Infrastructure` where the backend can't tell.
    async fn wait(&mut self) -> Result<ExitStatus>;

    /// What can be done to the command while it runs.
    fn control(&self) -> Arc<dyn CommandControl> {
        Arc::new(Uncontrolled)
    }
}

/// What a path inside a sandbox is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file with one name.
    File,
    /// A folder.
    Directory,
    /// Anything else: links, devices, pipes, sockets, files with several names.
    Other,
}

/// One entry of a folder. Made by the guest, so hostile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// The name, byte for byte.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: FileKind,
    /// Its size in bytes, for a file.
    pub size: u64,
}

/// A file's bytes on their way out.
pub struct FileContent {
    /// Its size when it was opened. It may grow or shrink while it is read if processes are alive.
    pub size: u64,
    /// Its bytes.
    pub bytes: Box<dyn AsyncRead + Send + Unpin>,
}

/// What the host counted for a sandbox since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Processor time of everything in it.
    pub cpu: Duration,
    /// Memory now; `None` where the host can't tell.
    pub memory_bytes: Option<u64>,
    /// Most memory at one time; `None` where the host can't tell.
    pub memory_peak_bytes: Option<u64>,
    /// Processes and threads now; `None` where the host can't tell.
    pub processes: Option<u64>,
    /// Most processes and threads at one time; `None` where the host can't tell.
    pub processes_peak: Option<u64>,
    /// Bytes read by system calls; `None` where the host can't tell.
    pub read_bytes: Option<u64>,
    /// Bytes written by system calls; `None` where the host can't tell.
    pub written_bytes: Option<u64>,
    /// Processes that the kernel killed because the sandbox's memory was used up.
    pub out_of_memory_kills: u64,
    /// Limits at which the host saw the guest being refused.
    pub refused: BTreeSet<LimitKind>,
}

/// The only way out of a sandbox with an allow-list: connections that its guest makes to a socket inside, on which the host
/// listens. What comes through is hostile.
#[async_trait]
pub trait Door: Send {
    /// Where the socket is, as seen from inside.
    fn address(&self) -> SocketAddr;

    /// Waits for the next connection. Cancel-safe.
    ///
    /// # Errors
    /// `Infrastructure` where no more can come.
    async fn accept(&mut self) -> Result<Box<dyn Connection>>;
}

/// A connection, as a stream of bytes both ways.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// One isolated place in which commands run.
#[async_trait]
pub trait Sandbox: Send + Sync {
    /// Its id.
    fn id(&self) -> SandboxId;

    /// The layers as they were applied.
    fn layers(&self) -> &Layers;

    /// The path inside of the language's interpreter, if it was made for a language.
    fn interpreter(&self) -> Option<&str>;

    /// The image that it was made of, with its digest; `None` where its files are the host's own, as they are by default.
    fn image(&self) -> Option<&str> {
        None
    }

    /// What stands ready for its first command: what was wished for, or less.
    fn readiness(&self) -> Readiness {
        Readiness::Bare
    }

    /// Starts a command.
    ///
    /// # Errors
    /// `NotFound` or `InvalidInput` where the program can't be executed; `Infrastructure` where the sandbox is lost.
    async fn exec(&self, command: Command) -> Result<Execution>;

    /// Writes a file, with the folders above it, replacing a file that is there.
    ///
    /// # Errors
    /// `InvalidInput` for a path that can't be written; `Refused` when the disk limit is reached.
    async fn write_file(
        &self,
        path: &GuestPath,
        content: &mut (dyn AsyncRead + Send + Unpin),
        executable: bool,
    ) -> Result<()>;

    /// Opens a regular file with one name for reading; never follows a link.
    ///
    /// # Errors
    /// `NotFound`, or `Refused` for anything but such a file.
    async fn read_file(&self, path: &GuestPath) -> Result<FileContent>;

    /// Lists a folder, sorted by name, without `.` and `..`.
    ///
    /// # Errors
    /// `NotFound`, or `Refused` for anything but a folder.
    async fn list_files(&self, path: &GuestPath) -> Result<Vec<FileEntry>>;

    /// Looks at one file or folder, without following a link.
    ///
    /// # Errors
    /// `NotFound`; `Refused` without [`LiveFeature::Files`].
    async fn stat(&self, _path: &GuestPath) -> Result<FileEntry> {
        Err(LiveFeature::Files.refusal("look at a file of the sandbox"))
    }

    /// Removes a file, a link (not what it points to) or an empty folder.
    ///
    /// # Errors
    /// `NotFound`; `Refused` for a folder that isn't empty, and without [`LiveFeature::Files`].
    async fn remove(&self, _path: &GuestPath) -> Result<()> {
        Err(LiveFeature::Files.refusal("remove a file of the sandbox"))
    }

    /// Makes another sandbox like this one, with the same files and no process of it. The files are copied one after the
    /// other while the processes of this one go on, so that whoever wants them all from one moment lets them rest meanwhile.
    ///
    /// # Errors
    /// `Refused` without [`LiveFeature::Forks`]; else as [`Backend::create`]. Nothing of the new one is left behind then.
    async fn fork(&self, _id: SandboxId) -> Result<Box<dyn Sandbox>> {
        Err(LiveFeature::Forks.refusal("fork the sandbox"))
    }

    /// Ends every process of the guest and returns when all are dead. The files stay.
    ///
    /// # Errors
    /// `Infrastructure` where the sandbox is lost.
    async fn end_processes(&self) -> Result<()>;

    /// What the host counted so far.
    ///
    /// # Errors
    /// `Infrastructure` where the counters can't be read.
    async fn counters(&self) -> Result<Counters>;

    /// Reads the sandbox's state from outside and compares it with the plan. What this user can't see is said, not claimed.
    ///
    /// # Errors
    /// `Infrastructure` where the sandbox is lost.
    async fn posture(&self) -> Result<Posture>;

    /// Looks again, when every process of the guest is dead, at what a guest would have changed that took over what runs it:
    /// privileges and ids. A part of [`Sandbox::posture`], and cheaper.
    ///
    /// # Errors
    /// As there.
    async fn posture_again(&self) -> Result<Posture>;

    /// Watches places from the host's side, from now on. Nothing of the guest has run yet, and the files are there.
    ///
    /// # Errors
    /// `Refused` for a kind that the backend's capabilities don't name; `Infrastructure` where the kernel refuses to watch.
    async fn watch(&self, places: &[WatchedPlace]) -> Result<Box<dyn TripwireWatch>>;

    /// Watches from now on what the guest does. Nothing of it has run yet.
    ///
    /// # Errors
    /// `Infrastructure` where what the capabilities promise can't be watched.
    async fn observe(&self) -> Result<Box<dyn Observer>>;

    /// The way out of a sandbox whose policy has an allow-list; can be taken once.
    ///
    /// # Errors
    /// `Refused` where there is none, or it is taken.
    fn door(&self) -> Result<Box<dyn Door>> {
        Err(Error::new(ErrorKind::Refused, "open the way out of the sandbox", "it has none"))
    }

    /// Why the sandbox is lost, if it is. Once [`Sandbox::destroy`] is called the question makes no sense any more.
    fn loss(&self) -> Option<Loss>;

    /// How many runs it held before, after each of which it was made as new.
    fn former_runs(&self) -> u32 {
        0
    }

    /// Whether [`Sandbox::renew`] may find it to be as new: no promise. Where it never is, the next one is made sooner.
    fn may_be_renewed(&self) -> bool {
        false
    }

    /// Makes the sandbox as new for another run of the same kind and the same project, under another id, where nothing is left of
    /// the one that it held and nothing that can't be looked at could be; else destroys it. Every process of the guest is dead.
    ///
    /// # Errors
    /// As [`Sandbox::destroy`].
    async fn renew(self: Box<Self>, _id: SandboxId) -> Result<Option<Box<dyn Sandbox>>> {
        self.destroy().await.map(|()| None)
    }

    /// Ends everything and removes every trace. Dropping a sandbox ends its processes, too, but doesn't wait.
    ///
    /// # Errors
    /// `Infrastructure` where something was left.
    async fn destroy(self: Box<Self>) -> Result<()>;
}
