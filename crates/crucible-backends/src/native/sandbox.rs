//! A sandbox over the jail's launcher: commands, files and counters.

use super::started::{Baseline, StartedAhead};
use super::translate;
use super::waiting::Waiting;
use crate::fork::{FORK, kept_if, not_copied};
use crate::users;
use async_trait::async_trait;
use crucible_core::{
    BehaviorKind, Command, CommandControl, Connection, Counters, Coverage, Door, Error, ErrorKind, Execution,
    ExitStatus, FileContent, FileEntry, FileKind, GuestPath, Layers, LimitKind, LiveFeature, Loss, Monitoring,
    Observation, Observed, Observer, Posture, PostureFact, PostureState, ProcessHandle, Readiness, Result, Sandbox,
    SandboxId, Signal, Source, TerminalSize, TouchKind, Touched, Tree, TripwireWatch, Watchable, WatchedPlace,
};
use crucible_jail::host::cgroup::Cgroup;
use crucible_jail::host::observe::{Kind, Word};
use crucible_jail::host::posture::{Aspect, Fact, Look, Seen};
use crucible_jail::host::tripwire::{Place, Touch, Watch};
use crucible_jail::host::{self, JailError, Running, Started};
use crucible_jail::plan::{DOOR, Ended, Entry, EntryKind, Orphans, ProcessLimit};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// How many bytes are moved at a time.
const PIECE: usize = 64 << 10;

/// What is being done when a sandbox is looked at.
const LOOK: &str = "look at the sandbox from outside";

/// What a native sandbox is made of.
pub(crate) struct NativeParts {
    pub(crate) id: SandboxId,
    pub(crate) started: Started,
    pub(crate) layers: Layers,
    pub(crate) monitoring: Monitoring,
    pub(crate) interpreter: Option<String>,
    /// `NAME=value` that every command gets unless it says otherwise.
    pub(crate) env: Vec<(String, String)>,
    pub(crate) limits: Vec<(ProcessLimit, u64)>,
    pub(crate) cgroup: Option<Cgroup>,
    /// Looks at it from outside; `None` where there is no wall to look at.
    pub(crate) look: Option<Arc<Look>>,
    /// The host folder that stands for the work folder where there is no file system of its own.
    pub(crate) folder: Option<TempDir>,
    /// Whether sandboxes may be made in it, with control groups below its own.
    pub(crate) nests: Nests,
    /// What keeps others from its range of ids, where it has one. Dropped when it is gone.
    pub(crate) ids_held: Option<OwnedFd>,
    /// What it can do while it stays open.
    pub(crate) features: BTreeSet<LiveFeature>,
    /// Makes another one like it.
    pub(crate) again: Option<Arc<dyn Again>>,
    /// The interpreter that it is a fork of, if it is.
    pub(crate) waiting: Option<Waiting>,
}

/// What was before a sandbox was last made as new.
#[derive(Clone, Copy, Default)]
struct Former {
    runs: u32,
    /// Bytes that had been read and written by then.
    transfers: (u64, u64),
}

/// Makes another sandbox of the same kind as one that was made before, in which nothing has run yet.
#[async_trait]
pub(crate) trait Again: Send + Sync {
    /// Makes it.
    ///
    /// # Errors
    /// As [`crucible_core::Backend::create`].
    async fn make(self: Arc<Self>, id: SandboxId) -> Result<NativeSandbox>;
}

/// Whether sandboxes may be made in a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nests {
    /// They may: it is a range.
    Yes,
    /// It is an ordinary one.
    No,
}

/// A sandbox whose processes run on this machine.
pub(crate) struct NativeSandbox {
    pub(super) parts: NativeParts,
    door: Mutex<Option<TcpListener>>,
    former: Former,
    /// An interpreter that was started, and waits.
    pub(super) ahead: Mutex<Option<StartedAhead>>,
    /// What was counted before there was a program.
    pub(super) baseline: Mutex<Baseline>,
}

/// The way out of a jailed sandbox.
struct NativeDoor(TcpListener);

#[async_trait]
impl Door for NativeDoor {
    fn address(&self) -> SocketAddr {
        DOOR.into()
    }

    async fn accept(&mut self) -> Result<Box<dyn Connection>> {
        loop {
            match self.0.accept().await {
                Ok((stream, _)) => return Ok(Box::new(stream)),
                // It was hung up on before it was heard.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    let message = "no connection can be taken any more";
                    return Err(
                        Error::new(ErrorKind::Infrastructure, "listen to the sandbox", message).with_source(error)
                    );
                }
            }
        }
    }
}

impl NativeSandbox {
    pub(crate) fn new(mut parts: NativeParts) -> Self {
        let door = Mutex::new(parts.started.door.take());
        Self { parts, door, former: Former::default(), ahead: Mutex::default(), baseline: Mutex::default() }
    }

    /// Makes it as new, if it is in nothing otherwise than it was.
    async fn make_as_new(&mut self) -> std::result::Result<bool, JailError> {
        let parts = &mut self.parts;
        let NativeParts { waiting: Some(waiting), cgroup: Some(cgroup), started, nests: Nests::No, .. } = parts else {
            return Ok(false);
        };
        if !waiting.is_good() || !started.sandbox.renew().await? || !cgroup.renew(started.pid) {
            return Ok(false);
        }
        // Nothing is below it. Who can't know this now can't know it later either.
        let transfers = host::transfers(started.pid).unwrap_or_default();
        self.former = Former { runs: self.former.runs.saturating_add(1), transfers };
        started.sandbox.have_one_wait().await.map(|()| true)
    }

    /// What was seen, if the sandbox still lived when all was: else it may be another process that was looked at.
    fn posture_of(&self, facts: Vec<Fact>) -> Result<Posture> {
        let is_dead = self.parts.started.sandbox.is_dead();
        if is_dead.map_err(|error| translate(LOOK, error))? {
            return Err(translate(LOOK, JailError::SandboxLost));
        }
        let state = |seen| match seen {
            Seen::AsPlanned => PostureState::AsPlanned,
            Seen::Differs => PostureState::Differs,
            Seen::NotVisible => PostureState::NotVisible,
        };
        let facts = facts.into_iter().map(|fact| PostureFact::new(fact.name, fact.seen, state(fact.state)));
        Ok(Posture { facts: facts.collect() })
    }

    /// What is counted of all that it ever held since it was last as new.
    pub(super) fn counted(&self) -> Result<Counters> {
        let mut counters = Counters::default();
        let seen = self.parts.cgroup.as_ref().map(Cgroup::counters).unwrap_or_default();
        // The init is one of the processes that a control group counts.
        let without_init = |count: u64| count.saturating_sub(1);
        counters.memory_bytes = seen.memory;
        counters.memory_peak_bytes = seen.memory_peak;
        let transfers = host::tree_transfers(self.parts.started.pid);
        let (former_read, former_written) = self.former.transfers;
        counters.read_bytes = transfers.map(|(read, _)| read.saturating_sub(former_read));
        counters.written_bytes = transfers.map(|(_, written)| written.saturating_sub(former_written));
        counters.out_of_memory_kills = seen.out_of_memory_kills;
        counters.processes = seen.pids.map(without_init);
        counters.processes_peak = seen.pids_peak.map(without_init);
        if seen.forks_refused > 0 {
            counters.refused.insert(LimitKind::Pids);
        }
        if seen.cpu.is_none() || seen.pids.is_none() {
            let tree = host::tree_usage(self.parts.started.pid);
            counters.processes = counters.processes.or(Some(tree.processes));
            counters.cpu = tree.cpu;
        }
        counters.cpu = seen.cpu.unwrap_or(counters.cpu);
        if self.is_jailed() {
            let (bytes, inodes) = self
                .parts
                .started
                .sandbox
                .free_storage()
                .map_err(|error| translate("look at the sandbox's files", error))?;
            counters.refused.extend((bytes == 0).then_some(LimitKind::Disk));
            counters.refused.extend((inodes == 0).then_some(LimitKind::Inodes));
        }
        Ok(counters)
    }

    fn is_jailed(&self) -> bool {
        self.parts.folder.is_none()
    }
}

#[async_trait]
impl Sandbox for NativeSandbox {
    fn id(&self) -> SandboxId {
        self.parts.id
    }

    fn layers(&self) -> &Layers {
        &self.parts.layers
    }

    fn interpreter(&self) -> Option<&str> {
        self.parts.interpreter.as_deref()
    }

    fn readiness(&self) -> Readiness {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = self.parts.started.sandbox.has_one_waiting() || ahead.as_mut().is_some_and(StartedAhead::waits);
        if waits { Readiness::Interpreter } else { Readiness::Bare }
    }

    async fn exec(&self, command: Command) -> Result<Execution> {
        command.check(&self.parts.features)?;
        let sandbox = &self.parts.started.sandbox;
        let Command { argv, env, directory, user, terminal, tree } = command;
        let env = users::variables(&self.parts.env, env.iter(), user.as_deref());
        let is_plain = terminal.is_none() && tree == Tree::OfSandbox && sandbox.has_one_waiting();
        let waiting = self.parts.waiting.as_ref().filter(|_| is_plain);
        let program = waiting.and_then(|waiting| waiting.program_of(&argv, &env)).map(<[String]>::to_vec);
        let is_forked = program.is_some();
        let command = host::Command {
            argv: program.unwrap_or(argv),
            env,
            user: user.clone(),
            directory: directory.as_str().to_owned(),
            limits: self.parts.limits.clone(),
            reopens: true,
            terminal: terminal.map(jail_size),
            orphans: match tree {
                Tree::OfSandbox => Orphans::ToInit,
                Tree::Own => Orphans::ToCommand,
            },
        };
        let (running, readiness) = match self.interpret(&command).await? {
            Some(running) => (Ok(running), Readiness::Interpreter),
            None if is_forked => (sandbox.interpret(command).await, Readiness::Interpreter),
            None => (sandbox.exec(command).await, Readiness::Bare),
        };
        let operation = "start the command";
        let running = running.map_err(|error| {
            let not_theirs = match (&error, &user) {
                (JailError::NotStarted { step, .. }, Some(user)) => users::not_theirs(operation, step, user),
                _ => None,
            };
            not_theirs.unwrap_or_else(|| translate(operation, error))
        })?;
        let Running { stdin, stdout, stderr, ended, control } = running;
        let process = Box::new(NativeProcess { ended, known: None, control });
        Ok(Execution { stdin, stdout, stderr, process, readiness })
    }

    async fn write_file(
        &self,
        path: &GuestPath,
        content: &mut (dyn AsyncRead + Send + Unpin),
        executable: bool,
    ) -> Result<()> {
        let operation = "write a file into the sandbox";
        let mode = if executable { 0o755 } else { 0o644 };
        let mut file = self
            .parts
            .started
            .sandbox
            .create_file(path.as_str(), mode)
            .await
            .map_err(|error| translate(operation, error))?;
        let mut piece = vec![0; PIECE];
        loop {
            let read = content.read(&mut piece).await.map_err(|error| {
                Error::new(ErrorKind::Io, operation, "the content can't be read").with_source(error)
            })?;
            let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else {
                return Ok(());
            };
            file.write_all(bytes).map_err(|error| match error.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Error::new(
                    ErrorKind::Refused,
                    operation,
                    format!("{path} doesn't fit into the sandbox's disk limit"),
                )
                .with_hint("raise --disk"),
                _ => Error::new(ErrorKind::Infrastructure, operation, format!("{path} can't be written"))
                    .with_source(error),
            })?;
        }
    }

    async fn read_file(&self, path: &GuestPath) -> Result<FileContent> {
        let file = self
            .parts
            .started
            .sandbox
            .open_file(path.as_str())
            .await
            .map_err(|error| translate("read a file of the sandbox", error))?;
        let size = file
            .metadata()
            .map_err(|error| {
                Error::new(ErrorKind::Infrastructure, "read a file of the sandbox", "it can't be looked at")
                    .with_source(error)
            })?
            .len();
        Ok(FileContent { size, bytes: Box::new(RegularFile(file)) })
    }

    async fn stat(&self, path: &GuestPath) -> Result<FileEntry> {
        let seen = self.parts.started.sandbox.stat(path.as_str()).await;
        seen.map(file_entry).map_err(|error| translate("look at a file of the sandbox", error))
    }

    async fn remove(&self, path: &GuestPath) -> Result<()> {
        let removed = self.parts.started.sandbox.remove(path.as_str()).await;
        removed.map_err(|error| translate("remove a file of the sandbox", error))
    }

    async fn list_files(&self, path: &GuestPath) -> Result<Vec<FileEntry>> {
        let entries = self
            .parts
            .started
            .sandbox
            .list(path.as_str())
            .await
            .map_err(|error| translate("list a folder of the sandbox", error))?;
        let mut entries: Vec<FileEntry> = entries.into_iter().map(file_entry).collect();
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(entries)
    }

    async fn fork(&self, id: SandboxId) -> Result<Box<dyn Sandbox>> {
        let Some(again) = &self.parts.again else { return Err(LiveFeature::Forks.refusal(FORK)) };
        let fork = Arc::clone(again).make(id).await?;
        let copied = self.parts.started.sandbox.copy_into(&fork.parts.started.sandbox).await;
        let copied = copied.map_err(|error| match error {
            JailError::Step { step, errno } => not_copied(&step, errno),
            error => translate(FORK, error),
        });
        kept_if(fork, copied).await
    }

    async fn end_processes(&self) -> Result<()> {
        drop(self.take_ahead());
        self.parts
            .started
            .sandbox
            .end_processes()
            .await
            .map_err(|error| translate("end the sandbox's processes", error))
    }

    async fn counters(&self) -> Result<Counters> {
        let counted = self.counted()?;
        Ok(self.baseline().apart_from(counted))
    }

    async fn posture(&self) -> Result<Posture> {
        let Some(look) = self.parts.look.as_ref().map(Arc::clone) else {
            let fact = PostureFact::new("isolation", "none, as planned", PostureState::AsPlanned);
            return Ok(Posture { facts: vec![fact] });
        };
        if self.parts.waiting.is_some() {
            // Made ahead or forked: nobody waits for so much that other threads were worth their while.
            return self.posture_of(look.look(&[Aspect::Privileges, Aspect::Reach, Aspect::Surroundings]));
        }
        // On two threads beside the runtime's, which has files to put in meanwhile.
        let on_a_thread = |aspects: &'static [Aspect]| {
            let look = Arc::clone(&look);
            tokio::task::spawn_blocking(move || look.look(aspects))
        };
        let (inner, outer) =
            tokio::join!(on_a_thread(&[Aspect::Privileges, Aspect::Reach]), on_a_thread(&[Aspect::Surroundings]));
        let mut facts = Vec::new();
        for looked in [inner, outer] {
            facts.extend(looked.map_err(|error| {
                Error::new(ErrorKind::Infrastructure, LOOK, "the sandbox can't be looked at").with_source(error)
            })?);
        }
        self.posture_of(facts)
    }

    async fn posture_again(&self) -> Result<Posture> {
        match &self.parts.look {
            Some(look) => self.posture_of(look.look(&[Aspect::Privileges])),
            None => self.posture().await,
        }
    }

    async fn watch(&self, places: &[WatchedPlace]) -> Result<Box<dyn TripwireWatch>> {
        let places: Vec<Place<'_>> = places
            .iter()
            .map(|place| match place {
                WatchedPlace::File(path) => Place::File(path.as_str()),
                WatchedPlace::Listener(path) => Place::Listener(path.as_str()),
            })
            .collect();
        if !self.is_jailed() && places.iter().any(|place| matches!(place, Place::Listener(_))) {
            let message = "this backend can't listen inside a sandbox";
            return Err(Error::new(ErrorKind::Refused, "plant the tripwires", message).with_hint("use the jail"));
        }
        let watch = self.parts.started.sandbox.watch(&places);
        Ok(Box::new(NativeWatch(watch.map_err(|error| translate("plant the tripwires", error))?)))
    }

    async fn observe(&self) -> Result<Box<dyn Observer>> {
        let sandbox = &self.parts.started.sandbox;
        let mut monitoring = self.parts.monitoring.clone();
        if self.is_jailed() && !sandbox.hears_of_calls() {
            let reason = "somebody outside of the sandbox listens to refused system calls already";
            let calls =
                monitoring.iter_mut().filter(|(part, _)| matches!(part, Watchable::SystemCalls | Watchable::Network));
            for (_, coverage) in calls.filter(|(_, coverage)| **coverage == Coverage::Events) {
                *coverage = Coverage::Unavailable { reason: reason.to_owned() };
            }
        }
        if !sandbox.hears_of_files() && monitoring.get(&Watchable::Files) == Some(&Coverage::Events) {
            let reason = "the kernel doesn't tell of more sandboxes' files".to_owned();
            monitoring.insert(Watchable::Files, Coverage::Unavailable { reason });
        }
        Ok(Box::new(NativeObserver { observer: sandbox.observer(), monitoring }))
    }

    fn door(&self) -> Result<Box<dyn Door>> {
        let door = self.door.lock().unwrap_or_else(PoisonError::into_inner).take();
        let message = "the sandbox has none, or it is taken";
        let missing = || Error::new(ErrorKind::Refused, "open the way out of the sandbox", message);
        Ok(Box::new(NativeDoor(door.ok_or_else(missing)?)))
    }

    fn loss(&self) -> Option<Loss> {
        let started = &self.parts.started;
        if started.sandbox.broke_its_word() {
            return Some(Loss::RunnerBrokeItsWord);
        }
        // What can't be watched any more isn't there any more.
        let has_ended = started.sandbox.has_hung_up() || started.sandbox.is_dead().unwrap_or(true);
        match (has_ended, started.launcher_has_ended()) {
            (_, true) => Some(Loss::MachineryLost),
            (true, false) => Some(Loss::RunnerEnded),
            (false, false) => None,
        }
    }

    fn former_runs(&self) -> u32 {
        self.former.runs
    }

    fn may_be_renewed(&self) -> bool {
        self.parts.waiting.is_some()
    }

    async fn renew(mut self: Box<Self>, id: SandboxId) -> Result<Option<Box<dyn Sandbox>>> {
        match self.make_as_new().await {
            Ok(true) => {
                self.parts.id = id;
                Ok(Some(self))
            }
            // Why it isn't, its end says, if that is a failure.
            Ok(false) | Err(_) => self.destroy().await.map(|()| None),
        }
    }

    async fn destroy(self: Box<Self>) -> Result<()> {
        let operation = "remove the sandbox";
        let NativeParts { started, cgroup, folder, nests, ids_held, .. } = self.parts;
        if !started.sandbox.ends_with_its_init() {
            // Nothing but its init knows what it started; with a process namespace the kernel does.
            match started.sandbox.end_processes().await {
                Ok(()) | Err(JailError::SandboxLost) => {}
                Err(error) => return Err(translate(operation, error)),
            }
        }
        if let Some(cgroup) = &cgroup {
            cgroup.kill();
        }
        started.sandbox.kill();
        started.sandbox.wait_until_dead().await.map_err(|error| translate(operation, error))?;
        // Nothing has its ids any more.
        drop((started, ids_held));
        if let Some(cgroup) = cgroup {
            if nests == Nests::Yes {
                cgroup.remove_below();
            }
            // Nothing lives in it any more, so that nobody has to wait for this. Should the runtime end first, the group is
            // removed when the task is dropped.
            tokio::spawn(cgroup.remove());
        }
        if let Some(folder) = folder {
            folder.close().map_err(|error| {
                Error::new(ErrorKind::Infrastructure, operation, "the work folder can't be removed").with_source(error)
            })?;
        }
        Ok(())
    }
}

struct NativeObserver {
    observer: host::observe::Observer,
    monitoring: Monitoring,
}

fn observation(sighting: host::observe::Sighting) -> Observation {
    let host::observe::Sighting { kind, name, word, first, .. } = sighting;
    let kind = match kind {
        Kind::ProgramStarted => BehaviorKind::ProcessStarted,
        Kind::CallRefused => BehaviorKind::SyscallDenied,
        Kind::ConnectionRefused => BehaviorKind::ConnectionRefused,
        Kind::BindRefused => BehaviorKind::BindRefused,
        Kind::SendRefused => BehaviorKind::SendRefused,
        Kind::FileOpened => BehaviorKind::FileOpened,
        Kind::Flooded => BehaviorKind::Flooded,
    };
    let source = match word {
        Word::Kernel => Source::Host,
        Word::Guest => Source::Claimed,
    };
    Observation { kind, name, source, at: first }
}

#[async_trait]
impl Observer for NativeObserver {
    async fn next(&mut self) -> Observation {
        observation(self.observer.next().await)
    }

    fn monitoring(&self) -> &Monitoring {
        &self.monitoring
    }

    fn seen(&mut self) -> Vec<Observed> {
        let seen = self.observer.seen().into_iter();
        seen.map(|sighting| Observed { count: sighting.count, first: observation(sighting) }).collect()
    }
}

struct NativeWatch(Watch);

impl TripwireWatch for NativeWatch {
    fn touched(&mut self) -> Vec<Option<Touched>> {
        let how = |touch| match touch {
            Touch::Opened => TouchKind::Opened,
            Touch::Read => TouchKind::Read,
            Touch::Changed => TouchKind::Changed,
            Touch::Moved => TouchKind::Moved,
            Touch::Called => TouchKind::Called,
        };
        let touches = self.0.touches().into_iter();
        touches.map(|touch| touch.map(|(touch, at)| Touched { how: how(touch), at })).collect()
    }
}

fn file_entry(entry: Entry) -> FileEntry {
    let kind = match entry.kind {
        EntryKind::File => FileKind::File,
        EntryKind::Folder => FileKind::Directory,
        EntryKind::Other => FileKind::Other,
    };
    FileEntry { name: entry.name, kind, size: entry.size }
}

const fn jail_size(size: TerminalSize) -> host::Size {
    host::Size { rows: size.rows, columns: size.columns }
}

struct NativeProcess {
    ended: oneshot::Receiver<Ended>,
    known: Option<ExitStatus>,
    control: host::Control,
}

struct NativeControl(host::Control);

#[async_trait]
impl CommandControl for NativeControl {
    async fn signal(&self, signal: Signal) -> Result<()> {
        self.0.signal(signal.number()).await.map_err(|error| translate("send the signal", error))
    }

    async fn end_tree(&self) -> Result<()> {
        self.0.end_tree().await.map_err(|error| translate("end the command", error))
    }

    async fn resize(&self, size: TerminalSize) -> Result<()> {
        let operation = "resize the terminal";
        let resized = self
            .0
            .resize(jail_size(size))
            .ok_or_else(|| Error::new(ErrorKind::Refused, operation, "the command has no terminal"))?;
        resized.map_err(|error| translate(operation, error))
    }
}

#[async_trait]
impl ProcessHandle for NativeProcess {
    async fn wait(&mut self) -> Result<ExitStatus> {
        if let Some(known) = self.known {
            return Ok(known);
        }
        let status = match (&mut self.ended).await {
            Ok(Ended::Exited(code)) => ExitStatus::Exited(code),
            Ok(Ended::Signaled(signal)) => ExitStatus::Signaled(signal),
            Err(_) => ExitStatus::SandboxLost,
        };
        self.known = Some(status);
        Ok(status)
    }

    fn control(&self) -> Arc<dyn CommandControl> {
        Arc::new(NativeControl(self.control.clone()))
    }
}

/// A regular file in memory or on a local disk: reading it doesn't wait for anyone.
struct RegularFile(File);

impl AsyncRead for RegularFile {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let wanted = buffer.remaining().min(PIECE);
        let read = self.0.read(buffer.initialize_unfilled_to(wanted))?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}
